"""The files below a project's root: which of them are recent texts, and what these say.

For threads: everything here waits for the disk.
"""

import os
import stat
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from heapq import nlargest
from pathlib import PurePath
from typing import NamedTuple

from scrubjay.workspace.ignore_rules import IGNORE_FILES, NO_RULES, REPOSITORY_RULES, IgnoreRules
from scrubjay.workspace.project import File
from scrubjay.workspace.roots import is_home_or_above

MAX_FILE_BYTES = 256 << 10
"""What is larger was hardly written by hand, and would not fit into a prompt."""
N_BINARY_BYTES = 8192
MAX_CANDIDATES = 1000
"""So many of the newest files are remembered, however many there are."""
MAX_EDITS = 16
"""Of more files that were changed at once none counts as edited: somebody switched branches."""
CLOCK_STEP_NS = 100_000_000
"""By so much the clock of a file system may be behind."""
N_BYTES_A_TOKEN = 3
WAIT_S = 15.0
"""So long the model may be busy with what nobody has opened."""


@dataclass(frozen=True, slots=True)
class FileBudget:
    """How much of what is on disk a project knows.

    Args:
        n_files: how many files at most, the newest first.
        n_bytes: how long they may be together.
    """

    n_files: int = 16
    n_bytes: int = 64 << 10

    @classmethod
    def for_model(cls, prefill_speed: float, n_ctx: int) -> "FileBudget":
        """What a model can bring in within a reasonable time.

        Args:
            prefill_speed: in tokens per second, 0 if that is unknown.
            n_ctx: how many tokens it can have in all.
        """
        n_bytes = int(prefill_speed * WAIT_S) * N_BYTES_A_TOKEN or cls().n_bytes
        return cls(n_bytes=min(max(n_bytes, 4 << 10), 512 << 10, n_ctx * N_BYTES_A_TOKEN))

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
        is_given_up: nobody wants to know any more, so a scan ends soon; may be set at any time.
        others: folders, relative to the root, that are roots of their own: what is in them is theirs. May be set at any
            time, and counts for a scan that begins then.
    """

    root: str
    share: FileBudget = field(default_factory=FileBudget)
    is_given_up: bool = False
    others: frozenset[str] = frozenset()
    _rules: dict[str, IgnoreRules] = field(default_factory=dict)
    # The files edited last that no rule leaves out, by path below the root; and whether there are more.
    _seen: dict[str, KnownFile] = field(default_factory=dict)
    _is_cut: bool = False
    _looked_ns: int = 0
    _texts: dict[str, tuple[Stamp, str]] = field(default_factory=dict)
    _shown: frozenset[str] = frozenset()

    def scan(self) -> None:
        """Look at every file anew."""
        begun = time.time_ns()
        fresh: list[tuple[str, Stamp]] = []
        found = nlargest(MAX_CANDIDATES + 1, self._dated(fresh), key=lambda item: (item[1].edited_ns, item[0]))
        self._is_cut = len(found) > MAX_CANDIDATES
        self._seen = dict(found[:MAX_CANDIDATES])
        if len(fresh) <= MAX_EDITS:
            self._seen |= {path: KnownFile(stamp.mtime_ns, stamp) for path, stamp in fresh}
            self._forget_oldest()
        self._looked_ns = begun - CLOCK_STEP_NS

    def is_reshaped_by(self, paths: Iterable[str]) -> bool:
        """Whether at `paths`, absolute ones, other folders or rules than before may be now, or new ones were."""
        return any(self._needs_scan(path) for path in self._below(paths))

    def update(self, paths: Collection[str]) -> None:
        """Look at `paths` again, absolute ones: of files that were changed, made, moved or deleted."""
        begun = time.time_ns()
        is_edit = len(paths) <= MAX_EDITS
        if self.is_reshaped_by(paths) or not all(self._restamp(path, is_edit) for path in self._below(paths)):
            self.scan()
        else:
            self._looked_ns = begun - CLOCK_STEP_NS

    def _below(self, paths: Iterable[str]) -> list[str]:
        """Those of `paths` that are not others', relative to the root, with forward slashes."""
        below = (os.path.relpath(path, self.root).replace(os.sep, "/") for path in paths)
        return [path for path in below if not any(f"{path}/".startswith(f"{other}/") for other in self.others)]

    def members(self) -> tuple[File, ...]:
        """The texts edited last, as many as the share allows, the newest last. Reads those that were changed.

        When one has to go, several do: whatever leaves a prompt costs all that stands after it.
        """
        order = sorted(self._seen, key=lambda path: (self._seen[path].edited_ns, path), reverse=True)
        chosen = self._chosen(order, self._shown)
        if not chosen.keys() >= self._shown & self._seen.keys():
            chosen = self._chosen(order, frozenset())
        self._shown = frozenset(chosen)
        self._texts = {path: known for path, known in self._texts.items() if path in chosen or not known[1]}
        return tuple(File(self._at(path), text) for path, text in reversed(chosen.items()))

    def _chosen(self, order: Sequence[str], shown: Collection[str]) -> dict[str, str]:
        """Texts that fit, taken in `order`; those that were `shown` may have all of the share, others a part of it."""
        chosen: dict[str, str] = {}
        n_bytes = 0
        for path in order:
            share, n_more = self.share if path in shown else self.share.for_new, self._seen[path].stamp.n_bytes
            if len(chosen) < share.n_files and n_bytes + n_more <= share.n_bytes and (text := self._text(path)):
                chosen[path] = text
                n_bytes += n_more
        return chosen

    def _text(self, path: str) -> str:
        stamp, known = self._seen[path].stamp, self._texts.get(path)
        if known is None or known[0] != stamp:
            self._texts[path] = known = (stamp, _read(self._at(path)))
        return known[1]

    def _at(self, path: str) -> str:
        # No Path: there may be a hundred thousand of them.
        return f"{self.root.rstrip('/')}/{path}" if path else self.root

    def _dated(self, fresh: list[tuple[str, Stamp]]) -> Iterator[tuple[str, KnownFile]]:
        """Every file that no rule leaves out, with the date that it has if what happened now was no edit.

        Args:
            fresh: gets those that were edited now if these are few, and more than `MAX_EDITS` otherwise.
        """
        for path, stamp in self._walk():
            if self._is_fresh(path, stamp) and len(fresh) <= MAX_EDITS:
                fresh.append((path, stamp))
            yield path, KnownFile(self._edited_ns(path, stamp, is_edit=False), stamp)

    def _is_fresh(self, path: str, stamp: Stamp) -> bool:
        known = self._seen.get(path)
        return stamp.mtime_ns > self._looked_ns > 0 and (known is None or known.stamp != stamp)

    def _edited_ns(self, path: str, stamp: Stamp, is_edit: bool) -> int:
        """When the file was edited last; 0 for one that came here by other means."""
        known = self._seen.get(path)
        if self._looked_ns == 0 or (is_edit and self._is_fresh(path, stamp)):
            return stamp.mtime_ns
        return known.edited_ns if known else 0

    def _walk(self) -> Iterator[tuple[str, Stamp]]:
        """Every file that no rule leaves out."""
        self._rules = {}
        folders = [("", _rules_above(self.root))]
        while folders and not self.is_given_up:
            folder, rules = folders.pop()
            entries = _entries(self._at(folder))
            self._rules[folder] = rules = rules.below(folder, _ignore_text(entries))
            for entry in entries:
                path = f"{folder}/{entry.name}" if folder else entry.name
                # A symbolic link is no file of its own: what it means either lies below the root or does not belong there.
                if entry.is_dir(follow_symlinks=False):
                    if path not in self.others and not rules.ignores(path, is_folder=True):
                        folders.append((path, rules))
                elif (stamp := _stamp(entry.path)) and not rules.ignores(path):
                    yield path, stamp

    def _needs_scan(self, path: str) -> bool:
        """Whether more than the file at `path` may have changed with it, or nothing is known of where it lies."""
        folder, _, name = path.rpartition("/")
        if name in IGNORE_FILES or path == REPOSITORY_RULES or path in self._rules:
            return True
        while folder not in self._rules:
            path, folder = folder, folder.rpartition("/")[0]
            if folder in self._rules:
                return not self._rules[folder].ignores(path, is_folder=True)
        # What stands there now may be a folder that was moved here.
        return is_folder(self._at(path)) and not self._rules[folder].ignores(path, is_folder=True)

    def _restamp(self, path: str, is_edit: bool) -> bool:
        """Look at one file again; False if others may be among the newest now."""
        rules = self._rules.get(path.rpartition("/")[0])
        if rules is None or rules.ignores(path):
            return True
        stamp = _stamp(self._at(path))
        edited_ns = self._edited_ns(path, stamp, is_edit) if stamp else 0
        known = self._seen.pop(path, None)
        if self._is_cut and edited_ns < min((seen.edited_ns for seen in self._seen.values()), default=0):
            return known is None
        if stamp:
            self._seen[path] = KnownFile(edited_ns, stamp)
            self._forget_oldest()
        return True

    def _forget_oldest(self) -> None:
        while len(self._seen) > MAX_CANDIDATES:
            self._is_cut = True
            del self._seen[min(self._seen, key=lambda path: (self._seen[path].edited_ns, path))]


def is_folder(path: str) -> bool:
    """Whether there is a folder at `path` that may be looked into."""
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except OSError:
        return False


def _entries(folder: str) -> list["os.DirEntry[str]"]:
    """What is in `folder`; nothing if it has gone or must not be read."""
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:
        return []


def _rules_above(root: str) -> IgnoreRules:
    """The rules for what is in `root` of the repository that it lies in, or is: git reads those of all folders down to it."""
    folders = [root, *map(str, PurePath(root).parents)]
    top = next((folder for folder in folders if os.path.lexists(f"{folder}/.git")), root)
    if top == root or is_home_or_above(top):
        return NO_RULES.below("", _read(f"{root}/{REPOSITORY_RULES}"))
    rules = NO_RULES.below("", _read(f"{top}/{REPOSITORY_RULES}"))
    for folder in reversed(folders[1 : folders.index(top) + 1]):
        below = folder.removeprefix(top).removeprefix("/")
        rules = rules.below(below, _ignore_text(_entries(folder)))
    return rules.rooted(root.removeprefix(top).removeprefix("/"))


def _ignore_text(entries: list["os.DirEntry[str]"]) -> str:
    """What the ignore files among `entries` say."""
    paths = {entry.name: entry.path for entry in entries if entry.name in IGNORE_FILES}
    return "\n".join(_read(paths[name]) for name in IGNORE_FILES if name in paths)


def _stamp(path: str) -> Stamp | None:
    """The stamp of a file of text size that is not empty; None for what is none, or has gone."""
    try:
        path.encode()  # a name that is no text cannot be shown to a model
        found = os.lstat(path)
    except (OSError, UnicodeEncodeError):
        return None
    is_text_size = stat.S_ISREG(found.st_mode) and 0 < found.st_size <= MAX_FILE_BYTES
    return Stamp(found.st_mtime_ns, found.st_size, found.st_ino) if is_text_size else None


def _read(path: str) -> str:
    """The text of the file at `path`; "" if it is none, is binary, or does not really lie there."""
    try:
        if os.path.realpath(path) != path or _stamp(path) is None:
            return ""
        with open(path, "rb") as file:  # noqa: PTH123  # a Path for every file of a tree is slow
            data = file.read(N_BINARY_BYTES)
            if b"\0" in data:
                return ""
            return (data + file.read(MAX_FILE_BYTES)).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return ""
