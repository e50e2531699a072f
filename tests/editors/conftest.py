"""A daemon that also listens for clients of llama.cpp."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp.test_utils import unused_port

from scrubjay.process.client import Client
from scrubjay.process.lifecycle import start_daemon, stop_daemon
from tests.support.shared_daemon import FLAGS


@dataclass(frozen=True, slots=True)
class HttpDaemon:
    """A running daemon: its socket, and HOST:PORT."""

    socket: Path
    http: str


@pytest.fixture(scope="session")
def http_daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HttpDaemon]:
    """One daemon for all tests of foreign clients."""
    daemon = HttpDaemon(tmp_path_factory.mktemp("daemon") / "daemon.sock", f"127.0.0.1:{unused_port()}")
    start_daemon(daemon.socket, {**FLAGS, "http": daemon.http, "data_dir": str(daemon.socket.parent)})
    for _ in Client(daemon.socket).wait_until_ready():
        pass  # clients of llama.cpp are refused until then, and do not ask again
    yield daemon
    stop_daemon(daemon.socket)
