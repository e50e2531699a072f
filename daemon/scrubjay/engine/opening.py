"""Opening a model: load it, find out what its memory can do, how fast it is, and choose what follows from that.

Nothing here goes by the names of architectures: the memory is probed (llama.cpp has no call that tells).
"""

import ctypes
import mmap
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter

import numpy as np
import psutil

from scrubjay.engine.context import MemoryClass
from scrubjay.engine.llama import FULL, PARTIAL, LlamaContext, Model, Sampler, can_offload
from scrubjay.errors import ModelRefused
from scrubjay.grid import LONGEST_DECODE, Grid
from scrubjay.messages import EngineSettings, ModelInfo, Sampling
from scrubjay.tokens import Tokens, as_tokens

GIB = 1 << 30
UBATCH_ON_CPU = 128
"""Tokens of a decode that are computed at once. A decode can be left only between two operations; at 8k tokens the attention of
256 tokens takes a small CPU above 50 ms."""
DEFAULT_CTX = 16384
MAX_CONTEXTS = 8
INTERVALS = (64, 128, 256)
GOOD_ENOUGH = 0.93  # of the speed with the longest decodes: below that, shorter ones cost more than they save
PROBE_SECONDS = 2.5

Report = Callable[[str, float], None]
"""Takes the name of a stage and the fraction of it that is done."""


@dataclass(frozen=True, slots=True)
class Opening:
    """An open model, its first context, and what was decided."""

    model: Model
    llama: LlamaContext
    settings: EngineSettings
    swa_full: bool
    memory_class: MemoryClass
    grid: Grid
    info: ModelInfo


def open_model(settings: EngineSettings, abort_address: int, report: Report) -> Opening:
    """Load and probe the model that `settings` names.

    Raises:
        ModelRefused: llama.cpp cannot load it, or there is no memory for a context.
    """
    settings = _with_threads(settings)
    begun = perf_counter()
    model = _load(settings, report)
    n_ctx = settings.n_ctx or min(model.n_ctx_train, DEFAULT_CTX)
    swa_full = _choose_swa_full(model, settings)
    process = psutil.Process()
    rss = process.memory_info().rss
    n_ubatch = min(_longest_ubatch(settings), settings.interval or LONGEST_DECODE, n_ctx)
    llama = LlamaContext(model, settings, n_ctx, n_ubatch, swa_full, abort_address)
    context_bytes = max(1, process.memory_info().rss - rss)
    memory_class, load_ms = probe(model, llama, swa_full), (perf_counter() - begun) * 1e3
    warm_up = WarmUp(model, llama, report)
    if settings.eager_load:
        warm_up.run()
    state_size = _largest_state(model, llama, memory_class)
    budget = settings.checkpoint_budget or min(psutil.virtual_memory().available // 4, 2 * GIB)
    interval = choose_interval(settings.interval, warm_up.speeds, state_size, budget, llama.n_ctx, n_ubatch)
    grid = Grid(interval, min(interval, llama.n_batch))
    info = ModelInfo(
        path=settings.model,
        name=model.metadata("general.name") or Path(settings.model).stem,
        architecture=model.metadata("general.architecture"),
        memory_class=memory_class,
        n_ctx=llama.n_ctx,
        n_ctx_train=model.n_ctx_train,
        n_vocab=model.vocabulary.n_tokens,
        n_swa=model.n_swa,
        size=model.size,
        n_params=model.n_params,
        state_size=state_size,
        interval=interval,
        n_ubatch=llama.n_ubatch,
        checkpoint_budget=budget,
        max_contexts=settings.max_contexts or _choose_max_contexts(context_bytes),
        prefill_speed=max(warm_up.speeds.values(), default=0.0),
        generation_speed=warm_up.generation_speed,
        load_ms=load_ms,
        warm_up_ms=warm_up.elapsed_ms,
        cold_ratio=warm_up.cold_ratio,
    )
    return Opening(model, llama, settings, swa_full, memory_class, grid, info)


def probe(model: Model, llama: LlamaContext, swa_full: bool) -> MemoryClass:
    """What the memory of `llama`, which must be empty and is empty afterwards, can do; costs two tokens.

    Raises:
        ModelRefused: the model cannot decode two tokens.
    """
    if llama.decode(as_tokens([0, 0]), 0, want_logits=True, abortable=False) != 0:
        raise ModelRefused(
            "llama.cpp loads this model but cannot decode with it; it may be an encoder or an embedding model."
        )
    is_plain = llama.state_size(PARTIAL) == llama.state_size(FULL)
    can_cut = llama.truncate(1)
    llama.clear()
    if model.is_recurrent:
        return "recurrent"
    if model.is_hybrid:
        return "hybrid-swa" if model.n_swa and not swa_full else "hybrid"
    if model.n_swa:
        return "swa-full" if swa_full else "swa"
    return "dense" if is_plain and can_cut else "opaque"


def choose_interval(
    wanted: int, speeds: dict[int, float], state_size: int, budget: int, n_ctx: int, n_ubatch: int
) -> int:
    """Tokens between checkpoints.

    Args:
        wanted: what was asked for, 0 to choose.
        speeds: measured prefill speed in tokens/s by decode length, up to `n_ubatch`.
        state_size: bytes of one checkpoint; 0 if none are kept, so that there is nothing to be had for shorter decodes.
        budget: bytes for all checkpoints; half of it must do for one context's regular ones.
        n_ctx: tokens in a context.
        n_ubatch: tokens that are computed at once.
    """
    if wanted:
        return wanted
    best = max(speeds.values(), default=0.0) if state_size else 0.0
    quick = [i for i in INTERVALS if i <= n_ubatch and speeds.get(i, 0.0) >= GOOD_ENOUGH * best]
    interval = min(quick, default=n_ubatch) if best else n_ubatch
    while interval < n_ctx and state_size * n_ctx / interval > budget / 2:
        interval *= 2
    return interval


class WarmUp:
    """Pays at load for what the first completion would pay else: page faults, threads, graphs, kernels.

    It measures on the way: prefill speed by decode length, generation speed, and the ratio of the first decode to a later one.
    """

    def __init__(self, model: Model, llama: LlamaContext, report: Report) -> None:
        self._model = model
        self._llama = llama
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
            if perf_counter() - begun < PROBE_SECONDS or not self.speeds:
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
            self._model.vocabulary.piece(sampler.sample(self._llama))
            elapsed.append(perf_counter() - begun)
        sampler.close()
        self._model.vocabulary.tokenize("def warm(up):\n    return up\n")
        self.generation_speed = 1 / min(elapsed)

    def _touch_states(self) -> None:
        buffer = np.empty(self._llama.state_size(), dtype=np.uint8)
        if self._llama.save_state(buffer):
            self._llama.load_state(buffer)
        self._llama.clear()


def _longest_ubatch(settings: EngineSettings) -> int:
    return LONGEST_DECODE if settings.gpu_layers and can_offload() else UBATCH_ON_CPU


def _with_threads(settings: EngineSettings) -> EngineSettings:
    threads = settings.n_threads or psutil.cpu_count(logical=False) or 1
    return replace(settings, n_threads=threads)


def _load(settings: EngineSettings, report: Report) -> Model:
    path = Path(settings.model)
    size = path.stat().st_size
    mapped = not settings.eager_load or size > 0.6 * psutil.virtual_memory().available
    if mapped and settings.eager_load:
        _read_into_page_cache(path, report)
    return Model(path, settings, mapped, lambda fraction: report("weights", fraction))


def _read_into_page_cache(path: Path, report: Report) -> None:
    chunk = bytearray(64 << 20)
    total, done = path.stat().st_size, 0
    with path.open("rb", buffering=0) as file:
        while n := file.readinto(chunk):
            done += n
            report("weights", done / total / 2)


def _choose_swa_full(model: Model, settings: EngineSettings) -> bool:
    """Whether a sliding-window model keeps every token: then it can be cut anywhere, and needs no checkpoints.

    A checkpoint holds a window; as soon as they stand closer together than a window, keeping all is less memory.
    """
    if settings.swa_full is not None:
        return settings.swa_full
    return model.n_swa > 0 and (settings.interval or LONGEST_DECODE) <= model.n_swa


def _largest_state(model: Model, llama: LlamaContext, memory_class: MemoryClass) -> int:
    """Bytes of the largest checkpoint: that of a full window, where there is one."""
    if memory_class in ("dense", "swa-full", "opaque"):
        return 0
    n_tokens = min(model.n_swa + 1, llama.n_ctx) if model.n_swa else 1
    for begin in range(0, n_tokens, llama.n_ubatch):
        n = min(llama.n_ubatch, n_tokens - begin)
        llama.decode(as_tokens(np.zeros(n)), begin, want_logits=False, abortable=False)
    size = llama.state_size()
    llama.clear()
    return size


def _choose_max_contexts(context_bytes: int) -> int:
    """As many as half of the free memory holds: the other half is for checkpoints, editors and compilers."""
    free: int = psutil.virtual_memory().available
    return max(1, min(MAX_CONTEXTS, free // 2 // context_bytes))


class AbortByte:
    """The byte, in memory shared with the daemon, that ends an abortable decode when it is not 0."""

    def __init__(self, fd: int) -> None:
        self._memory = mmap.mmap(fd, mmap.PAGESIZE)
        self._view = (ctypes.c_char * mmap.PAGESIZE).from_buffer(self._memory)
        self.address = ctypes.addressof(self._view)

    def clear(self) -> None:
        self._memory[0] = 0
