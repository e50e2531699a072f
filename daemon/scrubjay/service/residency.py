"""What contexts hold, as far as the daemon knows: by roots of projects, and by keys of conversations. Pure."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import count

from scrubjay.completion.requests import Cost
from scrubjay.prompt.segments import Prompt
from scrubjay.protocol.messages import ContextStatus, ModelInfo, PrefillCost
from scrubjay.tokens import EMPTY, Tokens, common_length, is_sequel

N_COSTS = 20


@dataclass(slots=True)
class ContextResidency:
    """What is known of one context: of `prompt`, which was run last, it should hold `n_resident` leading tokens at least."""

    prompt: Prompt | None = None
    n_resident: int = 0
    costs: deque[Cost] = field(default_factory=lambda: deque(maxlen=N_COSTS))


class Residency:
    """A record for each project and each conversation that had a prompt."""

    def __init__(self) -> None:
        self._records: dict[str, ContextResidency] = {}

    def of(self, key: str) -> ContextResidency:
        """What is known of the context of the project, or conversation, `key`."""
        return self._records.setdefault(key, ContextResidency())

    def forget(self, key: str) -> None:
        """Nothing is known of that one any more."""
        self._records.pop(key, None)

    def lose_all(self) -> None:
        """The engine is gone, and what its contexts held with it."""
        for record in self._records.values():
            record.n_resident = 0

    def seen(self, contexts: Iterable[ContextStatus]) -> None:
        """These contexts are all that there are: what others held has gone, such as when a project had to make room."""
        held = {context.key: context.n_resident for context in contexts}
        # The engine finds the contexts of conversations by content, and has names of its own for them.
        most = max(held.values(), default=0)
        for key, record in self._records.items():
            record.n_resident = min(record.n_resident, most if is_conversation(key) else held.get(key, 0))


MAX_TRUNKS = 16
_MARK = "#"


class ConversationIndex:
    """The prompts that ran last, one for each conversation, by keys that name them."""

    def __init__(self) -> None:
        self._numbers = count(1)
        self._prompts: dict[str, Tokens] = {}

    def choose(self, prompt: Tokens) -> tuple[str, str | None]:
        """The key of the conversation that `prompt` belongs to, and of one that is forgotten for it."""
        key = max(self._prompts, key=lambda key: common_length(self._prompts[key], prompt), default=None)
        if key is None or not is_sequel(self._prompts[key], prompt):
            key = f"{_MARK}{next(self._numbers)}"
        self._prompts.pop(key, EMPTY)
        self._prompts[key] = prompt
        forgotten = next(iter(self._prompts)) if len(self._prompts) > MAX_TRUNKS else None
        if forgotten:
            del self._prompts[forgotten]
        return key, forgotten


def is_conversation(key: str) -> bool:
    """Whether `key` names a conversation; otherwise it is the root of a project."""
    return key.startswith(_MARK)


N_TELLING = 64
"""A prefill of fewer tokens says nothing about the speed."""


class PrefillSpeed:
    """How fast prompts are processed: as measured last, else as the probe at load found."""

    def __init__(self) -> None:
        self._tokens_per_s = 0.0

    def note(self, cost: PrefillCost) -> None:
        """A prompt has cost that much."""
        if cost.processed >= N_TELLING and cost.prefill_ms > 0:
            self._tokens_per_s = cost.processed / cost.prefill_ms * 1e3

    def estimated_ms(self, n_tokens: int, info: ModelInfo | None) -> float:
        """How long `n_tokens` would take, in milliseconds; 0 if no speed is known."""
        speed = self._tokens_per_s or (info.prefill_speed if info else 0.0)
        return n_tokens / speed * 1e3 if speed else 0.0
