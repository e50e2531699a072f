"""Documents as editors have them: text, versions, and incremental changes in three position encodings.

Inside Scrubjay every place in a text is an *offset*: a number of code points from its start. Positions (line and
character, both from 0, the character in units of the client's encoding) exist only at the edges. Lines end with
`\\n`, `\\r\\n` or `\\r`, as the language server protocol says.
"""

import re
from collections.abc import Iterable
from copy import copy
from dataclasses import dataclass
from typing import Literal
from urllib.parse import unquote

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


class Document:
    """A document: what a client has open, or what is on disk.

    Args:
        uri: as the client named it.
        language: the client's language identifier, "" if it gave none.
        version: the client's number for this text; it only ever increases.
        text: the whole text.
        path: canonical path of the file; by default what the URI says, None if it is no file.
        is_open: a client has it open; otherwise this is what is on disk.
    """

    def __init__(
        self, uri: str, language: str, version: int, text: str, path: str | None = None, is_open: bool = True
    ) -> None:
        self.uri = uri
        self.language = language
        self.path = path or path_of(uri)
        self.version = version
        self.is_open = is_open
        self.content = Text.of(well_formed(text))
        self.last_edit = 0
        self._snapshot: Document | None = None

    @property
    def text(self) -> str:
        return self.content.text

    @property
    def key(self) -> str:
        """What names this document, however a client spells its URI."""
        return self.path or self.uri

    def snapshot(self) -> "Document":
        """A copy in which later changes do not show; the same one until there is such a change."""
        if self._snapshot is None:
            self._snapshot = copy(self)
        return self._snapshot

    def apply(
        self,
        version: int,
        changes: Iterable[Change],
        encoding: PositionEncoding = "utf-16",
        base_version: int | None = None,
    ) -> None:
        """Make `changes`, one after the other, all or none; `last_edit` is then the offset where the last one ends.

        Raises:
            RequestError: 409 if `version` does not follow, or `base_version` is not the version at hand; 400 for a
                range outside the document. The document is then as it was.
        """
        self._check_version(version, base_version)
        content, last_edit = self.content, self.last_edit
        for change in changes:
            content, last_edit = content.changed(change, encoding)
        self.content, self.last_edit, self.version = content, last_edit, version
        self._snapshot = None

    def offset_at(self, position: Position, encoding: PositionEncoding = "utf-16") -> int:
        """See `Text.offset_at`."""
        return self.content.offset_at(position, encoding)

    def position_at(self, offset: int, encoding: PositionEncoding = "utf-16") -> Position:
        """See `Text.position_at`."""
        return self.content.position_at(offset, encoding)

    def _check_version(self, version: int, base_version: int | None) -> None:
        has = f"{self.uri} is at version {self.version}"
        if base_version is not None and base_version != self.version:
            raise RequestError(f"{has}, not {base_version}; open it again with its whole text.", status=409)
        if version <= self.version:
            raise RequestError(f"{has}, so {version} cannot follow; open it again with its whole text.", status=409)


def path_of(uri: str) -> str | None:
    """The path that a `file:` URI names, None for any other."""
    if not uri.startswith("file:/"):
        return None
    rest = uri.removeprefix("file:")
    path = rest[rest.find("/", 2) :] if rest.startswith("//") else rest
    return unquote(path, errors="surrogateescape")


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
