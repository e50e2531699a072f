"""Which checkpoints a context has, which one serves a prompt, and which one is cheapest to evict.

Bookkeeping only: a checkpoint's bytes are whatever `buffer` is; the context saves and restores them.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from scrubjay.contexts.decode_grid import FINE_SPACING
from scrubjay.tokens import Tokens, prefix_digest

CheckpointKind = Literal["grid", "boundary", "hot", "tip"]
"""Why a checkpoint stands where it stands; "tip" is where a prompt or a piece of work ended."""


@dataclass(slots=True, eq=False)
class Checkpoint:
    """A saved state after the first `n_tokens` tokens of a prefix named `digest`; `size` in bytes."""

    n_tokens: int
    digest: bytes
    kind: CheckpointKind
    buffer: Any
    size: int


class EditPredictor:
    """Where the next edit is expected: near the recent edits, at the end of the prompt, and a little everywhere.

    Args:
        reach: distance in tokens within which edits cluster.
    """

    UNIFORM = 0.2
    END = 0.2
    END_REACH = 64
    """Distance in tokens from the end, where the cursor is, or was."""
    FADE = 0.8
    MAX_EDITS = 8

    def __init__(self, reach: int = 256) -> None:
        self._reach = reach
        self._recent: list[int] = []

    def n_at(self, position: int) -> int:
        """How many of the recent edits first changed exactly the token at `position`."""
        return self._recent.count(position)

    def record(self, position: int) -> None:
        """An edit first changed the token at `position`."""
        self._recent = [position, *self._recent][: self.MAX_EDITS]

    def weight(self, begin: int, end: int, n_tokens: int) -> float:
        """Expected share of the next edits that fall in [begin, end) of `n_tokens` tokens; comparable, not normalised."""
        uniform = self.UNIFORM * (end - begin) / max(1, n_tokens)
        near = sum(self.FADE**age * self._near(at, begin, end, self._reach) for age, at in enumerate(self._recent))
        at_the_end = 2 * self._near(n_tokens, min(begin, n_tokens), min(end, n_tokens), self.END_REACH)
        return uniform + self.END * at_the_end + (1 - self.UNIFORM - self.END) * (1 - self.FADE) * near

    def _near(self, at: int, begin: int, end: int, reach: int) -> float:
        return self._cumulated(end - at, reach) - self._cumulated(begin - at, reach)

    def _cumulated(self, distance: int, reach: int) -> float:
        tail = 0.5 * math.exp(-abs(distance) / reach)
        return tail if distance < 0 else 1 - tail


class CheckpointIndex:
    """The checkpoints of one context, in order of their lengths.

    All of them belong to prefixes of what is resident: truncating a context must call `drop_after`.
    """

    def __init__(self) -> None:
        self._items: list[Checkpoint] = []
        self.edits = EditPredictor()
        self.pinned: Checkpoint | None = None
        """The last one restored: the next edit is likely to want it again."""

    def __iter__(self) -> Iterator[Checkpoint]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def at(self, n_tokens: int) -> Checkpoint | None:
        """The checkpoint of exactly `n_tokens` tokens, if there is one."""
        i = bisect_left(self._items, n_tokens, key=_length)
        return self._items[i] if i < len(self._items) and self._items[i].n_tokens == n_tokens else None

    def best(self, prompt: Tokens, keep: int, resident: Tokens) -> Checkpoint | None:
        """The longest checkpoint of at most `keep` tokens whose prefix is the prompt's; `resident` are the context's tokens."""
        for i in range(bisect_right(self._items, keep, key=_length) - 1, -1, -1):
            item, n = self._items[i], self._items[i].n_tokens
            # The digest finds it, the tokens decide: a name that two prefixes share must not restore the wrong state.
            if item.digest == prefix_digest(prompt, n) and np.array_equal(resident[:n], prompt[:n]):
                return item
        return None

    def add(self, item: Checkpoint) -> None:
        """Take in `item`; none of its length may be there."""
        i = bisect_left(self._items, item.n_tokens, key=_length)
        if i < len(self._items) and self._items[i].n_tokens == item.n_tokens:
            raise ValueError(f"there is a checkpoint at {item.n_tokens} already")
        self._items.insert(i, item)

    def remove(self, item: Checkpoint) -> None:
        self._items.remove(item)
        if self.pinned is item:
            self.pinned = None

    def drop_after(self, n_tokens: int) -> list[Checkpoint]:
        """Remove and return those longer than `n_tokens`: what they continue is no longer resident."""
        i = bisect_right(self._items, n_tokens, key=_length)
        dropped = self._items[i:]
        for item in dropped:
            self.remove(item)
        return dropped

    def clear(self) -> list[Checkpoint]:
        """Remove and return all."""
        dropped, self._items, self.pinned = self._items, [], None
        return dropped

    def redundant_tips(self, n_tokens: int) -> list[Checkpoint]:
        """Older tips in the fine cell of `n_tokens`: a new tip there makes them useless but the nearest before it."""
        cell = n_tokens - n_tokens % FINE_SPACING
        begin, end = (bisect_left(self._items, n, key=_length) for n in (cell, n_tokens))
        return [item for item in self._items[begin:end] if item.kind == "tip"][:-1]

    def eviction_costs(self, n_resident: int) -> Iterator[tuple[float, Checkpoint]]:
        """For each checkpoint that may go: expected tokens to process again without it, per byte.

        Without checkpoint k, an edit between k and the next one starts from the one before k. The longest is never offered:
        a repeated or continued prompt wants it.
        """
        before = 0
        for item, after in zip(self._items, self._items[1:], strict=False):
            if item is not self.pinned:
                weight = self.edits.weight(item.n_tokens, after.n_tokens, n_resident)
                yield weight * (item.n_tokens - before) / max(1, item.size), item
            before = item.n_tokens


def _length(item: Checkpoint) -> int:
    return item.n_tokens
