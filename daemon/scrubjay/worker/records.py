"""What passes between contexts and records: what is held is written when the worker is idle, and read when a prompt wants it.

The store does the files. Here is decided what is worth them.
"""

import logging
from collections import deque
from collections.abc import Callable, Generator
from time import monotonic

import numpy as np

from scrubjay.contexts.branches import Branch, BranchStore
from scrubjay.contexts.checkpoint_index import Checkpoint
from scrubjay.contexts.checkpoint_pool import CheckpointPool
from scrubjay.contexts.checkpointed import CheckpointedContext
from scrubjay.contexts.context_pool import ContextPool
from scrubjay.contexts.naive import CUT_ANYWHERE, MemoryClass
from scrubjay.contexts.paging import MAX_BRANCH_TOKENS
from scrubjay.errors import IntegrityError
from scrubjay.store.record_file import Draft
from scrubjay.store.record_index import Filed
from scrubjay.store.record_store import RecordStore, Wiped, is_inside
from scrubjay.tokens import Tokens, prefix_digest

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
"""A branch is written whole: how many times the tokens of it that are not in records."""

Part = tuple[Filed, int]
"""A record, and how far it goes with a prompt."""


class ContextRecords:
    """Keeps what contexts and branches hold in records.

    Args:
        store: opened.
        distrust: empties a context whose memory is not as it should be.
    """

    def __init__(
        self,
        store: RecordStore,
        memory_class: MemoryClass,
        n_ctx: int,
        contexts: ContextPool,
        pool: CheckpointPool,
        branches: BranchStore,
        distrust: Callable[[list[str], IntegrityError], None],
    ) -> None:
        self.store = store
        self._needs_state = memory_class not in CUT_ANYWHERE
        self._n_ctx = n_ctx
        self._contexts = contexts
        self._pool = pool
        self._branches = branches
        self._distrust = distrust
        self._drafts: deque[Draft] = deque()
        self._writing: Generator[None, None, None] | None = None
        self.is_saved = True
        """Whether all that is worth a record is in one."""

    # --- reading -------------------------------------------------------------------------------------------------------

    def recall(self, context: CheckpointedContext, prompt: Tokens, n_common: int) -> None:
        """Have what records have of `prompt`, the first `n_common` tokens of which `context` holds, where it looks for it."""
        if not len(self.store):
            return
        start = context.start_without(prompt, min(n_common, len(prompt) - 1))
        if len(prompt) - start > MIN_GAIN_TOKENS:
            self._bring(prompt, n_common, start, context)

    def read_ahead(self) -> None:
        """Have the records that were used last among the branches."""
        tokens = self.store.recent_tokens()[: self._n_ctx - 1]
        if len(tokens):
            self._bring(tokens, 0, 0, None)
            self._branches.wanted = set()

    def n_covered(self, tokens: Tokens) -> int:
        """How many of the first tokens are in records."""
        way = self.store.way(tokens)
        return way[-1][1] if way else 0

    def _bring(self, prompt: Tokens, n_common: int, start: int, context: CheckpointedContext | None) -> None:
        while True:
            way = [part for part in self.store.way(prompt) if part[0].record.end <= self._n_ctx]
            at = self._place_of(way, prompt)
            known = self._branches.way_back(prompt, n_common)
            if at - max(start, self._best_known(prompt, known)) < MIN_GAIN_TOKENS:
                return
            # Whatever cannot be read is no longer part of the next way.
            if self._read(way, prompt, n_common, at, context):
                self.store.touch([filed for filed, _ in way])
                return

    def _place_of(self, way: list[Part], prompt: Tokens) -> int:
        """From where on a prompt would be processed after this way."""
        most = min(way[-1][1], len(prompt) - 1) if way else 0
        if not self._needs_state:
            return most
        return max((n for filed, end in way for n in filed.record.states if n <= min(end, most)), default=0)

    def _best_known(self, prompt: Tokens, known: list[tuple[Branch, int]]) -> int:
        if not known:
            return 0
        most = min(known[-1][1], len(prompt) - 1)
        if not self._needs_state:
            return most
        items = (item.n_tokens for _, item in self._branches.checkpoints_of(prompt))
        return max((n for n in items if n <= most), default=0)

    def _read(
        self, way: list[Part], prompt: Tokens, n_common: int, at: int, context: CheckpointedContext | None
    ) -> bool:
        """Read the memory of the tokens in [n_common, at), and the state there; False if something is not as it was written."""
        last: Branch | None = None
        for filed, _ in way:
            if filed.record.begin < at and filed.record.end > n_common:
                branch = self._branch(filed, prompt)
                if branch is None:
                    return False
                last = branch
        if not self._needs_state:
            return True
        # Not any record that has a state there: it may have parted from the prompt before.
        filed = next(filed for filed, end in way if at <= end and at in filed.record.states)
        section = filed.record.states[at]
        buffer = self._pool.take(section.size)
        if buffer is None:
            return True  # there is no room for it: nothing is wrong, and nothing gained
        if not self.store.read(filed, section, buffer[: section.size]):
            self._pool.give_back(buffer)
            return False
        item = Checkpoint(at, prefix_digest(prompt, at), "grid", buffer, section.size)
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
            if known.begin == record.begin and np.array_equal(known.tokens, tokens):
                return known
        memory = None
        if record.memory is not None:
            buffer = self._pool.take(record.memory.size)
            if buffer is None:
                return Branch(tokens, record.begin, None)
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
        if self._writing is not None:
            self._writing.close()
        self._writing = None
        self._drafts.clear()
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
            self.store.touch([filed for filed, _ in self.store.way(context.resident)])
        return None

    def save_all(self, seconds: float) -> None:
        """Write everything, as far as that can be done within `seconds`."""
        deadline = monotonic() + seconds
        while monotonic() < deadline and self._write_slice(is_all=True):
            pass
        if self._writing is not None:
            self._writing.close()
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
            if next(self._writing, "end") is None:
                return True
            self._writing = None
        if not self._drafts:
            # What was written last is to be seen before more is looked for.
            if not self.store.settle(5.0) or not self.store.may_write():
                return False
            self._drafts += self._of_contexts(is_all) or self._of_branches()
        if not self._drafts:
            return False
        self._writing = self.store.write(self._drafts.popleft())
        return True

    def _of_contexts(self, is_all: bool) -> list[Draft]:
        """The next part of what a context holds that is in no record."""
        for key, context in self._contexts.all():
            limit = min(context.n_prompt if is_all else context.n_stable, context.n_resident)
            begin = self.n_covered(context.resident[:limit])
            end = self._end_of_next(context, begin, limit)
            if end - begin < MIN_RECORD_TOKENS:
                continue
            try:
                copies = context.copies(begin, end)
            except IntegrityError as error:
                self._distrust([key], error)
                continue
            drafts = [self._draft(copy, key) for copy in copies]
            if any(not self.store.was_written(draft) for draft in drafts):
                return drafts
        return []

    def _end_of_next(self, context: CheckpointedContext, begin: int, limit: int) -> int:
        most = min(begin - begin % MAX_BRANCH_TOKENS + MAX_BRANCH_TOKENS, limit)
        if not self._needs_state:
            return most
        ends = [item.n_tokens for item in context.checkpoints if item.kind == "grid" and begin < item.n_tokens <= limit]
        return max((end for end in ends if end <= most), default=min(ends, default=begin))

    def _of_branches(self) -> list[Draft]:
        """A branch that is in no record, and continues what is in one."""
        for branch in self._branches:
            covered = self.n_covered(branch.tokens)
            n_new = len(branch.tokens) - covered
            has_state = any(item.kind == "grid" and item.n_tokens > covered for item in branch.checkpoints)
            is_small = n_new < MIN_RECORD_TOKENS and not branch.n_sequels
            if covered < branch.begin or n_new <= 0 or is_small or (self._needs_state and not has_state):
                continue
            draft = self._draft(branch, branch.key)
            if branch.n_own <= MAX_WASTE * n_new and not self.store.was_written(draft):
                return [draft]
        return []

    def _draft(self, branch: Branch, key: str) -> Draft:
        states = [(item.n_tokens, item.buffer[: item.size]) for item in branch.checkpoints if item.kind == "grid"]
        return Draft(key, branch.tokens, branch.begin, branch.memory, states if self._needs_state else [])
