"""The file with the counts of what became of completions: in the data folder, for this user only, written at idle moments."""

import asyncio
import json
import logging
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
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
    table = read_acceptance(path)
    table.forget(root)
    try:
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
        self._is_idle = is_idle
        self._timer: asyncio.TimerHandle | None = None
        self._is_changed = False

    def changed(self, is_urgent: bool) -> None:
        """The table has changed; what is urgent is on disk when this returns."""
        self._is_changed = True
        if is_urgent:
            self.close()
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
            self.changed(False)

    def _write(self) -> None:
        self._is_changed = False
        try:
            _write(self._path, self._table.as_json())
        except OSError as error:
            logger.warning("%s cannot be written: %s.", self._path, _why(error))


def _write(path: Path, rows: list[Json]) -> None:
    """Replace the file: it is the old one or the new one, whatever happens. A power failure may cost the last minutes."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
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
