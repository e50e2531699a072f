"""Watches the folders of projects, and says what is on disk there once it has been left alone for a moment.

Events of the file system come in a thread of watchdog's, which only notes paths. What waits for the disk is done in a
thread of our own. The event loop sees whole batches: a branch switch is one.
"""

import asyncio
import logging
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import PurePath
from time import monotonic

from scrubjay.workspace.context_rules import ContextRules
from scrubjay.workspace.diffs import working_diff
from scrubjay.workspace.events import FilesChanged, StagedFound
from scrubjay.workspace.file_tree import FileBudget, FileTree
from scrubjay.workspace.folder_watches import FolderWatches, Notifier, limit_of, make_notifier
from scrubjay.workspace.hidden_names import HIDDEN_FOLDERS
from scrubjay.workspace.listing import is_folder
from scrubjay.workspace.project import File
from scrubjay.workspace.roots import is_home_or_above, is_project

logger = logging.getLogger(__name__)

QUIET_S = 2.0
POLL_S = 2.0
"""How often to look where the system does not tell of changes, at most."""
RESCAN_S = 300.0
"""How often to look where it does: it may have lost events, or rules may have changed outside of the project."""
REST_PER_SCAN = 20
"""A look at all files is followed by this many times its duration of rest."""
MAX_PENDING = 256
"""With more changes than that, all files are looked at instead of each of them."""
MAX_QUIET_PERIODS = 5
"""After this many times the quiet that was waited for, what has changed so far is looked at."""
MAX_FIRST_SCANS = 3
NICENESS = 10


class Watcher:
    """Watches roots. To be used from the event loop.

    Args:
        post: takes what is on disk, in the event loop, whenever a root has other texts than before; and what is about to be
            committed.
        quiet_s: how long nothing must have happened in a root before it is looked at.
        make_notifier: makes what has the system tell of changes; may raise OSError, as may the watches that it makes.
        shows_secrets: whether files are shown that usually hold keys or passwords.
    """

    def __init__(
        self,
        post: Callable[[FilesChanged | StagedFound], None],
        quiet_s: float = QUIET_S,
        make_notifier: Callable[[], Notifier] = make_notifier,
        shows_secrets: bool = False,
    ) -> None:
        self._post = post
        self._quiet_s = quiet_s
        self._make_notifier = make_notifier
        self._shows_secrets = shows_secrets
        self._notifier: Notifier | None = None
        self._roots: dict[str, _WatchedRoot] = {}
        self._claims: frozenset[str] = frozenset()
        self._is_closed = False
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="files", initializer=_lower_priority)

    def watch(self, root: str, budget: FileBudget, is_named: bool) -> None:
        """See to it that `root`, a canonical path, is watched; the first `FilesChanged` says what is there now.

        Args:
            budget: how much of what is there is wanted.
            is_named: somebody said that it is a project; otherwise it must look like one. Home folders never count.
        """
        if root not in self._roots and root.startswith("/"):
            tree = FileTree(
                root, budget, nested_roots=self._nested().get(root, frozenset()), shows_secrets=self._shows_secrets
            )
            self._roots[root] = watched = _WatchedRoot(tree, self._quiet_s, self._check)
            self._in_thread(watched, partial(self._begin, watched, is_named))

    def find_staged(self, find: Callable[[], StagedFound]) -> None:
        """Look for what is about to be committed, when there is time; what comes of it is posted."""
        future = asyncio.get_running_loop().run_in_executor(self._executor, find)
        future.add_done_callback(self._found)

    def _found(self, future: "asyncio.Future[StagedFound]") -> None:
        if not future.cancelled() and not self._is_closed:
            self._post(future.result())

    def claim(self, roots: Iterable[str]) -> None:
        """Each of `roots` has what is below it for itself, as long as it is watched; none that is above it shows that."""
        if (claims := frozenset(roots)) != self._claims:
            self._claims = claims
            self._assign_nested()

    def unwatch(self, root: str) -> None:
        """Watch `root` no more, if it is watched."""
        if (watched := self._roots.pop(root, None)) is None:
            return
        watched.close()
        self._executor.submit(self._end, watched)
        self._assign_nested()

    async def close(self) -> None:
        """Watch nothing any more."""
        self._is_closed = True
        for watched in self._roots.values():
            watched.close()
        await asyncio.get_running_loop().run_in_executor(self._executor, self._stop)
        self._executor.shutdown()

    def _nested(self) -> dict[str, frozenset[str]]:
        """For each folder around them, the roots that have claimed what is below them, relative to that folder."""
        nested: dict[str, set[str]] = {}
        for root in self._claims:
            if (watched := self._roots.get(root)) and watched.is_started:
                # By way of the folders above: to compare each root with each other one takes long if there are many.
                for folder in map(str, PurePath(root).parents):
                    nested.setdefault(folder, set()).add(root.removeprefix(f"{folder.rstrip('/')}/"))
        return {folder: frozenset(below) for folder, below in nested.items()}

    def _assign_nested(self) -> None:
        nested = self._nested()
        for root, watched in self._roots.items():
            if watched.is_started and (below := nested.get(root, frozenset())) != watched.tree.nested_roots:
                watched.tree.nested_roots = below
                watched.check_now()

    def _check(self, watched: "_WatchedRoot") -> None:
        self._in_thread(watched, partial(self._check_again, watched, *watched.take_changes()))

    def _in_thread(self, watched: "_WatchedRoot", work: Callable[[], FilesChanged | None]) -> None:
        future = asyncio.get_running_loop().run_in_executor(self._executor, work)
        future.add_done_callback(partial(self._checked, watched))

    def _checked(self, watched: "_WatchedRoot", future: "asyncio.Future[FilesChanged | None]") -> None:
        if future.cancelled() or watched.is_closed:
            return
        if (event := future.result()) is not None:
            self._post(event)
        if watched.has_gone:
            # The next document that is opened there starts all over.
            self.unwatch(watched.tree.root)
            return
        watched.check_after(max(RESCAN_S if watched.watches else POLL_S, REST_PER_SCAN * watched.scan_s))
        if not watched.is_started:
            watched.is_started = True
            self._assign_nested()

    # --- in the thread ------------------------------------------------------------------------------------------------

    def _begin(self, watched: "_WatchedRoot", is_named: bool) -> FilesChanged | None:
        root = watched.tree.root
        if is_home_or_above(root) or not is_folder(root) or not (is_named or is_project(root)):
            watched.has_gone = True
            return None
        try:
            if self._notifier is None:
                self._notifier = self._make_notifier()
            watched.watches = self._notifier.watches(root, watched.note)
        except OSError as error:
            self._tell_of_limit(watched, error)
        return self._scan(watched, is_first=True)

    def _check_again(self, watched: "_WatchedRoot", paths: set[str], is_all: bool) -> FilesChanged | None:
        watched.has_gone = not is_folder(watched.tree.root)
        if is_all and not watched.has_gone and not watched.tree.needs_scan(paths):
            watched.tree.update(paths)
            return watched.news()
        return self._scan(watched)

    def _scan(self, watched: "_WatchedRoot", is_first: bool = False) -> FilesChanged | None:
        started = monotonic()
        watched.tree.scan()
        for _ in range(MAX_FIRST_SCANS):
            # Which folders to watch is known after a look. What changed in new ones meanwhile is seen by one more.
            if not self._watch_folders(watched):
                break
            watched.tree.scan()
        watched.scan_s = monotonic() - started
        return watched.news(is_first)

    def _watch_folders(self, watched: "_WatchedRoot") -> bool:
        """Have the system tell of changes in all folders that are shown; whether some of them are new."""
        if watched.watches is None or watched.is_closed:
            return False
        rules = f"{watched.tree.root}/.git/info"
        try:
            return watched.watches.watch([*watched.tree.folders, *([rules] if is_folder(rules) else [])])
        except OSError as error:
            self._tell_of_limit(watched, error)
            return False

    def _tell_of_limit(self, watched: "_WatchedRoot", error: OSError) -> None:
        watched.watches = None
        logger.warning(
            "Changes in %s are looked for every %g s or more, because the system does not tell of them: %s.",
            *(watched.tree.root, POLL_S, limit_of(error)),
        )

    def _end(self, watched: "_WatchedRoot") -> None:
        if watched.watches:
            watched.watches.close()

    def _stop(self) -> None:
        if self._notifier:
            self._notifier.close()


class _WatchedRoot:
    """One root: what has changed in it since it was looked at, and when to look again. Made in the event loop.

    Args:
        check: called when it is time to look.
    """

    def __init__(self, tree: FileTree, quiet_s: float, check: Callable[["_WatchedRoot"], None]) -> None:
        self.tree = tree
        self.watches: FolderWatches | None = None
        self.is_closed = False
        self.is_started = False
        self.has_gone = False
        self.scan_s = 0.0
        self._said: tuple[tuple[File, ...], ContextRules, str] | None = None
        self._timers = _Timers(quiet_s, self._check_if_open)
        self._check = check
        self._loop = asyncio.get_running_loop()
        self._is_sure = True
        # Filled by watchdog's thread, emptied by the event loop.
        self._paths: deque[str] = deque()

    def note(self, path: str | None) -> None:
        """Note that something has changed at `path`, or that changes were lost. Called by watchdog's thread."""
        if self.is_closed or (path is not None and self._is_noise(path)):
            return
        if path is None:
            self._paths.extend([self.tree.root] * (MAX_PENDING + 1))
        self._timers.n_changes += 1
        # In a storm nothing more need be noted, nor the event loop woken: everything will be looked at when it is over.
        if path is None or len(self._paths) <= MAX_PENDING:
            self._paths.append(path or self.tree.root)
            self._loop.call_soon_threadsafe(self._timers.wait_for_quiet)

    def take_changes(self) -> tuple[set[str], bool]:
        """What has changed since this was asked last, and whether that is all."""
        paths: list[str] = []
        # One by one, as watchdog's thread may add some meanwhile.
        while self._paths:
            paths.append(self._paths.popleft())
        is_all, self._is_sure = self._is_sure and len(paths) <= MAX_PENDING, True
        return set(paths), is_all

    def news(self, is_first: bool = False) -> FilesChanged | None:
        """What is there now, if it is something else than before. Waits for the disk."""
        tree, old = self.tree, self._said
        files, n_diff = tree.recent_files(), tree.budget.n_diff
        diff = working_diff(tree.new_listing(), tree.rules, n_diff) if n_diff else ""
        self._said = (files, tree.rules, diff)
        return FilesChanged(tree.root, files, is_first, tree.rules, diff) if self._said != old else None

    def check_after(self, seconds: float) -> None:
        """Look at everything then, if not before, whatever is told until then."""
        self._timers.check_after(seconds, self.check_now)

    def check_now(self) -> None:
        """Look at everything, whatever is told."""
        self._timers.check_after(None, self.check_now)
        self._is_sure = False
        self._check(self)

    def close(self) -> None:
        """Tell nobody any more."""
        self.is_closed = self.tree.is_cancelled = True
        self._timers.close()

    def _check_if_open(self) -> None:
        if not self.is_closed:
            self._check(self)

    def _is_noise(self, path: str) -> bool:
        """Whether `path` is where nobody edits: a branch switch alone writes hundreds of files into `.git`."""
        below = path.removeprefix(self.tree.root)
        folders = PurePath(below).parts[:-1]
        return not HIDDEN_FOLDERS.isdisjoint(folders) and not below.endswith("/info/exclude")


class _Timers:
    """When to look at a root: after a moment of quiet, and at the latest after a while."""

    def __init__(self, quiet_s: float, check: Callable[[], None]) -> None:
        self.n_changes = 0
        """How many changes were noted so far; only watchdog's thread counts."""
        self._quiet_s = quiet_s
        self._check = check
        self._loop = asyncio.get_running_loop()
        self._quiet: asyncio.TimerHandle | None = None
        self._latest: asyncio.TimerHandle | None = None
        self._n_waited = 0
        self._is_closed = False

    def wait_for_quiet(self) -> None:
        """Look once nothing has happened for a while."""
        if self._quiet is None and not self._is_closed:
            self._n_waited = 0
            self._quiet = self._loop.call_later(self._quiet_s, self._waited, self.n_changes)

    def check_after(self, seconds: float | None, check: Callable[[], None]) -> None:
        """Call `check` after that time unless it is to be called before; None forgets that it is to be called."""
        if self._latest and (seconds is None or self._latest.when() > self._loop.time() + seconds):
            self._latest.cancel()
            self._latest = None
        if self._latest is None and seconds is not None and not self._is_closed:
            self._latest = self._loop.call_later(seconds, check)

    def close(self) -> None:
        self._is_closed = True
        for timer in (self._quiet, self._latest):
            if timer:
                timer.cancel()

    def _waited(self, n_changes: int) -> None:
        self._n_waited += 1
        if n_changes != self.n_changes and self._n_waited < MAX_QUIET_PERIODS:
            self._quiet = self._loop.call_later(self._quiet_s, self._waited, self.n_changes)
            return
        self._quiet = None
        self._check()


def _lower_priority() -> None:
    """Lower the priority of the calling thread: a decode is as slow as the slowest of its threads, which may share a core.

    Only Linux gives threads priorities of their own; elsewhere nothing happens.
    """
    if sys.platform == "linux":
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, max(NICENESS, os.getpriority(os.PRIO_PROCESS, thread)))
