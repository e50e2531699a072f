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
_PAUSES = re.compile(r"(?<=[\w)\]] )(?=\w)|(?<=[.(\[=] )(?=\w)|(?<=[.(\[])(?=\w)|(?<=, )(?=\w)")
"""Places in a line where one waits for a completion: before a word, behind something that says what may come."""

Position = tuple[int, int]
"""Line and character, both from 0, in code points."""


@dataclass(frozen=True, slots=True)
class Edit:
    """The text `taken` goes away from [start, end), and a completion is wanted there; then it is written again.

    Args:
        what: in words.
        above: lines before that of the cursor.
        typed: what stands before the cursor in its line, of which nothing stands after it.
        below: lines that follow.
    """

    path: Path
    what: str
    start: Position
    end: Position
    taken: str
    above: tuple[str, ...]
    typed: str
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
    """Edits without end: a few lines in the middle of a file are written again, then some of the next file."""
    random = Random(SEED)
    lines = {path: texts[path].split("\n") for path in edited_files(texts)}
    while lines:
        for path, its_lines in lines.items():
            number = random.randrange(len(its_lines) // 4, len(its_lines) // 2)
            for _ in range(N_EDITS_PER_FILE):
                number = _code_line(its_lines, number + 1)
                line = its_lines[number]
                pauses = [found.start() for found in _PAUSES.finditer(line)]
                yield _edit(path, its_lines, number, random.choice([len(line) - len(line.lstrip()), *pauses]))


def _edit(path: Path, lines: Sequence[str], number: int, at: int) -> Edit:
    """The line is being written again from `at` on."""
    line = lines[number]
    what = f"line {number + 1} is being written again, it was: {line.strip()}"
    above = tuple(lines[max(0, number - N_SHOWN) : number])
    below = tuple(lines[number + 1 : number + 1 + N_SHOWN])
    return Edit(path, what, (number, at), (number, len(line)), line[at:], above, line[:at], below)


def _code_line(lines: Sequence[str], near: int) -> int:
    """The first line from `near` on in which something is done; starts again at the top if there is none."""
    numbers = [*range(near, len(lines) - 1), *range(1, near)]
    return next((number for number in numbers if _is_code(lines[number])), min(max(near, 1), len(lines) - 2))


def _is_code(line: str) -> bool:
    return _CODE.fullmatch(line) is not None
