"""Real daemons as processes, which the tests of clients share."""

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from scrubjay.errors import RequestError
from scrubjay.process.client import Client
from scrubjay.process.lifecycle import start_daemon, stop_daemon

FLAGS = {"ctx": "8192", "threads": "1", "eager_load": "false", "warm": "false", "rules": "false"}
"""Options of a daemon that shares few cores with other tests."""


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
    daemon = a_daemon(tmp_path_factory.mktemp("rules") / "daemon.sock", rules="true", confidence="0")
    yield daemon
    stop_daemon(daemon.path)


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A socket that belongs to the test; whatever daemon is there at its end is stopped."""
    path = tmp_path_factory.mktemp("own") / "daemon.sock"
    yield path
    stop_daemon(path)
