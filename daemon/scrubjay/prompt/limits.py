"""How long prompts may be: what the user allows, and what the model's speed makes of it."""

from dataclasses import dataclass
from functools import lru_cache

LATENCY_BUDGET_MS = 1000.0
"""What a jump to another place of a long file may cost, if the user says nothing."""
MIN_WINDOW_TOKENS = 512
"""A window of fewer tokens would make completions worse than a wait makes them late."""

RESERVED_TOKENS = 512
"""Tokens that every prompt leaves for generation, so that its windows do not depend on what is asked for."""


@dataclass(frozen=True, slots=True)
class Budgets:
    """What prompts may cost.

    Args:
        context: how many tokens a prompt may have; 0 for as many as fit.
        latency_ms: time budget for prefilling after the cursor jumps; 0 for `LATENCY_BUDGET_MS`.
    """

    context: int = 0
    latency_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Limits:
    """What one prompt has room for, in tokens.

    Args:
        n_ctx: of the model's context.
        reserve: how many of them generation needs.
        context_budget: how many the prompt may have at most; 0 for as many as the context has room for.
        window: how many of the current file before the cursor it may show at most; 0 for as many as fit.
    """

    n_ctx: int
    reserve: int
    context_budget: int = 0
    window: int = 0


def window_limit(latency_ms: float, prefill_speed: float) -> int:
    """How many tokens of a file a model of that speed (tokens per second) processes in time; 0 if that is unknown.

    It is a power of two, so that a machine that is a little slower today does not lay out everything again.
    """
    if prefill_speed <= 0:
        return 0
    n_tokens = int((latency_ms or LATENCY_BUDGET_MS) / 1e3 * prefill_speed)
    return max(1 << max(n_tokens.bit_length() - 1, 0), MIN_WINDOW_TOKENS)


@lru_cache(maxsize=16)
def limits_for(budgets: Budgets, n_ctx: int, prefill_speed: float, max_tokens: int) -> Limits:
    """What one prompt has room for, on a model of that context and speed (tokens per second), before `max_tokens` of answer.

    Remembered, because it is the same at each key.
    """
    wanted = max(RESERVED_TOKENS, max_tokens)
    reserve = min(-(-wanted // RESERVED_TOKENS) * RESERVED_TOKENS, n_ctx // 4)
    return Limits(n_ctx, reserve, budgets.context, window_limit(budgets.latency_ms, prefill_speed))
