"""Eglot in batch Emacs, set up as the README says: completions at point by a real daemon."""

import subprocess
from pathlib import Path

import pytest

from tests.editors.debian import Program, emacs
from tests.editors.readme import installed, snippet
from tests.support.shared_daemon import Daemon

pytestmark = pytest.mark.slow

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
    init = tmp_path / "init.el"
    init.write_text(snippet("Emacs, eglot", "elisp"))
    environment = program.env | installed(tmp_path, shared_daemon.path) | {"EGLOT_TEST_FILE": str(source)}
    command = [*program.command, "-Q", "--batch", "-l", str(init), "-l", str(TESTS)]
    command += ["-f", "ert-run-tests-batch-and-exit"]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
