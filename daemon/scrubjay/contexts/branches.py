"""What contexts held before and hold no more, as branches that a prompt may come back to.

    a context's tokens    |=========== trunk ===========|=== tail ===|== more ==|
    another prompt                                      |~~~~ other ~~~~|
    the branches kept                            begin->|=== tail ===|== more ==|<- its tokens end here

A branch has the memory of its own tokens only, those from `begin` on, and the checkpoints among them. A long tail becomes several
branches, each of which grows out of the one before. Going back puts their memory after the trunk again, which must be resident,
or come from other branches.
"""

from collections import Counter
from collections.abc import Iterator, Set
from dataclasses import dataclass, field

import numpy as np

from scrubjay.context_keys import group_of
from scrubjay.contexts.checkpoint_index import Checkpoint
from scrubjay.contexts.checkpoint_pool import CheckpointPool, givers_to
from scrubjay.errors import IntegrityError
from scrubjay.llama.context import Buffer
from scrubjay.tokens import Tokens, common_length, prefix_digest

RETURN = 0.02
"""How likely a prompt comes back to the branch that was used last, rather than going on in its context."""
FADE = 0.8
"""How much less likely it comes back to a branch than to one that was used after it."""
INSIDE = 0.5
"""How likely a prompt that comes back parts from a branch somewhere inside, rather than where another prompt ended."""


@dataclass(slots=True, eq=False)
class Branch:
    """A part of what a context held.

    Args:
        tokens: all tokens from the first of the trunk to the last of the branch.
        begin: how many of them are the trunk's.
        memory: the attention's memory of the tokens from `begin` on; None for a model that has no such memory.
        checkpoints: saved states after more than `begin` tokens, in order.
        last_use: when it was used, by the clock of its store.
        n_sequels: how many branches of its store grow out of it.
        key: of the context that held it.
    """

    tokens: Tokens
    begin: int
    memory: Buffer | None
    checkpoints: list[Checkpoint] = field(default_factory=list)
    last_use: int = 0
    n_sequels: int = 0
    key: str = ""

    @property
    def group(self) -> str:
        """Whose it is: nobody else comes back to it."""
        return group_of(self.key)

    @property
    def n_bytes(self) -> int:
        own = self.memory.nbytes if self.memory is not None else 0
        return own + sum(item.size for item in self.checkpoints)

    @property
    def n_own(self) -> int:
        """Tokens that would have to be processed without it."""
        return len(self.tokens) - self.begin

    def continues(self, other: "Branch") -> bool:
        """Whether it grows out of `other`: is of no use where the tokens of that one are missing."""
        n = self.begin
        if self.group != other.group:
            return False
        return other.begin < n <= len(other.tokens) and np.array_equal(self.tokens[:n], other.tokens[:n])


class BranchStore:
    """Branches under a budget of bytes of their own; their buffers are a pool's, which may ask for some of them.

    Args:
        budget: bytes that all branches together may take; 0 keeps none.
        pool: where their buffers come from.
    """

    def __init__(self, budget: int, pool: CheckpointPool) -> None:
        self.budget = budget
        self.wanted: set[int] = set()
        """Ids of the branches and checkpoints that must stay for now: a context is about to go back to them."""
        self._pool = pool
        self._branches: list[Branch] = []
        self._clock = 0
        pool.make_room = self.make_room

    def __iter__(self) -> Iterator[Branch]:
        return iter(self._branches)

    def __len__(self) -> int:
        return len(self._branches)

    @property
    def n_bytes(self) -> int:
        return sum(branch.n_bytes for branch in self._branches)

    def tick(self) -> None:
        """Time passes: what is used from now on is more recent than all that was used before."""
        self._clock += 1

    def touch(self, branch: Branch) -> None:
        """`branch` is used now."""
        branch.last_use = self._clock

    def add(self, branch: Branch) -> None:
        """Keep `branch`; others go if the budget is exceeded."""
        branch.n_sequels = sum(other.continues(branch) for other in self._branches)
        for other in self._branches:
            other.n_sequels += branch.continues(other)
        self.touch(branch)
        self._branches.append(branch)
        self.shrink(branch.group)

    def shrink(self, group: str) -> None:
        """Drop what would be missed least until the budget holds, or only what is wanted is left; `group` needs the room."""
        while self.n_bytes > self.budget and self.make_room(group=group):
            pass

    def drop(self, branch: Branch) -> None:
        """Keep `branch` no longer."""
        self._branches.remove(branch)
        for other in self._branches:
            other.n_sequels -= branch.continues(other)
        self._pool.release(branch.checkpoints)
        branch.checkpoints = []
        if branch.memory is not None:
            self._pool.give_back(branch.memory)

    def parts_of(self, tokens: Tokens, n_common: int, group: str = "") -> list[tuple[Branch, int]]:
        """The branches of `group` that grow out of the first `n_common` of `tokens` and go on with them, and how far they do."""
        # One token tells most of them apart: this is asked for each prompt.
        likely = (
            branch
            for branch in self._branches
            if branch.begin <= n_common < min(len(branch.tokens), len(tokens))
            and branch.tokens[n_common] == tokens[n_common]
            and branch.group == group
        )
        shared = ((branch, common_length(branch.tokens, tokens)) for branch in likely)
        return [(branch, end) for branch, end in shared if end > n_common]

    def checkpoints_of(self, tokens: Tokens, group: str = "") -> list[tuple[Branch, Checkpoint]]:
        """The checkpoints of all branches of `group` that belong to a beginning of `tokens`, with their branches."""
        own = (branch for branch in self._branches if branch.group == group)
        shared = [(branch, common_length(branch.tokens, tokens)) for branch in own]
        return [(branch, item) for branch, end in shared for item in branch.checkpoints if item.n_tokens <= end]

    def way_back(self, prompt: Tokens, n_common: int, group: str = "") -> list[tuple[Branch, int]]:
        """Branches of `group` that, one after the other, have the longest beginning of `prompt`, and how far each goes with it.

        The first grows out of the first `n_common` tokens of the prompt, each other one out of what those before it have.
        """
        steps: list[tuple[Branch, int]] = []
        while parts := self.parts_of(prompt, n_common, group):
            steps.append(max(parts, key=lambda part: part[1]))
            n_common = steps[-1][1]
        return steps

    def end_of_trunk(self, tokens: Tokens, begin: int, group: str = "") -> int:
        """How many of `tokens` a branch of `group` grows out of, at most; `begin` if none grows out of more than that."""
        longer = [branch for branch in self._branches if begin < branch.begin <= len(tokens) and branch.group == group]
        grown = (
            branch.begin for branch in longer if np.array_equal(branch.tokens[: branch.begin], tokens[: branch.begin])
        )
        return max(grown, default=begin)

    def make_room(self, worth: float = float("inf"), group: str = "") -> bool:
        """Drop what would be missed least, a branch or one of its checkpoints; False if all is worth `worth` or more.

        Worth is the expected number of tokens to process again, per byte. The room is for `group`.
        """
        held = Counter[str]()
        for branch in self._branches:
            held[branch.group] += branch.n_bytes
        return any(self._drop_of(givers, limit) for givers, limit in givers_to(group, held, self.budget, worth))

    def _drop_of(self, givers: Set[str], worth: float) -> bool:
        losses = (victim for victim in self._losses() if victim[1].group in givers)
        loss, branch, item = min(losses, key=lambda victim: victim[0], default=(worth, None, None))
        if branch is None or loss >= worth:
            return False
        if item is not None:
            branch.checkpoints.remove(item)
            self._pool.release([item])
        else:
            self.drop(branch)
        return True

    def check_integrity(self) -> None:
        """Raises IntegrityError unless every branch's checkpoints belong to its tokens."""
        for branch in self._branches:
            for item in branch.checkpoints:
                is_own = branch.begin < item.n_tokens <= len(branch.tokens)
                if not is_own or item.digest != prefix_digest(branch.tokens, item.n_tokens):
                    raise IntegrityError(f"A checkpoint at {item.n_tokens} does not belong to its branch.")

    def clear(self) -> None:
        """Drop all."""
        for branch in list(self._branches):
            self.drop(branch)

    def _losses(self) -> Iterator[tuple[float, Branch, Checkpoint | None]]:
        """What may go, with the expected loss per byte: last branches, which none continues, and checkpoints."""
        for branch in self._branches:
            likely = RETURN * FADE ** (self._clock - branch.last_use)
            if not branch.n_sequels and id(branch) not in self.wanted:
                yield likely * branch.n_own / max(1, branch.n_bytes), branch, None
            for loss, item in _checkpoint_losses(branch):
                if id(item) not in self.wanted:
                    yield likely * loss, branch, item


def _checkpoint_losses(branch: Branch) -> Iterator[tuple[float, Checkpoint]]:
    """For the checkpoints of a branch that may go: expected tokens to process again for a prompt that comes back, per byte.

    The last one of all is what a prompt comes back to, and goes with its branch.
    """
    before = branch.begin
    ends = [*(item.n_tokens for item in branch.checkpoints[1:]), len(branch.tokens)]
    offered = branch.checkpoints if branch.n_sequels else branch.checkpoints[:-1]
    for item, after in zip(offered, ends, strict=False):
        share = INSIDE * (after - item.n_tokens) / len(branch.tokens) + (1 - INSIDE) * (item.kind == "tip")
        yield share * (item.n_tokens - before) / max(1, item.size), item
        before = item.n_tokens
