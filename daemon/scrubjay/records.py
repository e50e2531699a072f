"""What contexts hold, as far as the daemon knows: by roots of projects, and by keys of conversations. Pure."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from scrubjay.messages import ContextStatus
from scrubjay.prompt import Prompt
from scrubjay.requests import Cost
from scrubjay.trunks import is_trunk

N_COSTS = 20


@dataclass(slots=True)
class ContextRecord:
    """What is known of one context: of `prompt`, which was run last, it should hold `n_resident` leading tokens at least."""

    prompt: Prompt | None = None
    n_resident: int = 0
    costs: deque[Cost] = field(default_factory=lambda: deque(maxlen=N_COSTS))


class Records:
    """A record for each project and each conversation that had a prompt."""

    def __init__(self) -> None:
        self._records: dict[str, ContextRecord] = {}

    def of(self, key: str) -> ContextRecord:
        """What is known of the context of the project, or conversation, `key`."""
        return self._records.setdefault(key, ContextRecord())

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
            record.n_resident = min(record.n_resident, most if is_trunk(key) else held.get(key, 0))
