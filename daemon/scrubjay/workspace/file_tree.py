"""The files below a project's root: which of them are recent texts, and what these say.

For threads: everything here waits for the disk.
"""

import os
import re
import stat
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from heapq import nlargest
from typing import NamedTuple

from scrubjay.workspace.context_rules import FILE_NAME, NO_CONTEXT_RULES, ContextRules, read_context_rules
from scrubjay.workspace.hidden_names import IGNORE_FILES
from scrubjay.workspace.ignore_rules import REPOSITORY_RULES
from scrubjay.workspace.listing import Listing, is_folder
from scrubjay.workspace.project import File

MAX_FILE_BYTES = 256 << 10
"""What is larger was hardly written by hand, and would not fit into a prompt."""
MAX_CANDIDATES = 1000
"""How many of the newest files are remembered, however many there are."""
MAX_EDITS = 16
"""Of more files that were changed at once none counts as edited: somebody switched branches."""
BINARY_SAMPLE_BYTES = 8192
_GENERATED = re.compile(
    r"@generated\b|\bgenerated\b.*\bdo not (?:edit|modify|change)\b|\bdo not (?:edit|modify|change)\b.*\bgenerated\b"
    r"|^\W*(?:this (?:file|code|module) (?:is|was|has been) |code |file )?(?:auto(?:matically)?[- ]?)?generated (?:by|from)\b",
    re.IGNORECASE | re.MULTILINE,
)
"""As programs say in the head of what they have written."""
HEAD_CHARACTERS = 1000
CLOCK_STEP_NS = 100_000_000
"""By so much the clock of a file system may be late."""
BYTES_PER_TOKEN = 3
MAX_PREFILL_S = 15.0
"""How long the model may be busy with what nobody has opened."""


@dataclass(frozen=True, slots=True)
class FileBudget:
    """How much of what is on disk a project knows.

    Args:
        n_files: how many files at most, the newest first.
        n_bytes: how long they may be together.
        n_diff: about how many characters the diff of what the branch has changed may have; 0 if it is not wanted.
    """

    n_files: int = 16
    n_bytes: int = 64 << 10
    n_diff: int = 0

    @classmethod
    def for_model(cls, prefill_speed: float, n_ctx: int) -> "FileBudget":
        """What a model can bring in within a reasonable time.

        Args:
            prefill_speed: in tokens per second, 0 if that is unknown.
            n_ctx: how many tokens it can have in all.
        """
        n_bytes = int(prefill_speed * MAX_PREFILL_S) * BYTES_PER_TOKEN or cls().n_bytes
        return cls(n_bytes=min(max(n_bytes, 4 << 10), 512 << 10, n_ctx * BYTES_PER_TOKEN))

    @property
    def for_new(self) -> "FileBudget":
        """The part in which files that are not known yet must find room: when one goes, room for several is made."""
        return FileBudget(self.n_files - self.n_files // 4, self.n_bytes - self.n_bytes // 4)


class Stamp(NamedTuple):
    """When a file was changed, in ns since 1970, and how long it is: another stamp means another content."""

    mtime_ns: int
    n_bytes: int
    inode: int


class KnownFile(NamedTuple):
    """A file as it was when it was looked at last, and when it was edited last, in ns since 1970."""

    edited_ns: int
    stamp: Stamp


@dataclass(slots=True)
class FileTree:
    """What is known of the files below `root`, a canonical path. Nothing is until `scan`.

    Args:
        is_cancelled: nobody wants to know any more, so a scan ends soon; may be set at any time.
        nested_roots: folders, relative to the root, that are roots of their own: what is in them is theirs. May be set at
            any time, and counts for a scan that begins then.
        shows_secrets: whether files are shown that usually hold keys or passwords.

    Attributes:
        rules: what the project's own file said in the last scan.
    """

    root: str
    budget: FileBudget = field(default_factory=FileBudget)
    is_cancelled: bool = False
    nested_roots: frozenset[str] = frozenset()
    shows_secrets: bool = False
    rules: ContextRules = field(init=False, default=NO_CONTEXT_RULES)
    _listing: Listing = field(init=False)
    # The files edited last that no rule leaves out, and those that are always to be shown, by path below the root; and
    # whether there are more.
    _known: dict[str, KnownFile] = field(default_factory=dict)
    _is_cut: bool = False
    _scanned_ns: int = 0
    _texts: dict[str, tuple[Stamp, str]] = field(default_factory=dict)
    _shown: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        self._listing = Listing(self.root)

    @property
    def folders(self) -> list[str]:
        """The folders that were looked into, absolute: where something may change that is shown."""
        return [self._at(folder) for folder in self._listing.folders]

    def scan(self) -> None:
        """Look at every file, whatever is known."""
        started = time.time_ns()
        edited: list[tuple[str, Stamp]] = []
        self.rules = rules_at(self.root, self.rules)
        self._listing = self.new_listing()
        found = nlargest(MAX_CANDIDATES + 1, self._dated(edited), key=self._rank)
        self._is_cut = len(found) > MAX_CANDIDATES
        self._known = dict(found[:MAX_CANDIDATES])
        if len(edited) <= MAX_EDITS:
            self._known |= {path: KnownFile(stamp.mtime_ns, stamp) for path, stamp in edited}
            self._forget_oldest()
        self._scanned_ns = started - CLOCK_STEP_NS

    def new_listing(self) -> Listing:
        """The rules about which files are shown, as they are on disk now."""
        return Listing(self.root, self.nested_roots, self.shows_secrets, lambda: self.is_cancelled)

    def needs_scan(self, paths: Iterable[str]) -> bool:
        """Whether there may be other folders or rules than before at `paths`, absolute ones, or there were some."""
        return any(self._changes_folders(path) for path in self._below(paths))

    def update(self, paths: Collection[str]) -> None:
        """Look at `paths` again, absolute ones: of files that were changed, made, moved or deleted."""
        started = time.time_ns()
        is_edit = len(paths) <= MAX_EDITS
        below = self._below(paths)
        if any(map(self._changes_folders, below)) or not self._restamp_all(below, is_edit):
            self.scan()
        else:
            self._scanned_ns = started - CLOCK_STEP_NS

    def recent_files(self) -> tuple[File, ...]:
        """The texts edited last, as many as the budget allows beside those that are always shown, the newest last.

        Reads those that were changed. When one has to go, several do: whatever leaves a prompt costs all that stands after it.
        """
        order = [path for path, _ in sorted(self._known.items(), key=self._rank, reverse=True)]
        chosen = self._choose(order, self._shown)
        if not chosen.keys() >= self._shown & self._known.keys():
            chosen = self._choose(order, frozenset())
        self._shown = frozenset(chosen)
        self._texts = {path: known for path, known in self._texts.items() if path in chosen or not known[1]}
        by_age = sorted(chosen, key=lambda path: (self._known[path].edited_ns, path))
        return tuple(File(self._at(path), chosen[path]) for path in by_age)

    def _choose(self, order: Sequence[str], shown: Collection[str]) -> dict[str, str]:
        """Texts that fit, taken in `order`; those that were `shown` may have all of the budget, others a part of it."""
        chosen: dict[str, str] = {}
        n_bytes = 0
        for path in order:
            budget, n_more = self.budget if path in shown else self.budget.for_new, self._known[path].stamp.n_bytes
            if len(chosen) < budget.n_files and n_bytes + n_more <= budget.n_bytes and (text := self._text(path)):
                chosen[path] = text
                n_bytes += n_more
        return chosen

    def _text(self, path: str) -> str:
        stamp, known = self._known[path].stamp, self._texts.get(path)
        if known is None or known[0] != stamp:
            text = _read(self._at(path))
            self._texts[path] = known = (stamp, "" if _is_worthless(text) else text)
        return known[1]

    def _at(self, path: str) -> str:
        # No Path: there may be a hundred thousand of them.
        return f"{self.root.rstrip('/')}/{path}" if path else self.root

    def _below(self, paths: Iterable[str]) -> list[str]:
        """Those of `paths` that belong to no nested root, relative to the root, with forward slashes."""
        below = (os.path.relpath(path, self.root).replace(os.sep, "/") for path in paths)
        return [path for path in below if not any(f"{path}/".startswith(f"{nested}/") for nested in self.nested_roots)]

    def _dated(self, edited: list[tuple[str, Stamp]]) -> Iterator[tuple[str, KnownFile]]:
        """Every file that no rule leaves out, with the date that it has if what happened now was no edit.

        Args:
            edited: gets those that were edited now if these are few, and more than `MAX_EDITS` otherwise.
        """
        for path, status in self._listing.scan():
            if (stamp := _stamp(path, status)) is None or not self.rules.may_show(path, is_open=False):
                continue
            if self._is_newer(path, stamp) and len(edited) <= MAX_EDITS:
                edited.append((path, stamp))
            yield path, KnownFile(self._edited_ns(path, stamp, is_edit=False), stamp)

    def _is_newer(self, path: str, stamp: Stamp) -> bool:
        known = self._known.get(path)
        return stamp.mtime_ns > self._scanned_ns > 0 and (known is None or known.stamp != stamp)

    def _edited_ns(self, path: str, stamp: Stamp, is_edit: bool) -> int:
        """When the file was edited last; 0 for one that came here by other means."""
        known = self._known.get(path)
        if self._scanned_ns == 0 or (is_edit and self._is_newer(path, stamp)):
            return stamp.mtime_ns
        return known.edited_ns if known else 0

    def _changes_folders(self, path: str) -> bool:
        """Whether more than the file at `path` may have changed with it, or nothing is known of the folder that it is in."""
        folder, _, name = path.rpartition("/")
        if name in (*IGNORE_FILES, ".git") or path in (REPOSITORY_RULES, FILE_NAME) or self._listing.knows(path):
            return True
        if self._listing.knows(folder):
            # What is there now may be a folder that was moved here.
            return is_folder(self._at(path)) and self._listing.may_show(path)
        return self._listing.may_show(folder)

    def _restamp_all(self, paths: Collection[str], is_edit: bool) -> bool:
        """Look at single files again; False if others may be among the newest now."""
        unknown = self._listing.includes(path for path in paths if path not in self._known)
        return all(self._restamp(path, is_edit) for path in paths if path in unknown or path in self._known)

    def _restamp(self, path: str, is_edit: bool) -> bool:
        stamp = _stamp_at(path, self._at(path)) if self.rules.may_show(path, is_open=False) else None
        new = KnownFile(self._edited_ns(path, stamp, is_edit), stamp) if stamp else None
        known = self._known.pop(path, None)
        least = min(map(self._rank, self._known.items()), default=(False, 0, "")) if self._is_cut else None
        if least and (new is None or self._rank((path, new)) < least):
            return known is None
        if new:
            self._known[path] = new
            self._forget_oldest()
        return True

    def _forget_oldest(self) -> None:
        while len(self._known) > MAX_CANDIDATES:
            self._is_cut = True
            del self._known[min(self._known.items(), key=self._rank)[0]]

    def _rank(self, item: tuple[str, KnownFile]) -> tuple[bool, int, str]:
        """What is known last of all when there is too much: what is always to be shown, then what was edited last."""
        path, known = item
        return self.rules.insists_on(path), known.edited_ns, path


def rules_at(root: str, before: ContextRules) -> ContextRules:
    """What the project's own file says now of what is shown; see `read_context_rules`."""
    return read_context_rules(_read(f"{root.rstrip('/')}/{FILE_NAME}"), before)


def _stamp(path: str, status: os.stat_result) -> Stamp | None:
    """The stamp of a file of text size that is not empty; None for what is none."""
    is_text_size = stat.S_ISREG(status.st_mode) and 0 < status.st_size <= MAX_FILE_BYTES
    if not is_text_size or not _is_text(path):
        return None
    return Stamp(status.st_mtime_ns, status.st_size, status.st_ino)


def _is_worthless(text: str) -> bool:
    """Whether there is nothing in it, or nobody has written it by hand."""
    return not text.strip() or _GENERATED.search(text, 0, HEAD_CHARACTERS) is not None


def _is_text(name: str) -> bool:
    """Whether a model can be shown that name."""
    if name.isascii():
        return True
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _stamp_at(path: str, absolute: str) -> Stamp | None:
    try:
        return _stamp(path, os.lstat(absolute))
    except (OSError, ValueError):
        return None


def _read(path: str) -> str:
    """The text of the file at `path`; "" if it is none, is binary, or is really somewhere else."""
    try:
        if os.path.realpath(path) != path or _stamp_at(path, path) is None:
            return ""
        with open(path, "rb") as file:  # noqa: PTH123  # a Path for every file of a tree is slow
            data = file.read(BINARY_SAMPLE_BYTES)
            if b"\0" in data:
                return ""
            return (data + file.read(MAX_FILE_BYTES)).decode("utf-8-sig")
    except (OSError, ValueError):
        return ""
