"""What passes between contexts and records: what is held is written when the worker is idle, and read when a prompt wants it.

The store does the files. Here is decided what is worth them.
"""

import logging
from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass
from math import inf
from time import monotonic

import numpy as np

from scrubjay.context_keys import group_of, is_inside
from scrubjay.contexts.branches import Branch, BranchStore
from scrubjay.contexts.checkpoint_index import Checkpoint, CheckpointKind
from scrubjay.contexts.checkpoint_pool import CheckpointPool
from scrubjay.contexts.checkpointed import MIN_CUT_TOKENS, CheckpointedContext
from scrubjay.contexts.context_pool import ContextPool
from scrubjay.contexts.naive import CUT_ANYWHERE
from scrubjay.contexts.paging import MAX_BRANCH_TOKENS
from scrubjay.errors import IntegrityError
from scrubjay.store.files import view_of
from scrubjay.store.record_file import Draft
from scrubjay.store.record_index import Filed, Found
from scrubjay.store.record_store import SETTLE_S, RecordStore, Wiped
from scrubjay.tokens import Tokens, prefix_digest
from scrubjay.worker.load import LoadedModel

logger = logging.getLogger(__name__)

SAVE_AFTER_S = 2.0
"""What two prompts had in common is written when nothing was asked for so long."""
SAVE_ALL_AFTER_S = 10.0
"""The rest of the last prompt, too: while somebody types, it is another one with each key."""
RETRY_S = 60.0
MIN_RECORD_TOKENS = 32
"""Fewer new tokens are left for later."""
MIN_GAIN_TOKENS = 32
"""Fewer are as quickly processed as read."""
MAX_WASTE = 1.2
"""How many times the bytes of what is in no record yet are written: a branch is written whole, and the end of a prompt has a
state of its own."""

HEAD_BYTES = 4096
"""What describes a record takes about as much."""


@dataclass(frozen=True, slots=True)
class _Planned:
    """A record to be written.

    Args:
        n_useful: how many of its bytes are the memory of tokens that are in no record, and their share of the grid's states.
    """

    draft: Draft
    n_useful: float

    @property
    def size(self) -> int:
        return HEAD_BYTES + sum(view_of(part).nbytes for part in self.draft.parts)

    @property
    def earns(self) -> float:
        """How many bytes more, or fewer, may be spent on what is not useful."""
        return MAX_WASTE * self.n_useful - self.size


class ContextRecords:
    """Keeps what contexts and branches hold in records.

    Args:
        store: opened.
        distrust: empties a context whose memory is not as it should be.
    """

    def __init__(
        self,
        store: RecordStore,
        loaded: LoadedModel,
        contexts: ContextPool,
        pool: CheckpointPool,
        branches: BranchStore,
        distrust: Callable[[list[str], IntegrityError], None],
    ) -> None:
        self.store = store
        self._needs_state = loaded.memory_class not in CUT_ANYWHERE
        self._n_ctx = loaded.llama.n_ctx
        self._interval = loaded.grid.interval
        self._contexts = contexts
        self._pool = pool
        self._branches = branches
        self._distrust = distrust
        self._planned: deque[_Planned] = deque()
        self._writing: tuple[_Planned, Generator[None, None, None]] | None = None
        self._spare = 0.0
        """Bytes that may be spent on what is not useful."""
        self.is_saved = True
        """Whether all that is worth a record is in one."""

    # --- reading -------------------------------------------------------------------------------------------------------

    def recall(self, context: CheckpointedContext, prompt: Tokens, n_common: int) -> None:
        """Have what records have of `prompt`, the first `n_common` tokens of which `context` holds, where it looks for it."""
        if not len(self.store):
            return
        start = context.start_without(prompt, min(n_common, len(prompt) - 1))
        if len(prompt) - start > MIN_GAIN_TOKENS:
            self._bring(prompt, len(prompt) - 1, n_common, start, context, context.group)

    def read_ahead(self) -> None:
        """Have the records that were used last among the branches."""
        recent, group = self.store.recent_tokens()
        tokens = recent[: self._n_ctx - 1]
        if len(tokens):
            # All of them: the prompt that they are the end of has one more.
            self._bring(tokens, len(tokens), 0, 0, None, group)
            self._branches.wanted = set()

    def n_covered(self, tokens: Tokens, key: str) -> int:
        """How many of the first tokens are in records of the group of `key`."""
        return self.store.find(tokens, group_of(key)).n_tokens if len(self.store) else 0

    def _bring(
        self, prompt: Tokens, most: int, n_common: int, start: int, context: CheckpointedContext | None, group: str
    ) -> None:
        while True:
            found = self.store.find(prompt, group, self._n_ctx)
            at = found.place(most, self._needs_state)
            if at - max(start, self._best_known(prompt, most, n_common, group)) < MIN_GAIN_TOKENS:
                return
            # Whatever cannot be read is no longer among what is found next.
            if self._read(found, prompt, n_common, at, context):
                self.store.touch([filed for filed, _ in found.way])
                return

    def _best_known(self, prompt: Tokens, most: int, n_common: int, group: str) -> int:
        """Where one would go on by branches alone."""
        known = self._branches.way_back(prompt, n_common, group)
        if not known:
            return 0
        most = min(known[-1][1], most)
        if not self._needs_state:
            return most
        items = (item.n_tokens for _, item in self._branches.checkpoints_of(prompt, group))
        return max((n for n in items if n <= most), default=0)

    def _read(self, found: Found, prompt: Tokens, n_common: int, at: int, context: CheckpointedContext | None) -> bool:
        """Read the memory of the tokens in [n_common, at), and the state there; False if something is not as it was written."""
        last: Branch | None = None
        for filed, _ in found.way:
            if filed.record.begin < at and filed.record.end > n_common:
                branch = self._branch(filed, prompt)
                if branch is None:
                    return False
                last = branch
        if not self._needs_state:
            return True
        filed = found.states[at]
        section = filed.record.states[at]
        buffer = self._pool.take(section.size, group=group_of(filed.record.key))
        if buffer is None:
            return True  # there is no room for it: nothing is wrong, and nothing gained
        if not self.store.read(filed, section, buffer[: section.size]):
            self._pool.give_back(buffer)
            return False
        kind: CheckpointKind = "tip" if at % self._interval else "grid"
        item = Checkpoint(at, prefix_digest(prompt, at), kind, buffer, section.size)
        if at <= n_common and context is not None:
            self._pool.attach(context.checkpoints, item)
        elif last is not None and last in tuple(self._branches):
            last.checkpoints = sorted((*last.checkpoints, item), key=lambda known: known.n_tokens)
        else:
            self._pool.release([item])
        return True

    def _branch(self, filed: Filed, prompt: Tokens) -> Branch | None:
        """The record as a branch of the store's; None if it is damaged."""
        record = filed.record
        tokens = np.concatenate([prompt[: record.begin], record.tokens], dtype=np.int32)
        tokens.flags.writeable = False
        for known in self._branches:
            is_ours = known.begin == record.begin and known.group == group_of(record.key)
            if is_ours and np.array_equal(known.tokens, tokens):
                return known
        memory = None
        if record.memory is not None:
            buffer = self._pool.take(record.memory.size, group=group_of(record.key))
            if buffer is None:
                return Branch(tokens, record.begin, None, key=record.key)
            memory = buffer[: record.memory.size]
            if not self.store.read(filed, record.memory, memory):
                self._pool.give_back(memory)
                return None
        branch = Branch(tokens, record.begin, memory, key=record.key)
        self._branches.wanted.add(id(branch))
        self._branches.add(branch)
        return branch

    # --- writing -------------------------------------------------------------------------------------------------------

    def interrupt(self) -> None:
        """There is something to do: give up what is being written. To be called before each job."""
        self._give_up()
        self._planned.clear()
        self._branches.wanted = set()
        self.is_saved = False

    def step(self, idle_s: float) -> float | None:
        """Write a slice, when nothing was asked for `idle_s`.

        Returns:
            After how many seconds there is more to do; None: when there was another job.
        """
        if self.is_saved:
            return None
        if idle_s < SAVE_AFTER_S:
            return SAVE_AFTER_S - idle_s
        if self._write_slice(idle_s >= SAVE_ALL_AFTER_S):
            return 0.0
        if idle_s < SAVE_ALL_AFTER_S:
            return SAVE_ALL_AFTER_S - idle_s
        return self._finish()

    def _finish(self) -> float | None:
        """All is written, or cannot be for now; returns as `step`."""
        if not self.store.may_write():
            return RETRY_S
        self.is_saved = True
        for _, context in self._contexts.all():
            self.store.touch([filed for filed, _ in self.store.find(context.resident, context.group).way])
        return None

    def save_all(self, seconds: float) -> None:
        """Write everything, as far as that can be done within `seconds`."""
        deadline = monotonic() + seconds
        self._spare = inf
        while monotonic() < deadline and self._write_slice(is_all=True):
            pass
        self._give_up()
        self.store.settle(max(0.0, deadline - monotonic()))

    def forget(self, root: str) -> Wiped:
        """Hold nothing of `root` and of what is inside, or nothing at all, neither in records nor in memory."""
        self.interrupt()
        for key, _ in self._contexts.all():
            if not root or is_inside(key, root):
                self._contexts.forget(key)
        for branch in list(self._branches):
            if not root or is_inside(branch.key, root):
                self._branches.drop(branch)
        return self.store.forget(root)

    def _write_slice(self, is_all: bool) -> bool:
        """Write a part of a record; False if there is nothing to write, or it cannot be."""
        if self._writing is not None:
            planned, slices = self._writing
            if next(slices, "end") is None:
                return True
            self._writing = None
            self._spare += planned.earns
        if not self._planned:
            # What was written last is to be seen before more is looked for.
            if not self.store.settle(SETTLE_S) or not self.store.may_write():
                return False
            self._planned += self._of_contexts(is_all) or self._of_branches() or (self._of_ends() if is_all else [])
        if not self._planned:
            return False
        planned = self._planned.popleft()
        self._writing = planned, self.store.write(planned.draft)
        return True

    def _give_up(self) -> None:
        """Write no more of the record that is being written."""
        if self._writing is not None:
            planned, slices = self._writing
            slices.close()
            self._spare -= planned.size
        self._writing = None

    def _of_contexts(self, is_all: bool) -> list[_Planned]:
        """The next part of what a context holds that is in no record."""
        for key, context in self._contexts.all():
            limit = min(context.n_prompt if is_all else context.n_stable, context.n_resident)
            begin = self.n_covered(context.resident[:limit], key)
            end = self._end_of_next(context, begin, limit)
            if end - begin < MIN_RECORD_TOKENS:
                continue
            planned = [self._plan(copy, key, copy.n_own) for copy in self._copies(key, context, begin, end)]
            if any(not self.store.was_written(one.draft) for one in planned):
                return planned
        return []

    def _copies(self, key: str, context: CheckpointedContext, begin: int, end: int) -> list[Branch]:
        try:
            return context.copies(begin, end)
        except IntegrityError as error:
            self._distrust([key], error)
            return []

    def _end_of_next(self, context: CheckpointedContext, begin: int, limit: int) -> int:
        most = min(begin - begin % MAX_BRANCH_TOKENS + MAX_BRANCH_TOKENS, limit)
        if not self._needs_state:
            return most
        ends = [item.n_tokens for item in context.checkpoints if item.kind == "grid" and begin < item.n_tokens <= limit]
        return max((end for end in ends if end <= most), default=min(ends, default=begin))

    def _of_ends(self) -> list[_Planned]:
        """The rest of a context's prompt, with the state at its end, if enough bytes may be spent on one beside the grid."""
        for key, context in self._contexts.all():
            end = min(context.n_prompt, context.n_resident)
            if self._needs_state:
                end = max((item.n_tokens for item in context.checkpoints if item.n_tokens <= end), default=0)
            found = self.store.find(context.resident[:end], group_of(key))
            n_gained = end - found.place(end, self._needs_state)
            # When the process ends there is no later.
            if n_gained < (1 if self._spare == inf else MIN_CUT_TOKENS if self._needs_state else MIN_RECORD_TOKENS):
                continue
            copies = self._copies(key, context, min(found.n_tokens, end - 1), end)
            planned = [self._plan(copy, key, copy.n_own, end) for copy in copies]
            new = [one for one in planned if not self.store.was_written(one.draft)]
            if new and self._spare + sum(one.earns for one in new) >= 0:
                return new
        return []

    def _of_branches(self) -> list[_Planned]:
        """A branch that is in no record, and continues what is in one."""
        for branch in self._branches:
            covered = self.n_covered(branch.tokens, branch.key)
            n_new = len(branch.tokens) - covered
            has_state = any(item.kind == "grid" and item.n_tokens > covered for item in branch.checkpoints)
            is_small = n_new < MIN_RECORD_TOKENS and not branch.n_sequels
            if covered < branch.begin or n_new <= 0 or is_small or (self._needs_state and not has_state):
                continue
            planned = self._plan(branch, branch.key, n_new)
            if branch.n_own <= MAX_WASTE * n_new and not self.store.was_written(planned.draft):
                return [planned]
        return []

    def _plan(self, branch: Branch, key: str, n_new: int, end: int = 0) -> _Planned:
        """A record of a branch with `n_new` new tokens, with the states of the grid, and the one after `end` tokens."""
        items = [item for item in branch.checkpoints if item.kind == "grid" or item.n_tokens == end]
        states = [(item.n_tokens, item.buffer[: item.size]) for item in items if self._needs_state]
        memory = branch.memory.nbytes if branch.memory is not None else 0
        useful = memory * n_new / branch.n_own
        if states:
            n_due = min(len(states), n_new / self._interval)
            useful += n_due * sum(state.nbytes for _, state in states) / len(states)
        return _Planned(Draft(key, branch.tokens, branch.begin, branch.memory, states), useful)
