"""Moving what a context is about to lose out into branches, and back in when a prompt comes back to it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from scrubjay.context_keys import group_of
from scrubjay.contexts.branches import RETURN, Branch, BranchStore
from scrubjay.contexts.checkpoint_index import Checkpoint, CheckpointIndex
from scrubjay.contexts.checkpoint_pool import CheckpointPool
from scrubjay.contexts.naive import CUT_ANYWHERE, MemoryClass
from scrubjay.errors import IntegrityError
from scrubjay.llama.context import Buffer, LlamaContext
from scrubjay.tokens import Tokens, common_length, frozen

MIN_BRANCH_TOKENS = 48
"""Fewer tokens are as quickly processed again as kept and brought back."""
MAX_BRANCH_TOKENS = 512
"""More become several branches: buffers of one size serve again, and a part of a tail can be brought back, or dropped."""
MAX_TYPED_TOKENS = 32
"""Edits of fewer tokens, one after the other within so many, are typing: what was there before the first of them is enough."""
MAX_LAST_CHECKPOINTS = 3
"""Checkpoints beside those of the grid that a tail keeps, the last ones: where its prompt ended and was edited."""


@dataclass(frozen=True, slots=True)
class WayBack:
    """How a prompt comes back to what was held before.

    Args:
        branches: to load, one after the other.
        n_tokens: how many tokens are resident then.
        common: how many tokens of the prompt were held before.
        checkpoint: whose state is restored; None where the memory needs none.
    """

    branches: tuple[Branch, ...]
    n_tokens: int
    common: int
    checkpoint: Checkpoint | None

    @property
    def n_restored(self) -> int:
        return self.checkpoint.n_tokens if self.checkpoint else 0


class Paging:
    """What passes between one context and the branches.

    Args:
        n_swa: window of the model's sliding attention in tokens, 0 for none.
        checkpoints: the context's.
    """

    def __init__(
        self,
        llama: LlamaContext,
        memory_class: MemoryClass,
        n_swa: int,
        checkpoints: CheckpointIndex,
        pool: CheckpointPool,
        branches: BranchStore,
    ) -> None:
        self._llama = llama
        self._class = memory_class
        self._needs_state = memory_class not in CUT_ANYWHERE
        # A state has of a sliding window only what its last token sees. Where all of it is kept, all is to be saved: in parts
        # that are shorter than any window, and do not cross the border of two chunks where windows are chunks.
        self._n_part = min(MAX_BRANCH_TOKENS, n_swa // 2) if memory_class == "swa-full" else MAX_BRANCH_TOKENS
        self._checkpoints = checkpoints
        self._pool = pool
        self._branches = branches
        self.key = ""
        """The context's."""
        self._typed_at: int | None = None
        """Where the last edit was, in tokens, if what it replaced was kept."""

    @property
    def group(self) -> str:
        """Whose the context is, and the branches that it may go back to."""
        return group_of(self.key)

    def way_back(self, prompt: Tokens, n_common: int) -> WayBack | None:
        """How to make more of `prompt` resident than the `n_common` tokens that are; None: no way."""
        steps = self._branches.way_back(prompt, n_common, self.group)
        if not steps:
            return None
        end, most = steps[-1][1], min(steps[-1][1], len(prompt) - 1)
        if not self._needs_state:
            return WayBack(tuple(branch for branch, _ in steps), most, end, None)
        items = [
            item for _, item in self._branches.checkpoints_of(prompt, self.group) if n_common < item.n_tokens <= most
        ]
        if not items:
            return None
        checkpoint = max(items, key=lambda item: item.n_tokens)
        needed = [(branch, end) for branch, end in steps if branch.begin < checkpoint.n_tokens]
        return WayBack(tuple(branch for branch, _ in needed), checkpoint.n_tokens, needed[-1][1], checkpoint)

    def page_out(self, resident: Tokens, n_kept: int, prompt: Tokens, back: WayBack | None) -> None:
        """Keep what is `resident` after the first `n_kept` tokens, and about to be lost to `prompt`, as branches.

        A recurrent state is gone afterwards: one is to be loaded, as a cut there needs anyway, or all to be cleared.
        """
        store, n = self._branches, len(resident)
        if n <= n_kept or not store.budget or self._class == "opaque":
            return
        if back is None and self._is_typed(resident[n_kept:], prompt[n_kept:], n_kept):
            self._pool.release(self._give_back_checkpoints(resident, n_kept, n_kept))
            return
        self._typed_at = None if back else n_kept
        store.tick()
        needed = {id(part) for part in (*back.branches, back.checkpoint)} if back else set()
        store.wanted = set(needed)
        held = store.way_back(resident, n_kept, self.group)
        for branch, _ in held:
            store.touch(branch)
        begin = held[-1][1] if held else n_kept
        own = self._give_back_checkpoints(resident, n_kept, begin)
        tokens, trunk = self._worth_keeping(resident, begin, own), store.end_of_trunk(resident, begin, self.group)
        # What other branches grow out of is of use however short it is.
        if len(tokens) - begin >= MIN_BRANCH_TOKENS or trunk > begin:
            self._keep(tokens if len(tokens) >= trunk else frozen(resident[:trunk].copy()), begin, own)
        self._pool.release(own)
        store.wanted = needed
        store.shrink(self.group)

    def copies(self, resident: Tokens, begin: int, end: int | None = None) -> list[Branch]:
        """What is `resident` from `begin` to `end` as branches of nobody, and it stays: to be written to a file, say.

        Their memory is a copy; their checkpoints are the context's, and true until its next operation.

        Raises:
            IntegrityError: the memory could not be left as it was, and must be cleared.
        """
        items = [item for item in self._checkpoints if begin < item.n_tokens <= (end or len(resident))]
        tokens = self._worth_keeping(resident[:end], begin, items)
        if len(tokens) == begin or self._class == "opaque":
            return []
        state = np.empty(self._llama.state_size() if self._needs_state else 0, dtype=np.uint8)
        is_saved = not self._needs_state or self._llama.save_state(state) == len(state)
        copies = list(self._parts(tokens, begin, items, lambda size, _: np.empty(size, dtype=np.uint8)))
        if not is_saved or (self._needs_state and not self._llama.load_state(state)):
            raise IntegrityError("The state of a context could not be had again after its memory was copied.")
        return copies

    def load(self, back: WayBack) -> bool:
        """Bring back the memory of `back`; on False it must be cleared. It may have more tokens than it should, at the end."""
        parts: list[tuple[Buffer, int]] = []
        for branch in back.branches:
            self._branches.touch(branch)
            if branch.memory is not None:
                # One that begins earlier has all of what those before it were for.
                parts = [*(part for part in parts if part[1] < branch.begin), (branch.memory, branch.begin)]
        if parts and not self._llama.ranges.load(parts):
            return False
        if back.checkpoint is None:
            # llama.cpp may place loaded tokens where it thinks that older ones have left their window.
            return self._llama.first_position() == 0
        return self._llama.load_state(back.checkpoint.buffer[: back.checkpoint.size])

    def distrust(self, back: WayBack) -> None:
        """Nothing is to go this way again."""
        for branch in back.branches:
            self._branches.drop(branch)
        self._branches.wanted = set()

    def bring_checkpoints(self, resident: Tokens) -> None:
        """Have the checkpoints of branches that belong to what is `resident`, now that it has come back: the last step of all."""
        for branch, item in self._branches.checkpoints_of(resident, self.group):
            if self._checkpoints.at(item.n_tokens) is None:
                branch.checkpoints.remove(item)
                self._pool.attach(self._checkpoints, item)
        self._branches.wanted = set()
        self._branches.shrink(self.group)

    def _is_typed(self, old: Tokens, new: Tokens, at: int) -> bool:
        """Whether `new` in place of `old` after `at` tokens is one more key of a series whose beginning was kept."""
        if self._typed_at is None or abs(at - self._typed_at) > MAX_TYPED_TOKENS:
            return False
        return max(len(old), len(new)) - common_length(old[::-1], new[::-1]) <= MAX_TYPED_TOKENS

    def _give_back_checkpoints(self, resident: Tokens, n_kept: int, begin: int) -> list[Checkpoint]:
        """Give the checkpoints after `n_kept` tokens to the branches that they are of; returns those after `begin`."""
        items = self._pool.detach(self._checkpoints, n_kept)
        for branch in (each for each in self._branches if each.group == self.group):
            end, has = common_length(branch.tokens, resident), {item.n_tokens for item in branch.checkpoints}
            given = [item for item in items if branch.begin < item.n_tokens <= end and item.n_tokens not in has]
            branch.checkpoints = sorted((*branch.checkpoints, *given), key=lambda item: item.n_tokens)
            items = [item for item in items if item not in given]
        last = items[-MAX_LAST_CHECKPOINTS:]
        own = [item for item in items if item.n_tokens > begin and (item.kind == "grid" or item in last)]
        self._pool.release([item for item in items if item not in own])
        return own

    def _worth_keeping(self, resident: Tokens, begin: int, items: Sequence[Checkpoint]) -> Tokens:
        """A copy of `resident` up to where one can come back to after `begin`: the last checkpoint, where one is needed."""
        end = len(resident) if not self._needs_state else items[-1].n_tokens if items else begin
        return frozen(resident[:end].copy())

    def _keep(self, tokens: Tokens, begin: int, own: list[Checkpoint]) -> None:
        """Make branches of all of `tokens` but the first `begin`; takes the checkpoints that they have out of `own`."""

        def take(size: int, n_tokens: int) -> Buffer | None:
            return self._pool.take(size, RETURN * n_tokens / size, self.group)

        for branch in self._parts(tokens, begin, own, take):
            branch.key = self.key
            del own[: len(branch.checkpoints)]
            # Until all are there, and what they grow out of is of use.
            self._branches.wanted.add(id(branch))
            self._branches.add(branch)

    def _parts(
        self, tokens: Tokens, begin: int, items: Sequence[Checkpoint], take: Callable[[int, int], Buffer | None]
    ) -> Iterator[Branch]:
        """Branches of all of `tokens` but the first `begin`, until `take` has no buffer for so many bytes, of so many tokens."""
        if self._class == "recurrent":
            yield Branch(tokens, begin, None, list(items))
            return
        with self._llama.ranges.saving():
            while begin < len(tokens):
                end = min(begin - begin % self._n_part + self._n_part, len(tokens))
                size = self._llama.ranges.select(begin, end, whole=not self._needs_state)
                if (buffer := take(size, end - begin)) is None:
                    return
                if not self._llama.ranges.save(buffer[:size]):
                    self._pool.give_back(buffer)
                    return
                yield Branch(
                    tokens[:end], begin, buffer[:size], [item for item in items if begin < item.n_tokens <= end]
                )
                begin = end
