"""The bytes of all checkpoints: pooled buffers under one budget, and the choice of what is evicted when it is full."""

from collections.abc import Callable, Iterable
from typing import Protocol

import numpy as np

from scrubjay.contexts.checkpoint_index import Checkpoint, CheckpointIndex, CheckpointKind
from scrubjay.errors import IntegrityError
from scrubjay.llama.context import Buffer

MAX_SLACK = 2
"""How many times larger than its content a recycled buffer may be."""
PAGE_BYTES = 4096


class CheckpointOwner(Protocol):
    """A context, as the pool sees it."""

    checkpoints: CheckpointIndex
    importance: float
    """How much the context matters beside the others, 0 to 1."""

    @property
    def n_resident(self) -> int:
        """Tokens that it holds."""


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
        self._detached: list[Checkpoint] = []
        self.make_room: Callable[[], bool] = lambda: False
        """Drops checkpoints that are of less use than those of contexts; False if there are none."""
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
        buffer = self._take(size)
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

    def detach(self, index: CheckpointIndex, n_tokens: int) -> list[Checkpoint]:
        """Take those longer than `n_tokens` out of `index`, for a branch.

        Their buffers stay in the pool's account: a branch gives them back by `attach` or `release`.
        """
        items = index.drop_after(n_tokens) if n_tokens > 0 else index.clear()
        self._detached += items
        return items

    def attach(self, index: CheckpointIndex, items: Iterable[Checkpoint]) -> None:
        """Put checkpoints of a branch into `index` again, where none of their length may be."""
        for item in items:
            self._detached.remove(item)
            index.add(item)

    def release(self, items: Iterable[Checkpoint]) -> None:
        """Drop checkpoints of a branch."""
        for item in items:
            self._detached.remove(item)
            self._free.append(item.buffer)

    def used(self) -> int:
        """Bytes of all checkpoints."""
        return sum(item.size for owner in self._owners for item in owner.checkpoints)

    def clear(self) -> None:
        """Drop everything and count from 0: what follows a failed check."""
        for owner in self._owners:
            owner.checkpoints.clear()
        self._free.clear()
        self._detached.clear()
        self.allocated = 0

    def check_integrity(self) -> None:
        """Raises IntegrityError unless every buffer is accounted for, once, within the budget."""
        owned = (item for owner in self._owners for item in owner.checkpoints)
        buffers = [*(item.buffer for item in (*owned, *self._detached)), *self._free]
        total = sum(buffer.nbytes for buffer in buffers)
        if not total == self.allocated <= self.budget:
            raise IntegrityError(f"Checkpoints hold {total} bytes, {self.allocated} are counted of {self.budget}.")
        if len({id(buffer) for buffer in buffers}) < len(buffers):
            raise IntegrityError("Two checkpoints share one buffer.")

    def _take(self, size: int) -> Buffer | None:
        """A buffer of at least `size` bytes: a free one, a new one, or that of the cheapest checkpoint to evict."""
        while True:
            # In this order: free memory costs nothing, new memory page faults, an eviction perhaps a prefill; and that is more
            # likely wanted in a context than in a branch.
            if (buffer := self._recycle(size)) is not None:
                return buffer
            if self.allocated + size <= self.budget:
                return self._allocate(size)
            if not self._discard_free() and not self.make_room() and not self._evict():
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

    def _evict(self) -> bool:
        """Give up the checkpoint with the least expected loss per byte, weighed by its context's importance."""
        candidates = [
            (owner.importance * loss, item.n_tokens, owner, item)
            for owner in self._owners
            for loss, item in owner.checkpoints.eviction_costs(owner.n_resident)
        ]
        if not candidates:
            return False
        # Of equals the shorter goes: it takes less to process again.
        _, _, owner, item = min(candidates, key=lambda candidate: candidate[:2])
        self._release(owner.checkpoints, item)
        self.n_evicted += 1
        return True

    def _release(self, index: CheckpointIndex, item: Checkpoint) -> None:
        index.remove(item)
        self._free.append(item.buffer)
