"""Vim in a terminal with the configuration for llama.vim: ghost text by the daemon's HTTP side."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.editors.conftest import HttpDaemon
from tests.editors.readme import VIM, snippet
from tests.editors.terminal import InTmux

pytestmark = pytest.mark.slow

PROGRAM = "def area(width, height):\n    return width * height\n\n\ndef perimeter(width, height):\n"
STAND_IN = Path(__file__).with_name("infill.vim")
LLAMA_VIM = os.environ.get("LLAMA_VIM")
"""A checkout of the plugin, for those who have one; else something that does the same stands in for it."""
SETTINGS = "set nocompatible noswapfile viminfo= shortmess+=I"
CONFIG = {"n_predict": 16, "t_max_prompt_ms": 60_000, "show_info": 0, "ring_n_chunks": 0}
TELL = """
function! Tell(...) abort
  let l:state = {'line': getline('.'), 'mode': mode(), 'n_props': len(prop_list(line('.')))}
  call writefile([json_encode(l:state)], $SCRUBJAY_TEST_STATE, 'a')
endfunction
call timer_start(50, function('Tell'), {'repeat': -1})
"""


@dataclass(frozen=True, slots=True)
class VimInTmux(InTmux):
    """A running Vim, which says over and over what it knows."""

    source: Path

    def state(self) -> dict[str, Any]:
        """The line of the cursor, the mode, and how many text properties that line has."""
        *_, latest, _ = (self.folder / "state").read_text().split("\n")
        state: dict[str, Any] = json.loads(latest)
        return state

    def ghost(self, line: str) -> str:
        """What the line of the cursor shows beyond its text, if that is `line`."""
        state, row = self.state(), self.screen().split("\n")[self.cursor()[1]]
        is_there = state["line"] == line and state["n_props"] and row.startswith(line)
        return row.removeprefix(line).rstrip() if is_there else ""


@pytest.fixture
def editor(http_daemon: HttpDaemon, tmp_path: Path) -> Iterator[VimInTmux]:
    """Vim as users are told to set it up, with a Python file."""
    vim = shutil.which("vim")
    if vim is None or not _is_able(vim):
        pytest.skip("Vim 9 with text properties, jobs and timers is needed.")
    editor = VimInTmux(tmp_path, tmp_path / "shapes.py")
    editor.source.write_text(PROGRAM)
    (tmp_path / "vimrc").write_text(_vimrc(http_daemon.http))
    environment = {"HOME": str(tmp_path), "SCRUBJAY_TEST_STATE": str(tmp_path / "state")}
    editor.run([vim, "-u", str(tmp_path / "vimrc"), str(editor.source)], environment)
    editor.wait(lambda: (tmp_path / "state").exists() or "Press ENTER" in editor.screen())
    if "Press ENTER" in editor.screen():  # the plugin warns that this Vim is too old
        editor.press("Enter")
    editor.wait(lambda: (tmp_path / "state").exists() and "\n" in (tmp_path / "state").read_text())
    yield editor
    editor.stop()


def test_ghost_text_is_shown_and_accepted(editor: VimInTmux) -> None:
    editor.press("G", "o")
    editor.wait(lambda: editor.state()["mode"] == "i")
    editor.type("    # naïve 漢字 😀")
    editor.press("Enter")
    # llama.vim's answers are drawn by lot. Here the lot hardly has a choice.
    editor.type("    return ")
    ghost = editor.wait(lambda: editor.ghost("    return "))
    editor.press("Tab")
    editor.wait(lambda: editor.state()["line"] != "    return ")
    editor.press("Escape")
    editor.wait(lambda: editor.state()["mode"] == "n")
    editor.type(":w")
    editor.press("Enter")
    editor.wait(lambda: editor.source.read_text().startswith(f"{PROGRAM}    # naïve 漢字 😀\n    return {ghost}"))


def _vimrc(http: str) -> str:
    """The README's lines, with what a test needs before and after them."""
    source = snippet("Vim 9 and Neovim: llama.vim", "vim", VIM / "README.md").replace("/path/to/clients/vim", str(VIM))
    plugin = f"set runtimepath^={LLAMA_VIM}" if LLAMA_VIM else f"source {STAND_IN}"
    config = [f"let g:scrubjay_http = '{http}'", f"let g:llama_config = json_decode('{json.dumps(CONFIG)}')"]
    return "\n".join([SETTINGS, *config, source, plugin, TELL])


def _is_able(vim: str) -> bool:
    said = subprocess.run([vim, "--version"], capture_output=True, text=True, check=True).stdout
    major = re.search(r"Vi IMproved (\d+)", said)
    return (
        major is not None and int(major[1]) >= 9 and all(f"+{name}" in said for name in ("textprop", "job", "timers"))
    )
