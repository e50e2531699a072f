"""Texts with line starts, positions in three encodings, and incremental changes."""

import re
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from scrubjay.errors import RequestError

PositionEncoding = Literal["utf-8", "utf-16", "utf-32"]
Offsets = npt.NDArray[np.int64]

_LINE_END = re.compile(r"\r\n|\n|\r")
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A place in a document: `line` and `character` count from 0, `character` in units of a position encoding."""

    line: int
    character: int


@dataclass(frozen=True, slots=True)
class Change:
    """`text` replaces what lies between `start` and `end`; without a start it replaces everything."""

    text: str
    start: Position | None = None
    end: Position | None = None


@dataclass(frozen=True, slots=True)
class Text:
    """A text and the offsets at which its lines start; a value, so that it may be read from any thread.

    An edit patches the line starts instead of looking for the lines again.
    """

    text: str
    starts: Offsets

    @classmethod
    def of(cls, text: str) -> "Text":
        return cls(text, _line_starts(text))

    @property
    def n_lines(self) -> int:
        """Number of lines; what follows the last line end is a line too, even if empty."""
        return len(self.starts)

    def line_at(self, offset: int) -> int:
        """The line that holds `offset`."""
        return int(self.starts.searchsorted(offset, side="right")) - 1

    def line_start(self, line: int) -> int:
        """Offset of the start of `line`; the end of the text for a line beyond the last."""
        return int(self.starts[line]) if line < self.n_lines else len(self.text)

    def line_end(self, line: int) -> int:
        """Offset of the end of `line`, before its line end."""
        end = self.line_start(line + 1)
        if line + 1 == self.n_lines:
            return end
        return end - 2 if self.text.endswith("\r\n", self.line_start(line), end) else end - 1

    def replaced(self, start: int, end: int, new: str) -> "Text":
        """This text with `new` in the place of [start, end)."""
        # A "\r" before or a "\n" after the edit may join with its ends, so whole lines are looked at again:
        #   starts: [0, first) stay | [first, last] are found anew | (last, ...) move by delta
        first = self.line_at(start)
        first -= first > 0 and start == self.starts[first]
        last = self.line_at(end)
        delta = len(new) - (end - start)
        text = self.text[:start] + new + self.text[end:]
        begin = int(self.starts[first])
        fresh = _line_starts(text[begin : self.line_start(last + 1) + delta]) + begin
        return Text(text, np.concatenate((self.starts[:first], fresh, self.starts[last + 2 :] + delta)))

    def offset_at(self, position: Position, encoding: PositionEncoding) -> int:
        """The offset of `position`; a character beyond the line's end means the end, inside a code point its start.

        Raises:
            RequestError: the line is outside the document, or a number is negative.
        """
        if position.line < 0 or position.character < 0:
            raise RequestError(f"Position {position.line}:{position.character} is negative; both count from 0.")
        if position.line >= self.n_lines:
            raise RequestError(f"Line {position.line} is outside the document; its last line is {self.n_lines - 1}.")
        start, end = self.line_start(position.line), self.line_end(position.line)
        return start + _n_code_points(self.text[start:end], position.character, encoding)

    def position_at(self, offset: int, encoding: PositionEncoding) -> Position:
        """The position of `offset`; inside a `\\r\\n` it is the line's end.

        Raises:
            RequestError: the offset is outside the document.
        """
        if not 0 <= offset <= len(self.text):
            raise RequestError(f"Offset {offset} is outside the document, which has {len(self.text)} characters.")
        line = self.line_at(offset)
        before = self.text[self.line_start(line) : min(offset, self.line_end(line))]
        return Position(line, _n_units(before, encoding))

    def changed(self, change: Change, encoding: PositionEncoding) -> tuple["Text", int]:
        """This text after `change`, and the offset at which what it inserted ends.

        Raises:
            RequestError: the range is outside the document or ends before it starts.
        """
        new = well_formed(change.text)
        if change.start is None or change.end is None:
            return Text.of(new), len(new)
        start, end = self.offset_at(change.start, encoding), self.offset_at(change.end, encoding)
        if change.end < change.start:
            raise RequestError(f"The range ends at {change.end} before it starts at {change.start}.")
        return self.replaced(start, end, new), start + len(new)


def well_formed(text: str) -> str:
    """`text` with U+FFFD for lone surrogates, which no tokenizer can read; as long as before in every encoding."""
    if text.isascii():
        return text
    return _LONE_SURROGATE.sub("\ufffd", text)


def _line_starts(text: str) -> Offsets:
    return np.array([0, *(match.end() for match in _LINE_END.finditer(text))], dtype=np.int64)


def _n_units(text: str, encoding: PositionEncoding) -> int:
    """How many units of `encoding` `text` has."""
    if encoding == "utf-32" or text.isascii():
        return len(text)
    return len(text.encode("utf-8")) if encoding == "utf-8" else len(text.encode("utf-16-le")) // 2


def _n_code_points(line: str, n_units: int, encoding: PositionEncoding) -> int:
    """How many whole code points of `line` lie in its first `n_units` units."""
    if encoding == "utf-32" or line.isascii():
        return min(n_units, len(line))
    if encoding == "utf-8":
        return len(line.encode("utf-8")[:n_units].decode("utf-8", errors="ignore"))
    return len(line.encode("utf-16-le")[: 2 * n_units].decode("utf-16-le", errors="ignore"))
