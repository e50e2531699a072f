"""Eglot in batch Emacs: completions at point by a real daemon."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.editors.debian import Program, emacs
from tests.lsp.conftest import Daemon

TESTS = Path(__file__).with_name("eglot-tests.el")
PROGRAM = "def area(width, height):\n    return width * height\n\n\ndef perimeter(width, height):\n"


@pytest.fixture(scope="module")
def program() -> Program:
    """Emacs, or the reason why there is none."""
    return emacs()


def test_eglot(program: Program, shared_daemon: Daemon, tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    source = tmp_path / "shapes.py"
    source.write_text(PROGRAM)
    server = [sys.executable, "-m", "scrubjay", "lsp", "--socket", str(shared_daemon.path)]
    environment = program.env | {"SCRUBJAY_TEST_SERVER": json.dumps(server), "SCRUBJAY_TEST_FILE": str(source)}
    command = [*program.command, "-Q", "--batch", "-l", str(TESTS), "-f", "ert-run-tests-batch-and-exit"]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
