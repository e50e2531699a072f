"""Has the system tell of changes: on Linux of each folder by itself, elsewhere of whole trees.

The one module that imports watchdog. On Linux watching costs one of a limited number of watches for each folder, so none
is spent on folders that are never looked into, such as `node_modules`. Elsewhere a tree costs no more than a folder.
"""

import errno
import logging
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer
from watchdog.observers.api import ObservedWatch

if sys.platform == "linux":
    from watchdog.observers.inotify_c import (
        CallbackId,
        InotifyConstants,
        InotifyEvent,
        InotifyFD,
        Mask,
        WatchDescriptor,
    )

# It calls it an error that an observer is told to stop while it waits.
logging.getLogger("watchdog.observers.inotify").addFilter(lambda record: "thread is inactive" not in str(record.msg))

_LIMITS = {errno.ENOSPC: "max_user_watches", errno.EMFILE: "max_user_instances"}

Note = Callable[[str | None], None]
"""Told each path at which something changed, and None when some changes were lost; called by watchdog's thread."""


class FolderWatches(Protocol):
    """The watches of one root. Not for the event loop: what it does waits for the system."""

    def watch(self, folders: Iterable[str]) -> bool:
        """Watch `folders`, absolute paths, and no others; whether some are watched that were not before.

        Raises:
            OSError: the system has no watches left; then nothing is watched.
        """
        ...

    def close(self) -> None:
        """Watch nothing any more."""
        ...


class Notifier(Protocol):
    """Makes watches; one for all roots."""

    def watches(self, root: str, note: Note) -> FolderWatches:
        """Watches for what is below `root`, of which `note` is told.

        Raises:
            OSError: the system does not tell of changes.
        """
        ...

    def close(self) -> None:
        """Watch nothing any more, whoever asked for it."""
        ...


def limit_of(error: OSError) -> str:
    """Which limit of the system was reached, with its value and what to do, as far as that is known."""
    said = error.strerror or str(error)
    if (name := _LIMITS.get(error.errno or 0)) is None:
        return said
    try:
        value = int(Path(f"/proc/sys/fs/inotify/{name}").read_text("ascii"))
    except (OSError, ValueError):
        return said
    return f"{said}: fs.inotify.{name} is {value}; `sysctl fs.inotify.{name}={2 * value}` doubles it"


class TreeNotifier:
    """Watches whole trees."""

    def __init__(self) -> None:
        self._observer = Observer()
        self._observer.start()

    def watches(self, root: str, note: Note) -> "FolderWatches":
        """See `Notifier`."""
        return _Tree(self, root, note)

    def schedule(self, handler: FileSystemEventHandler, root: str) -> ObservedWatch:
        """Tell `handler` of changes below `root`."""
        return self._observer.schedule(handler, root, recursive=True)

    def unschedule(self, watch: ObservedWatch) -> None:
        """Tell of these changes no more."""
        self._observer.unschedule(watch)

    def close(self) -> None:
        """See `Notifier`."""
        self._observer.stop()
        self._observer.join()


class _Tree(FileSystemEventHandler):
    def __init__(self, notifier: TreeNotifier, root: str, note: Note) -> None:
        self._notifier = notifier
        self._root = root
        self._note = note
        self._watch: ObservedWatch | None = None

    def on_any_event(self, event: FileSystemEvent) -> None:
        if event.event_type not in ("opened", "closed_no_write"):
            for path in (event.src_path, event.dest_path):
                if path:
                    self._note(os.fsdecode(path))

    def watch(self, folders: Iterable[str]) -> bool:  # noqa: ARG002  # all of the tree is watched
        if self._watch is not None:
            return False
        self._watch = self._notifier.schedule(self, self._root)
        return True

    def close(self) -> None:
        if self._watch is not None:
            self._notifier.unschedule(self._watch)


if sys.platform == "linux":

    class FolderNotifier:
        """Watches single folders with inotify."""

        def __init__(self) -> None:
            self.inotify = InotifyFD()
            self.inotify.start()

        def watches(self, root: str, note: Note) -> "FolderWatches":  # noqa: ARG002  # folders say where they are
            """See `Notifier`."""
            return _Folders(self.inotify, note)

        def close(self) -> None:
            """See `Notifier`."""
            self.inotify.stop()
            self.inotify.join()

    class _Folders:
        MASK = Mask(
            InotifyConstants.IN_CREATE
            | InotifyConstants.IN_DELETE
            | InotifyConstants.IN_MOVE
            | InotifyConstants.IN_MODIFY
            | InotifyConstants.IN_CLOSE_WRITE
            | InotifyConstants.IN_DELETE_SELF
            | InotifyConstants.IN_ONLYDIR
            | InotifyConstants.IN_DONT_FOLLOW
            | InotifyConstants.IN_EXCL_UNLINK
        )

        def __init__(self, inotify: "InotifyFD", note: Note) -> None:
            self._inotify = inotify
            self._note = note
            # Both change in watchdog's thread as well; each change is one operation of a dict.
            self._paths: dict[WatchDescriptor, str] = {}
            self._watches: dict[str, WatchDescriptor] = {}

        def watch(self, folders: Iterable[str]) -> bool:
            wanted = set(folders)
            self._drop(path for path in list(self._watches) if path not in wanted)
            new = [path for path in wanted if path not in self._watches and os.access(path, os.R_OK)]
            for path in new:
                try:
                    watch = self._inotify.add_callback(os.fsencode(path), self.MASK, self, CallbackId(id(self)))
                except OSError as error:
                    if error.errno in (errno.ENOENT, errno.ENOTDIR):  # it has gone meanwhile
                        continue
                    self.close()
                    raise
                self._watches[path] = watch
                self._paths[watch] = path
            return bool(new)

        def close(self) -> None:
            self._drop(list(self._watches))

        def on_event(self, event: "InotifyEvent") -> None:
            if (folder := self._paths.get(event.wd)) is None:
                return
            path = f"{folder}/{os.fsdecode(event.name)}" if event.name else folder
            if event.is_directory and event.is_moved_from:
                # The watches go with what is moved: under its old name there may soon be something else.
                self._drop(other for other in list(self._watches) if f"{other}/".startswith(f"{path}/"))
            self._note(path)

        def on_watch_deleted(self, wd: "WatchDescriptor") -> None:
            if (path := self._paths.pop(wd, None)) is not None and self._watches.get(path) == wd:
                del self._watches[path]

        def on_queue_overflow(self) -> None:
            self._note(None)

        def _drop(self, paths: Iterable[str]) -> None:
            for path in paths:
                if (watch := self._watches.pop(path, None)) is not None:
                    self._paths.pop(watch, None)
                    self._inotify.remove_callbacks([(watch, CallbackId(id(self)))])


def make_notifier() -> Notifier:
    """The notifier for this system.

    Raises:
        OSError: the system does not tell of changes.
    """
    return FolderNotifier() if sys.platform == "linux" else TreeNotifier()
