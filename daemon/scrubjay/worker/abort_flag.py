"""The byte, shared with the daemon, that ends an abortable decode."""

import ctypes
import mmap


class AbortByte:
    """The byte, in memory shared with the daemon, that ends an abortable decode when it is not 0."""

    def __init__(self, fd: int) -> None:
        self._memory = mmap.mmap(fd, mmap.PAGESIZE)
        self._view = (ctypes.c_char * mmap.PAGESIZE).from_buffer(self._memory)
        self.address = ctypes.addressof(self._view)

    def clear(self) -> None:
        self._memory[0] = 0
