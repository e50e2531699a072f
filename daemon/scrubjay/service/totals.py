"""Sums over all requests: how long they took, and how many tokens need not be processed. Pure."""

from bisect import bisect_left
from dataclasses import dataclass, field
from datetime import date

from scrubjay.protocol.messages import PrefillCost

BOUNDS_MS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000)


@dataclass(slots=True)
class Histogram:
    """How many times were at most each of `BOUNDS_MS`, and more than the bound before; the last count is of longer ones."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS_MS) + 1))
    sum: float = 0.0

    def add(self, ms: float) -> None:
        self.counts[bisect_left(BOUNDS_MS, ms)] += 1
        self.sum += ms


@dataclass(slots=True)
class TokenSums:
    """Of completions that were asked for: how many, how many of them were known already, and their prompts in tokens.

    Args:
        processed: of the prompts' tokens, so the others were saved.
        processed_ahead: tokens of prompts that nobody had asked for yet.
    """

    n_requests: int = 0
    n_cached: int = 0
    prompt: int = 0
    processed: int = 0
    processed_ahead: int = 0


@dataclass(slots=True)
class Totals:
    """Since the daemon's start, and today (`day`, in this machine's time zone)."""

    all: TokenSums = field(default_factory=TokenSums)
    today: TokenSums = field(default_factory=TokenSums)
    day: date = date.min
    first_token: Histogram = field(default_factory=Histogram)
    own: Histogram = field(default_factory=Histogram)

    def prefilled(self, cost: PrefillCost, day: date, is_asked: bool, is_first: bool) -> None:
        """A prompt has cost that much; `is_first`: for the first text of its request."""
        for sums in self._on(day):
            if is_asked:
                sums.prompt += cost.prompt if is_first else cost.processed
                sums.processed += cost.processed
            else:
                sums.processed_ahead += cost.processed

    def answered(self, day: date, is_known: bool, first_token_ms: float, own_ms: float) -> None:
        """A completion that was asked for has its answer."""
        for sums in self._on(day):
            sums.n_requests += 1
            sums.n_cached += is_known
        self.first_token.add(first_token_ms)
        self.own.add(own_ms)

    def on_day(self, day: date) -> TokenSums:
        """The sums of `day`; those of an earlier one are over."""
        if day != self.day:
            self.day, self.today = day, TokenSums()
        return self.today

    def _on(self, day: date) -> tuple[TokenSums, TokenSums]:
        return self.all, self.on_day(day)
