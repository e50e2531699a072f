"""Projects: a workspace root each, with its documents, open and on disk, and the order of their edits.

While somebody has a document open, that is what the project sees of it; otherwise what is on disk, if it is known.
A document may be open in several editors at once. Each has its own copy, because changes and versions only make sense
upon the text that this editor holds; what the project sees is the copy that was last opened, changed or looked at.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import PurePath

from scrubjay.errors import RequestError
from scrubjay.uris import notebook_of, path_of
from scrubjay.workspace.document import Document
from scrubjay.workspace.git import worktree_within
from scrubjay.workspace.project import File, Project
from scrubjay.workspace.roots import is_home_or_above
from scrubjay.workspace.text import Change, Position, PositionEncoding, Replacement

MAX_PROJECTS = 16
"""With more than this, projects in which nothing is open are forgotten, the one closed longest ago first."""


@dataclass(frozen=True, slots=True)
class _Copy:
    """One owner's copy of a document, and the project in which that owner has it open."""

    project: Project
    document: Document


def _unchanged(path: str) -> str:
    return path


class Projects:
    """All projects, and which client has which document open in them.

    Args:
        canonical: the one path that all spellings of a path mean (symbolic links resolved); it may read the disk.
        clock: seconds, from any start; it tells apart edits by the pauses between them.

    Attributes:
        on_change: called with a document that was changed, and what was replaced in it.
    """

    def __init__(self, canonical: Callable[[str], str] = _unchanged, clock: Callable[[], float] = lambda: 0.0) -> None:
        self._canonical = canonical
        self._clock = clock
        self._projects: dict[str, Project] = {}
        # Roots of projects in which nothing is open, the one that was closed last at the end.
        self._closed: dict[str, None] = {}
        # Copies of a document by owner, the one last touched at the end.
        self._copies: dict[str, dict[str, _Copy]] = {}
        # Keys of what is open, by URI: where a link leads is not asked at each key, and does not change meanwhile. And the
        # URIs of each key.
        self._keys: dict[str, str] = {}
        self._uris: dict[str, set[str]] = {}
        self._numbers = count(1)
        self.on_change: Callable[[Document, Sequence[Replacement]], None] = lambda _document, _changes: None

    def __iter__(self) -> Iterator[Project]:
        return iter(self._projects.values())

    def open(
        self,
        uri: str,
        language: str,
        version: int,
        text: str,
        root: str | None,
        find_root: Callable[[str], str],
        owner: str = "",
    ) -> Document:
        """Open a document for `owner`, or give it a new text if `owner` has it open already.

        Args:
            root: the workspace folder; None, or one that is no one project such as the home folder, for that which
                `find_root` finds for the file's canonical path. A cell belongs to its notebook's project; another
                document that is no file and has no root is a project of its own.

        Raises:
            RequestError: 413, the text is too long; what was open before still is.
        """
        path = self._path(uri)
        document = Document(uri, language, version, text, path)
        if (old := self._copies.get(document.key, {}).get(owner)) is not None:
            document.last_edit = min(old.document.last_edit, len(document.text))
            self._drop(document.key, owner)
        project = self._project(self._root(root, path, uri, find_root))
        self._keys[uri] = document.key
        self._uris.setdefault(document.key, set()).add(uri)
        self._copies.setdefault(document.key, {})[owner] = _Copy(project, document)
        project.history.interrupt(document.key)
        project.show(document)
        self._closed.pop(project.root, None)
        project.recency[document.key] = next(self._numbers)
        return document

    def change(
        self,
        uri: str,
        version: int,
        changes: Sequence[Change],
        encoding: PositionEncoding = "utf-16",
        base_version: int | None = None,
        owner: str = "",
    ) -> Document:
        """Change the copy of `owner`.

        Raises:
            RequestError: 404 if `owner` has no such document open; and as `Document.apply` does.
        """
        copy = self._own(uri, owner)
        done = copy.document.apply(version, changes, encoding, base_version)
        self._touch(copy, owner)
        copy.project.record_edit(copy.document, next(self._numbers), done, self._clock())
        self.on_change(copy.document, done)
        return copy.document

    def saved(self, uri: str, owner: str = "") -> Project:
        """The editor has written the document to disk; returns the project in which it is open.

        Raises:
            RequestError: 404 if it is not open.
        """
        project, document = self.find(uri, owner)
        project.history.saved(document.key)
        return project

    def close(self, uri: str, owner: str = "") -> None:
        """Close the copy of `owner`; the document is gone when its last owner closes it.

        Raises:
            RequestError: 404 if `owner` has no such document open.
        """
        copy = self._own(uri, owner)
        self._drop(copy.document.key, owner)

    def close_owner(self, owner: str) -> None:
        """Close everything that `owner` has open."""
        for key in [key for key, copies in self._copies.items() if owner in copies]:
            self._drop(key, owner)

    def focus(
        self, uri: str, position: Position | None = None, encoding: PositionEncoding = "utf-16", owner: str = ""
    ) -> Document:
        """The user is at `position` of the document; without one, where the last edit there ended.

        Raises:
            RequestError: 404 if it is not open, 400 for a position outside it.
        """
        project, document = self.find(uri, owner)
        offset = document.last_edit if position is None else document.offset_at(position, encoding)
        self.focus_at(project, document, offset, owner)
        return document

    def focus_at(self, project: Project, document: Document, offset: int, owner: str = "") -> None:
        """The user is at `offset` of `document`, which `find` has found for `owner`."""
        copies = self._copies[document.key]
        if owner in copies:
            copies[owner] = copies.pop(owner)
        project.show(document)
        project.cursor = (document.key, offset)

    def set_files(self, root: str, files: Sequence[File], is_first: bool) -> bool:
        """Let the project at `root` know exactly `files` on disk; returns whether it shows other texts than before.

        Args:
            files: the most recently edited one last.
            is_first: nothing was known of the disk, so these were edited before everything that is known.
        """
        if (project := self._projects.get(root)) is None:
            return False  # it was forgotten while somebody looked at the disk
        gone = project.files.keys() - {file.path for file in files}
        news = [file for file in files if (old := project.files.get(file.path)) is None or old.text != file.text]
        for key in gone:
            del project.files[key]
        hidden = [key for key in gone if not project.is_open(key)]
        for key in hidden:
            project.close(key)
        numbers = count(-len(news)) if is_first else self._numbers
        shown = [_add_file(project, file, numbers) for file in news]
        return bool(hidden) or any(shown)

    def forget_excess(self) -> tuple[str, ...]:
        """Forget closed projects if there are more than `MAX_PROJECTS`; returns their roots."""
        n_excess = max(len(self._projects) - MAX_PROJECTS, 0)
        roots = tuple(self._closed)[:n_excess]
        for root in roots:
            del self._closed[root], self._projects[root]
        return roots

    def find(self, uri: str, owner: str = "") -> tuple[Project, Document]:
        """The copy of `owner`, else the one last touched, and the project in which it is open.

        Raises:
            RequestError: 404 if it is not open.
        """
        copies = self._copies.get(self._key(uri))
        if not copies:
            raise _not_open(uri)
        copy = copies.get(owner) or next(reversed(copies.values()))
        return copy.project, copy.document

    def document(self, uri: str, owner: str = "") -> Document:
        """The document that `find` finds.

        Raises:
            RequestError: 404 if it is not open.
        """
        return self.find(uri, owner)[1]

    def project_of(self, uri: str, owner: str = "") -> Project:
        """The project in which the document is open.

        Raises:
            RequestError: 404 if it is not open.
        """
        return self.find(uri, owner)[0]

    def by_root(self, root: str) -> Project:
        """The project with that root.

        Raises:
            RequestError: 404 if nothing was ever open there.
        """
        project = self._projects.get(self._canonical_root(root))
        if project is None:
            raise RequestError(f"No project has the root {root}; open one of its documents first.", status=404)
        return project

    def _own(self, uri: str, owner: str) -> _Copy:
        copy = self._copies.get(self._key(uri), {}).get(owner)
        if copy is None:
            raise _not_open(uri)
        return copy

    def _touch(self, copy: _Copy, owner: str) -> None:
        copies = self._copies[copy.document.key]
        copies[owner] = copies.pop(owner)

    def _drop(self, key: str, owner: str) -> None:
        copies = self._copies[key]
        project = copies.pop(owner).project
        others = [copy.document for copy in copies.values() if copy.project is project]
        if others:
            project.show(others[-1])
        else:
            project.close(key)
        if not project.n_open:
            self._closed[project.root] = None
        if not copies:
            del self._copies[key]
            for uri in self._uris.pop(key):
                del self._keys[uri]

    def _key(self, uri: str) -> str:
        return self._keys.get(uri) or self._path(uri) or uri

    def _path(self, uri: str) -> str | None:
        path = path_of(uri)
        return None if path is None else self._keys.get(uri) or self._canonical(path)

    def _root(self, root: str | None, path: str | None, uri: str, find_root: Callable[[str], str]) -> str:
        if root is not None and not is_home_or_above(root := self._canonical_root(root)):
            return (path and worktree_within(root, path)) or root
        if path is None and (notebook := notebook_of(uri)):
            path = self._canonical(notebook[0])
        return uri if path is None else self._canonical_root(find_root(path))

    def _canonical_root(self, root: str) -> str:
        return self._canonical(root.rstrip("/") or "/") if root.startswith("/") else root

    def _project(self, root: str) -> Project:
        return self._projects.setdefault(root, Project(root))


def _add_file(project: Project, file: File, numbers: Iterator[int]) -> bool:
    """Let `project` know a new file, or a new text of one; whether it shows that, so nobody has the file open."""
    document = Document(PurePath(file.path).as_uri(), "", 0, file.text, file.path, is_open=False)
    project.files[file.path] = document
    if project.is_open(file.path):
        # What the editor saves was counted when it was typed.
        project.seen_on_disk(document)
        return False
    project.show(document)
    project.recency[document.key] = next(numbers)
    return True


def _not_open(uri: str) -> RequestError:
    return RequestError(f"{uri} is not open; POST it to /api/documents/open first.", status=404)
