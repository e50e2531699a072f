"""Which files below a project's root are the project's own: those that no rule leaves out.

Where there is a repository git is asked; elsewhere the ignore files are read here. For threads: everything here waits for
the disk.
"""

import errno
import logging
import os
import stat
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from scrubjay.workspace.git import Git, is_linked_worktree, repository_top
from scrubjay.workspace.hidden_names import IGNORE_FILES, is_hidden_file, is_hidden_folder, is_secret
from scrubjay.workspace.ignore_rules import NO_RULES, REPOSITORY_RULES, IgnoreRules
from scrubjay.workspace.roots import is_home_or_above

logger = logging.getLogger(__name__)

OWN_RULES = IGNORE_FILES[1:]
"""Ignore files that git does not read."""
MAX_RULES_BYTES = 16 << 20


@dataclass(slots=True)
class Listing:
    """The files below `root`, a canonical path. Nothing is known until `scan` was gone through.

    Args:
        nested_roots: folders, relative to the root, that are roots of their own: what is in them is theirs.
        shows_secrets: whether files count that usually hold keys or passwords.
        is_cancelled: asked now and then; a scan ends soon when it says so.
    """

    root: str
    nested_roots: Collection[str] = ()
    shows_secrets: bool = False
    is_cancelled: Callable[[], bool] = lambda: False
    # The rules in each folder that was looked into, by path below the root; None for those that are left out.
    _rules: dict[str, IgnoreRules | None] = field(default_factory=dict)
    # Folders that git lists, the innermost last; and what git said of single files since then.
    _repositories: list[str] = field(default_factory=list)
    _verdicts: dict[str, bool] = field(default_factory=dict)
    _git: Git = field(init=False)

    def __post_init__(self) -> None:
        self._git = Git(self.is_cancelled)

    @property
    def folders(self) -> list[str]:
        """The folders that were looked into, by path below the root."""
        return [folder for folder, rules in self._rules.items() if rules is not None]

    def scan(self) -> Iterator[tuple[str, os.stat_result]]:
        """Every file that no rule leaves out, by path below the root, and what the disk says of it."""
        self._rules, self._repositories, self._verdicts = {}, [], {}
        yield from self._scan_repository("", NO_RULES)

    def knows(self, folder: str) -> bool:
        """Whether `folder` was looked into."""
        return self._rules.get(folder) is not None

    def may_show(self, folder: str) -> bool:
        """Whether there may be something to show in `folder`, which is there now, or in one that it is in."""
        while folder not in self._rules and (above := _folder(folder)) not in self._rules:
            folder = above
        if folder in self._rules:
            return self.knows(folder)
        rules = self._rules[_folder(folder)]
        if rules is None or not self._is_shown_folder(folder) or rules.ignores(folder, is_folder=True):
            return False
        repository = self._repository_of(folder)
        if repository is not None and folder not in self._verdicts:
            self._verdicts[folder] = not self._git.is_ignored(self._at(repository), _below(repository, folder))
        return self._verdicts.get(folder, True)

    def includes(self, paths: Iterable[str]) -> set[str]:
        """Those of `paths`, files in folders that were looked into, that are there and that no rule leaves out."""
        asked = {path for path in paths if self.knows(_folder(path)) and self._is_shown_file(path)}
        asked = {path for path in asked if _status(self._at(path)) is not None}
        by_repository: dict[str, list[str]] = {}
        for path in asked - self._verdicts.keys():
            if (repository := self._repository_of(path)) is not None:
                by_repository.setdefault(repository, []).append(path)
        for repository, some in by_repository.items():
            # What git does not answer is not shown.
            listed = self._git.list_files(self._at(repository), [_below(repository, path) for path in some]) or []
            shown = {f"{repository}/{path}" if repository else path for path in listed}
            self._verdicts |= {path: path in shown or self._is_let_in(path) for path in some}
        return {path for path in asked if self._verdicts.get(path, True)}

    def lets_in(self, path: str) -> bool:
        """Whether neither the name of `path`, a file that git tracks, nor a rule that git does not read leaves it out.

        It need not be there, and nothing need be scanned before.
        """
        if "" not in self._rules:
            above = _rules_above(self.root, _repository_top(self.root), OWN_RULES)
            self._rules[""] = above.below("", _ignore_text(self.root, OWN_RULES))
        return self._has_shown_folder(_folder(path)) and self._is_shown_file(path)

    def _repository_of(self, path: str) -> str | None:
        """The innermost folder around `path` that git lists."""
        around = (folder for folder in reversed(self._repositories) if not folder or path.startswith(f"{folder}/"))
        return next(around, None)

    # --- looking at everything ----------------------------------------------------------------------------------------

    def _scan_repository(self, folder: str, rules: IgnoreRules) -> Iterator[tuple[str, os.stat_result]]:
        """What git lists in `folder`, or, if it does not, what is found by looking."""
        at = self._at(folder)
        top = _repository_top(at)
        listed = self._git.list_files(at) if top else None
        if not folder:
            rules = _rules_above(self.root, top, IGNORE_FILES if listed is None else OWN_RULES)
        if listed is None:
            yield from self._walk(folder, rules)
            return
        self._rules[folder] = rules.below(folder, _ignore_text(at, OWN_RULES))
        self._repositories.append(folder)
        for path in listed:
            yield from self._look_at(_join(folder, path))
        for path in self._git.list_empty_folders(at):
            self._has_shown_folder(_join(folder, path))
        if any(rules and rules.lets_in for rules in self._rules.values()):
            for path in self._git.list_ignored(at):
                if self._has_shown_folder(_folder(_join(folder, path))) and self._is_let_in(_join(folder, path)):
                    yield from self._look_at(_join(folder, path))

    def _look_at(self, path: str) -> Iterator[tuple[str, os.stat_result]]:
        """What git has named: a file, or a repository within."""
        if self.is_cancelled():
            return
        is_file = not path.endswith("/")
        path = path.rstrip("/")
        found = _status(self._at(path)) if self._has_shown_folder(_folder(path)) else None
        if found is None:
            return
        if stat.S_ISDIR(found.st_mode):
            yield from self._scan_within(path)
        elif is_file and self._is_shown_file(path):
            yield path, found

    def _scan_within(self, folder: str) -> Iterator[tuple[str, os.stat_result]]:
        """A repository of its own within, or a submodule. Linked worktrees would show the same files once more."""
        rules = self._rules[_folder(folder)]
        if rules is None or folder in self._rules or not self._is_shown_folder(folder):
            return
        if rules.ignores(folder, is_folder=True) or is_linked_worktree(self._at(folder)):
            self._rules[folder] = None
            return
        yield from self._scan_repository(folder, rules)

    def _walk(self, top: str, rules: IgnoreRules) -> Iterator[tuple[str, os.stat_result]]:
        """What is found by looking into all folders, where git does not say."""
        folders = [(top, rules)]
        while folders and not self.is_cancelled():
            folder, above = folders.pop()
            self._rules[folder] = rules = above.below(folder, _ignore_text(self._at(folder), IGNORE_FILES))
            for entry in _entries(self._at(folder)):
                path = _join(folder, entry.name)
                # A symbolic link is no file of its own: what it means is below the root, too, or does not belong there.
                if not entry.is_dir(follow_symlinks=False):
                    if self._is_shown_file(path) and (found := _status(entry.path)):
                        yield path, found
                elif not self._is_shown_folder(path) or rules.ignores(path, is_folder=True):
                    self._rules[path] = None
                elif os.path.lexists(f"{entry.path}/.git"):
                    yield from self._scan_within(path)
                else:
                    folders.append((path, rules))

    # --- what is shown ------------------------------------------------------------------------------------------------

    def _has_shown_folder(self, folder: str) -> bool:
        """Whether `folder`, which git names, is shown: neither it nor one above is hidden or left out by our own rules."""
        if folder not in self._rules:
            above = _folder(folder)
            rules = self._rules[above] if self._has_shown_folder(above) else None
            is_shown = rules is not None and self._is_shown_folder(folder) and not rules.ignores(folder, is_folder=True)
            text = _ignore_text(self._at(folder), OWN_RULES) if is_shown else ""
            self._rules[folder] = rules.below(folder, text) if is_shown and rules else None
        return self._rules[folder] is not None

    def _is_shown_folder(self, folder: str) -> bool:
        name = folder.rpartition("/")[2]
        is_hidden = is_hidden_folder(name) or (not self.shows_secrets and is_secret(name, is_folder=True))
        return not is_hidden and folder not in self.nested_roots

    def _is_shown_file(self, path: str) -> bool:
        """Whether neither the file's name nor a rule that we read ourselves leaves it out."""
        folder, _, name = path.rpartition("/")
        rules = self._rules.get(folder)
        is_hidden = is_hidden_file(name) or (not self.shows_secrets and is_secret(name, is_folder=False))
        return not is_hidden and rules is not None and not rules.ignores(path)

    def _is_let_in(self, path: str) -> bool:
        rules = self._rules.get(_folder(path))
        return rules is not None and rules.verdict(path) is False

    def _at(self, path: str) -> str:
        # No Path: there may be a hundred thousand of them.
        return f"{self.root.rstrip('/')}/{path}" if path else self.root


def is_folder(path: str) -> bool:
    """Whether there is a folder at `path` that may be looked into."""
    found = _status(path)
    return found is not None and stat.S_ISDIR(found.st_mode)


def _status(path: str) -> os.stat_result | None:
    """What the disk says of `path` itself; None for what is not there or must not be looked at."""
    try:
        return os.lstat(path)
    except (OSError, ValueError):
        return None


def _entries(folder: str) -> list["os.DirEntry[str]"]:
    """What is in `folder`; nothing if it has gone or must not be read."""
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:
        return []


def _repository_top(folder: str) -> str | None:
    """The repository that `folder` is in, if it is no home folder's.

    A repository of the home folder's settings does not mean the projects there.
    """
    top = repository_top(folder)
    return top if top and not is_home_or_above(top) else None


def _rules_above(root: str, top: str | None, names: Sequence[str]) -> IgnoreRules:
    """The rules for what is in `root` from above it: of the repository at `top`, and of all folders from there down to it."""
    rules = NO_RULES
    if names is IGNORE_FILES:  # git reads these itself
        files = (os.path.realpath(_global_rules()), f"{top or root}/{REPOSITORY_RULES}")
        rules = rules.below("", "\n".join(map(_read_rules, files)))
    if top is None or top == root:
        return rules
    below = root[len(top.rstrip("/")) + 1 :]
    parts = below.split("/")
    for n in range(len(parts)):
        folder = "/".join(parts[:n])
        rules = rules.below(folder, _ignore_text(f"{top}/{folder}".rstrip("/"), names))
    return rules.rooted(below)


def _global_rules() -> str:
    """The file of the user's own rules, where git looks for it if it is not told otherwise."""
    return f"{os.environ.get('XDG_CONFIG_HOME') or os.path.expanduser('~/.config')}/git/ignore"  # noqa: PTH111  # no error


def _ignore_text(folder: str, names: Iterable[str]) -> str:
    """What the ignore files of `folder` say."""
    return "\n".join(text for name in names if (text := _read_rules(f"{folder}/{name}")))


def _read_rules(path: str) -> str:
    """The lines of an ignore file, whatever bytes they are; "*" if it is there and must not be read."""
    try:
        with open(path, "rb", opener=_open_itself) as file:  # a Path for every folder of a tree is slow
            data = file.read(MAX_RULES_BYTES)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, ValueError):
        return ""
    except OSError as error:
        if error.errno == errno.ELOOP:  # git does not follow links here, either
            return ""
        logger.warning("%s cannot be read, so nothing beside it is shown: %s", path, error)
        return "*"
    return data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")


def _open_itself(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


def _folder(path: str) -> str:
    return path.rpartition("/")[0]


def _join(folder: str, path: str) -> str:
    return f"{folder}/{path}" if folder else path


def _below(folder: str, path: str) -> str:
    return path[len(folder) + 1 :] if folder else path
