"""The memory that all engines share: the model that was used least recently makes room for another one."""

import asyncio
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from scrubjay.service.served_model import ServedModel

MEMORY_SHARE = 0.75
"""Of the machine's memory: the rest is for editors, compilers, and what they read."""
GPU_SHARE = 0.9
"""Of GPUs' memory: the rest is for what is computed there, and for screens."""
ENGINE_BYTES = 128 << 20
"""What an engine takes beside its model's file before it has said it."""
_PARTS = re.compile(r"-\d{5}-of-(\d{5})\.gguf$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of the machine's memory, and of that which GPUs have of their own."""

    main: int = 0
    on_gpus: int = 0

    def __add__(self, other: "Memory") -> "Memory":
        return Memory(self.main + other.main, self.on_gpus + other.on_gpus)

    def __sub__(self, other: "Memory") -> "Memory":
        return Memory(self.main - other.main, self.on_gpus - other.on_gpus)

    def fits(self, limit: "Memory") -> bool:
        """Whether it is no more of either than `limit`."""
        return self.main <= limit.main and self.on_gpus <= limit.on_gpus


class MemoryBudget:
    """Sees that engines take no more memory than there is for all together, as far as they say what they take.

    An engine that works is left alone, so a model may have to wait for it; one model alone may take more.

    Args:
        models: all of them; more may be added to the list.
        budget: bytes of the machine's memory; 0 chooses.
    """

    def __init__(self, models: Sequence[ServedModel], budget: int = 0) -> None:
        self._models = models
        self.budget = budget or int(MEMORY_SHARE * psutil.virtual_memory().total)
        self._is_closed = False
        # One after the other, so that what is free is promised once.
        self._turn = asyncio.Lock()
        self._changed = asyncio.Event()
        self._promised: set[ServedModel] = set()

    async def room_for(self, model: ServedModel) -> None:
        """Wait until there is room for the engine of `model`, which is about to be started; others are ended for that."""
        async with self._turn:
            self._promised.discard(model)
            while not self._is_closed and self._is_too_much(others := self._others(model), model):
                self._changed.clear()
                # What is ending already is only waited for.
                staying = [other for other in others if not other.supervisor.is_ending]
                if self._is_too_much(staying, model):
                    _unload(_unloadable(staying)[:1])
                await self._changed.wait()
            self._promised.add(model)

    def note_change(self) -> None:
        """Something has come to an end: an engine may be gone, or have nothing to do."""
        self._changed.set()

    def enforce(self) -> None:
        """An engine has said what it takes: if all take too much, end some, but not the one that was used last."""
        others = self._others(max(self._models, key=lambda model: model.used_s))
        staying = [model for model in self._held() if not model.supervisor.is_ending]
        taken, limit = sum(map(memory_of, staying), Memory()), self.limit
        for model in _unloadable(others):
            if taken.fits(limit):
                return
            taken -= memory_of(model)
            _unload([model])

    @property
    def limit(self) -> Memory:
        """What all may take. Of GPUs that is not known before an engine has found one."""
        infos = (model.supervisor.info for model in self._models)
        of_gpus = max((info.gpu_memory for info in infos if info), default=0)
        return Memory(self.budget, int(GPU_SHARE * of_gpus) or sys.maxsize)

    def close(self) -> None:
        """Nobody is to wait any more."""
        self._is_closed = True
        self._changed.set()

    def _is_too_much(self, others: Sequence[ServedModel], model: ServedModel) -> bool:
        """Whether `model` has no room beside `others`; alone it always has."""
        taken = sum(map(memory_of, others), memory_of(model))
        return bool(others) and not taken.fits(self.limit)

    def _held(self) -> list[ServedModel]:
        self._promised = {model for model in self._promised if model.supervisor.pid is None}
        return [model for model in self._models if model.supervisor.pid is not None or model in self._promised]

    def _others(self, model: ServedModel) -> list[ServedModel]:
        """Those that have memory, or were promised some."""
        return [other for other in self._held() if other is not model]


def memory_of(model: ServedModel) -> Memory:
    """What its engine has said that it takes; before it has, what the last one took, or else what its file lets expect."""
    if model.last_status:
        return Memory(model.last_status.rss, model.last_status.on_gpus)
    engine = model.settings.engine
    n_bytes = _file_bytes(engine.model)
    return Memory(ENGINE_BYTES + n_bytes, n_bytes if engine.gpu_layers else 0)


def _file_bytes(path: str) -> int:
    """Bytes of a model's file, all parts of it; 0 if there is none, as for a remote model."""
    parts = _PARTS.search(path)
    try:
        return Path(path).stat().st_size * (int(parts[1]) if parts else 1)
    except OSError:
        return 0


def _unloadable(models: Iterable[ServedModel]) -> list[ServedModel]:
    """Those that have nothing to do, the one used least recently first."""
    return sorted((model for model in models if model.is_unused), key=lambda model: model.used_s)


def _unload(models: Iterable[ServedModel]) -> None:
    for model in models:
        model.supervisor.unload()
