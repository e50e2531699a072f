"""What a key costs in Emacs with `scrubjay-mode`, beside what it costs anyway: `python -m tests.benchmarks.emacs_keys`.

Somebody types ten keys a second at the end of a file of 5,000 lines, for which the starter model writes ghost text.
"""

import sys
import tempfile
from pathlib import Path
from statistics import median, quantiles
from threading import Event

import pytest

from scrubjay.lifecycle import start_daemon, stop_daemon
from tests.editors.debian import EMACSES, emacs
from tests.editors.terminal import EmacsInTmux

FUNCTION = "def area(width, height):\n    return width * height\n\n\n"
N_LINES, N_KEYS, KEY_S = 5_000, 150, 0.1
TYPED = "def diagonal(width, height):\n    return sqrt(width ** 2 + height ** 2)\n\n\n"


def measure(version: str, folder: Path) -> None:
    """Print what keys cost in this Emacs."""
    source, socket = folder / "project" / "shapes.py", folder / "daemon.sock"
    (source.parent / ".git").mkdir(parents=True)
    source.write_text(FUNCTION * (N_LINES // FUNCTION.count("\n")))
    editor = EmacsInTmux(folder, emacs(version), folder)
    start_daemon(socket, {"data_dir": str(folder / "data")})
    try:
        editor.start([sys.executable, "-m", "scrubjay", "lsp", "--socket", str(socket)], source)
        type_and_measure(editor)
        show(editor)
    finally:
        editor.stop()
        stop_daemon(socket)


def type_and_measure(editor: EmacsInTmux) -> None:
    """Type; the editor keeps what each key cost, once there has been ghost text."""
    editor.press("M->")
    editor.type("def perimeter(width, height):")
    editor.wait_for_ghost()
    editor.ask("(progn (scrubjay-test-time-keys) t)")
    for n in range(N_KEYS):
        character = TYPED[n % len(TYPED)]
        editor.type(character) if character != "\n" else editor.press("C-j")
        Event().wait(KEY_S)
    editor.wait(lambda: editor.ask("(length scrubjay-test-key-ms)") >= N_KEYS)


def show(editor: EmacsInTmux) -> None:
    """Print what the editor has kept."""
    print(f"Emacs {editor.ask('emacs-version')}, {N_LINES} lines, a key every {KEY_S} s:")
    for what, name in (("keys", "key"), ("questions", "ask")):
        costs = editor.ask(f"(vconcat scrubjay-test-{name}-ms)")
        print(
            f"  {len(costs)} {what}: {median(costs):.2f} ms in the median, "
            f"95th percentile {quantiles(costs, n=20)[-1]:.2f} ms, at most {max(costs):.2f} ms"
        )
    print(f"  ghost text was offered {editor.ask('scrubjay-test-n-offered')} times")


if __name__ == "__main__":
    for version in EMACSES:
        with tempfile.TemporaryDirectory(prefix="scrubjay-") as folder:
            try:
                measure(version, Path(folder))
            except pytest.skip.Exception as reason:
                print(f"Emacs {version}: {reason}")
