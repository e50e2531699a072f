"""Which lengths of decodes change no bit of an answer, and which of them is worth most."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import perf_counter, process_time

from scrubjay.worker.drafters import expected

MAX_DRAFT_DECODE = 32
"""Tokens of the longest decode with a draft: as many as may have logits at a time."""
PROBED = (1, 8, 16, 2, MAX_DRAFT_DECODE, 4, 3)
"""The most useful first: there may be no time for all."""
NEWS = 0.2
"""How much the last decode counts: for its own length, and half as much for all, which depend on the context alike."""
MAX_NEWS = 2.0
"""How many times as long as usual a decode may have taken, to count."""
COPIED_TOKENS = 16
"""As many tokens of an edit are copied, on average, before one that is not."""
MAX_LOSS = 1.25
MIN_GAIN = 1.05
"""What a draft must promise: a measured speed is not that exact."""


def decode_clock(is_on_cpu: bool) -> Callable[[], float]:
    """What decodes are measured with: on CPUs processor time, which other programs change less than the time on the clock."""
    return process_time if is_on_cpu else perf_counter


@dataclass(slots=True)
class DecodeLengths:
    """Lengths of decodes that give the same bits, each with the seconds that one takes.

    Args:
        most: tokens of a draft, where the gain is not asked for; 0 for as many as pay.
        clock: counts these seconds.
        least_expected: the part of the tokens that must be expected for these lengths to be worth having, see `drafting.Sight`.
    """

    seconds: dict[int, float] = field(default_factory=lambda: {1: 1.0})
    most: int = 0
    clock: Callable[[], float] = process_time
    least_expected: float = 0.0

    @property
    def longest(self) -> int:
        return max(self.seconds)

    @property
    def shortest(self) -> int:
        return min(self.seconds)

    def note(self, length: int, seconds: float) -> None:
        """A decode of `length` tokens took so long, in a context as long as they are now."""
        if length in self.seconds:
            change = min(max(seconds / self.seconds[length], 1 / MAX_NEWS), MAX_NEWS)
            for each in self.seconds:
                self.seconds[each] *= change ** (NEWS if each == length else NEWS / 2)

    def fitting(self, n: int) -> int:
        """The shortest length for `n` tokens, or the longest there is."""
        return min((length for length in self.seconds if length >= n), default=self.longest)

    def parts(self, n: int) -> list[int]:
        """Lengths that add up to `n`, or to a little more where they cannot."""
        made: list[int] = []
        while n > 0:
            length = max((length for length in self.seconds if length <= n), default=self.shortest)
            made.append(length)
            n -= length
        return made

    def choose(self, chance: float, n_owed: int, n_draft: int, redoes: bool) -> int:
        """The length of the next decode: `n_owed` tokens that are certain, and the most useful part of a draft of `n_draft`.

        Args:
            chance: that a token of the draft is right if those before it are.
            redoes: whether all tokens of a decode must be decoded again where one was wrong.
        """
        drafted = [length for length in self.seconds if n_owed < length <= n_owed + n_draft]
        if not drafted and self.shortest > n_owed:
            drafted = [self.shortest]  # which it takes anyway, so a short draft costs nothing
        if self.most:
            return max((length for length in drafted if length <= n_owed + self.most), default=n_owed)

        def speed(length: int) -> float:
            n = min(length - n_owed, n_draft)
            n_right, cost = expected(chance, n), self.seconds[length]
            if redoes:
                again = self.seconds[self.fitting(1 + int(n_right))] - self.seconds[self.shortest]
                cost += (1 - chance**n) * again
            return (1 + n_right) / cost

        plain = 1 / sum(map(self.seconds.__getitem__, self.parts(n_owed)))
        best = max(drafted, key=speed, default=0)
        return best if best and speed(best) > MIN_GAIN * plain else n_owed

    @property
    def copying_speed(self) -> float:
        """Tokens in a second where one after each `COPIED_TOKENS` has to be found without a draft."""
        length = max((length for length in self.seconds if length <= COPIED_TOKENS), default=self.longest)
        n_decodes = -(-COPIED_TOKENS // length)
        return (1 + COPIED_TOKENS) / (self.seconds[self.shortest] + n_decodes * self.seconds[length])

    def break_even(self, single: float) -> float:
        """Which part of the tokens must be expected, if a decode of one token takes `single` seconds."""
        shortest, each = self.seconds[self.shortest], min(took / length for length, took in self.seconds.items())
        return min(max((shortest - single) / (shortest - each), 0.0), 1.0) if shortest > each else 0.0


def draft_lengths(
    measured: Mapping[int, tuple[float, bytes]],
    most: int,
    redoes: bool = False,
    clock: Callable[[], float] = process_time,
) -> tuple[DecodeLengths, DecodeLengths]:
    """The lengths for any request, and for those whose clients bring a prediction.

    Decodes of some lengths are rounded otherwise than those of others. In one generation only such are used that are
    rounded alike, so that its answer does not depend on what was drafted: those of single tokens for any request; and for
    what copies most of a prediction those with which that is quickest, even if none of them is as short as one token.

    Args:
        measured: seconds, and a digest of the logits, by length.
        most: see `EngineSettings.draft`.
        redoes: see `Context.redoes_tries`.
        clock: by which they were measured.
    """
    alike: dict[bytes, dict[int, float]] = {}
    for length, (seconds, digest) in measured.items() if most else ():
        alike.setdefault(digest, {})[length] = seconds
    groups = [DecodeLengths(group, max(most, 0), clock) for group in alike.values()]
    free = next((group for group in groups if group.shortest == 1), DecodeLengths())
    single = free.seconds[1]
    groups = [group for group in groups if group.longest > 1 and (most > 0 or _pays(group, single, redoes))]
    best = max(groups, key=lambda group: group.copying_speed, default=free)
    if most <= 0 and not redoes:
        best.least_expected = best.break_even(single)
    return free, best


def _pays(group: DecodeLengths, single: float, redoes: bool) -> bool:
    # A state cannot go back to single tokens in the middle: where an answer is not what was expected, all is as slow.
    is_bearable = not redoes or group.seconds[group.shortest] <= MAX_LOSS * single
    return is_bearable and group.copying_speed * single > MIN_GAIN
