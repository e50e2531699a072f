"""Install Scrubjay with everything that its tests need into a virtual environment: `install.py VENV`.

llama.cpp is compiled on the way, which takes about 5 minutes on 2 cores. Needs nothing but Python's standard library.
"""

import re
import subprocess
import sys
import venv
from collections.abc import Iterable
from pathlib import Path
from shutil import which
from time import monotonic
from typing import TextIO

LEAST_PYTHON = (3, 11)
COMPILED = re.compile(r"\[(\d+)/(\d+)\]")
STEP = re.compile(r"\s*(Collecting|Downloading|Preparing metadata|Building wheels?|Installing collected packages)\b.*")
LOG_LINES = 30


def main(folder: Path) -> int:
    """Install; the exit status."""
    if problem := missing():
        print(f"Scrubjay cannot be installed: {problem}", file=sys.stderr)
        return 1
    log = folder / "install.log"
    print(
        f"Installing into {folder}. If llama.cpp has to be compiled, this takes about 5 minutes on 2 cores.", flush=True
    )
    if not (folder / "bin" / "python").exists():
        venv.create(folder, with_pip=True)
    # Verbose, because only then does pip pass on how far the compiler is.
    command = [str(folder / "bin" / "python"), "-m", "pip", "install", "--verbose", "--no-input", "-e", ".[test]"]
    with log.open("w", encoding="utf-8") as kept:
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
    """Say how far it is: on a terminal in one line that changes, else in a line for each tenth of the compilation."""
    began = monotonic()
    said = ""
    for line in lines:
        what = progress(line, is_terminal)
        if not what or what == said:
            continue
        said = what
        seconds = int(monotonic() - began)
        text = f"{seconds // 60}:{seconds % 60:02}  {what}"
        print(f"\r\x1b[K{text[:100]}" if is_terminal else text, end="" if is_terminal else "\n", flush=True)
    if is_terminal:
        print()


def progress(line: str, is_fine: bool) -> str:
    """What a line of pip's output says about how far it is, "" if nothing; `is_fine` for each file, else by tenths."""
    if match := COMPILED.match(line.strip()):
        done, total = int(match[1]), int(match[2])
        return (
            f"compiling llama.cpp: {done} of {total} files"
            if is_fine
            else f"compiling llama.cpp: {done * 10 // total * 10} %"
        )
    return line.strip() if STEP.fullmatch(line.rstrip()) else ""


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
