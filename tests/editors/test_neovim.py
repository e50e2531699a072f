"""Neovim 0.12, without a terminal: ghost text by a real daemon, shown and accepted."""

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TypeVar

import psutil
import pytest

from tests.editors.debian import Program, neovim
from tests.editors.readme import VIM, installed, snippet
from tests.support.acceptance import BY_HAND, ROUNDS, when_decided
from tests.support.shared_daemon import Daemon

pytestmark = pytest.mark.slow

QUESTIONS = Path(__file__).with_name("questions.lua")
PROGRAM = "def area(width, height):\n    return width * height\n\n\ndef perimeter(width, height):\n"

Seen = TypeVar("Seen")


class Neovim:
    """A running Neovim, driven over its socket."""

    def __init__(self, program: Program, socket: Path) -> None:
        self._program = program
        self._socket = socket

    def type(self, keys: str) -> None:
        """Press keys, as in a mapping."""
        self._remote("--remote-send", keys)

    def ask(self, function: str) -> str:
        """What a function of questions.lua returns."""
        return self._remote("--remote-expr", f"luaeval('{function}()')")

    def _remote(self, what: str, argument: str) -> str:
        command = [*self._program.command, "--server", str(self._socket), what, argument]
        return subprocess.run(command, env=self._program.env, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture(params=["short", "long"])
def configuration(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """What users are told to write into init.lua; what it requires is in its place."""
    if request.param == "short":
        return snippet("Neovim 0.12", "lua")
    modules = tmp_path / "config" / "nvim" / "lua"
    modules.mkdir(parents=True)
    shutil.copy(VIM / "scrubjay.lua", modules)
    return snippet("Neovim 0.12: its own inline completion", "lua", VIM / "README.md")


@pytest.fixture
def editor(configuration: str, shared_daemon: Daemon, tmp_path: Path) -> Iterator[Neovim]:
    """Neovim as users are told to set it up, with a Python file of a project of its own."""
    program = neovim()
    (tmp_path / ".git").mkdir()
    source = tmp_path / "shapes.py"
    source.write_text(PROGRAM)
    init = tmp_path / "init.lua"
    init.write_text(configuration)
    socket = tmp_path / "nvim.sock"
    command = [*program.command, "--headless", "--listen", str(socket), "--cmd", f"luafile {QUESTIONS}"]
    command += ["-u", str(init), str(source)]
    homes = {"XDG_STATE_HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / "config")}
    environment = program.env | installed(tmp_path, shared_daemon.path) | homes
    process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    while not socket.exists():
        assert process.poll() is None, process.stderr and process.stderr.read()
    yield Neovim(program, socket)
    process.kill()
    process.communicate()


def test_ghost_text_is_shown_and_accepted(editor: Neovim, configuration: str) -> None:
    assert editor.ask("Encoding") == "utf-8"
    editor.type("Go    # naïve 漢字 😀<CR>ret")
    ghost = editor.ask("Ghost")
    assert ghost.strip()
    if "statusline" in configuration:
        assert "Scrubjay: ready" in editor.ask("StatusLine")
        assert "Scrubjay: unloaded" in editor.ask("Unloaded")
        findings = editor.ask("Diagnosis").splitlines()
        assert findings[0] == "ok      ghost text is switched on"
        assert "the model has a text for this place" in findings[-1]
        editor.type("<M-n>")
        second = editor.ask("Alternative")
        assert second.endswith(("(2/2)", "(2/3)"))
        assert second.rpartition(" (")[0].strip() != ghost.strip(), "another text"
        editor.type("<M-p>")
    before = editor.ask("Text")
    editor.type("<Tab>")
    assert len(editor.ask("Text")) > len(before)
    if "statusline" in configuration:
        [server] = [child for child in psutil.Process().children(recursive=True) if child.cmdline()[-1:] == ["lsp"]]
        assert server.cwd() == "/", "not in the project"
    status = json.loads(editor.ask("Status"))
    assert status["suggestions"]["accepted"] == 1
    assert status["resent"] == 0
    assert set(status["endings"]) <= {"items", "nothing", "stale"}


def test_what_becomes_of_completions_is_counted(
    editor: Neovim, configuration: str, shared_daemon: Daemon, tmp_path: Path
) -> None:
    editor.ask("Encoding")
    editor.ask("Quiet")
    for what in ROUNDS:
        editor.type("Go    ret")
        written = wait_for(lambda: text if (text := editor.ask("Text")).endswith("    ret") else "")
        ghost = editor.ask("Ask")
        act(editor, written, ghost.rstrip(), what, has_key="statusline" in configuration)
        editor.ask("Status")  # a question takes along the changes that Neovim still holds back
        editor.type("<Esc>")
        editor.ask("Erase")
    assert wait_for(lambda: when_decided(shared_daemon, tmp_path, len(ROUNDS))) == BY_HAND


def act(editor: Neovim, written: str, ghost: str, what: str, has_key: bool) -> None:
    """Do with the ghost text what the session says, and wait until it is done."""
    if what == "typed out":
        for character in ghost:  # one by one: keys that wait in a row come into the document at once
            editor.type({"<": "<lt>", "\n": "<CR>"}.get(character, character))
            written += character
            wait_for(partial(has_text, editor, written.rstrip()))
    elif what == "accepted":
        editor.type("<Tab>")
    elif what == "rejected":
        editor.type("!")
    elif has_key:
        editor.type("<M-Right>")
    else:
        editor.ask("AcceptWord")
    if what != "typed out":
        wait_for(lambda: editor.ask("Text") != written)


def has_text(editor: Neovim, text: str) -> bool:
    return editor.ask("Text") == text


def wait_for(look: Callable[[], Seen]) -> Seen:
    """Look again and again until something is seen; what that is."""
    while not (seen := look()):
        pass
    return seen
