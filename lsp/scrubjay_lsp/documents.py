"""The editor's open documents, and the daemon's copies of them kept in step.

Edits are passed on as they come, as ranges, each based on the version before it. When the daemon refuses one, or is
another daemon than before, it gets the whole text.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping

from scrubjay.positions import (
    MAX_DOCUMENT_CHARACTERS,
    Change,
    Lines,
    Position,
    PositionEncoding,
    needs_whole_text,
)
from scrubjay.uris import notebook_of, path_of
from scrubjay_lsp.daemon_connection import DaemonConnection
from scrubjay_lsp.daemon_reply import Json, Reply
from scrubjay_lsp.quirks import UNNUMBERED

logger = logging.getLogger(__name__)


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

    def change(self, version: int, changes: Iterable[Change], encoding: PositionEncoding) -> None:
        """Make `changes`, one after the other. An editor that numbers badly gets the next number."""
        for change in changes:
            self.lines.apply(change, encoding)
        self.version = version if version != UNNUMBERED and version > self.version else self.version + 1


class Documents:
    """All open documents of the editor. One that is too long to be completed counts as closed.

    Args:
        complain: called with a sentence for the user.
    """

    def __init__(self, daemon: DaemonConnection, complain: Callable[[str], None]) -> None:
        self.encoding: PositionEncoding = "utf-16"
        self.n_resent = 0
        """How often the daemon was out of step and got a whole text again."""
        self._daemon = daemon
        self._complain = complain
        self._documents: dict[str, OpenDocument] = {}
        # Languages of the documents that are too long, by URI.
        self._too_long: dict[str, str] = {}
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
        self._too_long.pop(uri, None)
        if len(text) > MAX_DOCUMENT_CHARACTERS:
            self._pass_over(uri, language, len(text))
            return
        document = OpenDocument(uri, language, version, text)
        document.root = root_of(uri, self._folders)
        self._touch(document)
        self._send_whole(document)

    def change(self, uri: str, version: int, changes: list[Change]) -> None:
        """The editor has changed it."""
        if uri in self._too_long:
            self._change_too_long(uri, version, changes)
            return
        if (document := self.find(uri)) is None:
            logger.warning("A change of %s, which is not open, is passed over.", uri)
            return
        base, is_much = document.version, needs_whole_text(len(changes), document.lines.n_characters)
        document.change(version, changes, self.encoding)
        if document.lines.n_characters > MAX_DOCUMENT_CHARACTERS:
            self._pass_over(uri, document.language, document.lines.n_characters)
            return
        self._touch(document)
        sent = [{"text": document.lines.text}] if is_much else [_as_sent(change) for change in changes]
        self._tell(document, "change", {"version": document.version, "base_version": base, "changes": sent})

    def close(self, uri: str) -> None:
        """The editor has closed it."""
        self._too_long.pop(uri, None)
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
            self._tell(document, "focus", {"position": as_json(position)} if position else {})

    def set_folders(self, folders: Mapping[str, str]) -> None:
        """The workspace folders, paths by URI, are these from now on; documents that change project are sent again."""
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

    def _pass_over(self, uri: str, language: str, n_characters: int) -> None:
        """The document is too long: nothing is known of it any more, until it has another text."""
        self.close(uri)
        self._too_long[uri] = language
        name = uri.rsplit("/", 1)[-1]
        self._complain(
            f"{name} has {n_characters:,} characters and is not completed: at most {MAX_DOCUMENT_CHARACTERS:,} are."
        )

    def _change_too_long(self, uri: str, version: int, changes: list[Change]) -> None:
        """A text that is not known cannot be changed, but another one may take its place."""
        whole = [number for number, change in enumerate(changes) if change.start is None or change.end is None]
        if whole and len(changes[whole[-1]].text) <= MAX_DOCUMENT_CHARACTERS:
            self.open(uri, self._too_long[uri], version, changes[whole[-1]].text)
            if rest := changes[whole[-1] + 1 :]:
                self.change(uri, version + 1, rest)

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
    """The path of the innermost of `folders` (paths by URI) that holds `uri`, however both are spelled."""
    notebook = notebook_of(uri)
    path = notebook[0] if notebook else path_of(uri)
    if path is None:
        # Documents of other machines, and what else is no file here.
        holding = [root for folder, root in folders.items() if uri.startswith(f"{folder.rstrip('/')}/")]
    else:
        holding = [root for root in folders.values() if path.startswith(f"{root.rstrip('/')}/")]
    return max(holding, key=len, default=None)


def as_json(position: Position) -> Json:
    """A position as the daemon takes it."""
    return {"line": position.line, "character": position.character}


def _as_sent(change: Change) -> Json:
    if change.start is None or change.end is None:
        return {"text": change.text}
    return {"range": {"start": as_json(change.start), "end": as_json(change.end)}, "text": change.text}
