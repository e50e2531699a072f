"""Install Scrubjay from this checkout into a virtual environment: `install.py VENV [EXTRA]`.

llama.cpp is compiled on the way, unless pip has its wheel already. Needs nothing but Python's standard library.
"""

import math
import os
import re
import subprocess
import sys
import threading
import venv
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from shutil import which
from time import monotonic
from typing import TextIO

LEAST_PYTHON = (3, 11)
COMPILED = re.compile(r"\[(\d+)/(\d+)\]")
STEPS = {
    "fetching packages": re.compile(r"\s*(Collecting|Downloading|Obtaining|Preparing metadata|Using cached)\b.*"),
    "building packages": re.compile(r"\s*(Building wheels?|Building editable)\b.*"),
    "installing packages": re.compile(r"\s*Installing collected packages\b.*"),
}
LOG_LINES = 30
CORE_MINUTES = 14
"""What compiling llama.cpp took on 2 cores, times 2."""
LEAST_MINUTES = 2
"""With many cores its largest file decides."""


def main(folder: Path, extra: str = "") -> int:
    """Install; the exit status."""
    if problem := missing():
        print(f"Scrubjay cannot be installed: {problem}", file=sys.stderr)
        return 1
    log = folder / "install.log"
    print(f"Installing into {folder}. {estimate(os.cpu_count() or 1)}", flush=True)
    if not (folder / "bin" / "python").exists():
        venv.create(folder, with_pip=True)
    # Verbose, because only then does pip pass on how far the compiler is.
    package = f".[{extra}]" if extra else "."
    command = [str(folder / "bin" / "python"), "-m", "pip", "install", "--verbose", "--no-input", "-e", package]
    with log.open("a", encoding="utf-8") as kept:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
        )
        assert process.stdout  # it is a pipe
        show(kept_lines(process.stdout, kept), sys.stdout.isatty())
        status = process.wait()
    if status:
        print("\n".join(log.read_text("utf-8").splitlines()[-LOG_LINES:]))
        print(f"The installation failed; all of its output is in {log}.", file=sys.stderr)
    return status


def estimate(n_cores: int) -> str:
    """How long it takes on that many cores, as a sentence."""
    minutes = max(math.ceil(CORE_MINUTES / n_cores), LEAST_MINUTES)
    cores = "one core" if n_cores == 1 else f"{n_cores} cores"
    return f"Where llama.cpp has to be compiled, this takes about {minutes} minutes on {cores} that have nothing else to do."


def missing() -> str:
    """What the machine lacks, in one sentence; "" if nothing."""
    if sys.version_info < LEAST_PYTHON:
        found = f"{sys.version_info.major}.{sys.version_info.minor}"
        return f"Python 3.11 or newer is needed, this is {found}; say `make PYTHON=python3.12`, for example."
    if not any(map(which, ("c++", "g++", "clang++"))):
        return "a C++ compiler is needed, to build llama.cpp; on Debian it comes with `apt install build-essential`."
    return ""


def kept_lines(lines: Iterable[str], kept: TextIO) -> Iterable[str]:
    """The lines, each of which is written to the log first."""
    for line in lines:
        kept.write(line)
        yield line


def show(lines: Iterable[str], is_terminal: bool) -> None:
    """Say how far it is: on a terminal in one line that moves, else in a line for each step and tenth of the compilation."""
    progress, began = Progress(monotonic), monotonic()
    said = ""

    def text() -> str:
        seconds = int(monotonic() - began)
        return f"{seconds // 60}:{seconds % 60:02}  {said}"

    with redrawing(text) if is_terminal else nullcontext():
        for line in lines:
            what = progress.after(line, is_terminal)
            if what and what != said:
                said = what
                if not is_terminal:
                    print(text(), flush=True)


@contextmanager
def redrawing(text: Callable[[], str]) -> Iterator[None]:
    """Draw `text` each second, for a large file may be compiled for longer without a word, and once more at the end."""
    over = threading.Event()

    def draw() -> None:
        while not over.wait(1.0):
            print(f"\r\x1b[K{text()[:100]}", end="", flush=True)

    thread = threading.Thread(target=draw)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        print(f"\r\x1b[K{text()[:100]}", flush=True)


class Progress:
    """What pip's output says about how far it is.

    Args:
        clock: seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._began: float | None = None

    def after(self, line: str, is_fine: bool) -> str:
        """What is going on after this line, "" if it does not say; `is_fine`: for each file, else by tenths."""
        if not (match := COMPILED.match(line.strip())):
            return next((step for step, pattern in STEPS.items() if pattern.fullmatch(line.rstrip())), "")
        done, total = int(match[1]), int(match[2])
        if not is_fine:
            return f"compiling llama.cpp: {done * 10 // total * 10} %"
        return f"compiling llama.cpp: {done} of {total} files{self._left(done, total)}"

    def _left(self, done: int, total: int) -> str:
        """How long the rest takes if it goes on like this; nothing before a tenth is done."""
        now = self._clock()
        if self._began is None:
            self._began = now
        if done * 10 < total:
            return ""
        seconds = (now - self._began) / done * (total - done)
        return f", about {math.ceil(seconds / 60)} min left" if seconds >= 60 else ", less than a minute left"


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), *sys.argv[2:3]))
