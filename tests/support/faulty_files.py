"""Real files, operations on which fail when a test says so."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from scrubjay.store.files import Bytes, Files, view_of

CHANGES = ("make_folder", "create", "write", "publish", "touch", "remove")
"""Operations that change something."""


class Killed(BaseException):
    """The process is gone: nothing that it would still have done happens, its clean-up included."""


class FaultyFiles(Files):
    """Files of which the operations can be made to fail.

    Attributes:
        kill_at: the number of the change, from 1, at which the process is killed: a write is half done then. 0 for none.
        fails: called with the name of each operation; the number of the error that it has, 0 for none.
    """

    def __init__(self) -> None:
        self.kill_at = 0
        self.n_changes = 0
        self.n_written = 0
        self.fails: Callable[[str], int] = lambda _: 0
        self._is_dead = False
        self._fds: set[int] = set()

    def _enter(self, name: str) -> None:
        if self._is_dead:
            raise Killed
        if number := self.fails(name):
            raise OSError(number, os.strerror(number))
        if name in CHANGES:
            self.n_changes += 1
            if self.n_changes == self.kill_at:
                self.die()
                if name != "write":
                    raise Killed

    def die(self) -> None:
        """As when the process is killed: its descriptors are closed."""
        self._is_dead = True

    def close_all(self) -> None:
        for fd in self._fds:
            try:
                os.close(fd)
            except OSError as error:
                assert error.errno == errno.EBADF
        self._fds.clear()

    def make_folder(self, folder: Path) -> None:
        self._enter("make_folder")
        super().make_folder(folder)

    def create(self, path: Path) -> int:
        self._enter("create")
        fd = super().create(path)
        self._fds.add(fd)
        return fd

    def write(self, fd: int, data: Bytes) -> None:
        self._enter("write")
        if self._is_dead:
            super().write(fd, view_of(data)[: view_of(data).nbytes // 2])
            raise Killed
        super().write(fd, data)
        self.n_written += view_of(data).nbytes

    def publish(self, fd: int, temporary: Path, path: Path) -> None:
        self._enter("publish")
        self._fds.discard(fd)
        super().publish(fd, temporary, path)

    def read_into(self, path: Path, offset: int, buffer: npt.NDArray[np.uint8]) -> bool:
        self._enter("read_into")
        return super().read_into(path, offset, buffer)

    def read(self, path: Path, offset: int, size: int) -> bytes:
        self._enter("read")
        return super().read(path, offset, size)

    def list(self, folder: Path) -> Any:
        self._enter("list")
        return super().list(folder)

    def touch(self, path: Path, used_ns: int) -> None:
        self._enter("touch")
        super().touch(path, used_ns)

    def remove(self, path: Path) -> None:
        self._enter("remove")
        super().remove(path)
