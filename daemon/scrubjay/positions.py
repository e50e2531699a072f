"""Positions in texts and edits by them, as the language server protocol has them; for the daemon and the language server.

Lines end with `\\n`, `\\r\\n` or `\\r` and nothing else: a form feed or U+2028 is an ordinary character, as the
protocol says and `str.splitlines` does not. A character beyond the end of its line means that end, a line beyond the
last one the end of the text, and a character inside a code point the start of that code point.
"""

import re
from dataclasses import dataclass
from typing import Literal

PositionEncoding = Literal["utf-8", "utf-16", "utf-32"]

MAX_DOCUMENT_CHARACTERS = 2 << 20
"""A longer document is not completed: nobody writes it by hand, and each look at it would keep others waiting."""
MAX_SINGLE_CHANGES = 4
"""That many changes may come at once whatever the text; each copies it, which takes milliseconds if it is long."""
MAX_CHANGES, MAX_CHANGED_CHARACTERS = 1000, 512 << 10
"""So many may come at once where the text is no longer than that: it is cut into lines for them, and joined again."""
MAX_COPIED_CHARACTERS = 8 << 20
"""What they may copy in all: each copies the lines that it touches, and a line may be a whole file."""

# Possessive: otherwise a long last line without an end would be tried from each of its characters on.
_LINE = re.compile(r"[^\r\n]*+(?:\r\n|\n|\r)|[^\r\n]++")
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_ASCII_ENDS = "\x0b\x0c\x1c\x1d\x1e"
_OTHER_ENDS = f"{_ASCII_ENDS}\x85\u2028\u2029"
"""What `str.splitlines` takes for line ends, and the protocol does not."""


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A place in a document: `line` and `character` count from 0, `character` in units of a position encoding."""

    line: int
    character: int


@dataclass(frozen=True, slots=True)
class Change:
    """`text` replaces what is between `start` and `end`; without these it replaces everything."""

    text: str
    start: Position | None = None
    end: Position | None = None


class Lines:
    """A text as a list of lines: an edit costs as much as the lines that it touches. Nothing here raises."""

    def __init__(self, text: str) -> None:
        self._lines = split_lines(well_formed(text))
        self.n_characters = len(text)
        self.n_copied = 0
        """How many characters edits have copied so far."""

    @property
    def text(self) -> str:
        """The whole text."""
        return "".join(self._lines)

    def before(self, position: Position, encoding: PositionEncoding) -> str:
        """What is on the line of `position` before it."""
        line, column = self._find(position, encoding)
        return self._lines[line][:column]

    def after(self, position: Position, encoding: PositionEncoding) -> str:
        """What is on the line of `position` after it, without the line's end."""
        line, column = self._find(position, encoding)
        return self._lines[line][column:].rstrip("\r\n")

    def replace(self, start: Position, end: Position, new: str, encoding: PositionEncoding) -> None:
        """Put `new` in the place of what is between `start` and `end`; of nothing if they are the wrong way round."""
        first, left = self._find(start, encoding)
        last, right = max((first, left), self._find(end, encoding))
        before, after = self._lines[first][:left], self._lines[last][right:]
        # A "\r" above joins with a "\n" that comes to stand at the start of the line below it.
        if first and not before and self._lines[first - 1].endswith("\r"):
            first -= 1
            before = self._lines[first]
        whole = before + well_formed(new) + after
        self.n_copied += len(whole)
        lines = split_lines(whole)
        is_last = last == len(self._lines) - 1
        self.n_characters += len(whole) - sum(map(len, self._lines[first : last + 1]))
        self._lines[first : last + 1] = lines if is_last else lines[:-1]

    def apply(self, change: Change, encoding: PositionEncoding) -> None:
        """Make `change`, whether it has a range or not."""
        if change.start is None or change.end is None:
            self._lines = split_lines(well_formed(change.text))
            self.n_characters = len(change.text)
        else:
            self.replace(change.start, change.end, change.text, encoding)

    def _find(self, position: Position, encoding: PositionEncoding) -> tuple[int, int]:
        """The line of `position` and the number of code points before it there."""
        if position.line < 0:
            return 0, 0
        if position.line >= len(self._lines):
            return len(self._lines) - 1, len(self._lines[-1])
        line = self._lines[position.line].rstrip("\r\n")
        return position.line, n_code_points(line, max(position.character, 0), encoding)


def needs_whole_text(n_changes: int, n_characters: int) -> bool:
    """Whether that many changes at once of a text that long are to be sent as one change without a range.

    The daemon refuses them otherwise, because all other requests would have to wait for them.
    """
    return n_changes > MAX_CHANGES or (n_changes > MAX_SINGLE_CHANGES and n_characters > MAX_CHANGED_CHARACTERS)


def split_lines(text: str) -> list[str]:
    """The lines of `text` with their ends; the last, which has none, may be empty."""
    # `str.splitlines` is many times faster, and the same where none of the characters occurs that only it takes for ends.
    is_plain = not any(end in text for end in (_ASCII_ENDS if text.isascii() else _OTHER_ENDS))
    lines: list[str] = text.splitlines(keepends=True) if is_plain else _LINE.findall(text)
    if not lines or lines[-1].endswith(("\n", "\r")):
        lines.append("")
    return lines


def well_formed(text: str) -> str:
    """`text` with U+FFFD for lone surrogates, which no tokenizer can read; as long as before in every encoding."""
    if text.isascii():
        return text
    try:
        text.encode("utf-8")  # much faster than to look for them
    except UnicodeEncodeError:
        return _LONE_SURROGATE.sub("\ufffd", text)
    return text


def n_code_points(line: str, n_units: int, encoding: PositionEncoding) -> int:
    """How many whole code points of `line` are in its first `n_units` units; all of them if it has fewer units."""
    # No code point has less than one unit, so what follows the first `n_units` code points never matters.
    line = line[:n_units]
    if encoding == "utf-32" or line.isascii():
        return len(line)
    if encoding == "utf-8":
        return len(line.encode("utf-8")[:n_units].decode("utf-8", "ignore"))
    return len(line.encode("utf-16-le")[: 2 * n_units].decode("utf-16-le", "ignore"))


def n_units(text: str, encoding: PositionEncoding) -> int:
    """How many units of `encoding` `text` has."""
    if encoding == "utf-32" or text.isascii():
        return len(text)
    return len(text.encode("utf-8")) if encoding == "utf-8" else len(text.encode("utf-16-le")) // 2


def end_of(start: Position, text: str, encoding: PositionEncoding) -> Position:
    """Where `text` ends when it is inserted at `start`."""
    *above, last = split_lines(text)
    return Position(start.line + len(above), n_units(last, encoding) + (0 if above else start.character))
