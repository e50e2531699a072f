"""Real contexts on tiny models: a warm one, and the naive one whose answers are right by definition."""

import ctypes
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import llama_cpp as lib
import numpy as np

from scrubjay.contexts.branches import BranchStore
from scrubjay.contexts.checkpoint_pool import CheckpointPool
from scrubjay.contexts.checkpointed import CheckpointedContext
from scrubjay.contexts.naive import Context, Control, Counters, Interrupted, NaiveContext
from scrubjay.llama.context import Buffer, DecodeResult, LlamaContext, Logits, MemoryRanges
from scrubjay.llama.model import Model
from scrubjay.protocol.messages import EngineSettings, Sampling
from scrubjay.tokens import Tokens, as_tokens
from scrubjay.worker.generate import Generation
from scrubjay.worker.load import LoadedModel, open_model
from tests.support.gguf_models import MODEL_CLASSES, tiny_model

N_CTX = 2048
INTERVAL = 64
MIB = 1 << 20
CLASSES = (*MODEL_CLASSES, "hybrid_swa", "swa_full")
# Other batches round otherwise; random weights and a 16-bit KV cache amplify that. State of another prefix gives above 0.1.
NOISE = 1e-3
# A sliding window is a ring: where in it a restored state is placed depends on what was there, and with it the order of sums;
# each restore adds to it: 1.1e-4 was seen after nine. One wrong token in it gives above 0.01 on these models.
RING_NOISE = 1e-3


@dataclass(slots=True)
class AbortFlag:
    """The shared byte, here in ordinary memory."""

    view: ctypes.Array[ctypes.c_char] = field(default_factory=lambda: ctypes.create_string_buffer(2))

    @property
    def address(self) -> int:
        return ctypes.addressof(self.view)

    def set(self) -> None:
        self.view[0] = b"\x01"

    def clear(self) -> None:
        self.view[0] = b"\x00"


class RecordingRanges(MemoryRanges):
    """Those of a `RecordingLlama`: what is loaded is made of no decodes that it knows."""

    llama: "RecordingLlama"

    def load(self, parts: Sequence[tuple[Buffer, int]]) -> bool:
        self.llama.forget_decodes(parts[0][1])
        return super().load(parts)


class RecordingLlama(LlamaContext):
    """A real llama_context that remembers which decodes its memory is made of."""

    _ask: Any = None

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.ranges = RecordingRanges(self, self.ranges.has_state)
        self.made_of: list[tuple[int, Tokens, int]] = []
        """(start, the tokens of the decode, how many of them are still there)."""

    @contextmanager
    def asking(self, abort_at: int = 0) -> Iterator[list[int]]:
        """Count how often llama.cpp asks whether to abort, and abort the decode that asks for the `abort_at`th time."""
        n_asked = [0]

        @lib.ggml_abort_callback  # type: ignore[untyped-decorator]
        def ask(_: object) -> bool:
            n_asked[0] += 1
            return n_asked[0] == abort_at

        self._ask = ask
        try:
            yield n_asked
        finally:
            self.let_abort(False)
            self._ask = None

    def let_abort(self, abortable: bool) -> None:
        super().let_abort(abortable and self._ask is None)
        if self._ask is not None:
            lib.llama_set_abort_callback(self.handle, self._ask if abortable else lib.ggml_abort_callback(), None)

    def decode(self, tokens: Tokens, start: int, want_logits: int, abortable: bool) -> DecodeResult:
        result = super().decode(tokens, start, want_logits, abortable)
        if result is DecodeResult.DONE:
            self.made_of.append((start, as_tokens(tokens), len(tokens)))
        return result

    def is_made_of_decodes(self, resident: Tokens) -> bool:
        """Whether `resident` are the tokens of `made_of`: none of them came back from a branch."""
        position = 0
        for start, tokens, kept in self.made_of:
            # A recurrent state in the middle of a decode is that of other decodes, and came with a branch's checkpoint.
            if self.ranges.has_state and kept < len(tokens):
                return False
            if start != position or not np.array_equal(tokens[:kept], resident[start : start + kept]):
                return False
            position = start + kept
        return position == len(resident)

    def truncate(self, n: int) -> bool:
        done = super().truncate(n)
        if done:
            self.forget_decodes(n)
        return done

    def forget_decodes(self, n: int) -> None:
        """All but what the first `n` tokens are made of."""
        self.made_of = [(at, tokens, min(kept, n - at)) for at, tokens, kept in self.made_of if at < n]

    def clear(self) -> None:
        super().clear()
        self.made_of = []


@dataclass(slots=True)
class Rig:
    """One model with a warm context over a pool, and a cold one."""

    loaded: LoadedModel
    llama: RecordingLlama
    warm: CheckpointedContext
    cold: Context
    pool: CheckpointPool
    branches: BranchStore
    counters: Counters
    abort: AbortFlag

    @property
    def model(self) -> Model:
        return self.loaded.model

    @property
    def interval(self) -> int:
        return self.loaded.grid.interval

    def generate(self, context: Context, n_tokens: int) -> list[int]:
        """Greedy tokens after what `context` holds, which must just have been synced."""
        before = context.n_resident
        sampling = Sampling(max_tokens=n_tokens, ignore_end=True)
        with Generation(self.model.vocabulary, sampling, lambda *_: None) as generation:
            generation.run(context, Control())
        # The last one was given out without being put through the model.
        return [int(token) for token in context.resident[before:]]

    def logits_of_the_same_decodes(self) -> Logits:
        """The last logits when the decodes that the warm memory is made of are done again, without any reuse."""
        self.cold.clear()
        for start, tokens, kept in self.llama.made_of:
            assert self.cold.llama.decode(tokens, start, want_logits=True, abortable=False) is DecodeResult.DONE
            if kept < len(tokens):
                assert self.cold.llama.truncate(start + kept)
        return logits_after(self.cold)

    def check_integrity(self) -> None:
        self.warm.check_integrity()
        self.pool.check_integrity()
        self.branches.check_integrity()

    def close(self) -> None:
        self.warm.close()
        self.cold.close()
        self.loaded.llama.close()
        self.model.close()


@contextmanager
def rig(
    kind: str, interval: int = INTERVAL, budget: int = 64 * MIB, n_ctx: int = N_CTX, branch_budget: int = 32 * MIB
) -> Iterator[Rig]:
    """A rig on the tiny model of `kind`; "swa_full" is the sliding-window model that keeps every token."""
    swa_full = kind == "swa_full"
    abort = AbortFlag()
    settings = EngineSettings(
        str(tiny_model("swa" if swa_full else kind)),
        n_ctx=n_ctx,
        n_threads=1,
        interval=interval,
        checkpoint_budget=budget,
        eager_load=False,
        swa_full=swa_full,
    )
    loaded = open_model(settings, abort.address, lambda *_: None)
    counters, pool = Counters(), CheckpointPool(budget)
    branches = BranchStore(branch_budget, pool)
    parts = (loaded.model, loaded.settings, n_ctx, loaded.llama.n_ubatch, swa_full)
    n_rollback = loaded.llama.n_rollback
    llama = RecordingLlama(*parts, abort.address, n_rollback)
    warm = CheckpointedContext(llama, loaded.memory_class, loaded.grid, counters, loaded.model.n_swa, pool, branches)
    cold = NaiveContext(LlamaContext(*parts, 0, n_rollback), loaded.memory_class, loaded.grid, Counters())
    made = Rig(loaded, llama, warm, cold, pool, branches, counters, abort)
    try:
        yield made
    finally:
        made.close()


def logits_after(context: Context) -> Logits:
    """A copy of the logits that the last decode left."""
    return context.llama.logits().copy()


def nmse(got: Logits, want: Logits) -> float:
    """Mean squared error, relative to the variance of `want`."""
    return float(np.mean((got - want) ** 2) / np.var(want))


def random_tokens(rng: np.random.Generator, n: int, n_vocab: int = 700) -> Tokens:
    return as_tokens(rng.integers(0, n_vocab, n))


def is_same(r: Rig, got: Logits, want: Logits) -> bool:
    """Whether `got` is what the same decodes give: to the bit, but for the place in the ring of a sliding window."""
    if r.warm.memory_class in ("swa", "hybrid-swa"):
        return nmse(got, want) <= RING_NOISE
    return np.array_equal(got, want)


def interrupt_after(n_decodes: int) -> Callable[[], None]:
    left = iter(range(n_decodes))

    def check() -> None:
        if next(left, None) is None:
            raise Interrupted

    return check


def set_flag_at(nth: int, set_flag: Callable[[], None]) -> Callable[[], None]:
    calls = iter(range(1000))
    return lambda: set_flag() if next(calls) == nth else None
