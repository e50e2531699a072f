"""What contexts held before and hold no more, as branches that a prompt may come back to.

    a context's tokens    |=========== trunk ===========|===== tail =====|
    another prompt                                      |~~~~ other ~~~~|
    the branch kept                              begin->|===== tail =====|<- its tokens end here

A branch has the memory of its own tokens only, those from `begin` on, and the checkpoints among them. Going back to it puts that
memory behind the trunk again, which must be resident, or come from other branches that it grew out of.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from scrubjay.contexts.checkpoint_index import Checkpoint
from scrubjay.errors import IntegrityError
from scrubjay.llama.context import Buffer
from scrubjay.tokens import Tokens, common_length, prefix_digest

FADE = 0.8
"""How much less likely a branch is to be wanted than the one that was used after it."""


@dataclass(slots=True, eq=False)
class Branch:
    """A part of what a context held.

    Args:
        tokens: all tokens from the first of the trunk to the last of the branch.
        begin: how many of them are the trunk's.
        memory: the attention's memory of the tokens from `begin` on; None for a model that has no such memory.
        checkpoints: saved states after more than `begin` tokens, in order.
    """

    tokens: Tokens
    begin: int
    memory: Buffer | None
    checkpoints: list[Checkpoint] = field(default_factory=list)

    @property
    def n_bytes(self) -> int:
        own = self.memory.nbytes if self.memory is not None else 0
        return own + sum(item.size for item in self.checkpoints)

    @property
    def n_own(self) -> int:
        """Tokens that would have to be processed without it."""
        return len(self.tokens) - self.begin


@dataclass(frozen=True, slots=True)
class Step:
    """One part of a way back: of the memory of `branch`, the tokens in [begin, end)."""

    branch: Branch
    begin: int
    end: int


class BranchStore:
    """Branches under one budget of bytes, the most recently used first.

    Args:
        budget: bytes that all branches together may take; 0 keeps none.
        release: takes the checkpoints of branches that are dropped.
    """

    def __init__(self, budget: int, release: Callable[[Iterable[Checkpoint]], None]) -> None:
        self.budget = budget
        self.n_dropped = 0
        self.wanted: set[int] = set()
        """Ids of branches that a context is about to go back to."""
        self._release = release
        self._branches: list[Branch] = []

    def __iter__(self) -> Iterator[Branch]:
        return iter(self._branches)

    def __len__(self) -> int:
        return len(self._branches)

    @property
    def n_bytes(self) -> int:
        return sum(branch.n_bytes for branch in self._branches)

    def add(self, branch: Branch) -> None:
        """Keep `branch`; others go if the budget is exceeded, but none that is wanted now."""
        self._branches.insert(0, branch)
        while self.n_bytes > self.budget:
            self._drop(self._cheapest(self.wanted | {id(branch)}) or branch)

    def parts_of(self, tokens: Tokens, n_common: int) -> list[tuple[Branch, int]]:
        """The branches that grow out of the first `n_common` of `tokens` and go on with them, and how far they do."""
        shared = [(branch, common_length(branch.tokens, tokens)) for branch in self._branches]
        return [(branch, end) for branch, end in shared if branch.begin <= n_common < end]

    def checkpoints_of(self, tokens: Tokens) -> list[tuple[Branch, Checkpoint]]:
        """The checkpoints of all branches that belong to a beginning of `tokens`, with their branches."""
        shared = [(branch, common_length(branch.tokens, tokens)) for branch in self._branches]
        return [(branch, item) for branch, end in shared for item in branch.checkpoints if item.n_tokens <= end]

    def way_back(self, prompt: Tokens, n_common: int, n_ctx: int) -> list[Step]:
        """How to make more of `prompt` resident than its first `n_common` tokens, which are: one part after the other.

        A branch is loaded whole before a part of it is taken, so there must be room for it in a context of `n_ctx` tokens.
        """
        shared = [(common_length(branch.tokens, prompt), branch) for branch in self._branches]
        steps: list[Step] = []
        while True:
            end, branch = max(
                (
                    (n, branch)
                    for n, branch in shared
                    if branch.begin <= n_common < n and n_common + branch.n_own <= n_ctx
                ),
                key=lambda pair: pair[0],
                default=(0, None),
            )
            if branch is None:
                return steps
            steps.append(Step(branch, n_common, end))
            n_common = end

    def drop_one(self) -> bool:
        """Drop the cheapest branch, so that its checkpoints make room for others; False if there is none."""
        victim = self._cheapest(self.wanted)
        if victim is None:
            return False
        self._drop(victim)
        return True

    def check_integrity(self) -> None:
        """Raises IntegrityError unless every branch's checkpoints belong to its tokens."""
        for branch in self._branches:
            for item in branch.checkpoints:
                is_own = branch.begin < item.n_tokens <= len(branch.tokens)
                if not is_own or item.digest != prefix_digest(branch.tokens, item.n_tokens):
                    raise IntegrityError(f"A checkpoint at {item.n_tokens} does not belong to its branch.")

    def touch(self, branch: Branch) -> None:
        """`branch` was used."""
        self._branches.remove(branch)
        self._branches.insert(0, branch)

    def clear(self) -> None:
        """Drop all."""
        for branch in list(self._branches):
            self._drop(branch)

    def _cheapest(self, kept: set[int]) -> Branch | None:
        """The branch with the least expected loss per byte."""
        values = {
            id(branch): FADE**age * branch.n_own / max(branch.n_bytes, 1) for age, branch in enumerate(self._branches)
        }
        candidates = [branch for branch in self._branches if id(branch) not in kept]
        return min(candidates, key=lambda branch: values[id(branch)], default=None)

    def _drop(self, branch: Branch) -> None:
        self._branches.remove(branch)
        self._release(branch.checkpoints)
        branch.checkpoints = []
        self.n_dropped += 1
