"""What a daemon says of how it was started, and how that differs from what somebody wants of it."""

import hashlib
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from scrubjay.config import Config, options, value_text
from scrubjay.process.model_files import known_model

Json = dict[str, Any]


class About:
    """What `GET /api/status` says of the process, beside what its service does.

    Args:
        given: the options that whoever started it gave as flags, by name.
        log: the file with what it writes to standard error; None if that is a terminal's, or a service manager's.
        file: the TOML file, which may be missing.
    """

    def __init__(self, config: Config, given: Mapping[str, str], log: Path | None, file: Path | None) -> None:
        self._config = config
        self._given = {name: _shown(name, text) for name, text in given.items()}
        self._log = log
        self._file = file.absolute() if file else None
        self.last_error = LastError()
        self.urls: tuple[str, ...] = ()
        """Where clients of `--http` find it."""

    def __call__(self) -> Json:
        return {
            "config": {
                "socket": str(self._config.socket),
                "http": list(self.urls),
                "log": str(self._log) if self._log else None,
                "file": str(self._file) if self._file and self._file.exists() else None,
                "options": {
                    option.name: _as_json(option.name, getattr(self._config, option.name)) for option in options()
                }
                | {table.key: table.source for table in self._config.models},
                "flags": self._given,
            },
            "last_error": self.last_error.known,
        }


class LastError(logging.Handler):
    """Keeps the last warning or error that was logged: {"time", "level", "message"}, or None."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.known: Json | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it."""
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="seconds")
        self.known = {"time": time, "level": record.levelname.lower(), "message": record.getMessage()}


def differences(flags: Mapping[str, str], status: Json) -> list[tuple[str, str]]:
    """What of `flags`, options by name, is other than in the daemon with that `status`: the name, and what it has instead.

    A daemon of a version that does not tell its options has every one of them.
    """
    running = status.get("config", {}).get("options", {})
    found = []
    for option in options():
        name = option.name
        if name == "socket" or name not in flags or name not in running:
            continue
        text = flags[name]
        wanted = _as_json(name, known_model(text) or text if name == "model" else option.metadata["parse"](text))
        if running[name] != wanted:
            found.append((name, value_text(option, running[name]) or "none"))
    for name, source in flags.items():
        if name.startswith("models.") and running and running.get(name) != (known_model(source) or source):
            found.append((name, running.get(name, "none")))
    return found


def _as_json(name: str, value: object) -> object:
    match value:
        case str() if name == "api_key":
            return _shown(name, value)
        case (host, port):
            return f"{host}:{port}"
        case Path():
            return str(value)
    return value


def _shown(name: str, text: str) -> str:
    """`text`, unless it is secret: then what tells it from another."""
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()[:16]}" if name == "api_key" and text else text
