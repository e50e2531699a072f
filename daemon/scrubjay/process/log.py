"""The daemon's log: its place, its forms, and files that do not grow without end."""

import json
import logging
import os
import sys
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from scrubjay.config import Config

MAX_LOG = 4 << 20
"""Bytes of the file, and of the one before."""


def log_file(config: Config) -> Path:
    """Where a daemon that nobody's terminal shows writes what happens."""
    return config.data_dir.absolute() / "log" / "daemon.log"


def old_log(log: Path) -> Path:
    """Where a log file goes when it is full."""
    return log.with_name(f"{log.name}.1")


def set_up_log(level: str, form: Literal["text", "json"], file: Path | None) -> None:
    """Log to standard error.

    Args:
        file: what standard error leads to, if it may be renamed and begun again when it is full.
    """
    output = _Output(file)
    text = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    output.setFormatter(JsonLines() if form == "json" else text)
    logging.basicConfig(level=level.upper(), handlers=[output])


class JsonLines(logging.Formatter):
    """A JSON object a line: `time`, `level`, `logger`, `message`, and what the record brings as `fields`."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of `record`."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


class _Output(logging.StreamHandler):  # type: ignore[type-arg]
    def __init__(self, file: Path | None) -> None:
        super().__init__(sys.stderr)
        self._file = file

    def emit(self, record: logging.LogRecord) -> None:
        """Write the line of `record`."""
        with suppress(OSError):
            if self._file and os.fstat(2).st_size > MAX_LOG:
                _begin_again(self._file)
        super().emit(record)


def _begin_again(file: Path) -> None:
    """Libraries and the interpreter write to standard error, too: so the descriptors are led to the new file."""
    with suppress(FileNotFoundError):
        file.replace(old_log(file))
    fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for standard in (1, 2):
        os.dup2(fd, standard)
    os.close(fd)
