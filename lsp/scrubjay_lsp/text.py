"""The text of a document as the editor has it, kept by lines: an edit costs the lines that it touches.

Lines end with `\\n`, `\\r\\n` or `\\r` and nothing else: a form feed or U+2028 is an ordinary character, as the
protocol says and `str.splitlines` does not. Editors err, so nothing here raises: a place outside the text means its
nearest end.
"""

import re
from typing import Literal, NamedTuple

Encoding = Literal["utf-8", "utf-16", "utf-32"]

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\n|\r)")
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


class Position(NamedTuple):
    """A line and a character on it, both from 0; the character in units of the editor's position encoding."""

    line: int
    character: int


class Lines:
    """A text that is edited by ranges."""

    def __init__(self, text: str) -> None:
        self._lines = split_lines(well_formed(text))

    @property
    def text(self) -> str:
        """The whole text."""
        return "".join(self._lines)

    def before(self, position: Position, encoding: Encoding) -> str:
        """What stands on the line of `place` before it."""
        line, column = self._find(position, encoding)
        return self._lines[line][:column]

    def after(self, position: Position, encoding: Encoding) -> str:
        """What stands on the line of `place` after it, without the line's end."""
        line, column = self._find(position, encoding)
        return self._lines[line][column:].rstrip("\r\n")

    def replace(self, start: Position, end: Position, new: str, encoding: Encoding) -> None:
        """Put `new` in the place of what lies between `start` and `end`."""
        first, left = self._find(start, encoding)
        last, right = max((first, left), self._find(end, encoding))
        before, after = self._lines[first][:left], self._lines[last][right:]
        # A "\r" above joins with a "\n" that comes to stand at the start of the line below it.
        if first and not before and self._lines[first - 1].endswith("\r"):
            first -= 1
            before = self._lines[first]
        lines = split_lines(before + well_formed(new) + after)
        at_end = last == len(self._lines) - 1
        self._lines[first : last + 1] = lines if at_end else lines[:-1]

    def _find(self, position: Position, encoding: Encoding) -> tuple[int, int]:
        """The line of `place` and the number of code points before it there."""
        line, character = max(position, Position(0, 0))
        if line >= len(self._lines):
            return len(self._lines) - 1, len(self._lines[-1])
        return line, n_code_points(self._lines[line].rstrip("\r\n"), max(character, 0), encoding)


def split_lines(text: str) -> list[str]:
    """The lines of `text` with their ends; the last, which has none, may be empty."""
    lines: list[str] = _LINE.findall(text)
    lines.append(text[sum(map(len, lines)) :])
    return lines


def well_formed(text: str) -> str:
    """`text` with U+FFFD for lone surrogates, which have no UTF-8; as long as before in every encoding."""
    return text if text.isascii() else _LONE_SURROGATE.sub("\ufffd", text)


def n_code_points(text: str, units: int, encoding: Encoding) -> int:
    """How many whole code points lie in the first `units` units of `text`."""
    if encoding == "utf-32" or text.isascii():
        return min(units, len(text))
    if encoding == "utf-8":
        return len(text.encode("utf-8")[:units].decode("utf-8", "ignore"))
    return len(text.encode("utf-16-le")[: 2 * units].decode("utf-16-le", "ignore"))


def n_units(text: str, encoding: Encoding) -> int:
    """How many units of `encoding` `text` has."""
    if encoding == "utf-32" or text.isascii():
        return len(text)
    return len(text.encode("utf-8")) if encoding == "utf-8" else len(text.encode("utf-16-le")) // 2


def end_of(start: Position, text: str, encoding: Encoding) -> Position:
    """Where `text` ends when it is inserted at `start`."""
    *above, last = split_lines(text)
    return Position(start.line + len(above), n_units(last, encoding) + (0 if above else start.character))
