"""The physical limit: the library itself, doing only what no reuse can save."""

from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from scrubjay.llama.context import DecodeResult, LlamaContext
from scrubjay.llama.devices import device
from scrubjay.llama.model import Model
from scrubjay.protocol.messages import EngineSettings
from scrubjay.tokens import Tokens
from scrubjay.worker.load import probe
from tests.benchmarks.contestants import Answer, BenchmarkFailed

N_UBATCH = 512
"""llama.cpp's own default, and its fastest on the machines tried: the limit is to be a limit."""


class Limit:
    """What no reuse can beat: the library itself, put where the prompt departs from what it has, does only what is new.

    Its state at the place is brought there beforehand, outside the time that counts. On CPUs, it is the better of two: with flash
    attention, and without.
    """

    name = "limit"

    def __init__(self, model: Path, n_ctx: int, n_threads: int) -> None:
        settings = EngineSettings(str(model), n_threads=n_threads, gpu_layers=-1)
        self._model = Model(model, settings, mapped=True)
        self._sides = []
        for self._model.flash_attention in (True, False) if device(-1) == "cpu" else (True,):
            self._sides.append(_Side(self._model, settings, n_ctx))

    def prepare(self, prompt: Tokens, places: Sequence[int]) -> None:
        """Process `prompt` and keep the state at each of `places`, in tokens. Only lengths matter for what follows: any later
        prompt may be asked for, of the same length or shorter."""
        for side in self._sides:
            side.prepare(prompt, places)

    def time(self, keep: int, n_prompt: int) -> Answer:
        """The time for a prompt of `n_prompt` tokens of which `keep` are there."""
        return min((side.time(keep, n_prompt) for side in self._sides), key=lambda answer: answer.ms)

    def close(self) -> None:
        for side in self._sides:
            side.close()
        self._model.close()


class _Side:
    """One way to do it: all but the last of the needed tokens in decodes as long as is best, then the last one, whose output is
    the next token."""

    def __init__(self, model: Model, settings: EngineSettings, n_ctx: int) -> None:
        self._llama = LlamaContext(model, settings, n_ctx, min(N_UBATCH, n_ctx), False, 0)
        self._is_cuttable = probe(model, self._llama, False) == "dense"
        self._states: dict[int, Any] = {}
        self._resident = 0
        self._prompt: Tokens | None = None

    def prepare(self, prompt: Tokens, places: Sequence[int]) -> None:
        self._states.clear()
        self._llama.clear()
        self._resident, self._prompt = 0, prompt
        for place in sorted({*places, len(prompt)}):
            self._forward(prompt, place)
            if not self._is_cuttable and place < len(prompt):
                self._states[place] = self._saved()

    def time(self, keep: int, n_prompt: int) -> Answer:
        assert self._prompt is not None
        self._rewind(keep)
        begun = perf_counter()
        self._forward(self._prompt, n_prompt - 1)
        self._forward(self._prompt, n_prompt, want_logits=True)
        self._llama.logits().argmax()
        return Answer((perf_counter() - begun) * 1e3, n_prompt - keep, n_prompt - keep)

    def close(self) -> None:
        self._llama.close()

    def _rewind(self, keep: int) -> None:
        """Have exactly `keep` tokens."""
        assert self._prompt is not None
        if self._is_cuttable:
            start = min(keep, self._resident)
        else:
            start = max((place for place in self._states if place <= keep), default=0)
            if not start:
                self._llama.clear()
            elif not self._llama.load_state(self._states[start]):
                raise BenchmarkFailed("The limit could not restore its own state.")
        if start and not self._llama.truncate(start):
            raise BenchmarkFailed("The limit could not cut its memory.")
        if not start:
            self._llama.clear()
        self._resident = start
        self._forward(self._prompt, keep)

    def _forward(self, prompt: Tokens, end: int, want_logits: bool = False) -> None:
        while self._resident < end:
            stop = min(end, self._resident + self._llama.n_ubatch)
            tokens = prompt[self._resident : stop]
            result = self._llama.decode(tokens, self._resident, want_logits and stop == end, abortable=False)
            if result is not DecodeResult.DONE:
                raise BenchmarkFailed("The limit could not decode.")
            self._resident = stop

    def _saved(self) -> Any:
        buffer = np.empty(self._llama.state_size(), dtype=np.uint8)
        self._llama.save_state(buffer)
        return buffer
