"""A real daemon for the language server's tests, and editors that use it."""

import json
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from socket import AF_UNIX, socket
from typing import Any
from urllib.parse import quote

import pytest
import pytest_asyncio

from tests.lsp.editor import Editor

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "daemon/scrubjay/starter/starter.gguf"
SHORT: dict[str, Any] = {"maxTokens": 24, "completion": {"maxPromptMs": 0}}
"""Options that let a slow machine answer."""

StartEditor = Callable[..., Awaitable[Editor]]


class _UnixConnection(HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost")
        self._path = path

    def connect(self) -> None:
        self.sock = socket(AF_UNIX)
        self.sock.connect(str(self._path))


@dataclass
class Daemon:
    """A running daemon and the way to ask it."""

    path: Path
    process: subprocess.Popen[bytes]

    def get(self, path: str) -> Any:
        """What GET of `path` answers."""
        return self.ask("GET", path)

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """What a request answers, whatever its status."""
        connection = _UnixConnection(self.path)
        try:
            connection.request(method, path, None if body is None else json.dumps(body))
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()

    def text(self, uri: str) -> str | None:
        """The text of a document as the daemon has it, None if it has none."""
        text: str | None = self.get(f"/api/documents?uri={quote(uri, safe='')}").get("text")
        return text

    def kill(self) -> None:
        """End it at once."""
        self.process.kill()
        self.process.wait()


def start_daemon(path: Path) -> Daemon:
    """A daemon on the socket at `path`, which answers."""
    path.unlink(missing_ok=True)
    command = [sys.executable, "-m", "tests.lsp.serve", str(MODEL), str(path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT)
    assert process.stdout
    assert process.stdout.readline() == b"listening\n"
    return Daemon(path, process)


@pytest.fixture(scope="session")
def shared_daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """One daemon for all tests that leave it as it was."""
    daemon = start_daemon(tmp_path_factory.mktemp("daemon") / "daemon.sock")
    yield daemon
    daemon.kill()


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
