"""Opening a model: load it, find out what its memory can do, how fast it is, and choose what follows from that.

Nothing here goes by the names of architectures: the memory is probed (llama.cpp has no call that tells).
"""

from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np
import psutil

from scrubjay.contexts.decode_grid import DecodeGrid
from scrubjay.contexts.naive import MemoryClass
from scrubjay.errors import ModelRefused
from scrubjay.llama.context import FULL, PARTIAL, LlamaContext
from scrubjay.llama.model import Model
from scrubjay.protocol.messages import LONGEST_DECODE, EngineSettings, ModelInfo
from scrubjay.tokens import as_tokens
from scrubjay.worker.tuning import (
    _choose_max_contexts,
    _choose_swa_full,
    _longest_ubatch,
    _with_threads,
    choose_interval,
)
from scrubjay.worker.warmup import Report, WarmUp

GIB = 1 << 30
DEFAULT_CTX = 16384


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """An open model, its first context, and what was decided."""

    model: Model
    llama: LlamaContext
    settings: EngineSettings
    swa_full: bool
    memory_class: MemoryClass
    grid: DecodeGrid
    info: ModelInfo


def open_model(settings: EngineSettings, abort_address: int, report: Report) -> LoadedModel:
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
    grid = DecodeGrid(interval, min(interval, llama.n_batch))
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
    return LoadedModel(model, llama, settings, swa_full, memory_class, grid, info)


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
