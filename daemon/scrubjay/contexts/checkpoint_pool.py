"""The bytes of all checkpoints: pooled buffers under one budget, and the choice of what is evicted when it is full."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from math import inf
from typing import Protocol

import numpy as np

from scrubjay.context_keys import part_of
from scrubjay.contexts.checkpoint_index import Checkpoint, CheckpointIndex, CheckpointKind
from scrubjay.errors import IntegrityError
from scrubjay.llama.context import Buffer

MAX_SLACK = 2
"""How many times larger than its content a recycled buffer may be."""
PAGE_BYTES = 4096


def givers_to(group: str, held: Mapping[str, int], budget: int, limit: float) -> Iterator[tuple[set[str], float]]:
    """The groups that make room for `group`, and below which worth (expected tokens per byte); those to be asked first at first.

    Nobody gives up anything of his part for another one. Who has less than his part gets it from those who have more,
    whatever theirs is worth.

    Args:
        held: bytes of each group, of a `budget` that they share.
        limit: what `group` needs room for is worth that.
    """
    part = part_of(group, held, budget)
    richer = {name for name, n_bytes in held.items() if name != group and n_bytes > part}
    if richer and held.get(group, 0) < part:
        yield richer, inf
    yield richer | {group}, limit


class CheckpointOwner(Protocol):
    """A context, as the pool sees it."""

    checkpoints: CheckpointIndex
    importance: float
    """How much the context matters beside the others, 0 to 1."""

    @property
    def n_resident(self) -> int:
        """Tokens that it holds."""

    @property
    def group(self) -> str:
        """Whose it is."""


class CheckpointPool:
    """Owns the buffers of every context's checkpoints.

    Args:
        budget: bytes that all buffers together may take; never exceeded.
    """

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self.allocated = 0
        """Bytes of all buffers, in use or free."""
        self.n_saved = self.n_evicted = 0
        self._free: list[Buffer] = []
        self._lent: dict[int, Buffer] = {}
        self._size_lent = 0
        self.make_room: Callable[[float, str], bool] = lambda *_: False
        """Gives back, for a group, a lent buffer that is worth less, in expected tokens per byte; False if there is none."""
        self._owners: list[CheckpointOwner] = []

    def register(self, owner: CheckpointOwner) -> None:
        """Take in a context whose checkpoints will be saved here."""
        self._owners.append(owner)

    def unregister(self, owner: CheckpointOwner) -> None:
        """Drop the checkpoints of `owner`, which saves no more."""
        self.forget(owner.checkpoints, 0)
        self._owners.remove(owner)

    def prepare(self, size: int, count: int) -> None:
        """Allocate and touch up to `count` buffers of `size` bytes, so that no page faults come later."""
        for _ in range(count):
            if self.allocated + size > self.budget:
                return
            self._free.append(self._allocate(size))

    def prepare_to_lend(self, count: int) -> None:
        """`prepare` as many as are missing of `count` free buffers like those that are lent."""
        size = self._size_lent
        n_free = sum(size <= buffer.nbytes <= MAX_SLACK * size for buffer in self._free)
        self.prepare(size, count - n_free if size else 0)

    def save(
        self,
        index: CheckpointIndex,
        n_tokens: int,
        digest: bytes,
        kind: CheckpointKind,
        size: int,
        write: Callable[[Buffer], int],
    ) -> Checkpoint | None:
        """Make room for `size` bytes, have `write` fill them, and enter the checkpoint into `index`.

        Returns:
            None if the state does not fit the budget, or if `write` did not write exactly `size` bytes.
        """
        # Typing saves a tip at each key: without this, tips of one place would fill the budget.
        for tip in index.redundant_tips(n_tokens) if kind == "tip" else []:
            self._release(index, tip)
        group = next((owner.group for owner in self._owners if owner.checkpoints is index), "")
        buffer = self._take(size, inf, group)
        if buffer is None:
            return None
        # A buffer that was not written whole is not in the index yet, so a failed save cannot be restored.
        if write(buffer[:size]) != size:
            self._free.append(buffer)
            return None
        checkpoint = Checkpoint(n_tokens, digest, kind, buffer, size)
        index.add(checkpoint)
        self.n_saved += 1
        return checkpoint

    def forget(self, index: CheckpointIndex, n_tokens: int) -> None:
        """Drop the checkpoints of `index` longer than `n_tokens`; 0 drops all."""
        dropped = index.drop_after(n_tokens) if n_tokens > 0 else index.clear()
        self._free += [item.buffer for item in dropped]

    def take(self, size: int, worth: float = inf, group: str = "") -> Buffer | None:
        """Lend a buffer of at least `size` bytes, until `give_back`; None if there is no room for it.

        Args:
            worth: of what it is for, in expected tokens per byte: nothing that is worth as much makes room for it.
            group: whose that is.
        """
        self._size_lent = max(size, self._size_lent // 2)
        buffer = self._take(size, worth, group)
        return None if buffer is None else self._lend(buffer)

    def give_back(self, buffer: Buffer) -> None:
        """Take back a lent buffer, or a view of one; what is not the pool's is left alone."""
        owner = buffer if buffer.base is None else buffer.base
        if id(owner) in self._lent:
            self._free.append(self._lent.pop(id(owner)))

    def detach(self, index: CheckpointIndex, n_tokens: int) -> list[Checkpoint]:
        """Take those longer than `n_tokens` out of `index`, for a branch: their buffers are lent to it."""
        items = index.drop_after(n_tokens) if n_tokens > 0 else index.clear()
        for item in items:
            self._lend(item.buffer)
        return items

    def attach(self, index: CheckpointIndex, item: Checkpoint) -> None:
        """Put the checkpoint of a branch into `index`, where none of its length may be."""
        del self._lent[id(item.buffer)]
        index.add(item)

    def release(self, items: Iterable[Checkpoint]) -> None:
        """Drop checkpoints of a branch."""
        for item in items:
            self.give_back(item.buffer)

    def used(self) -> int:
        """Bytes of all checkpoints."""
        return sum(item.size for owner in self._owners for item in owner.checkpoints)

    def clear(self) -> None:
        """Drop everything and count from 0: what follows a failed check."""
        for owner in self._owners:
            owner.checkpoints.clear()
        self._free.clear()
        self._lent.clear()
        self.allocated = 0

    def check_integrity(self) -> None:
        """Raises IntegrityError unless every buffer is accounted for, once, within the budget."""
        owned = (item.buffer for owner in self._owners for item in owner.checkpoints)
        buffers = [*owned, *self._lent.values(), *self._free]
        total = sum(buffer.nbytes for buffer in buffers)
        if not total == self.allocated <= self.budget:
            raise IntegrityError(f"Checkpoints hold {total} bytes, {self.allocated} are counted of {self.budget}.")
        if len({id(buffer) for buffer in buffers}) < len(buffers):
            raise IntegrityError("Two checkpoints share one buffer.")

    def _take(self, size: int, worth: float, group: str) -> Buffer | None:
        """A buffer of at least `size` bytes: a free one, a new one, or that of the cheapest to evict below `worth`."""
        while True:
            # In this order: free memory costs nothing, new memory page faults, an eviction perhaps a prefill.
            if (buffer := self._recycle(size)) is not None:
                return buffer
            if self.allocated + size <= self.budget:
                return self._allocate(size)
            if not self._discard_free() and not self._evict(worth, group):
                return None

    def _recycle(self, size: int) -> Buffer | None:
        # The one given back last is most likely still in a cache, or at least not paged out.
        fitting = (i for i in reversed(range(len(self._free))) if size <= self._free[i].nbytes <= MAX_SLACK * size)
        i = next(fitting, None)
        return None if i is None else self._free.pop(i)

    def _allocate(self, size: int) -> Buffer:
        self.allocated += size
        buffer = np.empty(size, dtype=np.uint8)
        # Touch each page now: the first save into it is then as quick as all others.
        buffer[::PAGE_BYTES] = 0
        return buffer

    def _discard_free(self) -> bool:
        if not self._free:
            return False
        self.allocated -= self._free.pop().nbytes
        return True

    def _evict(self, limit: float, group: str) -> bool:
        """Give up what has the least expected loss per byte: a checkpoint, weighed by its context's importance, or what is lent.

        False if all is worth `limit` or more.
        """
        held = Counter[str]()
        for context in self._owners:
            held[context.group] += sum(item.size for item in context.checkpoints)
        return any(self._evict_of(givers, most, group) for givers, most in givers_to(group, held, self.budget, limit))

    def _evict_of(self, givers: Set[str], limit: float, group: str) -> bool:
        candidates = [
            (owner.importance * loss, item.n_tokens, owner, item)
            for owner in self._owners
            if owner.group in givers
            for loss, item in owner.checkpoints.eviction_costs(owner.n_resident)
        ]
        # Of equals the shorter goes: it takes less to process again.
        worth, _, owner, item = min(candidates, key=lambda candidate: candidate[:2], default=(inf, 0, None, None))
        if self.make_room(min(worth, limit), group):
            return True
        if owner is None or item is None or worth >= limit:
            return False
        self._release(owner.checkpoints, item)
        self.n_evicted += 1
        return True

    def _lend(self, buffer: Buffer) -> Buffer:
        self._lent[id(buffer)] = buffer
        return buffer

    def _release(self, index: CheckpointIndex, item: Checkpoint) -> None:
        index.remove(item)
        self._free.append(item.buffer)
