"""Texts with line starts, positions in three encodings, and incremental changes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from scrubjay.code_text import common_ends
from scrubjay.errors import RequestError
from scrubjay.positions import (
    MAX_COPIED_CHARACTERS,
    MAX_DOCUMENT_CHARACTERS,
    MAX_SINGLE_CHANGES,
    Change,
    Lines,
    Position,
    PositionEncoding,
    n_code_points,
    n_units,
    needs_whole_text,
    well_formed,
)

__all__ = ["Change", "Offsets", "Position", "PositionEncoding", "Replacement", "Text", "well_formed"]

Offsets = npt.NDArray[np.int64]

_LF, _CR = 10, 13
_FIRST: Offsets = np.zeros(1, np.int64)


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

    def line_around(self, offset: int) -> tuple[int, int, int]:
        """Of the line that holds `offset`: its start, its end before its line end, and the start of the next line."""
        line = self.line_at(offset)
        return self.line_start(line), self.line_end(line), self.line_start(line + 1)

    def replaced(self, start: int, end: int, new: str) -> "Text":
        """This text with `new` in the place of [start, end)."""
        # A "\r" before or a "\n" after the edit may join with its ends, so whole lines are looked at again:
        #   starts: [0, first) stay | [first, last] are found again | (last, ...) move by delta
        first = self.line_at(start)
        first -= first > 0 and start == self.starts[first]
        last = self.line_at(end)
        delta = len(new) - (end - start)
        text = self.text[:start] + new + self.text[end:]
        begin = int(self.starts[first])
        fresh = _line_starts(text[begin : self.line_start(last + 1) + delta]) + begin
        return Text(text, np.concatenate((self.starts[:first], fresh, self.starts[last + 2 :] + delta)))

    def offset_at(self, position: Position, encoding: PositionEncoding) -> int:
        """The offset of `position`: beyond the end of a line that end, beyond the last line the end of the text.

        Inside a code point it is the start of that one.

        Raises:
            RequestError: a number is negative.
        """
        _check(position)
        if position.line >= self.n_lines:
            return len(self.text)
        start, end = self.line_start(position.line), self.line_end(position.line)
        return start + n_code_points(self.text[start:end], position.character, encoding)

    def position_at(self, offset: int, encoding: PositionEncoding) -> Position:
        """The position of `offset`; inside a `\\r\\n` it is the line's end.

        Raises:
            RequestError: the offset is outside the document.
        """
        if not 0 <= offset <= len(self.text):
            raise RequestError(f"Offset {offset} is outside the document, which has {len(self.text)} characters.")
        line = self.line_at(offset)
        before = self.text[self.line_start(line) : min(offset, self.line_end(line))]
        return Position(line, n_units(before, encoding))

    def changed(
        self, changes: Sequence[Change], encoding: PositionEncoding
    ) -> tuple["Text", tuple["Replacement", ...]]:
        """This text after `changes`, one after the other, and what they did; many are one replacement of the whole text.

        Raises:
            RequestError: 400 for a range that ends before it starts or has negative numbers; 413 for more than can be done
                without keeping others waiting.
        """
        if needs_whole_text(len(changes), len(self.text)):
            raise _too_much(
                f"{len(changes):,} changes at once are too many for a text of {len(self.text):,} characters"
            )
        for change in changes:
            _check_range(change)
        *first, last = changes
        content, done = self, []
        if len(first) >= MAX_SINGLE_CHANGES:
            content = self._changed_by_lines(first, encoding)
            done = [Replacement(self, 0, len(self.text), content.text)]
        for change in changes if content is self else [last]:
            replacement = content._replacement(change, encoding)
            content = replacement.after()
            done.append(replacement)
        check_length(content.text)
        return content, tuple(done)

    def _changed_by_lines(self, changes: Sequence[Change], encoding: PositionEncoding) -> "Text":
        """The same result as one by one, without a copy of the whole text for each of them."""
        lines = Lines(self.text)
        for change in changes:
            lines.apply(change, encoding)
            if lines.n_copied > MAX_COPIED_CHARACTERS:
                raise _too_much(f"{len(changes) + 1:,} changes of lines as long as these are too many at once")
        return Text.of(lines.text)

    def _replacement(self, change: Change, encoding: PositionEncoding) -> "Replacement":
        new = well_formed(change.text)
        if change.start is None or change.end is None:
            return Replacement(self, 0, len(self.text), new)
        start = self.offset_at(change.start, encoding)
        end = start if change.end == change.start else self.offset_at(change.end, encoding)
        return Replacement(self, start, end, new)


class Replacement(NamedTuple):
    """`new` in the place of [start, end) of the text `before`."""

    before: Text
    start: int
    end: int
    new: str

    @property
    def old(self) -> str:
        return self.before.text[self.start : self.end]

    @property
    def is_whole(self) -> bool:
        """Whether everything is replaced."""
        return self.start == 0 and self.end == len(self.before.text)

    def after(self) -> Text:
        """The text with the replacement made."""
        return Text.of(self.new) if self.is_whole else self.before.replaced(self.start, self.end, self.new)

    def narrowed(self) -> "Replacement":
        """The same without what old and new text share at their beginnings and ends."""
        old, new = self.old, self.new
        n_first, n_last = common_ends(old, new)
        return Replacement(self.before, self.start + n_first, self.end - n_last, new[n_first : len(new) - n_last])


def check_length(text: str) -> None:
    """Refuse a text that is too long for a document.

    Raises:
        RequestError: 413.
    """
    if len(text) > MAX_DOCUMENT_CHARACTERS:
        raise RequestError(
            f"A document of {len(text):,} characters is too long: at most {MAX_DOCUMENT_CHARACTERS:,} are completed.",
            413,
        )


def _check_range(change: Change) -> None:
    if change.start is None or change.end is None:
        return
    for position in (change.start, change.end):
        _check(position)
    if change.end < change.start:
        raise RequestError(f"The range ends at {change.end} before it starts at {change.start}.")


def _check(position: Position) -> None:
    if position.line < 0 or position.character < 0:
        raise RequestError(f"Position {position.line}:{position.character} is negative; both count from 0.")


def _too_much(what: str) -> RequestError:
    return RequestError(f"{what}; open the document again with its whole text.", 413)


def _line_starts(text: str) -> Offsets:
    """Where the lines of `text` start. Scanned by numpy: a loop in Python over a long text would keep others waiting."""
    is_ascii = text.isascii()
    data = text.encode("ascii") if is_ascii else text.encode("utf-32-le", "surrogatepass")
    codes = np.frombuffer(data, np.uint8 if is_ascii else np.uint32)
    ends = codes == _LF
    if "\r" in text:
        lone = codes == _CR
        lone[:-1] &= ~ends[1:]  # the "\n" of a "\r\n" is counted already
        ends |= lone
    return np.concatenate((_FIRST, np.flatnonzero(ends) + 1))
