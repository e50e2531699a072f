"""What the contexts hold, as the engine has said, what prompts have cost, and how long they may be for it. Pure.

The engine chooses the context of each prompt and names it in its answers; nothing here chooses.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from scrubjay.completion.requests import Cost
from scrubjay.context_keys import UNNAMED, group_of
from scrubjay.prompt.limits import Budgets, Limits, limits_for
from scrubjay.prompt.segments import Prompt
from scrubjay.protocol.contexts import ContextStatus
from scrubjay.protocol.messages import ModelInfo, PrefillCost

Loss = Literal["", "restart", "eviction"]

MAX_CONTEXTS = 64
"""Contexts of which something is remembered: those that are no more are forgotten first."""
MAX_COSTS = 20
"""Edits of a context whose cost is remembered."""
MIN_TOKENS_FOR_SPEED = 64
"""A prefill of fewer tokens says nothing about the speed."""
MAX_EARLIER = 16
"""Prompts that were run before and may be come back to."""
MIN_AHEAD_TOKENS = 256
"""To read fewer ahead of need is not worth leaving the place where the user is."""
MAX_TYPED_TOKENS = 64
"""A prompt that has lost no more of the one before it takes that one's place."""
MIN_TOKENS_FOR_WINDOWS = 256
N_SPEEDS = 3
"""So many prefills of so many tokens must have been faster than was known, before windows grow."""


@dataclass(slots=True)
class ContextResidency:
    """What is known of one context: of `prompt`, which was run last, it holds at least `n_resident` leading tokens.

    `loss`: why they are fewer than they were when it was run.
    """

    prompt: Prompt | None = None
    n_resident: int = 0
    loss: Loss = ""
    costs: deque[Cost] = field(default_factory=lambda: deque(maxlen=MAX_COSTS))

    def n_common(self, prompt: Prompt) -> int:
        """How many leading tokens of `prompt` it holds."""
        return min(self.n_resident, prompt.n_common(self.prompt)) if self.prompt else 0


class Residency:
    """The contexts by their keys: roots of projects, and the engine's own names for those of raw prompts.

    Args:
        budgets: how long prompts may be.
    """

    def __init__(self, budgets: Budgets) -> None:
        self._budgets = budgets
        self._contexts: dict[str, ContextResidency] = {}
        self._tokens_per_s = 0.0
        # Each with the group whose it is.
        self._earlier: deque[tuple[Prompt, str]] = deque(maxlen=MAX_EARLIER)
        self._speeds: deque[float] = deque(maxlen=N_SPEEDS)
        self._window_speed = 0.0

    def of(self, key: str) -> ContextResidency:
        """What is known of the context `key`."""
        return self._contexts.setdefault(key, ContextResidency())

    def known(self, key: str) -> ContextResidency:
        """The same, but nothing is kept if nothing is known."""
        return self._contexts.get(key) or ContextResidency()

    def n_common(self, key: str, prompt: Prompt, group: str = "") -> int:
        """How many leading tokens of `prompt` are resident: in the context `key`, or in any of `group` if the engine chooses."""
        if key:
            return self.of(key).n_common(prompt)
        own = (context for key, context in self._contexts.items() if group_of(key) == group)
        return max((context.n_common(prompt) for context in own), default=0)

    def begin(self, key: str, prompt: Prompt) -> None:
        """`prompt` is run in the context `key` now: what it shares with the last one stays."""
        context = self.of(key)
        context.prompt, context.n_resident, context.loss = prompt, context.n_common(prompt), ""

    def note(self, key: str, prompt: Prompt, n_resident: int) -> None:
        """The context `key` holds the first `n_resident` tokens of `prompt`."""
        context = self.of(key)
        context.prompt, context.n_resident = prompt, n_resident
        if n_resident == len(prompt.tokens):
            group = group_of(key) if key[:1] == UNNAMED else ""
            last, whose = self._earlier[-1] if self._earlier else (None, "")
            if last and whose == group and prompt.n_common(last) >= len(last.tokens) - MAX_TYPED_TOKENS:
                self._earlier.pop()
            self._earlier.append((prompt, group))

    def on_status(self, contexts: Iterable[ContextStatus]) -> None:
        """These contexts are all that there are; others had to make room."""
        held = {context.key: context.n_resident for context in contexts}
        for key, context in self._contexts.items():
            if (n_held := held.get(key, 0)) < context.n_resident:
                context.n_resident, context.loss = n_held, "eviction"
        n_surplus = len(self._contexts) - MAX_CONTEXTS
        for key in [key for key in self._contexts if key not in held][: max(n_surplus, 0)]:
            del self._contexts[key]

    def on_engine_lost(self) -> None:
        """What the contexts held is lost with the engine."""
        self._earlier.clear()
        for context in self._contexts.values():
            context.n_resident, context.loss = 0, "restart"

    def forget(self, key: str) -> None:
        """The project of the context `key` is closed."""
        self._contexts.pop(key, None)
        self._earlier.clear()

    def note_speed(self, cost: PrefillCost) -> None:
        """A prompt has cost that much."""
        if cost.processed >= MIN_TOKENS_FOR_SPEED and cost.prefill_ms > 0:
            self._tokens_per_s = cost.processed / cost.prefill_ms * 1e3
            if cost.processed >= MIN_TOKENS_FOR_WINDOWS:
                self._speeds.append(self._tokens_per_s)

    def window_speed(self, info: ModelInfo | None, is_idle: bool) -> float:
        """The speed in tokens/s by which windows are made, 0 if none was measured at load.

        It is that at load, until the machine turns out to be faster; so it never falls, and rises in idle time only: a load-time
        measurement beside a compiler must not make windows small for good.
        """
        measured = info.prefill_speed if info else 0.0
        self._window_speed = max(self._window_speed, measured)
        if is_idle and measured and len(self._speeds) == N_SPEEDS:
            self._window_speed = max(self._window_speed, min(self._speeds))
        return self._window_speed

    def limits(self, info: ModelInfo | None, max_tokens: int, is_idle: bool) -> Limits:
        """What a prompt has room for before `max_tokens` of an answer; `is_idle` as in `DocumentRecipe`."""
        speed = self.window_speed(info, is_idle)
        return limits_for(self._budgets, info.n_ctx if info else 0, speed, max_tokens)

    def least_ms(self, prompt: Prompt, n_needed: int, info: ModelInfo | None, group: str = "") -> float:
        """How long a prefill takes at least of `prompt`, of which `n_needed` tokens are not resident; 0 if no speed is known."""
        speed = self._tokens_per_s or (info.prefill_speed if info else 0.0)
        return self._n_unread(prompt, n_needed, group) / speed * 1e3 if speed else 0.0

    def is_too_slow(
        self, deadline_ms: float | None, prompt: Prompt, n_needed: int, info: ModelInfo | None, group: str = ""
    ) -> bool:
        """Whether `prompt` of `group` is surely not there in time; see `least_ms`."""
        return deadline_ms is not None and self.least_ms(prompt, n_needed, info, group) > deadline_ms

    def is_worth_reading_ahead(self, prompt: Prompt, n_needed: int) -> bool:
        """Whether a switch to that prompt, of which `n_needed` tokens are not resident, would cost much."""
        return self._n_unread(prompt, n_needed, "") >= MIN_AHEAD_TOKENS

    def _n_unread(self, prompt: Prompt, n_needed: int, group: str) -> int:
        """How many tokens have to be processed at least: what contexts held before, the engine may have kept."""
        n_kept = max((prompt.n_common(earlier) for earlier, whose in self._earlier if whose == group), default=0)
        return min(n_needed, len(prompt.tokens) - n_kept)
