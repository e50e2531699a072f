"""What a server's prefix cache does, found by asking twice for the same prompt."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from time import perf_counter

from scrubjay.engine.remote.dialects import Json, Served
from scrubjay.engine.remote.wire import Wire
from scrubjay.errors import RemoteFailed

logger = logging.getLogger(__name__)

MAX_PROBE_TOKENS = 1024
MIN_PROBE_TOKENS = 64
BLOCK_STEP = 16
"""Blocks are multiples of that, or powers of two below it."""


@dataclass(frozen=True, slots=True)
class PrefixCache:
    """What was found.

    Args:
        block: tokens that are cached as one, 0 if nothing was, or the server does not say.
        warm_priority: see `Served`.
        speed: tokens per second that it processes.
    """

    block: int = 0
    warm_priority: int = 0
    speed: float = 0.0


async def probe(wire: Wire, served: Served, n_vocab: int) -> PrefixCache:
    """Two short requests (a third where the server refuses priorities), of tokens that nobody else sends.

    Raises:
        RemoteFailed: it cannot be asked.
    """
    n = MAX_PROBE_TOKENS
    while n > served.n_ctx // 2 and n > MIN_PROBE_TOKENS:
        n //= 2
    prompt = Random().choices(range(min(n_vocab, 1 << 15) // 2, min(n_vocab, 1 << 15)), k=n)
    warm_priority = served.warm_priority
    begun = perf_counter()
    try:
        await _ask(wire, served, prompt, warm_priority)
    except RemoteFailed as error:
        if error.kind != "request" or not warm_priority:
            raise
        warm_priority = 0
        begun = perf_counter()
        await _ask(wire, served, prompt)
    first = perf_counter() - begun
    n_cached = await _ask(wire, served, prompt)
    second = perf_counter() - begun - first
    if n_cached is None:
        logger.warning(
            "The server of the remote model does not say what it had cached: start vLLM with --enable-prefix-caching "
            "--enable-prompt-tokens-details, SGLang with --enable-cache-report."
        )
    speed = n_cached / (first - second) if n_cached and first > second else 0.0
    return PrefixCache(block_size(n, n_cached or 0), warm_priority, speed)


def block_size(n_prompt: int, n_cached: int) -> int:
    """The size of the blocks of which whole ones were cached, but the one with the last token, which is always processed.

    The smallest that explains it; 0 if nothing was cached.
    """
    sizes = [1, 2, 4, 8, *range(BLOCK_STEP, n_prompt + 1, BLOCK_STEP)]
    return next((size for size in sizes if n_cached and (n_prompt - 1) // size * size == n_cached), 0)


async def _ask(wire: Wire, served: Served, prompt: Sequence[int], priority: int = 0) -> int | None:
    """How many tokens of the prompt were cached; None if the server does not say."""
    body: Json = {"model": served.name, "prompt": prompt, "max_tokens": 1, "temperature": 0}
    answer = await wire.post("/completions", body | ({"priority": priority} if priority else {}))
    details = (answer.get("usage") or {}).get("prompt_tokens_details") or {}
    found = details.get("cached_tokens")
    return int(found) if isinstance(found, int) else None
