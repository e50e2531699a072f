"""Documents as editors have them: text, versions, and incremental changes in three position encodings.

Inside Scrubjay every place in a text is an *offset*: a number of code points from its start. Positions exist only at
the edges.
"""

from collections.abc import Sequence
from copy import copy

from scrubjay.code_text import language_of
from scrubjay.errors import RequestError
from scrubjay.uris import path_of
from scrubjay.workspace.text import Change, Position, PositionEncoding, Replacement, Text, check_length, well_formed


class Document:
    """A document: what a client has open, or what is on disk.

    Args:
        uri: as the client named it.
        language: the client's language identifier; "" if it gave none, then it is what the file's name says.
        version: the client's number for this text; it only ever increases.
        text: the whole text.
        path: canonical path of the file; by default what the URI says, None if it is no file.
        is_open: a client has it open; otherwise this is what is on disk.

    Attributes:
        key: what names this document, however a client spells its URI.
        content: the text with its lines; `text` is that of `content`.
        last_edit: the offset at which the last edit ended.

    Raises:
        RequestError: 413, the text is too long.
    """

    def __init__(
        self, uri: str, language: str, version: int, text: str, path: str | None = None, is_open: bool = True
    ) -> None:
        self.uri = uri
        self.language = language or language_of(uri)
        self.path = path or path_of(uri)
        self.key = self.path or uri
        self.version = version
        self.is_open = is_open
        check_length(text)
        self.text = well_formed(text)
        self.content = Text.of(self.text)
        self.last_edit = 0
        self._snapshot: Document | None = None

    def snapshot(self) -> "Document":
        """A copy in which later changes do not show; the same one until there is such a change."""
        if self._snapshot is None:
            self._snapshot = copy(self)
        return self._snapshot

    def replaced(self, start: int, end: int, new: str) -> "Document":
        """A copy with `new` in the place of [start, end), and nothing else changed."""
        document = copy(self)
        document._set(self.content.replaced(start, end, new))
        return document

    def apply(
        self,
        version: int,
        changes: Sequence[Change],
        encoding: PositionEncoding = "utf-16",
        base_version: int | None = None,
    ) -> tuple[Replacement, ...]:
        """Make `changes`, one after the other, all or none; `last_edit` is then the offset where the last one ends.

        Returns what was replaced; see `Text.changed`.

        Raises:
            RequestError: 409 if `version` does not follow, or `base_version` is not the version at hand; and as
                `Text.changed` does. The document is then as it was.
        """
        self._check_version(version, base_version)
        content, done = self.content.changed(changes, encoding) if changes else (self.content, ())
        self.version = version
        if done:
            self.last_edit = done[-1].start + len(done[-1].new)
        self._set(content)
        return done

    def offset_at(self, position: Position, encoding: PositionEncoding = "utf-16") -> int:
        """See `Text.offset_at`."""
        return self.content.offset_at(position, encoding)

    def position_at(self, offset: int, encoding: PositionEncoding = "utf-16") -> Position:
        """See `Text.position_at`."""
        return self.content.position_at(offset, encoding)

    def _set(self, content: Text) -> None:
        self.content, self.text, self._snapshot = content, content.text, None

    def _check_version(self, version: int, base_version: int | None) -> None:
        has = f"{self.uri} is at version {self.version}"
        if base_version is not None and base_version != self.version:
            raise RequestError(f"{has}, not {base_version}; open it again with its whole text.", status=409)
        if version <= self.version:
            raise RequestError(f"{has}, so {version} cannot follow; open it again with its whole text.", status=409)
