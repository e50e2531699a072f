"""The memory that all engines share: the model that was used least recently makes room for another one."""

import asyncio
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import psutil

from scrubjay.service.served_model import ServedModel

MEMORY_SHARE = 0.75
"""Of the machine's memory: the rest is for editors, compilers, and what they read."""
ENGINE_BYTES = 128 << 20
"""What an engine takes beside its model's file before it has said it."""
_PARTS = re.compile(r"-\d{5}-of-(\d{5})\.gguf$", re.IGNORECASE)


class MemoryBudget:
    """Sees that engines take no more bytes than `budget` together, as far as they say what they take.

    An engine that works is left alone, so a model may have to wait for it; one model alone may take more.

    Args:
        models: all of them; more may be added to the list.
        budget: 0 chooses.
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
        surplus = sum(map(taken_bytes, staying)) - self.budget
        for model in _unloadable(others):
            if surplus <= 0:
                return
            surplus -= taken_bytes(model)
            _unload([model])

    def close(self) -> None:
        """Nobody is to wait any more."""
        self._is_closed = True
        self._changed.set()

    def _is_too_much(self, others: Sequence[ServedModel], model: ServedModel) -> bool:
        """Whether `model` has no room beside `others`; alone it always has."""
        return bool(others) and sum(map(taken_bytes, others)) + expected_bytes(model) > self.budget

    def _held(self) -> list[ServedModel]:
        self._promised = {model for model in self._promised if model.supervisor.pid is None}
        return [model for model in self._models if model.supervisor.pid is not None or model in self._promised]

    def _others(self, model: ServedModel) -> list[ServedModel]:
        """Those that have memory, or were promised some."""
        return [other for other in self._held() if other is not model]


def taken_bytes(model: ServedModel) -> int:
    """What its engine has said that it takes, or else is expected to."""
    return model.status.rss if model.status else expected_bytes(model)


def expected_bytes(model: ServedModel) -> int:
    """What its engine will take when it is loaded: what the last one took, or else what its file lets expect."""
    return model.last_rss or ENGINE_BYTES + _file_bytes(model.settings.engine.model)


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
