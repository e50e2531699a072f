"""How fast models were when they were measured, kept for the next start: to measure takes longer than to go back to a prompt."""

import json
import os
import platform
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from time import time
from typing import Any

import xxhash

from scrubjay.llama.backend import library_identity
from scrubjay.llama.context import LlamaContext
from scrubjay.llama.devices import device
from scrubjay.protocol.messages import EngineSettings
from scrubjay.store.files import Files
from scrubjay.store.identity import file_identity
from scrubjay.worker.lengths import PROBED

NAME = "speeds.json"
MAX_AGE_S = 7 * 86400
"""Then they are measured again: what the machine did meanwhile must not count for ever."""
MAX_AGE_IN_PART_S = 86400
"""The same where there was no time to measure all lengths of decodes: perhaps the machine was busy then."""
MAX_KEPT = 32
MAX_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Speeds:
    """In tokens/s: of prefills by the length of their decodes, and of generation; `lengths`: see `WarmUp.measure_lengths`."""

    prefill: Mapping[int, float]
    generation: float
    lengths: Mapping[int, tuple[float, bytes]]


class KnownSpeeds:
    """What is known of one model with these settings, in a file beside the records.

    Args:
        folder: of the records; None keeps nothing.
        key: see `speed_key`.
    """

    def __init__(self, folder: Path | None, key: str, files: Files | None = None) -> None:
        self._path = folder / NAME if folder else None
        self._key = key
        self._files = files or Files()

    def read(self) -> Speeds | None:
        """None if they are not known, or too old."""
        with suppress(TypeError, ValueError, KeyError, AttributeError):
            one = self._read_all()[self._key]
            prefill = {int(n): _positive(speed) for n, speed in one["prefill"].items()}
            lengths = {
                int(n): (_positive(seconds), bytes.fromhex(name)) for n, (seconds, name) in one["lengths"].items()
            }
            speeds = Speeds(prefill, _positive(one["generation"]), lengths)
            most = MAX_AGE_S if len(lengths) == len(PROBED) else MAX_AGE_IN_PART_S
            if speeds.prefill and 0 <= time() - float(one["at"]) < most:
                return speeds
        return None

    def write(self, speeds: Speeds) -> None:
        """Keep `speeds`; losing them costs only that they are measured again."""
        if self._path is None:
            return
        known = self._read_all()
        known.pop(self._key, None)
        known[self._key] = {
            "prefill": {str(n): speed for n, speed in speeds.prefill.items()},
            "generation": speeds.generation,
            "lengths": {str(n): [seconds, name.hex()] for n, (seconds, name) in speeds.lengths.items()},
            "at": time(),
        }
        kept = dict(list(known.items())[-MAX_KEPT:])
        temporary = self._path.with_name(f"{NAME}.{os.urandom(8).hex()}.unfinished")
        try:
            self._files.make_folder(self._path.parent)
            fd = self._files.create(temporary)
            self._files.write(fd, json.dumps(kept).encode())
            self._files.publish(fd, temporary, self._path)
        except OSError:
            with suppress(OSError):
                self._files.remove(temporary)

    def _read_all(self) -> dict[str, Any]:
        with suppress(OSError, ValueError):
            read = json.loads(self._files.read(self._path, 0, MAX_BYTES)) if self._path else {}
            return read if isinstance(read, dict) else {}
        return {}


def speed_key(paths: list[Path], settings: EngineSettings, llama: LlamaContext, flash_attention: bool) -> str:
    """What has to be the same for speeds to be the same, more or less.

    Raises:
        OSError: a file of the model cannot be read.
    """
    made_with = [
        file_identity(paths),
        library_identity(),
        platform.node(),
        os.cpu_count(),
        settings.n_threads,
        settings.kv_type,
        flash_attention,
        device(settings.gpu_layers),
        settings.gpu_layers,
        settings.swa_full,
        settings.draft != 0,
        llama.n_ubatch,
        llama.n_ctx,
    ]
    return xxhash.xxh3_128_hexdigest(json.dumps(made_with).encode())


def _positive(value: Any) -> float:
    number = float(value)
    if not isfinite(number) or number <= 0:
        raise ValueError(f"{number} is no speed")
    return number
