"""`scrubjay setup` in homes with nothing but one editor: what it writes, that it overwrites nothing, and that twice is once."""

import json
import os
import pty
import re
import shutil
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from scrubjay.cli.editors import clients_folder
from scrubjay.cli.main import main
from scrubjay.cli.recommend import GIB, Machine, best
from scrubjay.process.client import Client
from scrubjay.process.lifecycle import stop_daemon
from scrubjay.process.model_names import whole_name
from tests.editors.debian import Program, emacs, neovim
from tests.editors.test_neovim import PROGRAM, QUESTIONS, Neovim
from tests.editors.vscode import (
    ARGUMENTS,
    KEYS,
    NO_GALLERY,
    WALKTHROUGH,
    Browser,
    built_extension,
    code_server,
    packaged_extension,
    page,
    started,
)
from tests.support.gguf_models import tiny_model
from tests.support.hub_cache import fill
from tests.support.shared_daemon import FLAGS

pytestmark = pytest.mark.slow

FAKE_CODE = """#!/bin/sh
case "$1" in
  --list-extensions) cat "$HOME/extensions" 2>/dev/null;;
  --install-extension) test -f "$2" && echo scrubjay.scrubjay >>"$HOME/extensions";;
esac
"""
"""What `code` does, as far as it is asked."""

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
        program = self.folder / name if "/" in name else self.bin / name
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(text)
        program.chmod(0o755)

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


@pytest.mark.timeout(900)  # the first run installs VS Code
def test_vscode_only(home: Home) -> None:
    """The real one, as it is for who has just installed it, but for the gallery of extensions, which is another server."""
    home.add_program("code-server", Program(code_server(), NO_GALLERY))
    home.add_script(".local/bin/scrubjay", f'#!/bin/sh\nexec {sys.executable} -m scrubjay "$@"\n')
    built_extension()  # or the reason why npm cannot package it here
    for name in ("node", "npm"):
        (home.bin / name).symlink_to(shutil.which(name) or "")
    check(home, "--install-extension", "VS Code (code-server) is connected.")
    source = home.folder / "project" / "shapes.py"
    source.parent.mkdir()
    source.write_text(PROGRAM)
    # Its own chat would take the keys when it is ready.
    (home.folder / ".local/share/code-server/User/settings.json").write_text('{"chat.disableAIFeatures": true}')
    server, port = started([str(home.bin / "code-server"), "--disable-workspace-trust"], home.environment)
    browser = Browser(home.folder / "browser")
    try:
        browser.do("open", url=page(port, source.parent, source))
        browser.do("wait", selector='footer [aria-label*="Scrubjay: ready"]')
        browser.do("click", selector=".view-lines")
        browser.do("press", key="Control+End")
        browser.do("type", text="    return ")
        assert browser.do("ghost").strip()
    finally:
        browser.close()
        server.terminate()
        server.communicate()


@pytest.mark.timeout(900)  # the first run installs VS Code
def test_the_walkthrough_of_vscode_sets_up_an_empty_home(home: Home) -> None:
    """Its first step, clicked in a window without a folder by who has installed the program and the extension, and no more."""
    home.add_program("code-server", Program(code_server(), NO_GALLERY))
    home.add_script(".local/bin/scrubjay", f'#!/bin/sh\nexec {sys.executable} -m scrubjay "$@"\n')
    extension = packaged_extension()
    # Neither other editors of this machine's, nor a manager of services.
    (home.bin / "sh").symlink_to(shutil.which("sh") or "")
    home.environment["PATH"] = str(home.bin)
    command = str(home.bin / "code-server")
    subprocess.run(
        [command, "--install-extension", str(extension)], env=home.environment, check=True, capture_output=True
    )
    # Lines of the terminal as elements, which can be read.
    settings = {"terminal.integrated.gpuAcceleration": "off", "chat.disableAIFeatures": True}
    key = {"key": "ctrl+alt+g", "command": KEYS[WALKTHROUGH], "args": ARGUMENTS[WALKTHROUGH]}
    user = home.folder / ".local/share/code-server/User"
    user.mkdir(parents=True, exist_ok=True)
    (user / "settings.json").write_text(json.dumps(settings))
    (user / "keybindings.json").write_text(json.dumps([key]))
    server, port = started([command], home.environment)
    browser = Browser(home.folder / "browser")
    try:
        browser.do("open", url=f"http://127.0.0.1:{port}/?ew=true")
        browser.do("wait", selector='footer [aria-label*="Scrubjay: ready"]')
        browser.do("press", key=WALKTHROUGH)
        browser.do("click", selector='.getting-started-step a:has-text("Run scrubjay setup")')
        browser.do("wait", selector='.xterm-rows:has-text("Model [")')
        config = home.folder / ".config/scrubjay/config.toml"
        assert not config.exists()
        browser.do("type", text="starter\n")
        # What it has said is there to be read when it has ended.
        browser.do("wait", selector='.xterm-rows:has-text("First completion"):has-text("Terminal will be reused")')
        browser.do("wait", selector=".getting-started-step .codicon-getting-started-step-checked")
        assert tomllib.loads(config.read_text()) == {"model": "starter"}
    finally:
        browser.close()
        server.terminate()
        server.communicate()


def test_vscode_where_nothing_can_package_the_extension(home: Home) -> None:
    home.add_script("code", FAKE_CODE)
    for name in ("sh", "cat", "test", "git"):
        (home.bin / name).symlink_to(shutil.which(name) or "")
    home.environment["PATH"] = str(home.bin)
    said = home.setup("--model", "starter")
    assert "set `scrubjay.path`" in said
    if not list((clients_folder() / "vscode").glob("*.vsix")):
        assert "install Node.js" in said


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


def test_three_questions_at_most_and_no_network(home: Home) -> None:
    """The model cannot be fetched; all else is done."""
    home.add_script("emacs", "#!/bin/sh\n")
    terminal, theirs = pty.openpty()
    with socket.create_server(("127.0.0.1", 0)) as closed:
        nobody = f"http://127.0.0.1:{closed.getsockname()[1]}"
    command = [sys.executable, "-m", "scrubjay", "setup"]
    process = subprocess.Popen(
        command, env=home.environment | {"HF_ENDPOINT": nobody}, stdin=theirs, stdout=subprocess.PIPE, text=True
    )
    os.write(terminal, b"me/it\ny\ny\n")
    said = process.communicate()[0]
    os.close(terminal)
    os.close(theirs)
    assert process.returncode == 0, said
    assert "hf:me/it is not on this machine and cannot be fetched" in said
    assert "`scrubjay model use hf:me/it`" in said
    assert "Emacs is connected." in said
    assert "First completion" in said
    assert 0 < len(re.findall(r"\[.*?\]: ", said)) <= 3
    assert not (home.folder / ".config/scrubjay/config.toml").exists(), "the next setup tries it again"


def test_a_machine_that_was_busy_once_is_measured_again(
    home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What nobody chose is written nowhere; the first setup that finds a model quick enough takes it."""
    for name in os.environ:
        monkeypatch.delenv(name)
    for name, value in home.environment.items():
        monkeypatch.setenv(name, value)
    config = home.folder / ".config/scrubjay/config.toml"
    monkeypatch.setattr("scrubjay.cli.setup.measure", lambda: Machine(8 * GIB, 0, flops=1e9, bandwidth=1e8))
    for _ in range(2):
        assert main(["setup", "--yes"]) == 0
        said = capsys.readouterr().out
        assert "the next `scrubjay setup` measures again" in said
        assert "First completion" in said
        assert "Nothing had to be changed." in said
        assert not config.exists()
    idle = Machine(8 * GIB, 0, flops=5e12, bandwidth=2e11)
    monkeypatch.setattr("scrubjay.cli.setup.measure", lambda: idle)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(home.folder / "hub"))
    entry = best(idle)
    assert entry
    (fill(home.folder / "hub", entry.repo, {"it-Q8_0.gguf": 9}) / "it-Q8_0.gguf").write_bytes(
        tiny_model("dense").read_bytes()
    )
    assert main(["setup", "--yes"]) == 0
    assert "That is all." in capsys.readouterr().out
    assert tomllib.loads(config.read_text()) == {"model": whole_name(entry.repo)}
    assert Client(home.socket).get("status")["model"]["path"].endswith("it-Q8_0.gguf")


def test_without_a_terminal_nothing_is_asked(home: Home) -> None:
    command = [sys.executable, "-m", "scrubjay", "setup"]
    done = subprocess.run(
        command, env=home.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "--yes" in done.stderr
