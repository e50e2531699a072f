"""The edits of the demonstration: which files, where in them, and what is changed. Always the same for the same files."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from random import Random

MAX_CHARACTERS = 20_000
"""Of all files together: some 5,000 tokens, which the starter model reads in seconds without a GPU."""
LEAST_LINES = 60
"""A shorter file has no middle."""
N_FILES = 3
N_EDITS_PER_FILE = 4
N_SHOWN = 2
SEED = 4

_CODE = re.compile(r"\s+(?:return|raise|yield|if|elif|for|while|with|[\w.]+(?: [-+|]?= |\())[^#]*")
_BEGINNING = re.compile(r"\s*[\w.]+\W*")

Position = tuple[int, int]
"""Line and character, both from 0, in code points."""


@dataclass(frozen=True, slots=True)
class Edit:
    """The text in [start, end) becomes `text`, and a completion is wanted at `cursor`.

    Args:
        what: in words.
        above: lines before that of the cursor, as they are after the edit.
        typed: what stands before the cursor in its line.
        rest: what stands after it there.
        below: lines that follow.
    """

    path: Path
    what: str
    start: Position
    end: Position
    text: str
    cursor: Position
    above: tuple[str, ...]
    typed: str
    rest: str
    below: tuple[str, ...]


def choose_files(paths: Sequence[Path]) -> list[Path]:
    """The smallest of the files that are not empty, as many as fit into a prompt together; the longest first."""
    sizes = {path: path.stat().st_size for path in paths if path.stat().st_size}
    small = sorted(sizes, key=lambda path: (sizes[path], path.name))
    ends = accumulate(sizes[path] for path in small)
    return [path for path, end in zip(small, ends, strict=True) if end <= MAX_CHARACTERS][::-1]


def edited_files(texts: Mapping[Path, str]) -> list[Path]:
    """Those of the files in which most is done, in the order of the edits; short ones have no middle."""
    long = [path for path, text in texts.items() if text.count("\n") >= LEAST_LINES]
    return sorted(long, key=lambda path: -sum(map(_is_code, texts[path].split("\n"))))[:N_FILES]


def make_edits(texts: Mapping[Path, str]) -> Iterator[Edit]:
    """Edits without end: a few near one place in the middle of a file, then of the next file."""
    random = Random(SEED)
    lines = {path: texts[path].split("\n") for path in edited_files(texts)}
    while lines:
        for path, its_lines in lines.items():
            middle = random.randrange(len(its_lines) // 4, len(its_lines) * 3 // 4)
            for number in range(N_EDITS_PER_FILE):
                near = _code_line(its_lines, middle + random.randrange(-8, 9))
                yield (_half, _insert, _delete)[number % 3](path, its_lines, near, random)


def _half(path: Path, lines: list[str], number: int, random: Random) -> Edit:
    """Take the line away from somewhere on, as if it were being written just now."""
    old = lines[number]
    beginning = _BEGINNING.match(old)
    at = random.randrange(min(beginning.end() if beginning else 0, len(old) - 1), len(old))
    lines[number] = old[:at]
    what = f"line {number + 1} is being written again, it was: {old.strip()}"
    return _edit(path, what, lines, (number, at), (number, len(old)), "", (number, at))


def _insert(path: Path, lines: list[str], number: int, _: Random) -> Edit:
    """Open a line below this one, indented like it."""
    old = lines[number]
    indent = old[: len(old) - len(old.lstrip())]
    lines.insert(number + 1, indent)
    end = (number, len(old))
    return _edit(path, f"a new line {number + 2}", lines, end, end, "\n" + indent, (number + 1, len(indent)))


def _delete(path: Path, lines: list[str], number: int, _: Random) -> Edit:
    """Delete the line; the cursor goes to the end of the one above."""
    old = lines.pop(number)
    cursor = (number - 1, len(lines[number - 1]))
    return _edit(
        path, f"line {number + 1} is gone, it was: {old.strip()}", lines, (number, 0), (number + 1, 0), "", cursor
    )


def _edit(
    path: Path, what: str, lines: Sequence[str], start: Position, end: Position, text: str, cursor: Position
) -> Edit:
    """The edit, given the lines as they are after it."""
    line, column = cursor
    above = tuple(lines[max(0, line - N_SHOWN) : line])
    below = tuple(lines[line + 1 : line + 1 + N_SHOWN])
    return Edit(path, what, start, end, text, cursor, above, lines[line][:column], lines[line][column:], below)


def _code_line(lines: Sequence[str], near: int) -> int:
    """The first line from `near` on in which something is done; starts again at the top if there is none."""
    numbers = [*range(near, len(lines) - 1), *range(1, near)]
    return next((number for number in numbers if _is_code(lines[number])), min(max(near, 1), len(lines) - 2))


def _is_code(line: str) -> bool:
    return _CODE.fullmatch(line) is not None
