"""Engines that keep records, one after the other on one folder; each answer is compared with a cold one."""

import gc
from pathlib import Path

import numpy as np

from scrubjay.contexts.naive import Control
from scrubjay.protocol.messages import EngineSettings, PrefillCost, PrefillDone, Run
from scrubjay.store.record_store import RecordStore
from scrubjay.tokens import Tokens, as_tokens
from scrubjay.worker.load import LoadedModel, open_model
from scrubjay.worker.loop import Worker
from scrubjay.worker.records import RETRY_S, SAVE_ALL_AFTER_S
from tests.support.engine_rig import INTERVAL, MIB, NOISE, AbortFlag, logits_after, nmse, random_tokens
from tests.support.faulty_files import FaultyFiles
from tests.support.gguf_models import tiny_model


class Lives:
    """One engine after the other on the same folder, as after restarts.

    Attributes:
        files: those of the present engine, which can be made to fail.
    """

    def __init__(self, kind: str, folder: Path, **more: object) -> None:
        self.folder = folder
        self.files = FaultyFiles()
        options = {
            "n_ctx": 2048,
            "n_threads": 1,
            "interval": INTERVAL,
            "eager_load": False,
            "checkpoint_budget": 32 * MIB,
        }
        self.settings = EngineSettings(
            str(tiny_model("swa" if kind == "swa_full" else kind)),
            **(options | {"store": str(folder), "swa_full": kind == "swa_full", "max_contexts": 2} | more),  # type: ignore[arg-type]
        )
        self.worker = self._begin()

    def _begin(self) -> Worker:
        self.loaded: LoadedModel = open_model(self.settings, 0, lambda *_: None)
        worker = Worker(self.loaded, AbortFlag())  # type: ignore[arg-type]
        assert worker.records
        self.files = FaultyFiles()
        worker.records.store._files = self.files
        worker.records.read_ahead()
        return worker

    @property
    def store(self) -> RecordStore:
        assert self.worker.records
        return self.worker.records.store

    @property
    def bytes_per_token(self) -> float:
        """What a context holds of a token, with the checkpoints of the grid."""
        tokens = text(99, 512)
        self.run(tokens, "/measured")
        (context,) = (context for key, context in self.worker.contexts.all() if key == "/measured")
        (copy,) = context.copies(0, 512)
        states = sum(item.size for item in copy.checkpoints if item.kind == "grid")
        return ((copy.memory.nbytes if copy.memory is not None else 0) + states) / 512

    def begin_again(self, in_order: bool = True) -> None:
        """End the engine, in good order or by force, and start another one."""
        if in_order:
            self.end()
        llamas, model = self.worker._llamas, self.loaded.model
        self.worker = self._begin()
        # What a process would leave to the system: in thousands of lives it would fill the memory.
        for llama in llamas:
            llama.close()
        model.close()
        del llamas, model
        gc.collect()

    def end(self) -> None:
        """End the engine in good order, however busy the disk is."""
        self.worker.close(60.0)

    def rest(self, seconds: float) -> None:
        """Let the engine be idle for `seconds`, as far as it has anything to do then."""
        while (wait := self.worker.rest(seconds)) == 0.0:
            pass
        assert wait is None or 0.0 < wait <= max(SAVE_ALL_AFTER_S, RETRY_S)
        assert self.store.settle(30)

    def run(self, tokens: Tokens, key: str = "/p") -> PrefillCost:
        """Bring in a prompt; the answer must be a cold one's."""
        answers: list[object] = []
        self.worker.run(Run(1, key, tokens), Control(), answers.append)
        (done,) = (answer for answer in answers if isinstance(answer, PrefillDone))
        (context,) = (context for name, context in self.worker.contexts.all() if name == done.context)
        warm = logits_after(context)
        self.worker.run(Run(2, "", tokens, cold=True), Control(), answers.append)
        assert nmse(warm, logits_after(self.worker._cold_context())) <= NOISE, done.cost
        assert np.array_equal(context.resident, tokens)
        self.worker.check_integrity()
        assert self.worker._counters.n_integrity_failures == 0
        return done.cost


def text(seed: int, n: int) -> Tokens:
    return random_tokens(np.random.default_rng(seed), n)


def joined(*parts: Tokens | list[int]) -> Tokens:
    return as_tokens(np.concatenate([np.asarray(part, dtype=np.int32) for part in parts]))
