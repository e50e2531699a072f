"""Emacs in a terminal with `scrubjay-mode`: ghost text by a real daemon and the starter model."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event

import psutil
import pytest

from tests.editors.debian import OLDEST, Program, emacs
from tests.editors.terminal import EmacsInTmux
from tests.support.acceptance import BY_HAND, ROUNDS, when_decided
from tests.support.shared_daemon import Daemon, a_daemon

pytestmark = pytest.mark.slow

PROGRAM = "def area(width, height):\n    return width * height\n\n\ndef perimeter(width, height):\n"
AREA = "def area(width, height):\n    return width * height\n"
TENTH_OF_A_SECOND = 0.1

Start = Callable[[Daemon, str], tuple[EmacsInTmux, Path]]


@pytest.fixture(scope="module")
def program() -> Program:
    """The oldest Emacs that will do, or the reason why there is none."""
    return emacs(OLDEST)


@pytest.fixture
def start(program: Program, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Starts an Emacs that visits a Python file of a project of its own; the cursor is at its end."""
    editors: list[EmacsInTmux] = []

    def start(daemon: Daemon, text: str) -> tuple[EmacsInTmux, Path]:
        (tmp_path / ".git").mkdir()
        file = tmp_path / "shapes.py"
        file.write_text(text)
        editor = EmacsInTmux(tmp_path_factory.mktemp("editor"), program, tmp_path_factory.mktemp("home"))
        editors.append(editor)
        editor.start([sys.executable, "-m", "scrubjay", "lsp", "--socket", str(daemon.path)], file)
        editor.press("M->")
        return editor, file

    yield start
    for editor in editors:
        editor.stop()


def test_ghost_text_is_accepted_by_word_and_whole(start: Start, shared_daemon: Daemon) -> None:
    editor, file = start(shared_daemon, PROGRAM)
    editor.type("    # naïve 漢字 😀")
    editor.press("Enter")
    editor.type("ret")
    ghost = editor.wait_for_ghost("    ret")
    before = editor.text()
    editor.wait(lambda: editor.shows("    ret", ghost.split("\n")[0]))
    editor.press("M-f")
    editor.wait(lambda: editor.text() != before)
    word = editor.text().removeprefix(before)
    assert ghost.startswith(word)
    assert editor.ghost() in ("", ghost.removeprefix(word))
    rest = editor.wait_for_ghost()
    editor.press("Tab")
    editor.wait(lambda: editor.text() == before + word + rest)
    editor.press("C-x", "C-s")
    editor.wait(lambda: file.read_text().startswith(before + word + rest))
    counts = editor.ask("(scrubjay-test-server-counts)")
    assert counts["accepted"] >= 1
    assert counts["resent"] == 0


def test_typing_what_it_says_keeps_it(start: Start, shared_daemon: Daemon) -> None:
    editor, _ = start(shared_daemon, PROGRAM)
    editor.type("    ret")
    ghost = editor.wait_for_ghost("    ret")
    n_offered = editor.ask("scrubjay-test-n-offered")
    editor.type(ghost[0])
    editor.wait(lambda: editor.ghost() == ghost[1:])
    assert editor.ask("scrubjay-test-n-offered") == n_offered
    editor.press("C-g")
    editor.wait(lambda: not editor.ghost())
    assert editor.text() == PROGRAM + "    ret" + ghost[0]


def test_no_key_waits_for_the_model(start: Start, place: Path) -> None:
    daemon = a_daemon(place)
    editor, _ = start(daemon, PROGRAM * 1000)
    editor.type("    re")
    editor.wait_for_ghost()
    process = psutil.Process(daemon.client.get("status")["pid"])
    process.suspend()
    written = "turn 2 * (width + height)\n\n\ndef diagonal(width, height):\n    ret"
    for character in written:
        editor.type(character) if character != "\n" else editor.press("C-q", "C-j")
    editor.wait(lambda: editor.text() == f"{PROGRAM * 1000}    re{written}")
    assert not editor.ghost()
    process.resume()
    assert editor.wait_for_ghost("    ret")


def test_a_killed_daemon_comes_back_by_itself(start: Start, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCRUBJAY_CONFIDENCE", "0")  # of the one that the language server starts: it shows what it has
    daemon = a_daemon(place)
    editor, _ = start(daemon, PROGRAM)
    editor.type("    ret")
    editor.wait_for_ghost()
    pid = daemon.client.get("status")["pid"]
    editor.type("X")
    os.kill(pid, signal.SIGKILL)
    for character in " = area(wid":
        editor.type(character)
        Event().wait(TENTH_OF_A_SECOND)
    editor.wait(lambda: editor.text() == PROGRAM + "    retX = area(wid")
    assert editor.wait_for_ghost("area(wid")
    assert daemon.client.get("status")["pid"] != pid


def test_a_model_whose_memory_was_freed_is_not_called_warming(start: Start, shared_daemon: Daemon) -> None:
    editor, _ = start(shared_daemon, PROGRAM)
    editor.wait(lambda: editor.ask("(symbol-name (scrubjay-server-state))") == "ready")
    told = '(scrubjay-server--notified nil \'scrubjay/state \'(:state "unloaded" :message "" :load nil))'
    assert editor.ask(f"(progn {told} (symbol-name (scrubjay-server-state)))") == "unloaded"


def test_the_menu_says_how_things_are_and_asks(start: Start, shared_daemon: Daemon) -> None:
    editor, _ = start(shared_daemon, PROGRAM)
    editor.wait(lambda: editor.ask("(symbol-name (scrubjay-server-state))") == "ready")
    editor.ask("(set-default 'scrubjay-auto nil)")
    editor.type("    ret")
    editor.wait(lambda: editor.text().endswith("    ret"))
    editor.press("M-x")
    editor.wait(lambda: "M-x" in editor.screen())
    editor.type("scrubjay")
    editor.press("Enter")
    editor.wait(lambda: "Scrubjay is ready" in editor.screen() and "why no ghost text here?" in editor.screen())
    editor.type("c")
    assert editor.wait_for_ghost("    ret")


def test_a_next_edit_is_seen_gone_to_and_made_by_tab(start: Start, shared_daemon: Daemon) -> None:
    editor, file = start(shared_daemon, AREA)
    rename_width(editor, shared_daemon, file, "breadth")
    editor.wait(lambda: "    return width breadth * height\n" in editor.screen())
    assert not editor.shows("    return ", "width breadth * height")
    assert editor.text() == AREA.replace("(width", "(breadth"), "it is only shown"
    editor.press("Tab")
    editor.wait(lambda: editor.shows("    return ", "width breadth * height"))
    editor.press("Tab")
    editor.wait(lambda: editor.shows("    return breadth", " * height"))
    assert editor.text() == AREA.replace("width", "breadth")
    editor.press("C-x", "C-s")
    editor.wait(lambda: file.read_text() == AREA.replace("width", "breadth"))


def test_a_next_edit_is_dropped_by_a_key_and_tab_is_tab_again(start: Start, shared_daemon: Daemon) -> None:
    editor, file = start(shared_daemon, AREA)
    rename_width(editor, shared_daemon, file, "span")
    editor.wait(lambda: "    return width span * height\n" in editor.screen())
    editor.press("C-g")
    editor.wait(lambda: "    return width * height\n" in editor.screen())
    editor.press("Tab")
    editor.type("# ")
    editor.wait(lambda: editor.shows("def area(span# ", ", height):"))
    assert editor.text() == AREA.replace("(width", "(span# "), "nothing was made"


def rename_width(editor: EmacsInTmux, daemon: Daemon, file: Path, name: str) -> None:
    """With next edits switched on, give the parameter another name where it is defined."""
    editor.ask("(progn (set-default 'scrubjay-auto nil) (setq scrubjay-next-edit '(\"python\")) (scrubjay-restart) t)")
    # What is changed before the daemon has the text is no edit to it. A new server is told it without a command there.
    known = "(with-current-buffer (scrubjay-test-buffer) (if (scrubjay-document--known-p) t :false))"
    editor.wait(lambda: editor.ask(known) is True and daemon.text(file.as_uri()) == AREA)
    editor.press("M-<", "M-f", "M-f", "C-f", "M-d")
    editor.type(name)


def test_what_becomes_of_completions_is_counted(start: Start, shared_daemon: Daemon) -> None:
    editor, file = start(shared_daemon, PROGRAM)
    editor.ask("(set-default 'scrubjay-auto nil)")
    for what in ROUNDS:
        editor.type("    ret")
        editor.wait(lambda: editor.text().endswith("    ret"))
        editor.ask("(scrubjay-test-complete)")
        ghost = editor.wait_for_ghost("    ret")
        act(editor, ghost, what)
        editor.ask(f"(scrubjay-test-erase {len(PROGRAM)})")
    editor.press("C-x", "C-s")
    assert editor.wait(lambda: when_decided(shared_daemon, file.parent, len(ROUNDS))) == BY_HAND


def act(editor: EmacsInTmux, ghost: str, what: str) -> None:
    """Do with the ghost text what the session says, and wait until it is done."""
    before = editor.text()
    if what == "accepted":
        editor.press("Tab")
        editor.wait(lambda: editor.text() == before + ghost)
    elif what == "in part":
        editor.press("M-f")
        editor.wait(lambda: before != editor.text() != before + ghost)
    elif what == "typed out":
        for character in ghost:
            editor.type(character) if character != "\n" else editor.press("C-q", "C-j")
        editor.wait(lambda: editor.text() == before + ghost)
    else:
        editor.press("C-g")
        editor.wait(lambda: not editor.ghost())
