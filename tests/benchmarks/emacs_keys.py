"""What a key costs in Emacs with `scrubjay-mode`, beside what it costs anyway: `python -m tests.benchmarks.emacs_keys`.

Somebody types ten keys a second at the end of a file of 5,000 lines, for which the starter model writes ghost text, and
stops for a moment now and then. While keys come faster than answers there is none; after each pause there should be.
"""

import sys
import tempfile
from collections import Counter
from pathlib import Path
from statistics import median, quantiles
from threading import Event

import pytest

from scrubjay.process.lifecycle import start_daemon, stop_daemon
from tests.editors.debian import EMACSES, emacs
from tests.editors.terminal import EmacsInTmux

FUNCTION = "def area(width, height):\n    return width * height\n\n\n"
N_LINES, N_KEYS, KEY_S = 5_000, 150, 0.1
KEYS_AT_ONCE, PAUSE_S = 10, 0.5
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
        show(editor, type_and_measure(editor))
    finally:
        editor.stop()
        stop_daemon(socket)


def type_and_measure(editor: EmacsInTmux) -> Counter[str]:
    """Type; the editor keeps what each key cost, once there has been ghost text. Returns what was to be seen in pauses."""
    seen: Counter[str] = Counter()
    editor.press("M->")
    editor.type("def perimeter(width, height):")
    editor.wait_for_ghost()
    editor.ask("(progn (scrubjay-test-time-keys) t)")
    for n in range(N_KEYS):
        character = TYPED[n % len(TYPED)]
        editor.type(character) if character != "\n" else editor.press("C-j")
        Event().wait(KEY_S)
        if n % KEYS_AT_ONCE == KEYS_AT_ONCE - 1:
            Event().wait(PAUSE_S - KEY_S)
            seen[editor.ask("(scrubjay-test-outcome)")] += 1
    editor.wait(lambda: editor.ask("(length scrubjay-test-key-ms)") >= N_KEYS)
    return seen


def show(editor: EmacsInTmux, seen: Counter[str]) -> None:
    """Print what the editor has kept."""
    print(f"Emacs {editor.ask('emacs-version')}, {N_LINES} lines, a key every {KEY_S} s:")
    for what, name in (("keys", "key"), ("questions", "ask"), ("answers before the next key", "answer")):
        costs = editor.ask(f"(vconcat scrubjay-test-{name}-ms)")
        print(f"  {len(costs)} {what}{distribution(costs) if len(costs) > 1 else ''}")
    outcomes = ", ".join(f"{outcome} {n} times" for outcome, n in seen.most_common())
    print(f"  after {PAUSE_S} s without a key: {outcomes}")


def distribution(costs: list[float]) -> str:
    """How two or more costs in milliseconds are spread."""
    last = quantiles(costs, n=20)[-1]
    return f": {median(costs):.2f} ms in the median, 95th percentile {last:.2f} ms, at most {max(costs):.2f} ms"


if __name__ == "__main__":
    for version in EMACSES:
        with tempfile.TemporaryDirectory(prefix="scrubjay-") as folder:
            try:
                measure(version, Path(folder))
            except pytest.skip.Exception as reason:
                print(f"Emacs {version}: {reason}")
