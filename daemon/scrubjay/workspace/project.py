"""One project: its documents, open and on disk, and the order of their edits."""

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from scrubjay.positions import well_formed
from scrubjay.uris import notebook_of
from scrubjay.workspace.context_rules import NO_CONTEXT_RULES, ContextRules
from scrubjay.workspace.document import Document
from scrubjay.workspace.edit_history import EditHistory
from scrubjay.workspace.text import Replacement


class Focus(NamedTuple):
    """Where the user is: a document and an offset in it."""

    document: Document
    offset: int


@dataclass(frozen=True, slots=True)
class File:
    """What a file on disk says; `path` is canonical."""

    path: str
    text: str


@dataclass(frozen=True, slots=True)
class Tail:
    """A text that prompts show after all files, such as a compiler's output; with `once` only the next one does.

    Args:
        key: only prompts for that document show it; "" for all of them.
        is_diff: it is a diff of the project's files, which comes and changes in idle time only, and does not show the file
            that is edited.
    """

    name: str
    text: str
    once: bool = True
    key: str = ""
    is_diff: bool = False


MAX_TAILS = 8


@dataclass(eq=False, slots=True)
class Project:
    """A workspace root, its documents by `Document.key`, and the number of each one's last edit.

    Args:
        documents: what is open, and what of `files` is not.
        files: what is known to be on disk, open or not.
        tails: by name, the one that came last at the end.
        history: what the user has edited in it.
        rules: what the user wants to be shown of it.
    """

    root: str
    recency: dict[str, int] = field(default_factory=dict)
    documents: dict[str, Document] = field(default_factory=dict)
    cursor: tuple[str, int] | None = None
    files: dict[str, Document] = field(default_factory=dict)
    tails: dict[str, Tail] = field(default_factory=dict)
    history: EditHistory = field(default_factory=EditHistory)
    rules: ContextRules = NO_CONTEXT_RULES
    name: str = field(init=False)
    """The last part of the root: what the model is told."""
    n_open: int = field(init=False)
    """How many documents are open; counted, because many may be."""
    _reloads: dict[str, Document] = field(default_factory=dict)
    # Open documents of which another text is on disk since they were edited, with that text.
    _edited: dict[str, Document] = field(default_factory=dict)
    # The copy of each that was edited last.

    def __post_init__(self) -> None:
        self.name = well_formed(self.root.rstrip("/").rpartition("/")[2] or self.root)
        self.n_open = sum(document.is_open for document in self.documents.values())

    @property
    def focus(self) -> Focus | None:
        """Where the user was last, else the end of the last edit; None while nothing is open."""
        if not self.n_open:
            return None
        document = self.documents.get(self.cursor[0]) if self.cursor else None
        if self.cursor and document and document.is_open:
            return Focus(document, min(self.cursor[1], len(document.text)))
        document = self.by_recency()[-1]
        return Focus(document, min(document.last_edit, len(document.text)))

    def snapshot(self) -> "Project":
        """A copy in which later changes do not show."""
        project = copy(self)
        # Most documents have not changed since the last key, and need not be asked.
        project.documents = {key: document._snapshot or document.snapshot() for key, document in self.documents.items()}
        project.recency, project.tails = dict(self.recency), dict(self.tails)
        return project

    def by_recency(self) -> list[Document]:
        """All documents, least recently edited first; those that are open come after all others."""
        return sorted(self.documents.values(), key=lambda document: (document.is_open, self.recency[document.key]))

    def by_priority(self) -> list[Document]:
        """All documents, the one last that prompts show first of all."""
        recent = self.by_recency()
        return recent if self.rules is NO_CONTEXT_RULES else sorted(recent, key=self.insists_on)

    def may_show(self, document: Document) -> bool:
        """Whether the project's rules let `document` be shown beside the one that is edited."""
        return self.rules is NO_CONTEXT_RULES or _may_show(self.rules, self._place(document), document.is_open)

    def insists_on(self, document: Document) -> bool:
        """Whether the project's rules want `document` to be shown before others."""
        return self.rules is not NO_CONTEXT_RULES and _insists_on(self.rules, self._place(document))

    def label(self, document: Document) -> str:
        """The document's path as the model sees it: relative to the root, with forward slashes."""
        return _label(self.root, document.path, document.uri)

    def _place(self, document: Document) -> str:
        """The path that rules are about: a cell of a notebook is a part of its file."""
        notebook = None if document.path else notebook_of(document.uri)
        return _label(self.root, notebook[0], "") if notebook else self.label(document)

    def show(self, document: Document) -> None:
        """Let `document` be the project's copy under its key."""
        self.n_open += document.is_open - self.is_open(document.key)
        self.documents[document.key] = document

    def record_edit(
        self, document: Document, number: int, changes: Sequence[Replacement] = (), now_s: float = 0.0
    ) -> None:
        """`document` was edited as the `number`-th thing that happened; the user is where that edit ends."""
        if self._edited.get(document.key) is not document:
            self.history.interrupt(document.key)  # it is open twice, and this is the other copy
            self._edited[document.key] = document
        self.show(document)
        self.recency[document.key] = number
        self.cursor = (document.key, document.last_edit)
        on_disk = self._reloads.pop(document.key, None)
        if on_disk is not None and on_disk.text == document.text:
            self.history.interrupt(document.key)
        else:
            self.history.record(document.key, changes, now_s)

    def seen_on_disk(self, file: Document) -> None:
        """An open document has another text on disk than before: the editor has saved it, or will read it from there."""
        if self.documents[file.key].text == file.text:
            self.history.found_on_disk(file.key)
        else:
            self._reloads[file.key] = file

    def close(self, key: str) -> None:
        """Nobody has the document under `key` open any more: what is on disk counts again, if it is known."""
        self.tails = {name: tail for name, tail in self.tails.items() if tail.key != key}
        if (on_disk := self.files.get(key)) is not None:
            self.show(on_disk)
        else:
            self.n_open -= self.is_open(key)
            del self.documents[key], self.recency[key]
        self._reloads.pop(key, None)
        self._edited.pop(key, None)

    def add_tail(self, tail: Tail) -> None:
        """Show `tail`, in the place of one of the same name; one without text is shown no more."""
        self.tails.pop(tail.name, None)
        if tail.text:
            self.tails[tail.name] = tail
        for name in list(self.tails)[:-MAX_TAILS]:
            del self.tails[name]

    def use_up(self, shown: Mapping[str, Tail]) -> None:
        """Those of `shown` that were to be shown once have been."""
        for name, tail in shown.items():
            if tail.once and self.tails.get(name) is tail:
                del self.tails[name]

    def is_open(self, key: str) -> bool:
        """Whether the document under `key` is open."""
        return key in self.documents and self.documents[key].is_open


@lru_cache(maxsize=1024)
def _may_show(rules: ContextRules, label: str, is_open: bool) -> bool:
    return rules.may_show(label, is_open)


@lru_cache(maxsize=1024)
def _insists_on(rules: ContextRules, label: str) -> bool:
    return rules.insists_on(label)


@lru_cache(maxsize=1024)
def _label(root: str, path: str | None, uri: str) -> str:
    if path is not None:
        label = _below(root, path)
    elif notebook := notebook_of(uri):
        label = f"{_below(root, notebook[0])}#{notebook[1]}"
    else:
        label = uri.partition(":")[2].lstrip("/") or uri
    return well_formed(label)  # a name on disk may be no text


def _below(root: str, path: str) -> str:
    below = path.removeprefix(root.rstrip("/") + "/")
    return path.rpartition("/")[2] if below == path else below
