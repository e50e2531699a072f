"""Gptel in batch Emacs: the daemon's HTTP side as its backend, and its context preloaded."""

from pathlib import Path

import pytest

from tests.editors.conftest import HttpDaemon
from tests.editors.debian import EMACSES, emacs, lisp
from tests.editors.terminal import PACKAGE
from tests.editors.test_emacs_batch import batch

pytestmark = pytest.mark.slow

TESTS = Path(__file__).with_name("gptel_tests.el")


@pytest.mark.parametrize("version", EMACSES)
def test_gptel(version: str, http_daemon: HttpDaemon, tmp_path: Path) -> None:
    gptel = lisp("gptel", "gptel", "transient", "compat", "cond-let", "llama")
    batch(
        emacs(version),
        *(*gptel, "-l", str(TESTS), "-f", "ert-run-tests-batch-and-exit"),
        EMACS_TEST_PACKAGE=str(PACKAGE),
        EMACS_TEST_HTTP=http_daemon.http,
        EMACS_TEST_DAEMON=str(http_daemon.socket),
        EMACS_TEST_FOLDER=str(tmp_path),
        HOME=str(tmp_path),
    )
