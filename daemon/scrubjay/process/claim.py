"""One daemon per socket: who may listen there, and what may be taken away to make place for it.

Where there are no Unix sockets, a token file (see `scrubjay.loopback`) is in place of the socket.

Beside it is a lock file. The process that holds its lock is the daemon of that socket, and the file holds its process
id; the lock goes with the process, however that ends, so a socket without a locked lock file is nobody's.
"""

import fcntl
import logging
import os
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from scrubjay.errors import DaemonError
from scrubjay.loopback import TokenFile, read_token_file, uses_unix_sockets
from scrubjay.process.peer import connect, require_own_folder

logger = logging.getLogger(__name__)

STOP_S = 30.0
"""How long a daemon may take to end."""
ANSWER_S = 5.0
MAX_SOCKET_PATH = 103
"""Bytes, in the kernel's structure of the narrower of our two systems."""
ENDING = b"0" * 20
"""In place of the process id: the daemon ends already. As long as any number, so that none of it remains."""
_KINDS = (
    (stat.S_ISREG, "file"),
    (stat.S_ISDIR, "folder"),
    (stat.S_ISLNK, "link"),
    (stat.S_ISFIFO, "named pipe"),
    (lambda _: True, "device"),
)


class SocketClaim:
    """The right to listen on the socket at `path`, for one daemon at a time. Use `claim_socket`.

    Args:
        is_given: a service manager listens there already, and hands its socket over; it is not ours to make or to take away.
    """

    def __init__(self, path: Path, is_given: bool = False) -> None:
        self._path = path
        self._is_given = is_given
        self._lock = -1
        self._socket: tuple[int, int] | TokenFile | None = None

    def take(self) -> None:
        """Become the daemon of this socket, whose path is free for binding then.

        Raises:
            DaemonError: another daemon is, or something is there that is not ours to take away.
        """
        self.release()
        require_place(self._path)
        # One that no longer listens is on its way out, and worth waiting for.
        patience_s = STOP_S if self._is_given or not is_running(self._path) else 0.0
        lock = _locked_file(lock_path(self._path), patience_s)
        if lock is None:
            raise DaemonError(f"A daemon already listens on {self._path}; `scrubjay stop` ends it.")
        self._lock = lock
        try:
            if not self._is_given:
                _require_silence(self._path)
            _write_lock(lock, str(os.getpid()).encode())
            if not self._is_given:
                self._path.unlink(missing_ok=True)
        except OSError as error:
            self.release()
            raise DaemonError(f"The socket {self._path} cannot be made: {error.strerror}.") from error
        except DaemonError:
            self.release()
            raise

    def note_bound(self) -> None:
        """Remember the socket that is bound now."""
        self._socket = _socket_identity(self._path)

    @property
    def is_intact(self) -> bool:
        """Whether clients find the socket that was bound, and `scrubjay stop` the lock; somebody may have deleted them."""
        return self._is_ours and _file_identity(lock_path(self._path)) == _identity_of(os.fstat(self._lock))

    @property
    def _is_ours(self) -> bool:
        """Whether what is at the path is what was bound."""
        return self._socket is not None and _socket_identity(self._path) == self._socket

    def release(self) -> None:
        """Give it up; the socket is taken away, unless another is there by now."""
        if self._lock < 0:
            return
        with suppress(OSError):
            os.pwrite(self._lock, ENDING, 0)
        # While the lock is held, so that it cannot be the next daemon's. The lock file stays: if it were removed,
        # two daemons could hold locks on two files of that name.
        if self._is_ours and not self._is_given:
            self._path.unlink(missing_ok=True)
        os.close(self._lock)
        self._lock, self._socket = -1, None


@contextmanager
def claim_socket(path: Path, is_given: bool = False) -> Iterator[SocketClaim]:
    """Be the one daemon of the socket at `path`, which is free for binding then; afterwards it is gone.

    With `is_given`, see `SocketClaim`, it is there all the time.

    Raises:
        DaemonError: see `SocketClaim.take`.
    """
    claim = SocketClaim(path, is_given)
    claim.take()
    try:
        yield claim
    finally:
        claim.release()


def is_running(path: Path) -> bool:
    """Whether a daemon accepts connections on the socket at `path`.

    Raises:
        DaemonError: it is, or may be, another user's.
    """
    return _is_answered(path, lambda: _is_locked(lock_path(path)))


def _is_answered(path: Path, is_hung: Callable[[], bool]) -> bool:
    """Whether somebody listens; `is_hung` says it of who has accepted and not proven to be the daemon of a token file."""
    try:
        with closing(connect(path, ANSWER_S)[0]):
            return True
    except TimeoutError:
        # On a Unix socket somebody listens and does not accept; the port of an old token file may be anybody's.
        return read_token_file(path) is None or is_hung()
    except OSError:
        return False


def require_place(path: Path) -> None:
    """Make the socket's folder, for this user only, and see that a socket, or a token file, may be put at `path`.

    Raises:
        DaemonError: the folder cannot be made or is not safe from others; or what is at `path` is neither of this user.
        UsageError: see `uses_unix_sockets`.
    """
    if uses_unix_sockets() and len(os.fsencode(path)) > MAX_SOCKET_PATH:
        raise DaemonError(f"The path {path} is too long for a socket; choose one of at most {MAX_SOCKET_PATH} bytes.")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        require_own_folder(path.parent)
    except OSError as error:
        raise DaemonError(f"The socket's folder {path.parent} cannot be made: {error.strerror}.") from error
    try:
        status = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(status.st_mode) and not read_token_file(path):
        kind = next(word for test, word in _KINDS if test(status.st_mode))
        raise DaemonError(f"{path} is a {kind}, not a socket, and stays as it is; choose another --socket.")
    if status.st_uid != os.geteuid():
        raise DaemonError(f"The socket {path} is another user's; choose another --socket.")


def _require_silence(path: Path) -> None:
    """To be asked with the lock held, as our daemons do while they listen: whatever listens is none of them."""
    if _is_answered(path, lambda: False):
        raise DaemonError(f"Another program listens on {path}; choose another --socket.")


def _socket_identity(path: Path) -> tuple[int, int] | TokenFile | None:
    """What tells a socket, or a token file, from another at the same path; None if neither is there."""
    return _file_identity(path) if path.is_socket() else read_token_file(path)


def _file_identity(path: Path) -> tuple[int, int] | None:
    """What tells a file from another at the same path; None if there is none."""
    try:
        return _identity_of(path.lstat())
    except OSError:
        return None


def _identity_of(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


# --- locks -----------------------------------------------------------------------------------------------------------


def lock_path(path: Path) -> Path:
    """Of the lock file of the socket at `path`."""
    return path.with_name(path.name + ".lock")


@contextmanager
def locked(path: Path, patience_s: float | None = 0.0) -> Iterator[int | None]:
    """The descriptor of the locked file at `path`; None if somebody else keeps it for longer than `patience_s`.

    Children do not inherit it, so the lock goes when this process does. A patience of None is endless.

    Raises:
        DaemonError: there is a file of somebody's, or it cannot be opened.
    """
    fd = _locked_file(path, patience_s)
    try:
        yield fd
    finally:
        if fd is not None:
            os.close(fd)


def _is_locked(path: Path) -> bool:
    """Whether a process has the lock on the file at `path`."""
    with locked(path) as fd:
        return fd is None


def lock_file(fd: int, patience_s: float | None) -> bool:
    """Whether we have the lock on the file now."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        # The kernel wakes us when the lock is free; it has no time limit, so the waiting is done in a thread.
        waiter = threading.Thread(target=fcntl.flock, args=(fd, fcntl.LOCK_EX), daemon=True)
        if patience_s == 0:
            return False
        waiter.start()
        waiter.join(patience_s)
        return not waiter.is_alive()
    return True


def _locked_file(path: Path, patience_s: float | None) -> int | None:
    try:
        # Neither through a link nor waiting for the other end of a pipe.
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    except OSError as error:
        raise DaemonError(f"The lock file {path} cannot be opened: {error.strerror}.") from error
    try:
        _require_lock_file(fd, path)
        if lock_file(fd, patience_s):
            return fd
    except BaseException:
        os.close(fd)
        raise
    os.close(fd)
    return None


def _require_lock_file(fd: int, path: Path) -> None:
    """A lock file holds nothing or a number: what holds more is not ours (`Cargo.lock` beside a socket named `Cargo`)."""
    status = os.fstat(fd)
    is_ours = stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid() and status.st_size <= len(ENDING)
    content = os.pread(fd, len(ENDING), 0) if is_ours else b"?"
    if content and not content.isdigit():
        raise DaemonError(f"{path} is not a lock file of Scrubjay and stays as it is; choose another --socket.")


def _write_lock(fd: int, content: bytes) -> None:
    # What a killed daemon left must not stand after a shorter number.
    os.ftruncate(fd, 0)
    os.pwrite(fd, content, 0)
