"""The Emacs package without a terminal: its ERT tests against a real daemon, and what checks packages."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.editors.debian import EMACSES, Program, emacs, lisp
from tests.editors.terminal import PACKAGE
from tests.support.shared_daemon import Daemon

pytestmark = pytest.mark.slow

TESTS = Path(__file__).with_name("emacs_tests.el")
CHECKDOC = """
(let ((remarks 0))
  (setq checkdoc-create-error-function
        (lambda (text start _end &optional _unfixable)
          (setq remarks (1+ remarks))
          (message "%s:%s: %s" (buffer-name) (line-number-at-pos start) text)
          nil))
  (dolist (file command-line-args-left)
    (with-current-buffer (find-file-noselect file)
      (checkdoc-current-buffer t)))
  (kill-emacs (min remarks 1)))
"""


@pytest.fixture(scope="module", params=EMACSES)
def program(request: pytest.FixtureRequest) -> Program:
    """Each Emacs, or the reason why there is none."""
    return emacs(request.param)


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of the package, which compiling may add to."""
    return Path(shutil.copytree(PACKAGE, tmp_path / "scrubjay"))


def batch(program: Program, *arguments: str, **environment: str) -> None:
    """Run Emacs in batch mode; whatever it says belongs to the failure."""
    command = [*program.command, "-Q", "--batch", *arguments]
    done = subprocess.run(command, env=program.env | environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def files(folder: Path) -> list[str]:
    return [str(path) for path in sorted(folder.glob("*.el"))]


def test_ert(program: Program, shared_daemon: Daemon, tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    server = [sys.executable, "-m", "scrubjay", "lsp", "--socket", str(shared_daemon.path)]
    batch(
        program,
        *("-l", str(TESTS), "-f", "ert-run-tests-batch-and-exit"),
        EMACS_TEST_PACKAGE=str(PACKAGE),
        EMACS_TEST_SERVER=json.dumps(server),
        EMACS_TEST_FILE=str(tmp_path / "shapes.py"),
        EMACS_TEST_DAEMON=str(shared_daemon.path),
        HOME=str(tmp_path),
    )


def test_it_compiles_without_warnings(program: Program, package: Path) -> None:
    strictly = "(setq byte-compile-error-on-warn t)"
    batch(program, "-L", str(package), "--eval", strictly, "-f", "batch-byte-compile", *files(package))


def test_each_file_compiles_alone_without_warnings(program: Program, package: Path) -> None:
    """What a file uses it requires itself: another one that was compiled before must not have loaded it."""
    strictly = "(setq byte-compile-error-on-warn t)"
    for file in files(package):
        batch(program, "-L", str(package), "--eval", strictly, "-f", "batch-byte-compile", file)


def test_checkdoc_has_no_remarks(program: Program, package: Path) -> None:
    batch(program, "-l", "checkdoc", "--eval", CHECKDOC, *files(package))


def test_package_lint_has_no_remarks(program: Program, package: Path) -> None:
    found = lisp("package-lint", "package-lint", "compat")
    main_file = f'(setq package-lint-main-file "{package / "scrubjay.el"}")'
    lint = ("-l", "package-lint", "--eval", main_file, "-f", "package-lint-batch-and-exit")
    batch(program, *found, *lint, *files(package))
