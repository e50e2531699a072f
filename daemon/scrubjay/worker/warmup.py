"""The warm-up of a model at load, and what it measures."""

from collections.abc import Callable
from time import perf_counter

import numpy as np
import xxhash

from scrubjay.contexts.naive import CUT_ANYWHERE, MemoryClass
from scrubjay.llama.context import LlamaContext
from scrubjay.llama.devices import device
from scrubjay.llama.model import Model
from scrubjay.llama.sampler import Sampler
from scrubjay.llama.typed_text import pieces_of
from scrubjay.protocol.messages import EngineSettings, Sampling
from scrubjay.tokens import Tokens, as_tokens
from scrubjay.worker.lengths import MAX_DRAFT_DECODE, PROBED, decode_clock
from scrubjay.worker.speeds import Speeds
from scrubjay.worker.threads import Threads
from scrubjay.worker.tuning import INTERVALS

MAX_PROBE_S = 2.5
MAX_LENGTHS_S = 4.0
"""After so long no further length of decodes with drafts is measured."""
COMPARED_TOKENS = 16
"""Places at which the logits of decodes of different lengths are compared."""
GPU_TOKENS = 1024

Report = Callable[[str, float], None]
"""Takes the name of a stage and the fraction of it that is done."""


class WarmUp:
    """Does at load what the first completion would have to do otherwise: page faults, threads, graphs, kernels.

    It measures prefill speed by decode length in tokens/s, generation speed, `ModelInfo.cold_ratio`, and for
    drafts what `measure_lengths` says; unless that is known from an earlier start, for it takes longer than to bring back what
    contexts held.
    """

    def __init__(self, model: Model, llama: LlamaContext, threads: Threads, report: Report) -> None:
        self.model = model
        self.llama = llama
        self._threads = threads
        self._report = report
        self.speeds: dict[int, float] = {}
        self.lengths: dict[int, tuple[float, bytes]] = {}
        self.generation_speed = self.cold_ratio = self.elapsed_ms = 0.0
        self.state_size = 0
        """Bytes of a checkpoint after a few tokens, 0 if none was looked at."""

    def run(self, memory_class: MemoryClass, settings: EngineSettings, known: Speeds | None) -> None:
        begun = perf_counter()
        if known is None:
            self._measure(begun, memory_class, settings)
        else:
            self._generate(1)
            self._touch_states()
            self.speeds, self.lengths = dict(known.prefill), dict(known.lengths)
            self.generation_speed = known.generation
        self.llama.reset_counters()
        self.elapsed_ms = (perf_counter() - begun) * 1e3
        self._report("warm-up", 1.0)

    def _measure(self, begun: float, memory_class: MemoryClass, settings: EngineSettings) -> None:
        longest = self.llama.n_ubatch
        first = self._timed(longest)
        lengths = sorted({longest, *(i for i in INTERVALS if i < longest)}, reverse=True)
        for done, length in enumerate(lengths):
            self._report("warm-up", (1 + done) / (2 + len(lengths)))
            # Half a second of decode says enough; a model so slow that it takes longer is not asked again.
            if perf_counter() - begun < MAX_PROBE_S or not self.speeds:
                self.speeds[length] = length / self._timed(length)
        self._generate()
        self._touch_states()
        if settings.draft:
            self.lengths = self.measure_lengths(memory_class, settings)
        steady = longest / self.speeds[longest]
        self.cold_ratio = first / steady

    def _timed(self, length: int) -> float:
        """Seconds that a decode of `length` tokens takes in an empty context."""
        self._threads.look([self.llama])
        begun = perf_counter()
        self.llama.decode(self._some_tokens(length), 0, want_logits=False, abortable=False)
        elapsed = perf_counter() - begun
        self.llama.clear()
        return elapsed

    def _some_tokens(self, length: int, start: int = 0) -> Tokens:
        return as_tokens(np.arange(start, start + length) % self.model.vocabulary.n_tokens)

    def _generate(self, n_tokens: int = 4) -> None:
        sampler = Sampler(self.model.vocabulary, Sampling())
        elapsed = []
        for position in range(n_tokens):
            begun = perf_counter()
            self.llama.decode(self._some_tokens(1), position, want_logits=True, abortable=False)
            self.model.vocabulary.piece(sampler.sample(self.llama) or 0)
            elapsed.append(perf_counter() - begun)
        sampler.close()
        self.model.vocabulary.tokenize("def warm(up):\n    return up\n")
        pieces_of(self.model.vocabulary).agreeing(b" ")
        self.generation_speed = 1 / min(elapsed)

    def measure_lengths(self, memory_class: MemoryClass, settings: EngineSettings) -> dict[int, tuple[float, bytes]]:
        """How long decodes of each length take, in seconds, and a digest of their logits: equal where no bit differs.

        Those for which there is no time are not in it.
        """
        llama, begun, is_on_cpu = self.llama, perf_counter(), device(settings.gpu_layers) == "cpu"
        # GPUs choose their kernels by how much is resident, too. They are quick enough to be asked with more.
        n_before = min(COMPARED_TOKENS if is_on_cpu else GPU_TOKENS, llama.n_ctx - 2 * MAX_DRAFT_DECODE)
        if n_before < 1 or n_before / max(self.speeds.values(), default=1.0) > MAX_LENGTHS_S / 2:
            return {}
        for start in range(0, n_before, llama.n_ubatch):
            n = min(llama.n_ubatch, n_before - start)
            llama.decode(self._some_tokens(n, start), start, want_logits=0, abortable=False)
        state = np.empty(llama.state_size(), dtype=np.uint8)
        is_cut = memory_class in (*CUT_ANYWHERE, "swa")
        if not is_cut:
            llama.save_state(state)
        most = 1 + llama.n_rollback if llama.n_rollback else llama.n_ubatch
        measured = {}
        for length in PROBED:
            if length <= most and perf_counter() - begun < MAX_LENGTHS_S:
                measured[length] = self._measured(n_before, length, decode_clock(is_on_cpu))
                if not is_cut:
                    llama.load_state(state)
                llama.truncate(n_before)
        llama.clear()
        # In a long context flash attention adds up a single token's sums in as many parts as there are threads.
        if self.model.flash_attention and is_on_cpu and settings.kv_type == "f16" and self._threads.count.most > 1:
            measured[1] = measured[1][0], b"depends on the threads"
        return measured

    def _measured(self, start: int, length: int, clock: Callable[[], float]) -> tuple[float, bytes]:
        digest, seconds = xxhash.xxh3_128(), []
        for at in range(start, start + max(COMPARED_TOKENS, 2 * length), length):
            begun = clock()
            self.llama.decode(self._some_tokens(length, at), at, want_logits=length, abortable=False)
            seconds.append(clock() - begun)
            for self.llama.row in range(min(length, max(start + COMPARED_TOKENS - at, 0))):
                digest.update(self.llama.logits().data)
        return min(seconds), digest.digest()

    def _touch_states(self) -> None:
        self.state_size = self.llama.state_size()
        buffer = np.empty(self.state_size, dtype=np.uint8)
        if self.llama.save_state(buffer):
            self.llama.load_state(buffer)
        self.llama.clear()
