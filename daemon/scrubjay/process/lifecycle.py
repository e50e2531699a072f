"""How a daemon is started, found and stopped."""

import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from pathlib import Path

from scrubjay.config import CONFIG_VARIABLE, Config, read_config
from scrubjay.errors import DaemonError
from scrubjay.isolation import python_command, safe_environment
from scrubjay.model_tables import model_key, model_option
from scrubjay.process.claim import ANSWER_S, STOP_S, is_running, lock_file, lock_path, locked, require_place
from scrubjay.process.client import Client
from scrubjay.process.log import MAX_LOG, log_file, old_log
from scrubjay.process.model_files import nobody, with_files
from scrubjay.process.model_names import whole_name
from scrubjay.process.peer import require_own_folder

START_S = 30.0
"""How long a daemon may take until it listens; loading its model comes after that."""
READY = b"\n"
PATHS = ("data_dir", "tokenizer", "remote_key_file")
"""Options that name files, wherever the daemon is started; the socket is another matter."""


# --- being the daemon ------------------------------------------------------------------------------------------------


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


# --- starting and stopping it ----------------------------------------------------------------------------------------


def start_daemon(
    path: Path | str,
    flags: Mapping[str, str] | None = None,
    config_file: Path | None = None,
    tell: Callable[[str], None] = nobody,
) -> bool:
    """Have a daemon on the socket at `path`: it listens when this returns, its model may still be loading.

    However many call this at the same time, one of them starts it.

    Args:
        path: of the socket.
        flags: options for a daemon that has to be started, by name; see `Config`.
        config_file: see `read_config`.
        tell: see `model_argument`.

    Returns:
        Whether it had to be started.

    Raises:
        UsageError: the configuration is wrong.
        ModelRefused: there is no such model.
        DaemonError: it did not start; the message quotes its log.
    """
    path = Path(path).absolute()
    if is_running(path):
        return False
    # Names as they mean the same wherever the next one is started.
    given = dict(_whole(name, text) for name, text in (flags or {}).items())
    flags = {**given, "socket": str(path)}
    config = read_config(flags, config_file)
    require_place(path)
    # The model is fetched here, where somebody may see how far it is, not in a process that has no terminal.
    # Paths are told whole: the daemon's working folder is another.
    flags |= {table.key: table.source for table in with_files(config, tell).served}
    flags |= {name: str(named) for name in PATHS if (named := getattr(config, name))}
    if config_file is None and (named := os.environ.get(CONFIG_VARIABLE)):
        config_file = Path(named)
    with locked(path.with_name(path.name + ".starting"), None):
        if is_running(path):
            return False
        _spawn([*_command(flags, config_file), f"--given={json.dumps(given)}"], config)
    return True


def restart_daemon(
    path: Path | str,
    flags: Mapping[str, str] | None = None,
    config_file: Path | None = None,
    dropped: Collection[str] = (),
    tell: Callable[[str], None] = nobody,
) -> bool:
    """End the daemon of the socket at `path`, if there is one, and start one with `flags` over those that it was started with.

    Whatever is wrong with the options or the model is found before the old daemon ends.

    Args:
        dropped: names of options of the old daemon that are not to be taken over.

    Returns:
        Whether there was one.

    Raises:
        UsageError, ModelRefused, DaemonError: as `start_daemon` and `stop_daemon`.
    """
    path = Path(path).absolute()
    flags = {**_flags_of_running(path, {*dropped, *(flags or {})}), **(flags or {})}
    with_files(read_config({**flags, "socket": str(path)}, config_file), tell)
    was_running = stop_daemon(path)
    start_daemon(path, flags, config_file)
    return was_running


def _flags_of_running(path: Path, dropped: Collection[str]) -> dict[str, str]:
    """The options that the daemon of this socket was given when it was started, but for those that are dropped."""
    if not is_running(path):
        return {}
    try:
        flags = Client(path, ANSWER_S).get("status").get("config", {}).get("flags", {})
    except DaemonError:
        return {}  # it hangs, or has ended by itself: the next one has the options of the configuration
    kept = {name: text for name, text in flags.items() if name not in dropped}
    if kept.get("api_key"):
        raise DaemonError("The daemon was started with --api-key, which it does not tell; give it again.")
    return kept


def stop_daemon(path: Path | str) -> bool:
    """End the daemon of the socket at `path` in good order; the socket is free when this returns.

    Returns:
        Whether there was one.

    Raises:
        DaemonError: it does not end.
    """
    path = Path(path)
    file = lock_path(path)
    if not file.exists():
        return False
    # What another user writes there is no process to end.
    require_own_folder(path.parent)
    with locked(file) as lock:
        if lock is not None:
            return False
    with file.open("r+b") as opened:
        content = opened.read()
        if not content:
            raise DaemonError("The daemon is only just starting; try again in a moment.")
        pid = int(content)
        if pid:
            with suppress(ProcessLookupError):  # it has ended by itself meanwhile
                os.kill(pid, signal.SIGTERM)
        if not lock_file(opened.fileno(), STOP_S):
            raise DaemonError(
                f"The daemon, process {pid}, has not ended within {STOP_S:.0f} s; `kill -9 {pid}` ends it."
            )
    return True


def _command(flags: Mapping[str, str], config_file: Path | None) -> list[str]:
    """The command line of a daemon."""
    options = [f"--config={config_file.absolute()}"] if config_file else []
    for name, value in flags.items():
        match name, value:
            case _ if name.startswith("models."):
                options.append(f"--model={model_option(name, value)}")
            case _, "false":
                options.append(f"--no-{name.replace('_', '-')}")
            case _, "true":
                options.append(f"--{name.replace('_', '-')}")
            case _:
                options.append(f"--{name.replace('_', '-')}={value}")
    return python_command("-m", "scrubjay", "serve", *options)


def _whole(name: str, text: str) -> tuple[str, str]:
    """An option as it means the same wherever the next daemon is started."""
    key, source = model_key(text) if name == "model" else (name, text)
    if name in PATHS and text != "none":
        with suppress(RuntimeError):  # no such home folder: the configuration refuses that
            return key, str(Path(text).expanduser().absolute())
    return key, whole_name(source) if key == "model" or key.startswith("models.") else source


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
                env=safe_environment(),
                cwd="/",
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
    """The daemon's log file; a large one is renamed and a new one begun."""
    log = log_file(config)
    folder = log.parent
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if log.exists() and log.stat().st_size > MAX_LOG:
            log.replace(old_log(log))
        log.touch(mode=0o600)
    except OSError as error:
        raise DaemonError(
            f"The daemon's log {log} cannot be written: {error.strerror}; choose another --data-dir."
        ) from error
    return log
