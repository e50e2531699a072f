"""What follows from the machine and the model: threads, lengths of decodes, the interval of checkpoints, how many contexts."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import psutil

from scrubjay.llama.devices import Gpu, can_offload
from scrubjay.llama.model import Model
from scrubjay.protocol.messages import MAX_DECODE_TOKENS, EngineSettings

CPU_UBATCH_TOKENS = 128
"""Tokens that are computed at once. A decode can be left only between two operations; at 8k tokens the attention of
256 tokens takes a small CPU above 50 ms."""
MAX_CONTEXTS = 8
INTERVALS = (64, 128, 256)
MIN_SPEED_RATIO = 0.93
"""Of the speed with the longest decodes: where shorter ones are slower than that, they cost more than they save."""


def choose_interval(
    wanted: int, speeds: dict[int, float], state_size: int, budget: int, n_ctx: int, n_ubatch: int
) -> int:
    """Tokens between checkpoints.

    Args:
        wanted: what was asked for, 0 to choose.
        speeds: measured prefill speed in tokens/s by decode length, up to `n_ubatch`.
        state_size: bytes of one checkpoint; 0 if none are kept, so that nothing is gained by shorter decodes.
        budget: bytes for all checkpoints; half of it must do for one context's regular ones.
        n_ctx: tokens in a context.
        n_ubatch: tokens that are computed at once.
    """
    if wanted:
        return wanted
    best = max(speeds.values(), default=0.0) if state_size else 0.0
    quick = [i for i in INTERVALS if i <= n_ubatch and speeds.get(i, 0.0) >= MIN_SPEED_RATIO * best]
    interval = min(quick, default=n_ubatch) if best else n_ubatch
    while interval < n_ctx and state_size * n_ctx / interval > budget / 2:
        interval *= 2
    return interval


def max_ubatch(settings: EngineSettings) -> int:
    """Tokens that are computed at once at most."""
    return MAX_DECODE_TOKENS if settings.gpu_layers and can_offload() else CPU_UBATCH_TOKENS


def with_threads(settings: EngineSettings) -> EngineSettings:
    """`settings` with a number of threads: one for each physical core, unless one was chosen."""
    threads = settings.n_threads or psutil.cpu_count(logical=False) or 1
    return replace(settings, n_threads=threads)


def choose_swa_full(model: Model, settings: EngineSettings) -> bool:
    """Whether a sliding-window model keeps every token: then it can be cut anywhere, and needs no checkpoints.

    A checkpoint holds a window; as soon as they stand closer together than a window, keeping all is less memory.
    """
    if settings.swa_full is not None:
        return settings.swa_full
    return model.n_swa > 0 and (settings.interval or MAX_DECODE_TOKENS) <= model.n_swa


def choose_max_contexts(
    context_bytes: int, gpus: Sequence[Gpu], of_weights: Mapping[str, int], of_context: Mapping[str, int]
) -> int:
    """As many as half of the free memory holds: the other half is for checkpoints, editors and compilers.

    Args:
        context_bytes: by how much the process has grown with the first context; where there are GPUs that may be anything.
        gpus: those that are used; each has to have room, too.
        of_weights, of_context: bytes by the names of llama.cpp's buffers; the first context is there already.
    """
    free: int = psutil.virtual_memory().available
    if gpus:
        context_bytes = sum(of_context.values()) - sum(gpu.part_of(of_context) for gpu in gpus if not gpu.is_shared)
    most = free // 2 // max(1, context_bytes)
    for gpu in gpus:
        if part := gpu.part_of(of_context):
            most = min(most, 1 + gpu.room(gpu.part_of(of_weights) + part) // 2 // part)
    return max(1, min(MAX_CONTEXTS, most))
