"""Gptel in batch Emacs: the daemon's HTTP side as its backend, and its context preloaded."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp.test_utils import unused_port

from scrubjay.lifecycle import start_daemon, stop_daemon
from tests.editors.debian import EMACSES, Program, emacs, lisp
from tests.editors.terminal import PACKAGE
from tests.editors.test_emacs_batch import batch
from tests.lsp.conftest import FLAGS

TESTS = Path(__file__).with_name("gptel_tests.el")


@pytest.fixture(scope="module")
def http_daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A daemon's socket, and where it listens for gptel."""
    socket, http = tmp_path_factory.mktemp("daemon") / "daemon.sock", f"127.0.0.1:{unused_port()}"
    start_daemon(socket, {**FLAGS, "http": http, "data_dir": str(socket.parent)})
    yield socket, http
    stop_daemon(socket)


@pytest.fixture(params=EMACSES)
def program(request: pytest.FixtureRequest) -> Program:
    """Each Emacs, or the reason why there is none."""
    return emacs(request.param)


def test_gptel(program: Program, http_daemon: tuple[Path, str], tmp_path: Path) -> None:
    gptel = lisp("gptel", "gptel", "transient", "compat", "cond-let", "llama")
    socket, http = http_daemon
    batch(
        program,
        *(*gptel, "-l", str(TESTS), "-f", "ert-run-tests-batch-and-exit"),
        EMACS_TEST_PACKAGE=str(PACKAGE),
        EMACS_TEST_HTTP=http,
        EMACS_TEST_DAEMON=str(socket),
        EMACS_TEST_FOLDER=str(tmp_path),
        HOME=str(tmp_path),
    )
