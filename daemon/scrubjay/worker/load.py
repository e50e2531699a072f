"""Loading a model: its weights, what its memory can do, how fast it is, and the choices that follow from that.

Nothing here depends on names of architectures: the memory is probed, because llama.cpp has no call that tells.
"""

import re
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np
import psutil

from scrubjay.contexts.decode_grid import DecodeGrid
from scrubjay.contexts.naive import MemoryClass, redoes_tries
from scrubjay.errors import ModelRefused
from scrubjay.llama.backend import counted
from scrubjay.llama.context import FULL, PARTIAL, DecodeResult, LlamaContext
from scrubjay.llama.devices import built_for, can_offload, device, gpus
from scrubjay.llama.model import Model
from scrubjay.protocol.messages import MAX_DECODE_TOKENS, EngineSettings, ModelInfo
from scrubjay.tokens import as_tokens
from scrubjay.worker.drafting import DraftPolicy
from scrubjay.worker.lengths import decode_clock, draft_lengths
from scrubjay.worker.speeds import KnownSpeeds, Speeds, speed_key
from scrubjay.worker.threads import Threads, threads_for
from scrubjay.worker.tuning import (
    choose_interval,
    choose_max_contexts,
    choose_swa_full,
    max_ubatch,
    with_threads,
)
from scrubjay.worker.warmup import Report, WarmUp

GIB = 1 << 30
DEFAULT_CTX_TOKENS = 16384
MAX_CHECKPOINT_BYTES = 2 * GIB
"""For checkpoints, unless a budget was chosen."""
ROLLBACK_TOKENS = 15
"""With more than about 25, llama.cpp's graph for LFM2 is larger than it expects, and ends the process."""
MAX_ROLLBACK_BYTES = 16 << 20
"""In each context, for states after each token of a decode. It would also take time to write more, with each decode: 20 MB for
each of 15 tokens (a gated delta net of 0.8 B) cost 5 % of all generation, and saved a decode where a draft was wrong."""
PROBED_CTX_TOKENS = 32
MAX_OWN_MEMORY_SHARE = 0.6
"""Of the free memory: larger weights are mapped, so that the system can drop them."""
_SPLIT = re.compile(r"(?P<stem>.*)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model, its first context, and what was chosen for it."""

    model: Model
    llama: LlamaContext
    settings: EngineSettings
    swa_full: bool
    memory_class: MemoryClass
    grid: DecodeGrid
    info: ModelInfo
    threads: Threads
    drafts: DraftPolicy
    weights_on_gpus: int
    """In bytes."""
    context_on_gpus: int
    """In bytes, of one context."""


def open_model(settings: EngineSettings, abort_address: int, report: Report) -> LoadedModel:
    """Load and probe the model that `settings` names.

    Raises:
        ModelRefused: llama.cpp cannot load it, or there is no memory for a context.
        OSError: the file cannot be read.
    """
    begun, wanted = perf_counter(), settings.n_threads
    settings = with_threads(settings)
    threads = threads_for(settings, wanted)
    with counted() as of_weights:
        model = load_weights(settings, report, psutil.virtual_memory().available)
    n_ctx = settings.n_ctx or min(model.n_ctx_train, DEFAULT_CTX_TOKENS)
    swa_full = choose_swa_full(model, settings)
    n_rollback, process = choose_rollback(model, settings), psutil.Process()
    rss = process.memory_info().rss
    n_ubatch = min(max_ubatch(settings), settings.interval or MAX_DECODE_TOKENS, n_ctx)
    with counted() as of_context:
        llama = LlamaContext(model, settings, n_ctx, n_ubatch, swa_full, abort_address, n_rollback)
    context_bytes = process.memory_info().rss - rss
    found = gpus() if settings.gpu_layers else []
    # What others did while the weights were read says how many threads there is room for now.
    threads.look([llama])
    memory_class, load_ms = probe(model, llama, swa_full), (perf_counter() - begun) * 1e3
    warm_up = WarmUp(model, llama, threads, report)
    if settings.eager_load:
        _warm_up(warm_up, memory_class, settings)
    state_size = _largest_state(model, llama, memory_class, warm_up.state_size)
    budget = settings.checkpoint_budget or min(psutil.virtual_memory().available // 4, MAX_CHECKPOINT_BYTES)
    interval = choose_interval(settings.interval, warm_up.speeds, state_size, budget, llama.n_ctx, n_ubatch)
    grid = DecodeGrid(interval, min(interval, llama.n_batch))
    info = ModelInfo(
        device=device(settings.gpu_layers),
        gpu=", ".join(gpu.description for gpu in found if gpu.part_of(of_weights)),
        gpu_memory=sum(gpu.total for gpu in found if not gpu.is_shared),
        n_threads=settings.n_threads,
        quantization=model.quantization,
        can_offload=can_offload(),
        built_for=built_for(),
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
        max_contexts=settings.max_contexts or choose_max_contexts(context_bytes, found, of_weights, of_context),
        prefill_speed=max(warm_up.speeds.values(), default=0.0),
        generation_speed=warm_up.generation_speed,
        load_ms=load_ms,
        warm_up_ms=warm_up.elapsed_ms,
        cold_ratio=warm_up.cold_ratio,
    )
    redoes, clock = redoes_tries(memory_class, llama.n_rollback), decode_clock(info.device == "cpu")
    drafts = DraftPolicy(model.vocabulary, *draft_lengths(warm_up.lengths, settings.draft, redoes, clock))
    on_gpus = tuple(sum(gpu.part_of(buffers) for gpu in found) for buffers in (of_weights, of_context))
    return LoadedModel(model, llama, settings, swa_full, memory_class, grid, info, threads, drafts, *on_gpus)


def _warm_up(warm_up: WarmUp, memory_class: MemoryClass, settings: EngineSettings) -> None:
    key = speed_key(split_parts(Path(settings.model)), settings, warm_up.llama, warm_up.model.flash_attention)
    kept = KnownSpeeds(Path(settings.store) if settings.store else None, key)
    known = kept.read()
    warm_up.run(memory_class, settings, known)
    if known is None:
        kept.write(Speeds(warm_up.speeds, warm_up.generation_speed, warm_up.lengths))


def probe(model: Model, llama: LlamaContext, swa_full: bool) -> MemoryClass:
    """What the memory of `llama`, which must be empty and is empty afterwards, can do; costs two tokens.

    Raises:
        ModelRefused: the model cannot decode two tokens.
    """
    if llama.decode(as_tokens([0, 0]), 0, want_logits=True, abortable=False) is not DecodeResult.DONE:
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


def choose_rollback(model: Model, settings: EngineSettings) -> int:
    """How many tokens of a decode with a draft the model's contexts shall be able to forget; see `LlamaContext`."""
    if not settings.draft or model.n_swa or not (model.is_hybrid or model.is_recurrent):
        return 0
    # How large its state is only a context knows that has one.
    llama = LlamaContext(model, settings, PROBED_CTX_TOKENS, PROBED_CTX_TOKENS, False, 0)
    llama.decode(as_tokens([0]), 0, want_logits=False, abortable=False)
    size = llama.state_size()
    llama.close()
    return ROLLBACK_TOKENS if size * ROLLBACK_TOKENS <= MAX_ROLLBACK_BYTES else 0


def load_weights(settings: EngineSettings, report: Report, n_free_bytes: int) -> Model:
    """The weights: in memory of their own where they fit into `n_free_bytes` well, else mapped.

    Raises:
        ModelRefused: llama.cpp cannot load them.
        OSError: a file cannot be read.
    """
    paths = split_parts(Path(settings.model))
    size = sum(map(_size, paths))
    mapped = not settings.eager_load or size > MAX_OWN_MEMORY_SHARE * n_free_bytes
    share = 0.5 if mapped and settings.eager_load else 0.0  # of the progress, for reading ahead
    if share:
        _read_into_page_cache(paths, lambda n_bytes: report("weights", share * n_bytes / size))
    return Model(paths[0], settings, mapped, lambda done: report("weights", share + (1 - share) * done))


def split_parts(path: Path) -> list[Path]:
    """All files of the model that begins at `path`: itself, or, if its name says so, the parts that it was split into."""
    found = _SPLIT.fullmatch(path.name)
    if not found:
        return [path]
    return [path, *(_part(path, found, number) for number in range(2, int(found["count"]) + 1))]


def _part(first: Path, found: re.Match[str], number: int) -> Path:
    return first.with_name(f"{found['stem']}-{number:05}-of-{found['count']}.gguf")


def _size(path: Path) -> int:
    status = path.stat()
    # llama.cpp would wait for ever for the other end of a pipe.
    if not stat.S_ISREG(status.st_mode):
        raise ModelRefused(f"{path} is not a file; name the GGUF file of a model.")
    return status.st_size


def _read_into_page_cache(paths: Sequence[Path], on_read: Callable[[int], None]) -> None:
    """Read all files once; `on_read` takes the number of bytes read so far."""
    chunk = bytearray(64 << 20)
    done = 0
    for path in paths:
        with path.open("rb", buffering=0) as file:
            while n := file.readinto(chunk):
                done += n
                on_read(done)


def _largest_state(model: Model, llama: LlamaContext, memory_class: MemoryClass, usual: int) -> int:
    """Bytes of the largest checkpoint: that of a full window, where there is one, else the `usual` one, if that is known."""
    if memory_class in ("dense", "swa-full", "opaque"):
        return 0
    if usual and not model.n_swa:
        return usual
    n_tokens = min(model.n_swa + 1, llama.n_ctx) if model.n_swa else 1
    for begin in range(0, n_tokens, llama.n_ubatch):
        n = min(llama.n_ubatch, n_tokens - begin)
        llama.decode(as_tokens(np.zeros(n)), begin, want_logits=False, abortable=False)
    size = llama.state_size()
    llama.clear()
    return size
