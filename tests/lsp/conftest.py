"""A real daemon for the language server's tests, and editors that use it."""

import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from scrubjay.process.client import Client
from scrubjay.process.lifecycle import start_daemon, stop_daemon
from scrubjay.errors import RequestError
from tests.lsp.editor import Editor

SHORT: dict[str, Any] = {"maxTokens": 24, "completion": {"maxPromptMs": 0}}
"""Options that let a slow machine answer."""
FLAGS = {"ctx": "8192", "threads": "1", "eager_load": "false", "warm": "false", "rules": "false"}
"""Options of a daemon that shares few cores with other tests."""

StartEditor = Callable[..., Awaitable[Editor]]


@dataclass
class Daemon:
    """A running daemon."""

    path: Path

    @property
    def client(self) -> Client:
        """Asks it."""
        return Client(self.path)

    def text(self, uri: str) -> str | None:
        """The text of a document as the daemon has it, None if it has none."""
        try:
            text: str = self.client.get("documents", uri=uri)["text"]
        except RequestError as error:
            assert error.status == 404
            return None
        return text

    def kill(self) -> None:
        """End it at once; returns when it has let go of its socket."""
        os.kill(self.client.get("status")["pid"], signal.SIGKILL)
        stop_daemon(self.path)


def a_daemon(path: Path, **flags: str) -> Daemon:
    """A daemon that listens on `path`, with `flags` over the usual ones; its model is loading."""
    start_daemon(path, {**FLAGS, "data_dir": str(path.parent), **flags})
    return Daemon(path)


@pytest.fixture(scope="session")
def shared_daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """One daemon for all tests that leave it as it was."""
    daemon = a_daemon(tmp_path_factory.mktemp("daemon") / "daemon.sock")
    yield daemon
    stop_daemon(daemon.path)


@pytest.fixture(scope="session")
def daemon_with_rules(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """One that ends and shows completions by its rules, as those of users do."""
    daemon = a_daemon(tmp_path_factory.mktemp("rules") / "daemon.sock", rules="true")
    yield daemon
    stop_daemon(daemon.path)


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A socket that belongs to the test; whatever daemon is there at its end is stopped."""
    path = tmp_path_factory.mktemp("own") / "daemon.sock"
    yield path
    stop_daemon(path)


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
