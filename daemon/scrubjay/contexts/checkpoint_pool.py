"""The bytes of all checkpoints: pooled buffers under one budget, and the choice of what goes when it is full."""

from collections.abc import Callable

import numpy as np

from scrubjay.contexts.checkpoint_index import Checkpoint, CheckpointIndex, CheckpointKind
from scrubjay.llama.context import Buffer

_SLACK = 2  # a recycled buffer may be this many times larger than what it is to hold


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
        self._owners: dict[CheckpointIndex, Callable[[], tuple[int, float]]] = {}

    def register(self, index: CheckpointIndex, importance: Callable[[], tuple[int, float]]) -> None:
        """Take in a context's index; `importance` says how many tokens are resident and how much the context matters."""
        self._owners[index] = importance

    def unregister(self, index: CheckpointIndex) -> None:
        self.forget(index, 0)
        del self._owners[index]

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
        for tip in index.redundant_tips(n_tokens) if kind == "tip" else []:
            self._release(index, tip)
        buffer = self._take(size)
        if buffer is None:
            return None
        if write(buffer[:size]) != size:
            self._free.append(buffer)
            return None
        checkpoint = Checkpoint(n_tokens, digest, kind, buffer, size)
        index.add(checkpoint)
        self.n_saved += 1
        return checkpoint

    def forget(self, index: CheckpointIndex, n_tokens: int) -> None:
        """Drop the checkpoints of `index` longer than `n_tokens`; 0 drops all."""
        self._free += [item.buffer for item in index.drop_after(n_tokens if n_tokens > 0 else -1)]

    def used(self) -> int:
        """Bytes of all checkpoints."""
        return sum(item.size for index in self._owners for item in index)

    def check(self) -> None:
        """Raises AssertionError unless every buffer is accounted for, once, within the budget."""
        in_use = [item.buffer for index in self._owners for item in index]
        total = sum(buffer.nbytes for buffer in in_use + self._free)
        assert total == self.allocated <= self.budget, (
            f"{total} bytes held, {self.allocated} counted, budget {self.budget}"
        )
        assert len({id(buffer) for buffer in in_use + self._free}) == len(in_use) + len(self._free), (
            "a buffer has two owners"
        )

    def _take(self, size: int) -> Buffer | None:
        """A buffer of at least `size` bytes: a free one, a new one, or one whose checkpoint is missed least."""
        while True:
            if (buffer := self._recycle(size)) is not None:
                return buffer
            if self.allocated + size <= self.budget:
                return self._allocate(size)
            if not self._discard_free() and not self._evict():
                return None

    def _recycle(self, size: int) -> Buffer | None:
        # The one given back last is the likeliest to be near: in a cache, or at least in the memory of a host that lends it.
        fitting = (i for i in reversed(range(len(self._free))) if size <= self._free[i].nbytes <= _SLACK * size)
        i = next(fitting, None)
        return None if i is None else self._free.pop(i)

    def _allocate(self, size: int) -> Buffer:
        self.allocated += size
        buffer = np.empty(size, dtype=np.uint8)
        buffer[::4096] = 0
        return buffer

    def _discard_free(self) -> bool:
        if not self._free:
            return False
        self.allocated -= self._free.pop().nbytes
        return True

    def _evict(self) -> bool:
        """Give up the checkpoint with the least expected loss per byte, weighed by its context's importance."""
        candidates = []
        for index, importance in self._owners.items():
            n_resident, weight = importance()
            candidates += [
                (weight * loss, item.n_tokens, index, item) for loss, item in index.eviction_costs(n_resident)
            ]
        if not candidates:
            return False
        _, _, index, item = min(candidates, key=lambda candidate: candidate[:2])
        self._release(index, item)
        self.n_evicted += 1
        return True

    def _release(self, index: CheckpointIndex, item: Checkpoint) -> None:
        index.remove(item)
        self._free.append(item.buffer)
