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

from watchdog.events import (
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver, ObservedWatch

from scrubjay.workspace.events import FilesChanged
from scrubjay.workspace.file_tree import FileBudget, FileTree, is_folder
from scrubjay.workspace.ignore_rules import NEVER
from scrubjay.workspace.project import File
from scrubjay.workspace.roots import is_home_or_above, is_project

logger = logging.getLogger(__name__)
# It calls it an error that an observer is told to stop while it waits.
logging.getLogger("watchdog.observers.inotify").addFilter(lambda record: "thread is inactive" not in str(record.msg))

QUIET_S = 2.0
POLL_S = 2.0
"""How often to look where the system does not tell of changes, at most."""
SURE_S = 300.0
"""How often to look where it does: it may have run out of watches for some folders, or have lost events."""
POLL_SHARE = 20
"""A look at all files is followed by so many times its duration of rest."""
STORM = 256
"""With more changes than that, all files are looked at instead of each of them."""
N_PATIENCE = 5
"""After so many times the quiet that was waited for, what has changed so far is looked at."""
NICENESS = 10
_TELLING: list[type[FileSystemEvent]] = [
    *(FileCreatedEvent, FileModifiedEvent, FileClosedEvent, FileMovedEvent, FileDeletedEvent),
    *(DirCreatedEvent, DirMovedEvent, DirDeletedEvent),
]


class Watcher:
    """Watches roots. To be used from the event loop.

    Args:
        post: takes what is on disk, in the event loop, whenever a root has other texts than before.
        quiet_s: how long nothing must have happened in a root before it is looked at.
        make_observer: makes watchdog's observer; may raise OSError, as may the one that it makes.
    """

    def __init__(
        self,
        post: Callable[[FilesChanged], None],
        quiet_s: float = QUIET_S,
        make_observer: Callable[[], BaseObserver] = Observer,
    ) -> None:
        self._post = post
        self._quiet_s = quiet_s
        self._make_observer = make_observer
        self._observer: BaseObserver | None = None
        self._watches: dict[str, _Watch] = {}
        self._claims: frozenset[str] = frozenset()
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="files", initializer=_stand_back)

    def watch(self, root: str, share: FileBudget, is_named: bool) -> None:
        """See to it that `root`, a canonical path, is watched; the first `FilesChanged` says what is there now.

        Args:
            share: how much of what is there is wanted.
            is_named: somebody said that it is a project; otherwise it must look like one. Home folders never count.
        """
        if root not in self._watches and root.startswith("/"):
            tree = FileTree(root, share, others=self._others(root))
            self._watches[root] = watch = _Watch(tree, self._quiet_s, self._look)
            self._in_thread(watch, partial(self._begin, watch, is_named))

    def claim(self, roots: Iterable[str]) -> None:
        """Each of `roots` has what is below it for itself, as long as it is watched; none that lies above it shows that."""
        self._claims = frozenset(roots)
        self._share_out()

    def unwatch(self, root: str) -> None:
        """Watch `root` no more, if it is watched."""
        if (watch := self._watches.pop(root, None)) is None:
            return
        watch.close()
        self._executor.submit(self._end, watch)
        self._share_out()

    async def close(self) -> None:
        """Watch nothing any more."""
        for watch in self._watches.values():
            watch.close()
        await asyncio.get_running_loop().run_in_executor(self._executor, self._stop)
        self._executor.shutdown()

    def _others(self, root: str) -> frozenset[str]:
        """The roots below `root` that have claimed what is below them, relative to it."""
        above = f"{root.rstrip('/')}/"
        known = (other for other, watch in self._watches.items() if watch.is_begun and other in self._claims)
        return frozenset(other.removeprefix(above) for other in known if other.startswith(above))

    def _share_out(self) -> None:
        for root, watch in self._watches.items():
            if watch.is_begun and (others := self._others(root)) != watch.tree.others:
                watch.tree.others = others
                watch.look_now()

    def _look(self, watch: "_Watch") -> None:
        self._in_thread(watch, partial(self._again, watch, *watch.take()))

    def _in_thread(self, watch: "_Watch", work: Callable[[], FilesChanged | None]) -> None:
        future = asyncio.get_running_loop().run_in_executor(self._executor, work)
        future.add_done_callback(partial(self._looked, watch))

    def _looked(self, watch: "_Watch", future: "asyncio.Future[FilesChanged | None]") -> None:
        if future.cancelled() or watch.is_closed:
            return
        if (event := future.result()) is not None:
            self._post(event)
        if watch.has_gone:
            # The next document that is opened there begins anew.
            self.unwatch(watch.tree.root)
            return
        watch.look_after(max(SURE_S if watch.observed else POLL_S, POLL_SHARE * watch.look_s))
        if not watch.is_begun:
            watch.is_begun = True
            self._share_out()

    # --- in the thread ------------------------------------------------------------------------------------------------

    def _begin(self, watch: "_Watch", is_named: bool) -> FilesChanged | None:
        root = watch.tree.root
        if is_home_or_above(root) or not is_folder(root) or not (is_named or is_project(root)):
            watch.has_gone = True
            return None
        # Watched first and looked at then: what changes in between is looked at twice, not missed.
        self._observe(watch)
        return self._scanned(watch, is_first=True)

    def _again(self, watch: "_Watch", paths: set[str], is_all: bool) -> FilesChanged | None:
        watch.has_gone = not is_folder(watch.tree.root)
        if is_all and not watch.has_gone and not watch.tree.is_reshaped_by(paths):
            watch.tree.update(paths)
            return watch.news()
        if watch.observed and not watch.has_gone:
            # Of a folder that is moved soon after it was made, watchdog may tell under its old name, or nothing.
            self._end(watch)
            self._observe(watch)
        return self._scanned(watch)

    def _scanned(self, watch: "_Watch", is_first: bool = False) -> FilesChanged | None:
        begun = monotonic()
        watch.tree.scan()
        watch.look_s = monotonic() - begun
        return watch.news(is_first)

    def _observe(self, watch: "_Watch") -> None:
        """Have the system tell of the root's changes; if it does not, they are looked for."""
        try:
            if self._observer is None:
                observer = self._make_observer()
                observer.start()
                self._observer = observer
            watch.observed = self._observer.schedule(watch, watch.tree.root, recursive=True, event_filter=_TELLING)
        except OSError as error:
            watch.observed = None
            logger.warning(
                "Changes in %s are looked for every %g s or more, because the system does not tell of them: %s; "
                "on Linux a larger fs.inotify.max_user_watches helps.",
                *(watch.tree.root, POLL_S, error.strerror or error),
            )

    def _end(self, watch: "_Watch") -> None:
        if self._observer and watch.observed:
            self._observer.unschedule(watch.observed)

    def _stop(self) -> None:
        if self._observer:
            self._observer.stop()
            self._observer.join()


class _Watch(FileSystemEventHandler):
    """One root: what has changed in it since it was looked at, and when to look again. Made in the event loop.

    Args:
        look: called when it is time to look.
    """

    def __init__(self, tree: FileTree, quiet_s: float, look: Callable[["_Watch"], None]) -> None:
        self.tree = tree
        self.observed: ObservedWatch | None = None
        self.is_closed = False
        self.is_begun = False
        self.has_gone = False
        self.look_s = 0.0
        self._files: tuple[File, ...] | None = None
        self._quiet_s = quiet_s
        self._look = look
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._sure_timer: asyncio.TimerHandle | None = None
        self._is_sure = True
        # Filled by watchdog's thread, emptied by the event loop.
        self._paths: deque[str] = deque()
        self._n_seen = 0
        self._n_waited = 0

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Note what has changed. Called by watchdog's thread."""
        paths = [os.fsdecode(path) for path in (event.src_path, event.dest_path) if path]
        telling = [path for path in paths if not self._is_noise(path)]
        if not telling or self.is_closed:
            return
        self._n_seen += 1
        # In a storm nothing more need be noted, nor the event loop woken: everything will be looked at when it is over.
        if len(self._paths) <= STORM:
            self._paths.extend(telling)
            self._loop.call_soon_threadsafe(self._wait)

    def take(self) -> tuple[set[str], bool]:
        """What has changed since this was asked last, and whether that is all."""
        paths: list[str] = []
        # One by one, as watchdog's thread may add some meanwhile.
        while self._paths:
            paths.append(self._paths.popleft())
        is_all, self._is_sure = self._is_sure and len(paths) <= STORM, True
        return set(paths), is_all

    def news(self, is_first: bool = False) -> FilesChanged | None:
        """What is there now, if it is something else than before. Waits for the disk."""
        old, self._files = self._files, self.tree.members()
        return FilesChanged(self.tree.root, self._files, is_first) if self._files != old else None

    def look_after(self, seconds: float) -> None:
        """Look at everything then, if not before, whatever is told until then."""
        if self._sure_timer and self._sure_timer.when() > self._loop.time() + seconds:
            self._sure_timer.cancel()
            self._sure_timer = None
        if self._sure_timer is None:
            self._sure_timer = self._loop.call_later(seconds, self._make_sure)

    def look_now(self) -> None:
        """Look at everything, whatever is told."""
        if self._sure_timer:
            self._sure_timer.cancel()
        self._make_sure()

    def close(self) -> None:
        """Tell nobody any more."""
        self.is_closed = self.tree.is_given_up = True
        for timer in (self._timer, self._sure_timer):
            if timer:
                timer.cancel()

    def _is_noise(self, path: str) -> bool:
        """Whether `path` lies where nobody edits: a branch switch alone writes hundreds of files into `.git`."""
        below = path.removeprefix(self.tree.root)
        return not NEVER.isdisjoint(PurePath(below).parts) and not below.endswith("/info/exclude")

    def _make_sure(self) -> None:
        self._sure_timer = None
        self._is_sure = False
        self._look(self)

    def _wait(self) -> None:
        """Look once nothing has happened for a while."""
        if self._timer is None and not self.is_closed:
            self._n_waited = 0
            self._timer = self._loop.call_later(self._quiet_s, self._waited, self._n_seen)

    def _waited(self, n_seen: int) -> None:
        self._n_waited += 1
        if n_seen != self._n_seen and self._n_waited < N_PATIENCE:
            self._timer = self._loop.call_later(self._quiet_s, self._waited, self._n_seen)
            return
        self._timer = None
        self._look(self)


def _stand_back() -> None:
    """Lower the priority of the calling thread: a decode is as slow as the slowest of its threads, which may share a core.

    Only Linux gives threads priorities of their own; elsewhere nothing happens.
    """
    if sys.platform == "linux":
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, max(NICENESS, os.getpriority(os.PRIO_PROCESS, thread)))
