"""What a context is, and the naive one, which reuses nothing.

`Context` is the interface, with the law that ties the model's memory to the tokens it is said to hold. `NaiveContext` is the
definition of a right answer: what `checkpointed.CheckpointedContext` does quicker is compared with it.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from time import perf_counter
from typing import Literal

import numpy as np

from scrubjay.contexts.decode_grid import LONG_PREFILL_TOKENS, DecodeGrid
from scrubjay.errors import EngineError, PromptRefused
from scrubjay.llama.context import DecodeResult, LlamaContext
from scrubjay.protocol.messages import PrefillCost
from scrubjay.tokens import Tokens

MemoryClass = Literal["dense", "swa", "swa-full", "hybrid", "hybrid-swa", "recurrent", "opaque"]
"""What a model's memory can do.

Cut anywhere: "dense", and "swa-full" (sliding windows that keep every token). Cut near the end only, else restored from
checkpoints: "swa". Restored only: "recurrent", "hybrid" and "hybrid-swa" (attention and recurrent layers). "opaque": neither.
"""

CUT_ANYWHERE: tuple[MemoryClass, ...] = ("dense", "swa-full")
HAS_STATE: tuple[MemoryClass, ...] = ("hybrid", "recurrent")
"""These have one state, which decodes change: they go back to one that was saved, or by `LlamaContext.n_rollback`."""


class Interrupted(Exception):
    """The running work was asked to end; what was decoded before is kept.

    Args:
        goes_on: it is to go on later where it was.
    """

    def __init__(self, goes_on: bool = False) -> None:
        super().__init__()
        self.goes_on = goes_on


class DecodeFailed(EngineError):
    """llama.cpp refused a decode; the context was cleared."""


@dataclass(slots=True)
class Control:
    """How a context asks, in the middle of work, whether to go on, and tells how far it is.

    `check` raises `Interrupted` when the work is no longer wanted. `clear_abort` resets the shared abort byte. `on_decoded` is
    called with the number of resident tokens after each decode of a prefill.
    """

    check: Callable[[], None] = lambda: None
    clear_abort: Callable[[], None] = lambda: None
    on_decoded: Callable[[int], None] = lambda _: None


@dataclass(slots=True)
class Counters:
    """What happened since the start, over all contexts of a process."""

    n_decoded: int = 0
    n_decodes: int = 0
    n_restored: int = 0
    n_paged_in: int = 0
    n_aborted: int = 0
    n_repaired: int = 0
    n_integrity_failures: int = 0
    n_drafted: int = 0
    n_draft_accepted: int = 0


def redoes_tries(memory_class: MemoryClass, n_rollback: int) -> bool:
    """Whether a context has to decode again what was right in a decode that was not right to its end.

    Args:
        n_rollback: see `LlamaContext.n_rollback`.
    """
    return memory_class in HAS_STATE and not n_rollback


class Context(ABC):
    """One llama_context and its resident tokens.

    Law: after every operation the memory's last position is `len(resident) - 1`, every decode starts at `len(resident)`, and
    `resident` grows only when a decode has succeeded.
    """

    def __init__(self, llama: LlamaContext, memory_class: MemoryClass, grid: DecodeGrid, counters: Counters) -> None:
        self.llama = llama
        self.memory_class: MemoryClass = memory_class
        self.grid = grid
        self.counters = counters
        self._tokens = np.zeros(llama.n_ctx, dtype=np.int32)
        self._n_resident = 0

    @property
    def n_resident(self) -> int:
        return self._n_resident

    @property
    def resident(self) -> Tokens:
        """A view of the resident tokens, valid until the next operation."""
        view = self._tokens[: self._n_resident]
        view.flags.writeable = False
        return view

    @property
    def n_ctx(self) -> int:
        return self.llama.n_ctx

    @property
    def is_full(self) -> bool:
        return self._n_resident >= self.llama.n_ctx

    @abstractmethod
    def sync(
        self, prompt: Tokens, boundaries: Iterable[int] = (), hot: Iterable[int] = (), control: Control | None = None
    ) -> PrefillCost:
        """Make `prompt` the resident tokens, with the logits after its last token ready to sample from.

        Args:
            prompt: 1 to `n_ctx - 1` tokens.
            boundaries: segment ends, as numbers of leading tokens: checkpoints are worth most there.
            hot: where edits are expected, as numbers of leading tokens.
            control: asked between decodes, and inside them where the backend can be aborted.

        Raises:
            PromptRefused: the prompt is empty, does not fit, or holds an unknown token.
            DecodeFailed: llama.cpp failed.
            Interrupted: as `control` wished; the finished decodes are kept.
        """

    def decode(self, tokens: Tokens, want_logits: int, abortable: bool = False) -> bool:
        """Append `tokens`, one decode; False if it was aborted: then the caller must restore the state.

        Args:
            want_logits: see `LlamaContext.decode`.

        Raises:
            DecodeFailed: llama.cpp refused; the context is empty now.
        """
        result = self.llama.decode(tokens, self._n_resident, want_logits, abortable)
        if result is DecodeResult.ABORTED:
            return False
        if result is not DecodeResult.DONE:
            n = self._n_resident
            self.clear()
            raise DecodeFailed(f"llama.cpp refused to decode {len(tokens)} tokens after {n} ({result.name.lower()}).")
        self._tokens[self._n_resident : self._n_resident + len(tokens)] = tokens
        self._n_resident += len(tokens)
        self.counters.n_decoded += len(tokens)
        self.counters.n_decodes += 1
        return True

    @property
    def can_try(self) -> bool:
        """Whether `try_decode` may be called."""
        return False

    @property
    def redoes_tries(self) -> bool:
        """Whether `keep_tried` takes away all where it cannot keep all."""
        return False

    def try_decode(self, tokens: Tokens, control: Control) -> None:
        """Append `tokens`, with the logits of each; `keep_tried`, which is to be called next, says which of them stay.

        Raises:
            DecodeFailed: see `decode`.
            Interrupted: as `control` wished, in the middle of the decode: nothing was appended.
        """
        raise NotImplementedError

    def keep_tried(self, n: int) -> Tokens:
        """Of the tokens of `try_decode` the first `n` stay; returns those of them that did not, and come next again.

        Raises:
            DecodeFailed: the state before could not be restored; the context is empty now.
        """
        raise NotImplementedError

    @abstractmethod
    def note_generated(self, n: int) -> None:
        """To be called when `n` generated tokens were decoded."""

    def clear(self) -> None:
        """Hold nothing."""
        self.llama.clear()
        self._n_resident = 0

    def holds_what_it_claims(self) -> bool:
        """Whether the memory's last position is that of the last resident token."""
        return self.llama.last_position() == self._n_resident - 1

    def close(self) -> None:
        self.llama.close()

    def _truncate(self, n: int) -> bool:
        """Cut the memory and the resident tokens to `n`; False if the memory refused or disagrees afterwards."""
        if not self.llama.truncate(n):
            return False
        self._n_resident = min(n, self._n_resident)
        return self.holds_what_it_claims()

    def _cuts(self, prompt: Tokens, boundaries: Iterable[int], hot: Iterable[int]) -> list[int]:
        """Where a prefill of `prompt` is cut, beside the absolute grid."""
        if not self._keeps_checkpoints:
            return []
        n = len(prompt)
        tail = self.grid.tail_cuts(n) if n - self._n_resident >= LONG_PREFILL_TOKENS else []
        # The last token alone: its logits are wanted again when the same prompt comes again, without all that is before it.
        return [*self.grid.select_boundaries(boundaries, n), *(self.grid.fine(at) for at in hot), *tail, n - 1]

    @property
    def _keeps_checkpoints(self) -> bool:
        """Whether this memory cannot be cut anywhere, so that its states are worth saving."""
        return self.memory_class not in (*CUT_ANYWHERE, "opaque")

    def _prefill(self, prompt: Tokens, cuts: Iterable[int], control: Control) -> int:
        """Decode the tokens of `prompt` that are not resident; returns the number of decodes."""
        n_decodes = 0
        for begin, end in self.grid.ranges(self._n_resident, len(prompt), cuts):
            control.check()
            self._decode_range(prompt, begin, end, control)
            n_decodes += 1
            control.on_decoded(end)
        return n_decodes

    def _decode_range(self, prompt: Tokens, begin: int, end: int, control: Control) -> None:  # noqa: ARG002
        self.decode(prompt[begin:end], want_logits=end == len(prompt))


class NaiveContext(Context):
    """Processes each prompt from its first token."""

    def note_generated(self, n: int) -> None:
        """Nothing is kept."""

    def sync(
        self, prompt: Tokens, boundaries: Iterable[int] = (), hot: Iterable[int] = (), control: Control | None = None
    ) -> PrefillCost:
        require_possible(prompt, self.llama)
        self.clear()
        # For a memory that can be cut anywhere `boundaries` say where it was cut: only the same decodes give the same bits.
        cuts = self._cuts(prompt, boundaries, hot) if self._keeps_checkpoints else boundaries
        begun = perf_counter()
        n_decodes = self._prefill(prompt, cuts, control or Control())
        n = len(prompt)
        return PrefillCost(n, 0, 0, n, n, "cold", (perf_counter() - begun) * 1e3, n_decodes=n_decodes)


def require_possible(prompt: Tokens, llama: LlamaContext) -> None:
    """Raises PromptRefused unless `prompt` can be evaluated in `llama`, or in another context like it."""
    if not len(prompt):
        raise PromptRefused("The prompt is empty; send at least one token.")
    if len(prompt) >= llama.n_ctx:
        raise PromptRefused(
            f"The prompt has {len(prompt)} tokens and the context holds {llama.n_ctx}, one of them for the answer; "
            "shorten the prompt or serve with a larger --ctx."
        )
    if int(prompt.min()) < 0 or int(prompt.max()) >= llama.n_vocab:
        raise PromptRefused(f"The prompt holds a token outside the vocabulary of {llama.n_vocab}.")
