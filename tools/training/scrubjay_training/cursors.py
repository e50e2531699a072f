"""Where people ask for completions, and how far the right completion reaches.

A hole is a half-open range of a text: the cursor stands at its start, what should be written fills it.

    text    ....................[.............)...........
                             cursor           end
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Literal

from scrubjay_training.languages import opener_of

Kind = Literal["rest", "typed", "inside", "line", "lines", "block", "nothing"]
_KINDS: tuple[tuple[Kind, float], ...] = (
    *(("rest", 31), ("typed", 21), ("inside", 11), ("line", 12), ("lines", 4)),
    *(("block", 18), ("nothing", 3)),
)
_TYPED = re.compile(r"[(\[.,=:] ?|\b(?:def|class|import|from|return|if|for|in|not|and|self\.|await|raise) ?|\w(?=\w)")
_BETWEEN_WORDS = re.compile(
    r"[(\[{.,=:] ?|[-+*/%<>|&?]=? |\b(?:def|class|import|from|return|if|for|in|not|and|or|raise|await|else|as|with"
    r"|func|const|let|var|new|case|type|struct|static|void|int|typeof|export|function) "
)
"""Where a word or an argument is to come: half of all cursors at any place are inside words, where little is to be written."""
_LAST_TOKEN = re.compile(r"(?:[^\r\n\w]?[^\W\d_]+|\d| ?[^\s\w]+|_+|[^\S\r\n]+)$")
_IS_WHOLE = re.compile(r".*[\w)\]}\"';]$")
_PYTHON_OPENER = opener_of(".py")
_MOST_LINES, _MOST_BLOCK_LINES = 4, 12
_N_TRIES = 12


@dataclass(frozen=True, slots=True)
class Hole:
    """A range of a text to be written; `kind` says what ends it. Of the kind `nothing` it is empty."""

    start: int
    end: int
    kind: Kind


def choose_hole(
    text: str, random: Random, kind: Kind | None = None, opener: re.Pattern[str] = _PYTHON_OPENER
) -> Hole | None:
    """A place where people type, or None if tries at random find none.

    Args:
        kind: is drawn too unless it is given.
        opener: matches lines behind which a block begins.
    """
    lines = line_starts(text)
    kinds, weights = zip(*_KINDS, strict=True)
    choosers: dict[Kind, _Chooser] = {**_CHOOSERS, "block": partial(_block, opener=opener)}
    for _ in range(_N_TRIES):
        wanted = kind or random.choices(kinds, weights)[0]
        at = random.randrange(len(lines))
        hole = choosers[wanted](text, lines, at, random)
        if hole is not None and (wanted == "nothing" or text[hole.start : hole.end].strip()):
            return hole
    return None


def token_border(text: str, cursor: int) -> int:
    """Where the token begins that the cursor's last typed character belongs to, or the blanks before the cursor, in its line.

    A text that is cut elsewhere ends in a token which never stands there in a whole text: `x = ` for ` 1`. The cursor stays
    behind what opens a block: asked for the opener again, a model writes it, and ends there as at the end of any line. It
    stays behind an indentation too, which says how deep the line is to be.
    """
    begin = text.rfind("\n", 0, cursor) + 1
    last = _LAST_TOKEN.search(text, begin, cursor)
    if last is None or last.group().endswith((":", "{")) or not text[begin:cursor].strip():
        return cursor
    return last.start()


def line_starts(text: str) -> list[int]:
    """Offsets at which lines begin; the empty rest after a last line end is not a line."""
    starts = [0, *(match.end() for match in re.finditer("\n", text))]
    return starts[:-1] if len(starts) > 1 and starts[-1] == len(text) else starts


def indent_of(line: str) -> int:
    """How many characters of white space a line begins with."""
    return len(line) - len(line.lstrip())


def block_end(text: str, lines: Sequence[int], at: int) -> int:
    """Where the block ends that the line `at` opens: before the line end of its last line that is not blank."""
    indent = indent_of(_line(text, lines, at))
    last = at
    for i in range(at + 1, len(lines)):
        line = _line(text, lines, i)
        if line.strip() and indent_of(line) <= indent:
            break
        if line.strip():
            last = i
    return _line_end(text, lines, last)


def _line_end(text: str, lines: Sequence[int], at: int) -> int:
    """Before the line end of line `at`."""
    end = lines[at + 1] - 1 if at + 1 < len(lines) else len(text.rstrip("\n"))
    return max(end, lines[at])


def _line(text: str, lines: Sequence[int], at: int) -> str:
    return text[lines[at] : _line_end(text, lines, at)]


def _cursor(text: str, lines: Sequence[int], at: int, random: Random, typed: re.Pattern[str] = _TYPED) -> int | None:
    """A place inside line `at`, after its indentation, where a hand may well have stopped, having typed such a thing."""
    line = _line(text, lines, at)
    indent = indent_of(line)
    places = [match.end() for match in typed.finditer(line, indent) if match.end() < len(line)]
    return lines[at] + random.choice(places) if places else None


def _rest(text: str, lines: Sequence[int], at: int, random: Random) -> Hole | None:
    start = _cursor(text, lines, at, random)
    return None if start is None else Hole(start, _line_end(text, lines, at), "rest")


def _typed(text: str, lines: Sequence[int], at: int, random: Random) -> Hole | None:
    start = _cursor(text, lines, at, random, _BETWEEN_WORDS)
    return None if start is None else Hole(start, _line_end(text, lines, at), "typed")


def _inside(text: str, lines: Sequence[int], at: int, random: Random) -> Hole | None:
    start = _cursor(text, lines, at, random)
    if start is None:
        return None
    stops = [match.start() for match in re.finditer(r"[)\],:=]| (?=\w)", text[start : _line_end(text, lines, at)])]
    stops = [stop for stop in stops if stop > 0]
    return Hole(start, start + random.choice(stops), "inside") if stops else None


def _whole_lines(text: str, lines: Sequence[int], at: int, random: Random, n_lines: int, kind: Kind) -> Hole | None:
    """From the indentation of line `at`, or from the end of the line before it, to the end of the last of `n_lines`."""
    last = min(at + n_lines - 1, len(lines) - 1)
    if not _line(text, lines, at).strip() or not _line(text, lines, last).strip():
        return None
    from_before = at > 0 and random.random() < 0.15
    start = lines[at] - 1 if from_before else lines[at] + indent_of(_line(text, lines, at))
    return Hole(start, _line_end(text, lines, last), kind)


def _one_line(text: str, lines: Sequence[int], at: int, random: Random) -> Hole | None:
    return _whole_lines(text, lines, at, random, 1, "line")


def _some_lines(text: str, lines: Sequence[int], at: int, random: Random) -> Hole | None:
    return _whole_lines(text, lines, at, random, random.randint(2, _MOST_LINES), "lines")


def _nothing(text: str, lines: Sequence[int], at: int, _random: Random) -> Hole | None:
    """The end of a line to which nothing is to be added."""
    end = _line_end(text, lines, at)
    return Hole(end, end, "nothing") if _IS_WHOLE.fullmatch(text, lines[at], end) else None


def _block(text: str, lines: Sequence[int], at: int, random: Random, opener: re.Pattern[str]) -> Hole | None:
    """The body that the nearest line from `at` on opens, begun at the end of that line or on the next one."""
    after = range(at, min(at + 40, len(lines) - 1))
    first = next((i for i in after if opener.match(_line(text, lines, i))), None)
    if first is None:
        return None
    start, end = _line_end(text, lines, first), block_end(text, lines, first)
    if text.count("\n", start, end) > _MOST_BLOCK_LINES:
        return None
    if random.random() < 0.4:
        start = lines[first + 1] + indent_of(_line(text, lines, first + 1))
    return Hole(start, end, "block") if start < end else None


_Chooser = Callable[[str, Sequence[int], int, Random], Hole | None]
_CHOOSERS: dict[Kind, _Chooser] = {
    "rest": _rest,
    "typed": _typed,
    "inside": _inside,
    "line": _one_line,
    "lines": _some_lines,
    "nothing": _nothing,
}
