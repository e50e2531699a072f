"""The warm-up of a model at load, and what it measures."""

from collections.abc import Callable
from time import perf_counter

import numpy as np

from scrubjay.llama.context import LlamaContext
from scrubjay.llama.model import Model
from scrubjay.llama.sampler import Sampler
from scrubjay.llama.typed_text import pieces_of
from scrubjay.protocol.messages import Sampling
from scrubjay.tokens import Tokens, as_tokens
from scrubjay.worker.threads import Threads
from scrubjay.worker.tuning import INTERVALS

MAX_PROBE_S = 2.5

Report = Callable[[str, float], None]
"""Takes the name of a stage and the fraction of it that is done."""


class WarmUp:
    """Does at load what the first completion would have to do otherwise: page faults, threads, graphs, kernels.

    It measures prefill speed by decode length in tokens/s, generation speed, and `ModelInfo.cold_ratio`.
    """

    def __init__(self, model: Model, llama: LlamaContext, threads: Threads, report: Report) -> None:
        self._model = model
        self._llama = llama
        self._threads = threads
        self._report = report
        self.speeds: dict[int, float] = {}
        self.generation_speed = self.cold_ratio = self.elapsed_ms = 0.0

    def run(self) -> None:
        begun = perf_counter()
        longest = self._llama.n_ubatch
        first = self._timed(longest)
        lengths = sorted({longest, *(i for i in INTERVALS if i < longest)}, reverse=True)
        for done, length in enumerate(lengths):
            self._report("warm-up", (1 + done) / (2 + len(lengths)))
            # Half a second of decode says enough; a model so slow that it takes longer is not asked again.
            if perf_counter() - begun < MAX_PROBE_S or not self.speeds:
                self.speeds[length] = length / self._timed(length)
        self._generate()
        self._touch_states()
        steady = longest / self.speeds[longest]
        self.cold_ratio = first / steady
        self._llama.reset_counters()
        self.elapsed_ms = (perf_counter() - begun) * 1e3
        self._report("warm-up", 1.0)

    def _timed(self, length: int) -> float:
        """Seconds that a decode of `length` tokens takes in an empty context."""
        self._threads.look([self._llama])
        begun = perf_counter()
        self._llama.decode(self._some_tokens(length), 0, want_logits=False, abortable=False)
        elapsed = perf_counter() - begun
        self._llama.clear()
        return elapsed

    def _some_tokens(self, length: int) -> Tokens:
        return as_tokens(np.arange(length) % self._model.vocabulary.n_tokens)

    def _generate(self, n_tokens: int = 4) -> None:
        sampler = Sampler(self._model.vocabulary, Sampling())
        elapsed = []
        for position in range(n_tokens):
            begun = perf_counter()
            self._llama.decode(self._some_tokens(1), position, want_logits=True, abortable=False)
            self._model.vocabulary.piece(sampler.sample(self._llama) or 0)
            elapsed.append(perf_counter() - begun)
        sampler.close()
        self._model.vocabulary.tokenize("def warm(up):\n    return up\n")
        pieces_of(self._model.vocabulary).agreeing(b" ")
        self.generation_speed = 1 / min(elapsed)

    def _touch_states(self) -> None:
        buffer = np.empty(self._llama.state_size(), dtype=np.uint8)
        if self._llama.save_state(buffer):
            self._llama.load_state(buffer)
        self._llama.clear()
