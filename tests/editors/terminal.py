"""Editors in a terminal, driven by keys; what they show and know is read back."""

import base64
import json
import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from tests.editors.debian import Program

INIT = Path(__file__).with_name("emacs_init.el")
PACKAGE = Path(__file__).parents[2] / "clients" / "emacs"
PATIENCE_S = 60.0
Seen = TypeVar("Seen")


@dataclass(frozen=True, slots=True)
class InTmux:
    """A program in a terminal of its own."""

    folder: Path

    def run(self, command: list[str], environment: dict[str, str]) -> None:
        """Start it."""
        common = {"TERM": "xterm-256color", "LC_ALL": "C.UTF-8"}
        settings = [f"{name}={value}" for name, value in (common | environment).items()]
        self._tmux("-f", "/dev/null", "new-session", "-d", "-x", "120", "-y", "40", "env", *settings, *command)

    def stop(self) -> None:
        """End it at once."""
        self._tmux("kill-server")

    def type(self, text: str) -> None:
        """Type `text` as it is."""
        self._tmux("send-keys", "-l", text)

    def press(self, *keys: str) -> None:
        """Press keys by tmux's names."""
        self._tmux("send-keys", *keys)

    def screen(self) -> str:
        """What the terminal shows."""
        return self._tmux("capture-pane", "-p")

    def cursor(self) -> tuple[int, int]:
        """Column and row of the cursor, from 0."""
        x, y = self._tmux("display-message", "-p", "#{cursor_x} #{cursor_y}").split()
        return int(x), int(y)

    def wait(self, look: Callable[[], Seen]) -> Seen:
        """Look again and again until something is seen; what that is. A program that never shows it fails the test."""
        deadline = time.monotonic() + PATIENCE_S
        while not (seen := look()):
            assert time.monotonic() < deadline, self.screen()
        return seen

    def _tmux(self, *arguments: str) -> str:
        command = ["tmux", "-S", str(self.folder / "tmux"), *arguments]
        environment = {name: value for name, value in os.environ.items() if name != "TMUX"}
        return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout


@dataclass(frozen=True, slots=True)
class EmacsInTmux(InTmux):
    """A running Emacs: keys go through tmux, questions through Emacs's own server."""

    program: Program
    home: Path

    def start(self, server: list[str], file: Path) -> None:
        """Visit `file`; `server` is the command line of the language server."""
        environment = {
            **self.program.environment,
            "HOME": str(self.home),
            "EMACS_TEST_PACKAGE": str(PACKAGE),
            "EMACS_TEST_SERVER": json.dumps(server),
            "EMACS_TEST_SOCKET": str(self.folder / "emacs"),
        }
        self.run([*self.program.command, "-nw", "-Q", "-l", str(INIT), str(file)], environment)
        self.wait((self.folder / "emacs").exists)

    def ask(self, expression: str) -> Any:
        """The value of a Lisp expression, by way of JSON."""
        emacsclient = Path(self.program.command[0]).with_name("emacsclient.emacs")
        if not emacsclient.exists():
            emacsclient = Path("emacsclient")
        # Emacs 28 serialises into characters, later ones into bytes, which encoding leaves as they are.
        encoded = f"(base64-encode-string (encode-coding-string (json-serialize (list :value {expression})) 'utf-8) t)"
        command = [str(emacsclient), "-s", str(self.folder / "emacs"), "--eval", encoded]
        done = subprocess.run(
            command, env=self.program.env | {"HOME": str(self.home)}, check=True, capture_output=True, text=True
        )
        return json.loads(base64.b64decode(done.stdout.strip().strip('"')))["value"]

    def ghost(self, written: str = "") -> str:
        """The ghost text that is shown, or nothing; nothing as well if the text before the cursor ends otherwise."""
        return str(self.ask(f"(scrubjay-test-ghost {json.dumps(written)})"))

    def text(self) -> str:
        """The text of the buffer."""
        return str(self.ask("(scrubjay-test-text)"))

    def wait_for_ghost(self, written: str = "") -> str:
        """The next ghost text, the one after `written`."""
        return self.wait(lambda: self.ghost(written))

    def shows(self, before: str, after: str) -> bool:
        """Whether the cursor's line on the screen is `before`, then the cursor, then `after`."""
        (column, row), lines = self.cursor(), self.screen().split("\n")
        return lines[row][:column] == before and lines[row][column:].startswith(after.rstrip())
