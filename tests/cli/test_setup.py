"""`scrubjay setup` in homes with nothing but one editor: what it writes, that it overwrites nothing, and that twice is once."""

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from scrubjay.cli.editors import clients_folder
from scrubjay.process.lifecycle import stop_daemon
from tests.editors.debian import Program, emacs, neovim
from tests.editors.test_neovim import PROGRAM, QUESTIONS, Neovim
from tests.support.shared_daemon import FLAGS

pytestmark = pytest.mark.slow

FAKE_CODE = """#!/bin/sh
case "$1" in
  --list-extensions) cat "$HOME/extensions" 2>/dev/null;;
  --install-extension) test -f "$2" && echo scrubjay.scrubjay >>"$HOME/extensions";;
esac
"""
"""What `code` does, as far as it is asked; the real one is in tests/editors/test_vscode.py."""

WAIT_IN_EMACS = """
(progn
  (find-file (pop command-line-args-left))
  (goto-char (point-max))
  (insert "    ret")
  (let (asked)
    (with-timeout (60)
      (while (not scrubjay-ghost-shown)
        (when (and (scrubjay-server-ensure) (not asked))
          (scrubjay-complete)
          (setq asked t))
        (accept-process-output nil 0.1))))
  (princ (if scrubjay-ghost-shown "ghost text" "nothing"))
  (set-buffer-modified-p nil)
  (kill-emacs))
"""


class Home:
    """A user's, with their programs in `bin`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bin = folder / "bin"
        self.bin.mkdir()
        usual = {key: os.environ[key] for key in ("LANG", "TMPDIR") if key in os.environ}
        options = {f"SCRUBJAY_{name.upper()}": value for name, value in FLAGS.items()}
        places = {"HOME": str(folder), "XDG_RUNTIME_DIR": str(folder / "run"), "PATH": f"{self.bin}:/usr/bin:/bin"}
        (folder / "run").mkdir(mode=0o700)
        self.environment = {**usual, **options, **places}

    @property
    def socket(self) -> Path:
        return self.folder / "run" / "scrubjay" / "daemon.sock"

    def add_program(self, name: str, program: Program) -> None:
        """Put a program on the path."""
        settings = "".join(f"export {key}='{value}'\n" for key, value in program.environment.items())
        command = " ".join(f"'{word}'" for word in program.command)
        self.add_script(name, f'#!/bin/sh\n{settings}exec {command} "$@"\n')

    def add_script(self, name: str, text: str) -> None:
        (self.bin / name).write_text(text)
        (self.bin / name).chmod(0o755)

    def setup(self, *arguments: str) -> str:
        command = [sys.executable, "-m", "scrubjay", "setup", "--yes", *arguments]
        done = subprocess.run(
            command, env=self.environment, cwd=self.folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def files(self) -> dict[str, bytes]:
        """All that a second run must not change."""
        kept = (self.folder.rglob("*"),)
        return {
            str(path): path.read_bytes()
            for found in kept
            for path in found
            if path.is_file() and "run" not in path.parts and "log" not in path.parts and ".cache" not in path.parts
        }


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    home = Home(tmp_path)
    yield home
    if home.socket.parent.exists():
        stop_daemon(home.socket)


def check(home: Home, *said: str) -> None:
    """A first run says this and makes a completion; a second one changes nothing."""
    text = home.setup("--model", "starter")
    for words in (*said, "model = starter"):
        assert words in text, text
    completion = re.search(r"First completion, after .*: self\.\x1b\[2m(.*)\x1b\[0m", text)
    assert completion
    assert completion[1] != "(nothing)"
    assert tomllib.loads((home.folder / ".config/scrubjay/config.toml").read_text()) == {"model": "starter"}
    before = home.files()
    again = home.setup()
    assert "Nothing had to be changed." in again
    assert home.files() == before


def test_emacs_only(home: Home) -> None:
    home.add_program("emacs", emacs())
    check(home, "Emacs, to be added to", "Emacs is connected.")
    init = home.folder / ".emacs.d" / "init.el"
    assert str(clients_folder() / "emacs") in init.read_text()
    source = home.folder / "shapes.py"
    source.write_text(PROGRAM)
    done = subprocess.run(
        [str(home.bin / "emacs"), "-Q", "--batch", "-l", str(init), "--eval", WAIT_IN_EMACS, str(source)],
        env=home.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "ghost text", done.stderr


def test_neovim_only(home: Home) -> None:
    home.add_program("nvim", neovim())
    check(home, "Neovim, to be added to", "Neovim is connected.")
    source, socket = home.folder / "shapes.py", home.folder / "nvim.sock"
    source.write_text(PROGRAM)
    (home.folder / ".git").mkdir()
    command = [
        str(home.bin / "nvim"),
        "--headless",
        "--listen",
        str(socket),
        "--cmd",
        f"luafile {QUESTIONS}",
        str(source),
    ]
    process = subprocess.Popen(command, env=home.environment, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    while not socket.exists():
        assert process.poll() is None, process.stderr and process.stderr.read()
    editor = Neovim(Program([str(home.bin / "nvim")], home.environment), socket)
    editor.ask("Encoding")
    editor.type("Go    ret")
    assert editor.ask("Ghost").strip()
    process.kill()
    process.communicate()


def test_vscode_only(home: Home, tmp_path: Path) -> None:
    home.add_script("code", FAKE_CODE)
    if list((clients_folder() / "vscode").glob("*.vsix")):
        check(home, "--install-extension", "VS Code (code) is connected.")
    else:
        check(home, "make vsix")


def test_what_a_user_has_is_kept(home: Home) -> None:
    home.add_script("emacs", "#!/bin/sh\n")
    home.add_script("nvim", "#!/bin/sh\necho NVIM v0.11.5\n")
    init = home.folder / ".emacs"
    init.write_text("(setq mine t)")
    text = home.setup("--model", "starter")
    assert "Neovim 0.11 has no inline completion" in text
    assert init.read_text().startswith("(setq mine t)\n;; >>> scrubjay setup >>>\n")
    module = home.folder / ".config/nvim/lua/scrubjay.lua"
    module.parent.mkdir(parents=True)
    module.write_text("-- mine\n")
    home.add_script("nvim", "#!/bin/sh\necho NVIM v0.12.4\n")
    assert "another file than ours" in home.setup()
    assert module.read_text() == "-- mine\n"


def test_without_a_terminal_nothing_is_asked(home: Home) -> None:
    command = [sys.executable, "-m", "scrubjay", "setup"]
    done = subprocess.run(
        command, env=home.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "--yes" in done.stderr
