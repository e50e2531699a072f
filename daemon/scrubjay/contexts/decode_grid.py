"""Where decodes begin and end.

Batches of the same tokens, cut at the same places, give the same bits. So the cuts are on an absolute grid, whatever was
resident before: at multiples of the interval, and within an interval at multiples of the longest decode. Off that grid are only
the cuts that were asked for.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

FINE_SPACING = 32
"""Tokens between the cuts of the fine grid near edits; also the least distance of a segment boundary from another cut."""
TAIL_SPACING = 8
"""Tokens between the cuts just before the end of a long prompt."""
LONG_PREFILL_TOKENS = 1024
"""Where at least this many tokens are new, the tail's cuts add only a few hundredths to the time of the prefill."""


@dataclass(frozen=True, slots=True)
class DecodeGrid:
    """Decodes of at most `max_decode` tokens between checkpoints at multiples of `interval`."""

    interval: int
    max_decode: int

    def next_cut(self, position: int) -> int:
        """The first cut of the absolute grid after `position`."""
        cell = position - position % self.interval
        n_decodes = (position - cell) // self.max_decode + 1
        # The interval need not be a multiple of the longest decode: the last decode of a cell is then shorter.
        return cell + min(n_decodes * self.max_decode, self.interval)

    def fine(self, position: int) -> int:
        """The last cut of the fine grid at or before `position`."""
        return position - position % min(FINE_SPACING, self.interval)

    def tail_cuts(self, end: int) -> list[int]:
        """Cuts before the `end` of a long prompt, closer together the nearer it is: next edits are likely there.

        An edit there starts from the cut before it, which adds at most half of what it costs anyway, or 7 tokens.
        """
        # 8 steps of each spacing: the fine ones within 256 tokens of the end, the finest within 64.
        far, near, step = (
            max(0, end - 8 * FINE_SPACING),
            max(0, end - 8 * TAIL_SPACING),
            min(TAIL_SPACING, self.interval),
        )
        fine = range(self.fine(far), end, min(FINE_SPACING, self.interval))
        finest = range(near - near % step, end, step)
        return sorted({*fine, *finest} - {0})

    def ranges(self, start: int, end: int, extra: Iterable[int] = ()) -> Iterator[tuple[int, int]]:
        """The decodes [begin, end) that cover [start, end), cut at the grid and at the `extra` positions."""
        # The grid is absolute: what was asked for cuts a cell once more, and moves none of its other cuts.
        cuts = sorted({cut for cut in extra if start < cut < end} | {end}) if start < end else []
        for cut in cuts:
            while start < cut:
                stop = min(self.next_cut(start), cut)
                yield start, stop
                start = stop

    def select_boundaries(self, boundaries: Iterable[int], end: int) -> list[int]:
        """The segment boundaries worth a cut: each cut costs a decode, and saves at most the tokens since the one before."""
        kept: list[int] = []
        # Near a cut that is there anyway, or the prompt's end, a boundary saves too few tokens to pay for its decode.
        for boundary in sorted(set(boundaries)):
            before = max([boundary - boundary % self.interval, *kept[-1:]])
            if before + FINE_SPACING <= boundary <= end - FINE_SPACING:
                kept.append(boundary)
        return kept
