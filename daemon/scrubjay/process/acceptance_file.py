"""The file with the counts of what became of completions: in the data folder, for this user only, written at idle moments.

Daemons of one user may share it: each adds what it has counted to what is there, and has the sum from then on.
"""

import asyncio
import fcntl
import json
import logging
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

from scrubjay.completion.acceptance import AcceptanceTable, Json
from scrubjay.errors import DaemonError
from scrubjay.service.service import Service

logger = logging.getLogger(__name__)

NAME = "acceptance.json"
WRITE_S = 10.0
"""How long after something was counted it is written, at most so often."""
MAX_BYTES = 1 << 20


def acceptance_file(data_folder: Path) -> Path:
    """Where the counts are."""
    return data_folder.absolute() / NAME


def read_acceptance(path: Path) -> AcceptanceTable:
    """The counts in the file; none where there is no such file, or one that nobody here has written."""
    try:
        with path.open("rb") as file:
            return AcceptanceTable.of_json(json.loads(file.read(MAX_BYTES)))
    except FileNotFoundError:
        pass
    except (OSError, ValueError, RecursionError) as error:
        logger.warning("%s cannot be read, counting begins again: %s.", path, _why(error))
    return AcceptanceTable()


def wipe_acceptance(path: Path, root: str) -> None:
    """Forget the counts of the project at `root`, or with "" all, where no daemon does it.

    Raises:
        DaemonError: the file cannot be written.
    """
    if not path.exists():
        return
    try:
        with _alone(path):
            table = read_acceptance(path)
            table.forget(root)
            _write(path, table.as_json())
    except OSError as error:
        raise DaemonError(f"{path} cannot be written: {_why(error)}.") from error


@asynccontextmanager
async def keeping_acceptance(service: Service, path: Path) -> AsyncIterator[None]:
    """Have the service's counts in the file, a moment after they change and at the end."""
    writer = _Writer(path, service.acceptance.table, lambda: service.dispatcher.is_idle)
    service.acceptance.on_change = writer.changed
    try:
        yield
    finally:
        service.acceptance.close()
        writer.close()


class _Writer:
    """Writes a table when it has changed, and `is_idle` says that nothing else is to be done."""

    def __init__(self, path: Path, table: AcceptanceTable, is_idle: Callable[[], bool]) -> None:
        self._path = path
        self._table = table
        # Of that, what is in the file.
        self._before = _copy(table)
        self._is_idle = is_idle
        self._timer: asyncio.TimerHandle | None = None
        self._is_changed = False

    def changed(self, forgotten: str | None) -> None:
        """The table has changed; where a root was forgotten, it is in no file any more when this returns."""
        self._is_changed = True
        if forgotten is not None:
            self._write(forgotten)
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(WRITE_S, self._due)

    def close(self) -> None:
        """Write what has not been written."""
        if self._timer:
            self._timer.cancel()
        self._timer = None
        if self._is_changed:
            self._write()

    def _due(self) -> None:
        self._timer = None
        if self._is_idle():
            self._write()
        else:
            self.changed(None)

    def _write(self, forgotten: str | None = None) -> None:
        self._is_changed = False
        try:
            with _alone(self._path):
                stored = read_acceptance(self._path)
                if forgotten is not None:
                    stored.forget(forgotten)
                    self._before.forget(forgotten)
                self._table.add_to(stored, self._before)
                self._before = stored
                _write(self._path, self._table.as_json())
                self._before = _copy(self._table)
        except OSError as error:
            logger.warning("%s cannot be written: %s.", self._path, _why(error))


def _copy(table: AcceptanceTable) -> AcceptanceTable:
    return AcceptanceTable.of_json(table.as_json())


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """No other daemon reads or writes the file meanwhile, which takes it a moment. The folder is locked: files come and go.

    Raises:
        OSError: there is no such folder, and none can be made.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with suppress(OSError):  # some network file systems have no locks: then the last one wins
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _write(path: Path, rows: list[Json]) -> None:
    """Replace the file: it is the old one or the new one, whatever happens. A power failure may cost the last minutes."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(fd, "w", encoding="ascii") as file:
            json.dump(rows, file, indent=1)
        temporary.replace(path)
    except OSError:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def _why(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error).split("\n", 1)[0]
