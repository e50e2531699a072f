"""VS Code in a browser with the packaged extension: ghost text by a real daemon, shown, accepted, and back after a crash."""

import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree
from zipfile import ZipFile

import psutil
import pytest

from scrubjay.cli.vsix import MANIFEST, TYPES, write_vsix
from scrubjay.process.lifecycle import stop_daemon
from tests.editors.readme import watched
from tests.editors.vscode import (
    DIAGNOSE,
    HOME,
    RESTART,
    REVERT,
    SETTINGS,
    SHOW_CONTEXT,
    SHOW_LOG,
    SHOW_PROMPT,
    WALKTHROUGH,
    Browser,
    built_extension,
    packaged_extension,
    page,
    serve,
)
from tests.support.acceptance import BY_HAND, ROUNDS, when_decided
from tests.support.shared_daemon import Daemon, a_daemon

PROGRAM = (
    "def area(width, height):\n    return width * height\n\n\n"
    'def perimeter(width, height):\n    """The sum of all sides."""\n'
)
READY, LOADING, OFF = (f'footer [aria-label*="Scrubjay: {state}"]' for state in ("ready", "loading", "off"))
CONNECTED = f"{READY}, {LOADING}"
"""To a daemon, whose model may not be there yet."""
RESTRICTED = 'footer [aria-label*="Restricted Mode"]'
CURSOR = 'footer [id="status.editor.selection"]'
NEXT_EDIT = '.view-lines [class*="ced-"]'
UNSAVED, SAVED = ".tab.active.dirty", ".tab.active:not(.dirty)"
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # the first run installs VS Code


@dataclass(frozen=True, slots=True)
class Editor:
    """VS Code with one Python file open, and the browser that shows it."""

    browser: Browser
    source: Path

    def saved(self) -> str:
        """Save what has been changed; what is on disk then."""
        self.browser.do("wait", selector=UNSAVED)
        self.browser.do("press", key="Control+s")
        self.browser.do("wait", selector=SAVED)
        return self.source.read_text()

    def accept(self, key: str) -> None:
        """Press a key that accepts ghost text, and wait until the cursor has moved."""
        cursor = self.browser.do("wait", selector=CURSOR)
        self.browser.do("press", key=key)
        self.browser.do("leaves", selector=CURSOR, text=cursor)

    def picture(self, name: str) -> Path:
        """A screenshot, kept for whoever wants to see it."""
        path = HOME / "pictures" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        self.browser.do("screenshot", path=str(path))
        return path


Open = Callable[..., Editor]


@pytest.fixture(scope="module")
def vsix() -> Path:
    """The packaged extension."""
    return packaged_extension()


@pytest.fixture
def start(vsix: Path, tmp_path: Path) -> Iterator[Open]:
    """Starts VS Code in a project with one Python file."""
    closing: list[Callable[[], object]] = []

    def start(is_trusted: bool = True, **settings: object) -> Editor:
        source = tmp_path / "project" / "shapes.py"
        source.parent.mkdir(exist_ok=True)
        source.write_text(PROGRAM)
        server, port = serve(tmp_path, vsix, {**SETTINGS, **settings}, is_trusted)
        closing.append(server.wait)
        closing.append(server.terminate)
        browser = Browser(tmp_path / "browser")
        closing.append(browser.close)
        browser.do("open", url=page(port, source.parent, source if is_trusted else None))
        if is_trusted:
            browser.do("click", selector=".view-lines")
        return Editor(browser, source)

    yield start
    for close in reversed(closing):
        close()


@pytest.fixture
def own_daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon that a test may kill."""
    daemon = a_daemon(tmp_path_factory.mktemp("own") / "daemon.sock")
    yield daemon
    stop_daemon(daemon.path)


def test_the_parts_that_need_no_vscode() -> None:
    done = subprocess.run(["npm", "test"], cwd=built_extension(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^# pass [1-9]", done.stdout, re.MULTILINE)


def test_it_is_packaged_without_warnings() -> None:
    done = subprocess.run(["npm", "run", "package"], cwd=built_extension(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "WARN" not in (said := done.stdout + done.stderr), said
    assert "Packaged" in said


def test_setup_packages_what_the_tool_of_the_market_does(vsix: Path, tmp_path: Path) -> None:
    package = tmp_path / "ours.vsix"
    write_vsix(vsix.parent, package)
    ours, theirs = contents(package), contents(vsix)
    lists = [(files.pop(MANIFEST), files.pop(TYPES)) for files in (ours, theirs)]
    assert ours == theirs
    (manifest, types), (their_manifest, their_types) = lists
    suffixes = [{kind.get("Extension") for kind in ElementTree.fromstring(text)} for text in (types, their_types)]
    assert suffixes[0] == suffixes[1]
    said, they_say = entries(manifest), entries(their_manifest)
    assert not said - they_say
    left_out = {tag.partition("}")[2] for tag, *_ in they_say - said}
    assert left_out <= {"Property", "Tags", "GalleryFlags"}  # which are for the market


def contents(package: Path) -> dict[str, bytes]:
    with ZipFile(package) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def entries(manifest: bytes) -> set[tuple[str, str, str]]:
    """What it has: tag, attributes and text of each element."""
    return {
        (part.tag, str(sorted(part.attrib.items())), (part.text or "").strip())
        for part in ElementTree.fromstring(manifest).iter()
    }


def test_ghost_text_is_accepted_by_word_and_whole(start: Open, shared_daemon: Daemon) -> None:
    editor = start(**{"scrubjay.socket": str(shared_daemon.path)})
    browser = editor.browser
    browser.do("wait", selector=CONNECTED)
    browser.do("press", key="Control+End")
    browser.do("type", text="    ret")
    typed = PROGRAM + "    ret"
    ghost = browser.do("ghost")
    browser.do("wait", selector=READY)
    assert editor.picture("ghost").stat().st_size > 10_000
    editor.accept("Control+ArrowRight")
    with_word = editor.saved().rstrip("\n")
    assert typed < with_word
    assert _squeezed(typed + ghost).startswith(_squeezed(with_word))
    rest = browser.do("ghost")
    editor.accept("Tab")
    assert _squeezed(editor.saved()).startswith(_squeezed(with_word + rest))


def test_a_killed_daemon_disturbs_no_typing(start: Open, own_daemon: Daemon) -> None:
    editor = start(**{"scrubjay.socket": str(own_daemon.path)})
    browser = editor.browser
    browser.do("wait", selector=CONNECTED)
    browser.do("press", key="Control+End")
    browser.do("type", text="    ret")
    browser.do("ghost")
    pid = own_daemon.client.get("status")["pid"]
    browser.do("type", text="urn 2 * width")
    os.kill(pid, signal.SIGKILL)
    browser.do("type", text=" + 2 * height\n\n\ndef volume(width, height, depth):\n")
    browser.do("shows", text="def volume(width, height, depth):")
    browser.do("type", text="ret")
    browser.do("ghost")
    editor.picture("ghost-after-a-crash")
    assert own_daemon.client.get("status")["pid"] != pid
    assert "    return 2 * width + 2 * height\n\n" in editor.saved()


def test_what_a_killed_daemon_was_asked_is_asked_again(start: Open, own_daemon: Daemon) -> None:
    editor = start(**{"scrubjay.socket": str(own_daemon.path)})
    browser = editor.browser
    browser.do("wait", selector=READY)
    browser.do("press", key="Control+End")
    daemon = psutil.Process(own_daemon.client.get("status")["pid"])
    daemon.suspend()
    browser.do("type", text="    ret")
    browser.do("shows", text="    ret")
    daemon.kill()
    browser.do("ghost")


def test_a_server_that_hangs_is_replaced_and_its_question_asked_again(start: Open, shared_daemon: Daemon) -> None:
    editor = start(**{"scrubjay.socket": str(shared_daemon.path)})
    browser = editor.browser
    browser.do("wait", selector=CONNECTED)
    browser.do("press", key="Control+End")
    (server,) = (child for child in psutil.Process().children(recursive=True) if child.cmdline()[-1:] == ["lsp"])
    server.suspend()
    browser.do("type", text="    ret")
    browser.do("press", key=RESTART)
    browser.do("ghost")
    server.wait(60)


def test_nothing_of_a_folder_that_is_not_trusted_is_run(start: Open, tmp_path: Path) -> None:
    """Nor by the daemon that the extension starts there."""
    place = tmp_path / "own" / "s"
    project = tmp_path / "project"
    project.mkdir()
    try:
        with watched(project):
            trust = {"security.workspace.trust.enabled": True, "security.workspace.trust.startupPrompt": "never"}
            editor = start(is_trusted=False, **trust, **{"scrubjay.socket": str(place)})
            editor.browser.do("wait", selector=RESTRICTED)
            editor.browser.do("wait", selector=READY)
            editor.picture("restricted-mode")
    finally:
        stop_daemon(place)


def test_a_missing_program_is_told(start: Open) -> None:
    editor = start(**{"scrubjay.path": "no-such-scrubjay"})
    # On a slow machine the settings come after the extension, which then says it of the program of the default first.
    said = editor.browser.do("wait", selector='.notification-list-item:has-text("no-such-scrubjay")')
    assert "pipx install ." in said
    editor.picture("missing-program")
    # This is a remote window: only its own tab of the settings has what is set for one machine.
    editor.browser.do("click", selector='.notification-list-item a:has-text("Open Settings")')
    editor.browser.do("wait", selector='.settings-editor .setting-item-label:has-text("Path")')
    editor.picture("settings-of-the-machine")
    editor.browser.do("press", key="Escape")
    editor.browser.do("press", key=WALKTHROUGH)
    editor.browser.do("click", selector='.getting-started-step a:has-text("Run scrubjay setup")')
    editor.browser.do("wait", selector='.notification-list-item:has-text("pipx install .")')


def test_the_key_asks_again_and_the_view_keeps_the_project(start: Open, own_daemon: Daemon) -> None:
    editor = start(**{"scrubjay.socket": str(own_daemon.path)})
    browser = editor.browser
    browser.do("wait", selector=READY)
    # With a second project it has to be known which one is shown.
    own_daemon.client.post("documents/open", {"uri": "file:///elsewhere/a.py", "text": "a = 1\n", "root": "/elsewhere"})
    browser.do("press", key="Control+End")
    browser.do("type", text="    ret")
    browser.do("ghost")
    browser.do("press", key="Escape")
    browser.do("gone")
    browser.do("press", key="Alt+\\")
    browser.do("ghost")
    browser.do("press", key="Escape")
    browser.do("press", key=DIAGNOSE)
    browser.do("wait", selector='.view-lines:has-text("has a text for this place")')
    browser.do("press", key=SHOW_PROMPT)
    browser.do("wait", selector='.view-lines:has-text("What the model is shown at the cursor")')
    browser.do("wait", selector='.view-lines:has-text("the path of the file that is being edited")')
    browser.do("press", key=SHOW_CONTEXT)
    browser.do("framed", selector="h3")
    browser.do("press", key=SHOW_LOG)
    browser.do("press", key=SHOW_CONTEXT)
    assert str(editor.source.parent) in browser.do("framed", selector='h3:has-text("project")')
    editor.picture("context")


def test_a_next_edit_is_gone_to_made_and_dropped(start: Open, shared_daemon: Daemon) -> None:
    """A parameter of both functions is renamed by hand where it is defined; its use is what comes next."""
    only_these = {"editor.inlineSuggest.enabled": False, "scrubjay.nextEdit": {"python": True}}
    editor = start(**{"scrubjay.socket": str(shared_daemon.path), **only_these})
    browser = editor.browser
    browser.do("wait", selector=CONNECTED)
    rename(browser, n_lines=0, n_columns=9)
    browser.do("wait", selector=NEXT_EDIT)
    editor.picture("next-edit")
    cursor = browser.do("wait", selector=CURSOR)
    browser.do("press", key="Tab")
    browser.do("leaves", selector=CURSOR, text=cursor)
    browser.do("press", key="Tab")
    browser.do("shows", text="return breadth * height")
    browser.do("gone", selector=NEXT_EDIT)
    once = PROGRAM.replace("area(width", "area(breadth").replace("return width", "return breadth")
    assert editor.saved() == once
    # What is dropped stays as it is, and Tab is the editor's again.
    browser.do("press", key="Control+End")
    browser.do("type", text="    return width")
    browser.do("shows", text="    return width")
    rename(browser, n_lines=4, n_columns=14)
    browser.do("wait", selector=NEXT_EDIT)
    browser.do("press", key="Escape")
    browser.do("gone", selector=NEXT_EDIT)
    cursor = browser.do("wait", selector=CURSOR)
    browser.do("press", key="Tab")
    browser.do("leaves", selector=CURSOR, text=cursor)
    assert editor.saved().endswith("    return width")


def rename(browser: Browser, n_lines: int, n_columns: int) -> None:
    """Type "breadth" over the word that begins there."""
    browser.do("press", key="Control+Home")
    for key in (*["ArrowDown"] * n_lines, *["ArrowRight"] * n_columns, "Control+Shift+ArrowRight"):
        browser.do("press", key=key)
    browser.do("type", text="breadth")


def test_a_language_that_is_switched_off_is_not_called_ready(start: Open, shared_daemon: Daemon) -> None:
    languages = {"python": False}
    editor = start(**{"scrubjay.socket": str(shared_daemon.path), "scrubjay.languages": languages})
    editor.browser.do("wait", selector=OFF)


def test_the_menu_pauses_and_goes_on_and_the_walkthrough_begins_with_the_setup(
    start: Open, shared_daemon: Daemon
) -> None:
    browser = start(**{"scrubjay.socket": str(shared_daemon.path)}).browser
    for before, choice in ((READY, "Pause for an hour"), (OFF, "Switch ghost text on"), (READY, "Settings")):
        browser.do("wait", selector=before)
        browser.do("click", selector=f"{before} a")
        browser.do("click", selector=f'.quick-input-list .monaco-list-row:has-text("{choice}")')
    browser.do("wait", selector='.settings-editor .setting-item-label:has-text("Max Items")')
    browser.do("press", key="Escape")
    browser.do("press", key=WALKTHROUGH)
    for title in ("Set Scrubjay up", "Type", "Look at it"):
        browser.do("wait", selector=f'.getting-started-step h3:has-text("{title}")')
    browser.do("wait", selector='.getting-started-step a:has-text("Run scrubjay setup")')


def test_what_becomes_of_completions_is_counted(start: Open, shared_daemon: Daemon) -> None:
    """Without ghost text that comes by itself, so that each is shown because it was asked for, and gone with Escape."""
    no_help = {"autoClosingBrackets": "never", "autoClosingQuotes": "never", "autoIndent": "none"}
    settings = {f"editor.{name}": value for name, value in no_help.items()}
    editor = start(**{"scrubjay.socket": str(shared_daemon.path), "editor.inlineSuggest.enabled": False, **settings})
    browser = editor.browser
    browser.do("wait", selector=READY)
    for what in ROUNDS:
        browser.do("press", key="Control+End")
        browser.do("type", text="    ret")
        browser.do("shows", text="    ret")
        browser.do("press", key="Alt+\\")
        ghost = browser.do("ghost")
        act(editor, ghost, what)
        browser.do("press", key=REVERT)
        browser.do("wait", selector=SAVED)
    counts = None
    while counts is None:
        counts = when_decided(shared_daemon, editor.source.parent, len(ROUNDS))
    assert counts == BY_HAND


def act(editor: Editor, ghost: str, what: str) -> None:
    """Do with the ghost text what the session says.

    Escape ends what was asked for only while ghost text is there; else VS Code would ask again at each key and at the revert.
    """
    browser = editor.browser
    if what == "accepted":
        editor.accept("Tab")
        return
    if what == "in part":
        editor.accept("Control+ArrowRight")
        browser.do("ghost")
    browser.do("press", key="Escape")
    browser.do("gone")
    if what != "in part":
        browser.do("type", text=ghost if what == "typed out" else "!")


def _squeezed(text: str) -> str:
    """Without spaces, which ghost text shows as it likes."""
    return "".join(text.split())
