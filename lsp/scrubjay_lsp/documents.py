"""The editor's open documents, and the daemon's copies of them kept in step.

Edits are passed on as they come, as ranges, each based on the version before it. When the daemon refuses one, or is
another daemon than before, it gets the whole text.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from scrubjay_lsp.daemon_connection import DaemonConnection
from scrubjay_lsp.daemon_reply import Json, Reply
from scrubjay_lsp.quirks import UNNUMBERED
from scrubjay_lsp.text import Encoding, Lines, Position

logger = logging.getLogger(__name__)


class Edit(NamedTuple):
    """`text` replaces what is between `start` and `end`; without them, everything."""

    text: str
    start: Position | None = None
    end: Position | None = None


class OpenDocument:
    """One document as the editor has it."""

    def __init__(self, uri: str, language: str, version: int, text: str) -> None:
        self.uri = uri
        self.language = language
        self.version = version
        self.lines = Lines(text)
        self.root: str | None = None
        self.n_opened = 0
        """How often its whole text was sent to the daemon."""

    def edit(self, version: int, edits: Iterable[Edit], encoding: Encoding) -> None:
        """Apply `edits`, one after the other. An editor that numbers badly gets the next number."""
        for edit in edits:
            if edit.start is None or edit.end is None:
                self.lines = Lines(edit.text)
            else:
                self.lines.replace(edit.start, edit.end, edit.text, encoding)
        self.version = version if version != UNNUMBERED and version > self.version else self.version + 1


class Documents:
    """All open documents of the editor."""

    def __init__(self, daemon: DaemonConnection) -> None:
        self.encoding: Encoding = "utf-16"
        self.n_resent = 0
        """How often the daemon was out of step and got a whole text anew."""
        self._daemon = daemon
        self._documents: dict[str, OpenDocument] = {}
        self._folders: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self._documents)

    def __iter__(self) -> Iterator[OpenDocument]:
        return iter(self._documents.values())

    @property
    def latest(self) -> str | None:
        """URI of the document that was last opened, changed or looked at."""
        return next(reversed(self._documents), None)

    def find(self, uri: str) -> OpenDocument | None:
        """The document with that URI, if it is open."""
        return self._documents.get(uri)

    def open(self, uri: str, language: str, version: int, text: str) -> None:
        """The editor has opened it; a second time means a new text."""
        document = OpenDocument(uri, language, version, text)
        document.root = root_of(uri, self._folders)
        self._touch(document)
        self._send_whole(document)

    def change(self, uri: str, version: int, edits: list[Edit]) -> None:
        """The editor has changed it."""
        if (document := self.find(uri)) is None:
            logger.warning("A change of %s, which is not open, is passed over.", uri)
            return
        base = document.version
        document.edit(version, edits, self.encoding)
        self._touch(document)
        changes = [_change(edit) for edit in edits]
        self._tell(document, "change", {"version": document.version, "base_version": base, "changes": changes})

    def close(self, uri: str) -> None:
        """The editor has closed it."""
        if (document := self._documents.pop(uri, None)) is not None:
            self._tell(document, "close", {})

    def save(self, uri: str) -> None:
        """The editor has written it to disk."""
        if document := self.find(uri):
            self._tell(document, "save", {})

    def focus(self, uri: str, position: Position | None = None) -> None:
        """The user looks at it."""
        if document := self.find(uri):
            self._touch(document)
            self._tell(document, "focus", {"position": position._asdict()} if position else {})

    def set_folders(self, folders: Mapping[str, str]) -> None:
        """The workspace folders, paths by URI, are these from now on; documents that change project are sent anew."""
        self._folders = dict(folders)
        for document in self:
            root = root_of(document.uri, self._folders)
            if root != document.root:
                document.root = root
                self._tell(document, "close", {})
                self._send_whole(document)

    def send_all(self) -> None:
        """Tell a daemon that knows nothing everything, the latest last."""
        for document in self:
            self._send_whole(document)

    def _touch(self, document: OpenDocument) -> None:
        """Make it the latest."""
        self._documents.pop(document.uri, None)
        self._documents[document.uri] = document

    def _tell(self, document: OpenDocument, method: str, params: Json) -> None:
        if not self._daemon.is_connected:
            return
        what = {"uri": document.uri, "position_encoding": self.encoding, **params}
        reply = self._daemon.submit(f"documents/{method}", what)
        n_opened = document.n_opened
        reply.add_done_callback(lambda reply: self._told(document, method, n_opened, reply))

    def _told(self, document: OpenDocument, method: str, n_opened: int, reply: Reply) -> None:
        """A refused change means that the texts differ; one that was sent before the last whole text no longer does."""
        error = reply.exception()
        if error is None:
            return
        logger.info("The daemon refused documents/%s of %s: %s", method, document.uri, error)
        if method == "change" and document.n_opened == n_opened:
            self.send_again(document)

    def send_again(self, document: OpenDocument) -> None:
        """Send the whole text of `document`, if it is still open."""
        if self.find(document.uri) is document:
            self.n_resent += 1
            self._send_whole(document)

    def _send_whole(self, document: OpenDocument) -> None:
        if not self._daemon.is_connected:
            return
        document.n_opened += 1
        root = {"root": document.root} if document.root else {}
        whole = {"language": document.language, "version": document.version, "text": document.lines.text}
        self._tell(document, "open", {**whole, **root})


def root_of(uri: str, folders: Mapping[str, str]) -> str | None:
    """The path of the innermost of `folders` (paths by URI) that holds `uri`."""
    holding = [folder for folder in folders if uri.startswith(folder.rstrip("/") + "/")]
    return folders[max(holding, key=len)] if holding else None


def _change(edit: Edit) -> Json:
    if edit.start is None or edit.end is None:
        return {"text": edit.text}
    return {"range": {"start": edit.start._asdict(), "end": edit.end._asdict()}, "text": edit.text}
