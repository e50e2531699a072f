"""The byte of memory that daemon and worker share: it ends an abortable decode when it is not 0."""

import ctypes
import mmap
import os
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from multiprocessing.shared_memory import SharedMemory


def inherits_descriptors() -> bool:
    """Whether a process can hand open files over to one that it starts; where it cannot, the memory has a name instead."""
    return os.name == "posix"


class AbortByte:
    """The byte, as each of the two processes has it. Use `create` or `open`.

    Args:
        unlink: see the method.

    Attributes:
        address: of the byte in this process, as long as this object lives.
        argument: what the worker is started with, to open it.
        descriptors: what the worker has to inherit for that.
    """

    def __init__(
        self,
        memory: "mmap.mmap | memoryview[int]",
        argument: str,
        descriptors: tuple[int, ...],
        unlink: Callable[[], None],
    ) -> None:
        self._memory = memory
        self._unlink = unlink
        self.argument = argument
        self.descriptors = descriptors
        # A view that stays would not let the memory go in good order when the process ends.
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(memory))

    @classmethod
    def create(cls) -> "AbortByte":
        """A new one, which is 0.

        Raises:
            OSError: the system has no memory for it.
        """
        if inherits_descriptors():
            return cls._of_file(_nameless_file())
        from multiprocessing.shared_memory import SharedMemory

        return cls._of_name(SharedMemory(create=True, size=mmap.PAGESIZE))

    @classmethod
    def open(cls, argument: str) -> "AbortByte":
        """The one that the daemon has created.

        Raises:
            OSError: there is none.
        """
        return cls._of_file(int(argument)) if argument.isdecimal() else cls._of_name(_opened(argument))

    @classmethod
    def _of_file(cls, fd: int) -> "AbortByte":
        return cls(mmap.mmap(fd, mmap.PAGESIZE), str(fd), (fd,), partial(os.close, fd))

    @classmethod
    def _of_name(cls, named: "SharedMemory") -> "AbortByte":
        if named.buf is None:
            raise OSError("the shared memory is closed")
        return cls(named.buf, named.name, (), named.unlink)

    def set(self) -> None:
        """End the decode that runs."""
        self._memory[0] = 1

    def clear(self) -> None:
        """Let decodes run."""
        self._memory[0] = 0

    def unlink(self) -> None:
        """Let nobody open it any more; who has it keeps it. For the daemon, once."""
        self._unlink()


def _nameless_file() -> int:
    """A file descriptor of one page of zeros."""
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("scrubjay-abort")
    else:
        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
    os.truncate(fd, mmap.PAGESIZE)
    return fd


def _opened(name: str) -> "SharedMemory":
    from multiprocessing import resource_tracker
    from multiprocessing.shared_memory import SharedMemory

    if sys.version_info >= (3, 13):
        return SharedMemory(name, track=False)
    # Older ones note that this process opens it, and unlink it with a warning when this process ends.
    register, resource_tracker.register = resource_tracker.register, lambda *_: None
    try:
        return SharedMemory(name)
    finally:
        resource_tracker.register = register
