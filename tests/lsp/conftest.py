"""Editors that use the daemon which the tests of clients share."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest_asyncio

from tests.support.lsp_editor import Editor
from tests.support.shared_daemon import Daemon

SHORT: dict[str, Any] = {"maxTokens": 24, "completion": {"maxPromptMs": 0}}
"""Options that let a slow machine answer."""

StartEditor = Callable[..., Awaitable[Editor]]


@pytest_asyncio.fixture
async def start(tmp_path: Path, shared_daemon: Daemon) -> AsyncIterator[StartEditor]:
    """Starts editors in `tmp_path`; they leave when the test ends, if they have not left before."""
    editors: list[Editor] = []

    async def start(**options: Any) -> Editor:
        options["options"] = {**SHORT, **options.get("options", {})}
        arguments = {"root": tmp_path, "socket": shared_daemon.path, **options}
        editors.append(await Editor.start(**arguments))
        return editors[-1]

    yield start
    for editor in editors:
        if editor.process.returncode is None:
            await editor.stop()
