"""One daemon per socket: who may listen, how it is started and how it is stopped.

Beside the socket lies a lock file. Whoever holds its lock is the daemon of that socket, and the file holds its process id;
the lock goes with the process, however that ends, so a socket without a locked lock file is nobody's.
"""

import fcntl
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from scrubjay.config import Config, read_config
from scrubjay.errors import DaemonError
from scrubjay.process.model_files import find_model

START_S = 30.0
"""How long a daemon may take until it listens; loading its model comes after that."""
STOP_S = 30.0
ANSWER_S = 5.0
MAX_SOCKET_PATH = 103
"""Bytes, in the kernel's structure of the narrower of our two systems."""
MAX_LOG = 4 << 20

READY = b"\n"
ENDING = b"0" * 20
"""In place of the process id: the daemon ends already. As long as any number, so that none of it remains."""


# --- being the daemon ------------------------------------------------------------------------------------------------


@contextmanager
def claim_socket(path: Path) -> Iterator[None]:
    """Be the one daemon of the socket at `path`, which is free for binding then; afterwards it is gone.

    Raises:
        DaemonError: another daemon is, or the folder cannot be used.
    """
    _require_folder(path)
    # One that no longer listens is on its way out, and worth waiting for.
    with _locked(_lock_path(path), 0.0 if is_running(path) else STOP_S) as lock:
        if lock is None:
            raise DaemonError(f"A daemon already listens on {path}; `scrubjay stop` ends it.")
        # What a killed daemon left must not stand behind a shorter number.
        os.ftruncate(lock, 0)
        os.pwrite(lock, str(os.getpid()).encode(), 0)
        path.unlink(missing_ok=True)
        try:
            yield
        finally:
            os.pwrite(lock, ENDING, 0)
            # While the lock is held, so that it cannot be the next daemon's. The lock file stays: if it were removed,
            # two daemons could hold locks on two files of that name.
            path.unlink(missing_ok=True)


def detach() -> None:
    """Leave the process that started this one, its terminal and its folder. To be called before any thread runs."""
    if os.fork():
        os._exit(0)
    os.setsid()
    os.chdir("/")


def tell_ready(fd: int) -> None:
    """Tell the process that started this one that the daemon listens."""
    with os.fdopen(fd, "wb", buffering=0) as pipe:
        try:
            pipe.write(READY)
        except BrokenPipeError:
            return  # it has not waited


def _require_folder(path: Path) -> None:
    """Make the socket's folder, for this user only; one that exists must be safe from others."""
    if len(os.fsencode(path)) > MAX_SOCKET_PATH:
        raise DaemonError(f"The path {path} is too long for a socket; choose one of at most {MAX_SOCKET_PATH} bytes.")
    folder = path.parent
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
    except OSError as error:
        raise DaemonError(f"The socket's folder {folder} cannot be made: {error.strerror}.") from error
    if status.st_uid != os.getuid() or status.st_mode & 0o022:
        raise DaemonError(
            f"Other users may write to {folder}; put the socket into a folder of your own (--socket PATH)."
        )


# --- starting and stopping it ----------------------------------------------------------------------------------------


def is_running(path: Path) -> bool:
    """Whether a daemon accepts connections on the socket at `path`."""
    with closing(socket.socket(socket.AF_UNIX)) as probe:
        probe.settimeout(ANSWER_S)
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


def start_daemon(path: Path | str, flags: Mapping[str, str] | None = None, config_file: Path | None = None) -> bool:
    """Have a daemon on the socket at `path`: it listens when this returns, its model may still be loading.

    However many call this at the same time, one of them starts it.

    Args:
        path: of the socket.
        flags: options for a daemon that has to be started, by name; see `Config`.
        config_file: see `read_config`.

    Returns:
        Whether it had to be started.

    Raises:
        UsageError: the configuration is wrong.
        ModelRefused: there is no such model.
        DaemonError: it did not start; the message quotes its log.
    """
    path = Path(path)
    if is_running(path):
        return False
    flags = {**(flags or {}), "socket": str(path)}
    config = read_config(flags, config_file)
    _require_folder(path)
    # The model is fetched here, where somebody may see how far it is, not in a process that has no terminal.
    flags["model"] = str(find_model(config.model))
    with _locked(path.with_name(path.name + ".starting"), None):
        if is_running(path):
            return False
        _spawn(_command(flags, config_file), config)
    return True


def stop_daemon(path: Path | str) -> bool:
    """End the daemon of the socket at `path` in good order; the socket is free when this returns.

    Returns:
        Whether there was one.

    Raises:
        DaemonError: it does not end.
    """
    lock_path = _lock_path(Path(path))
    if not lock_path.exists():
        return False
    with _locked(lock_path) as lock:
        if lock is not None:
            return False
    with lock_path.open("r+b") as file:
        content = file.read()
        if not content:
            raise DaemonError("The daemon is only just starting; try again in a moment.")
        pid = int(content)
        if pid:
            with suppress(ProcessLookupError):  # it has ended by itself meanwhile
                os.kill(pid, signal.SIGTERM)
        if not _lock(file.fileno(), STOP_S):
            raise DaemonError(
                f"The daemon, process {pid}, has not ended within {STOP_S:.0f} s; `kill -9 {pid}` ends it."
            )
    return True


def _command(flags: Mapping[str, str], config_file: Path | None) -> list[str]:
    """The command line of a daemon."""
    options = [f"--config={config_file.absolute()}"] if config_file else []
    for name, value in flags.items():
        match name, value:
            case _, "false":
                options.append(f"--no-{name.replace('_', '-')}")
            case _, "true":
                options.append(f"--{name.replace('_', '-')}")
            case _:
                options.append(f"--{name.replace('_', '-')}={value}")
    return [sys.executable, "-m", "scrubjay", "serve", *options]


def _spawn(command: list[str], config: Config) -> None:
    """Start a daemon and wait until it listens, or has ended."""
    log = _open_log(config)
    theirs: int
    ours, theirs = os.pipe()
    with log.open("ab") as output, os.fdopen(ours, "rb", buffering=0) as ready:
        try:
            process = subprocess.Popen(
                [*command, f"--ready-fd={theirs}"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=(theirs,),
            )
        finally:
            os.close(theirs)
        process.wait()  # it detaches; or it has ended
        answer: list[bytes] = []
        # The end of the daemon closes the pipe, so this ends with the start or the failure, not by the clock.
        reader = threading.Thread(target=lambda: answer.append(ready.read(1)), daemon=True)
        reader.start()
        reader.join(START_S)
    if answer != [READY]:
        raise DaemonError(_failure(log, is_over=bool(answer)))


def _failure(log: Path, is_over: bool) -> str:
    lines = log.read_text("utf-8", "replace").splitlines()
    last = next((line for line in reversed(lines) if line.strip()), "")
    if is_over:
        return f"The daemon ended while it was starting: {last or 'it left no word.'} (Its log: {log})"
    return f"The daemon does not listen after {START_S:.0f} s; its log {log} may say why."


def _open_log(config: Config) -> Path:
    """The daemon's log file, begun anew when it has grown large."""
    folder = config.data_dir / "log"
    log = folder / "daemon.log"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if log.exists() and log.stat().st_size > MAX_LOG:
            log.replace(folder / "daemon.log.1")
        log.touch(mode=0o600)
    except OSError as error:
        raise DaemonError(
            f"The daemon's log {log} cannot be written: {error.strerror}; choose another --data-dir."
        ) from error
    return log


# --- locks -----------------------------------------------------------------------------------------------------------


def _lock_path(path: Path) -> Path:
    return path.with_name(path.name + ".lock")


@contextmanager
def _locked(path: Path, patience_s: float | None = 0.0) -> Iterator[int | None]:
    """The descriptor of the locked file at `path`; None if somebody else keeps it for longer than `patience_s`.

    Children do not inherit it, so the lock goes when this process does. A patience of None is endless.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        yield fd if _lock(fd, patience_s) else None
    finally:
        os.close(fd)


def _lock(fd: int, patience_s: float | None) -> bool:
    """Whether we have the lock on the file now."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        # The kernel wakes us when the lock is free; it has no time limit, so the waiting is done beside.
        waiter = threading.Thread(target=fcntl.flock, args=(fd, fcntl.LOCK_EX), daemon=True)
        if patience_s == 0:
            return False
        waiter.start()
        waiter.join(patience_s)
        return not waiter.is_alive()
    return True
