"""The fast context: a prompt costs the tokens after the first change, plus at most one interval.

prompt    |======= common =======|------ the rest ------|
resident  |======= common =======|~~~ other tokens ~~~|
keep       = min(common, len(prompt) - 1): at least one token must be evaluated, for its logits
start      = where the prefill begins: keep itself, where the memory can be cut there; else the nearest checkpoint
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from time import perf_counter

import numpy as np

from scrubjay.contexts.branches import Branch, BranchStore
from scrubjay.contexts.checkpoint_index import Checkpoint, CheckpointIndex, CheckpointKind
from scrubjay.contexts.checkpoint_pool import CheckpointPool
from scrubjay.contexts.decode_grid import DecodeGrid
from scrubjay.contexts.naive import (
    CUT_ANYWHERE,
    HAS_STATE,
    Context,
    Control,
    Counters,
    DecodeFailed,
    MemoryClass,
    redoes_tries,
    require_possible,
)
from scrubjay.contexts.paging import Paging, WayBack
from scrubjay.errors import IntegrityError
from scrubjay.llama.context import Buffer, LlamaContext
from scrubjay.protocol.messages import PrefillCost, Reason
from scrubjay.tokens import EMPTY, Tokens, as_tokens, common_length, prefix_digest

MIN_ABORTABLE_TOKENS = 5
"""Shorter decodes end by themselves sooner than the state for aborting them is saved."""
GENERATION_INTERVAL_TOKENS = 128
"""Between checkpoints while generating."""
MIN_CUT_TOKENS = 8
"""Processing this many tokens costs about as much as one more decode: fewer are not worth a cut."""


@dataclass(slots=True)
class _Trial:
    """Tokens of which it is not certain that they stay, and the state before them, where a memory cannot be cut."""

    n_tokens: int = 0
    before: Buffer = field(default_factory=lambda: np.empty(0, dtype=np.uint8))


class CheckpointedContext(Context):
    """A `Context` that keeps checkpoints and reuses all it can.

    Args:
        n_swa: window of the model's sliding attention in tokens, 0 for none.
        pool: where the checkpoints' bytes are.
        branches: what contexts like this one have held, and may go back to.
    """

    def __init__(
        self,
        llama: LlamaContext,
        memory_class: MemoryClass,
        grid: DecodeGrid,
        counters: Counters,
        n_swa: int,
        pool: CheckpointPool,
        branches: BranchStore,
    ) -> None:
        super().__init__(llama, memory_class, grid, counters)
        self.checkpoints = CheckpointIndex()
        self.importance = 1.0
        """How much this context matters beside others when checkpoints are evicted; set by its `ContextPool`."""
        self._n_swa = n_swa
        self._pool = pool
        self._paging = Paging(llama, memory_class, n_swa, self.checkpoints, pool, branches)
        self.n_prompt = self.n_stable = 0
        """How many of the resident tokens are the last prompt's, and how many of those were the one's before it, too."""
        self.recall: Callable[[CheckpointedContext, Tokens, int], None] = lambda *_: None
        """Brings what is kept elsewhere of a prompt, of which so many tokens are resident, among the branches and checkpoints."""
        self._planned: dict[int, CheckpointKind] = {}
        self._checkpoint_seconds = 0.0
        self._trial = _Trial()
        pool.register(self)

    def sync(
        self, prompt: Tokens, boundaries: Iterable[int] = (), hot: Iterable[int] = (), control: Control | None = None
    ) -> PrefillCost:
        control = control or Control()
        boundaries, hot = tuple(boundaries), tuple(hot)
        try:
            return self._sync(prompt, boundaries, hot, control, "cold")
        except DecodeFailed:
            # The context is empty now: once more from its first token. A second failure is the engine's.
            self.counters.n_repaired += 1
            return self._sync(prompt, boundaries, hot, control, "repaired")

    def _sync(
        self, prompt: Tokens, boundaries: tuple[int, ...], hot: tuple[int, ...], control: Control, from_zero: Reason
    ) -> PrefillCost:
        begun = perf_counter()
        require_possible(prompt, self.llama)
        self._checkpoint_seconds = 0.0
        resident_common = common_length(self.resident, prompt)
        n_stable = min(resident_common, self.n_prompt)
        self.recall(self, prompt, resident_common)
        back = self._way_back(prompt, resident_common)
        common = back.common if back else resident_common
        keep = min(common, len(prompt) - 1)
        n_before, is_edit = self.checkpoints.edits.n_at(keep), resident_common < self.n_resident
        if is_edit:
            # A change in the middle: the next one is likely to be near. At the end people go on writing, which needs no hint.
            self.checkpoints.edits.record(keep)
            hot = (*hot, keep)
        self._paging.page_out(self.resident, min(resident_common, len(prompt) - 1), prompt, back)
        restored, reason = self._page_in(prompt, back) if back else self._rewind(prompt, keep, from_zero)
        self.n_prompt, self.n_stable = len(prompt), n_stable
        start, rewound = self.n_resident, perf_counter()
        # A checkpoint exactly where prompts part: other endings of the same beginning will cost only themselves. It costs a
        # decode, so not before that would have been made good by what was processed again for want of it.
        parting = (keep,) if is_edit and (keep - start) * max(n_before, 1) >= MIN_CUT_TOKENS else ()
        cuts = self._plan(prompt, boundaries, hot, parting)
        self._save_if_planned(start)
        n_decodes = self._prefill(prompt, cuts, control)
        return PrefillCost(
            prompt=len(prompt),
            common=common,
            restored=restored,
            processed=len(prompt) - start,
            needed=len(prompt) - keep,
            reason=reason,
            prefill_ms=(perf_counter() - rewound) * 1e3,
            restore_ms=(rewound - begun) * 1e3,
            checkpoint_ms=self._checkpoint_seconds * 1e3,
            n_decodes=n_decodes,
            paged=start - resident_common if reason == "paged" else 0,
        )

    def put_away(self) -> None:
        """Hold nothing, for another project, and keep what is worth keeping as a branch."""
        self._paging.page_out(self.resident, 0, EMPTY, None)
        self.clear()

    def copies(self, begin: int, end: int | None = None) -> list[Branch]:
        """What is resident from `begin` to `end`, to be written elsewhere; see `Paging.copies`."""
        return self._paging.copies(self.resident, begin, end)

    def note_key(self, key: str) -> None:
        """It serves the project, or the group, of `key` from now on; what it holds must be of that, or nothing."""
        self._paging.key = key

    @property
    def group(self) -> str:
        """Whose it is."""
        return self._paging.group

    def clear(self) -> None:
        super().clear()
        self.n_prompt = self.n_stable = 0
        self._pool.forget(self.checkpoints, 0)

    def close(self) -> None:
        self._pool.unregister(self)
        super().close()

    def note_generated(self, n: int) -> None:
        # The next prompt shows which of the generated tokens were accepted: perhaps a part.
        before, now = self.n_resident - n, self.n_resident
        if any(now // step > before // step for step in (self.grid.interval, GENERATION_INTERVAL_TOKENS)):
            self._save("grid")

    # --- tokens on trial ----------------------------------------------------------------------------------------------

    @property
    def can_try(self) -> bool:
        # Where in a window's ring a restored state stands changes the order of sums, and with it bits.
        return self.memory_class not in ("opaque", "hybrid-swa")

    @property
    def redoes_tries(self) -> bool:
        return redoes_tries(self.memory_class, self.llama.n_rollback)

    def try_decode(self, tokens: Tokens, control: Control) -> None:
        if self.memory_class in HAS_STATE:
            size = self.llama.state_size()
            if len(self._trial.before) != size:
                self._trial.before = np.empty(size, dtype=np.uint8)
            self.llama.save_state(self._trial.before)
        begin = self.n_resident
        # As in a prefill, the abort byte may be stale.
        while not self.decode(tokens, want_logits=len(tokens), abortable=True):
            self.counters.n_aborted += 1
            control.clear_abort()
            self._cut_tried(begin, begin)
            control.check()
        self._trial.n_tokens = len(tokens)

    def keep_tried(self, n: int) -> Tokens:
        n_tried = self._trial.n_tokens
        begin = self.n_resident - n_tried
        kept = as_tokens(self.resident[begin : begin + n])
        if n < n_tried:
            self._cut_tried(begin, begin + n)
        n_stayed = self.n_resident - begin
        if n_stayed:
            self.note_generated(n_stayed)
        return kept[n_stayed:]

    def _cut_tried(self, begin: int, n: int) -> None:
        """Of what was decoded after the first `begin` tokens let only what belongs to the first `n` stay, if it can."""
        if begin < n and 0 < self.n_resident - n <= self.llama.n_rollback:
            is_right = self._truncate(n)
        elif self.memory_class in HAS_STATE:
            is_right = self.llama.load_state(self._trial.before) and self._truncate(begin)
        else:
            # A decode overwrites of a sliding window only what its first token does not look at.
            is_right = n == 0 or (self._can_truncate(n) and self._truncate(n))
        if not is_right:
            self.clear()
            raise DecodeFailed(f"The state after {n} tokens could not be restored after a draft.")

    # --- back to where prompt and memory agree ------------------------------------------------------------------------

    def _rewind(self, prompt: Tokens, keep: int, from_zero: Reason) -> tuple[int, Reason]:
        """Make the resident tokens the longest reusable part of `prompt[:keep]`; returns the restored length and why."""
        if keep == self.n_resident:
            return 0, from_zero if keep == 0 else "append"
        if self._can_truncate(keep) and self._truncate(keep):
            self._pool.forget(self.checkpoints, keep)
            return 0, "truncate"
        checkpoint = self.checkpoints.best(prompt, keep, self.resident)
        if checkpoint is None:
            self.clear()
            return 0, from_zero
        if self._restore(checkpoint):
            return checkpoint.n_tokens, "checkpoint"
        self.counters.n_repaired += 1
        self.clear()
        return 0, "repaired"

    def _can_truncate(self, keep: int) -> bool:
        """Whether cutting the memory to `keep` tokens leaves everything that the next token looks at."""
        if keep == 0 or self.memory_class in CUT_ANYWHERE:
            return keep > 0
        # llama.cpp says yes to any cut of a sliding window, also when what remains has left the window.
        return self.memory_class == "swa" and 0 <= self.llama.first_position() <= max(0, keep - self._n_swa + 1)

    def _restore(self, checkpoint: Checkpoint) -> bool:
        """Bring back the state of `checkpoint`; False if anything about it is not as it must be."""
        loaded = self.llama.load_state(checkpoint.buffer[: checkpoint.size])
        # The state restored is the recurrent or windowed part only: the plain attention still holds the later tokens.
        if not loaded or not self._truncate(checkpoint.n_tokens):
            return False
        self._pool.forget(self.checkpoints, checkpoint.n_tokens)
        self.checkpoints.pinned = checkpoint
        self.counters.n_restored += 1
        return True

    def _way_back(self, prompt: Tokens, n_common: int) -> WayBack | None:
        """How to make more of `prompt` resident than can be had from the `n_common` tokens that are; None: no way."""
        back = self._paging.way_back(prompt, n_common)
        gain = back.n_tokens - self.start_without(prompt, min(n_common, len(prompt) - 1)) if back else 0
        return back if gain >= MIN_CUT_TOKENS else None

    def start_without(self, prompt: Tokens, keep: int) -> int:
        """Where a prefill would begin without branches."""
        if keep == self.n_resident or self._can_truncate(keep):
            return keep
        checkpoint = self.checkpoints.best(prompt, keep, self.resident)
        return checkpoint.n_tokens if checkpoint else 0

    def _page_in(self, prompt: Tokens, back: WayBack) -> tuple[int, Reason]:
        """Make the tokens of `back` resident, or none if anything goes wrong; returns as `_rewind`."""
        n = back.n_tokens
        loaded = self._paging.load(back)
        self._tokens[:n] = prompt[:n]
        self._n_resident = n
        if not loaded or not self._truncate(n):
            self.counters.n_repaired += 1
            self._paging.distrust(back)
            self.clear()
            return 0, "repaired"
        self._pool.forget(self.checkpoints, n)
        self._paging.bring_checkpoints(self.resident)
        self.checkpoints.pinned = self.checkpoints.at(n)
        self.counters.n_paged_in += 1
        return back.n_restored, "paged"

    # --- forward, with checkpoints ------------------------------------------------------------------------------------

    def _plan(
        self, prompt: Tokens, boundaries: Iterable[int], hot: Iterable[int], parting: tuple[int, ...]
    ) -> list[int]:
        """Where the prefill of `prompt` is cut besides the grid; notes which of these places get a checkpoint."""
        cuts = self._cuts(prompt, boundaries, hot)
        if self._keeps_checkpoints:
            cuts += parting
        self._planned = dict.fromkeys(cuts, "boundary")
        self._planned.update(dict.fromkeys((*map(self.grid.fine, hot), *parting), "hot"))
        # Not after the last token: the state after it has no logits, so one token must be evaluated again anyway. Where the grid
        # has a cut there, the one before it stands for that one.
        self._planned[len(prompt) - 1] = "tip" if len(prompt) % self.grid.interval else "grid"
        return cuts

    def _decode_range(self, prompt: Tokens, begin: int, end: int, control: Control) -> None:
        tokens, want_logits = prompt[begin:end], end == len(prompt)
        abortable = len(tokens) >= MIN_ABORTABLE_TOKENS and self._can_return_to(begin)
        # The abort byte may be stale: only `control` knows whether the job is to end. If not, the decode is done again.
        while not self.decode(tokens, want_logits, abortable):
            self.counters.n_aborted += 1
            control.clear_abort()
            self._return_to(begin)
            control.check()
        self._save_if_planned(end)

    def _can_return_to(self, n_tokens: int) -> bool:
        """Whether an aborted decode after `n_tokens` can be undone; saves the state for it if need be."""
        # A memory that can be cut needs no state to go back to, and an empty one neither.
        if n_tokens == 0 or not self._keeps_checkpoints:
            return self.memory_class != "opaque"
        return self.checkpoints.at(n_tokens) is not None or self._save("tip")

    def _return_to(self, n_tokens: int) -> None:
        """Undo an aborted decode: the memory claims tokens that it has not evaluated."""
        checkpoint = self.checkpoints.at(n_tokens)
        if n_tokens == 0:
            self.clear()
        elif not (self._restore(checkpoint) if checkpoint else self._truncate(n_tokens)):
            self.clear()
            raise DecodeFailed(f"The state after {n_tokens} tokens could not be restored after an abort.")

    def _save_if_planned(self, n_tokens: int) -> None:
        is_grid = n_tokens % self.grid.interval == 0 and n_tokens != self.n_prompt
        kind = "grid" if is_grid else self._planned.get(n_tokens)
        if kind and n_tokens and self._keeps_checkpoints and self.checkpoints.at(n_tokens) is None:
            self._save(kind)

    def _save(self, kind: CheckpointKind) -> bool:
        """Save the present state; False if it does not fit the budget."""
        if not self._keeps_checkpoints or self.checkpoints.at(self.n_resident) is not None:
            return self._keeps_checkpoints
        # Measured apart from the prefill: what checkpoints cost is to be seen in every answer.
        begun = perf_counter()
        digest = prefix_digest(self.resident, self.n_resident)
        size = self.llama.state_size()
        saved = self._pool.save(self.checkpoints, self.n_resident, digest, kind, size, self.llama.save_state)
        self._checkpoint_seconds += perf_counter() - begun
        return saved is not None

    def check_integrity(self) -> None:
        """Raises IntegrityError unless the memory, the resident tokens and the checkpoints agree."""
        if not self.holds_what_it_claims():
            last = self.llama.last_position()
            raise IntegrityError(f"{self.n_resident} tokens are resident, but the memory ends at {last}.")
        for item in self.checkpoints:
            if item.n_tokens > self.n_resident or item.digest != prefix_digest(self.resident, item.n_tokens):
                raise IntegrityError(f"The checkpoint at {item.n_tokens} does not belong to the resident tokens.")
