"""The few things that are done to files here, in one place: tests have the same ones fail."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

Bytes = bytes | memoryview | npt.NDArray[np.uint8]


def view_of(data: Bytes) -> memoryview:
    """The bytes of `data`, not copied."""
    return memoryview(data).cast("B")  # type: ignore[arg-type]  # an array is a buffer, too


@dataclass(frozen=True, slots=True)
class FileFacts:
    """Of one file: its bytes, and when it was used last, in nanoseconds."""

    path: Path
    size: int
    used_ns: int


class Files:
    """Every method may raise OSError."""

    def make_folder(self, folder: Path) -> None:
        """Have `folder`, which only its owner can enter."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # What is in it is source code; and it may have been there before, with other rights.
        folder.chmod(0o700)

    def list(self, folder: Path) -> Iterator[FileFacts]:
        """The files in `folder`; none where there is no such folder."""
        with suppress(FileNotFoundError), os.scandir(folder) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):  # another daemon's collection was quicker
                    if entry.is_file(follow_symlinks=False):
                        status = entry.stat(follow_symlinks=False)
                        yield FileFacts(Path(entry.path), status.st_size, status.st_mtime_ns)

    def create(self, path: Path) -> int:
        """A descriptor of a new file; it is locked until it is closed, or the process ends."""
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return fd

    def is_abandoned(self, path: Path) -> bool:
        """Whether a file that `create` made is locked by nobody: its writer is gone."""
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            os.close(fd)
        return True

    def write(self, fd: int, data: Bytes) -> None:
        """Append all of `data`."""
        view = view_of(data)
        while view:
            view = view[os.write(fd, view) :]

    def publish(self, fd: int, temporary: Path, path: Path) -> None:
        """Have what was written to `fd` on the disk, then under its name; `fd` is closed, whatever happens."""
        try:
            os.fsync(fd)
            temporary.rename(path)
        finally:
            os.close(fd)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def read(self, path: Path, offset: int, size: int) -> bytes:
        """At most `size` bytes from `offset` on."""
        with path.open("rb", buffering=0) as file:
            return os.pread(file.fileno(), size, offset)

    def read_into(self, path: Path, offset: int, buffer: npt.NDArray[np.uint8]) -> bool:
        """Fill `buffer` from `offset` on; False if the file ends before."""
        view, done = view_of(buffer), 0
        # Not mapped: a mapped file that somebody shortens ends the process.
        with path.open("rb", buffering=0) as file:
            while done < len(view):
                n = os.preadv(file.fileno(), [view[done:]], offset + done)
                if n == 0:
                    return False
                done += n
        return True

    def touch(self, path: Path, used_ns: int) -> None:
        """Note when a file was used last."""
        os.utime(path, ns=(used_ns, used_ns))

    def remove(self, path: Path) -> None:
        """Remove a file that may be gone already."""
        path.unlink(missing_ok=True)
