"""The pool of contexts: one per project that is in use, and a few for prompts that no project claims."""

from collections import Counter
from collections.abc import Callable

from scrubjay.context_keys import UNNAMED, group_of, unnamed_key
from scrubjay.contexts.checkpointed import CheckpointedContext
from scrubjay.errors import ModelRefused
from scrubjay.tokens import Tokens, common_length, is_sequel

FADE = 0.5
"""A context is so much cheaper to lose than the one that was used after it."""
STALE = 0.25
"""The checkpoints of a context matter so much less than those of the one that was used after it."""
HALF_LIFE = 32
"""Prompts of others after which they matter half as much as before."""
LEAST = 1 / 16
"""However long ago a context was used, this much remains: its project may be opened again."""
MAX_CHEAP_TOKENS = 256
"""Losing so few tokens is no reason to make another context."""


class ContextPool:
    """Contexts with identical parameters; reused when the project changes.

    Args:
        create: makes one more context.
        max_contexts: how many there may be.
    """

    def __init__(self, create: Callable[[], CheckpointedContext], max_contexts: int) -> None:
        self._create = create
        self._max_contexts = max_contexts
        self._recent: list[tuple[str, CheckpointedContext]] = []  # the most recently used first
        self._n_unnamed = self._n_chosen = 0
        self._used: dict[CheckpointedContext, int] = {}  # when, in prompts

    def all(self) -> list[tuple[str, CheckpointedContext]]:
        """The contexts with their keys, the most recently used first."""
        return list(self._recent)

    def adopt(self, context: CheckpointedContext) -> None:
        """Take in a context that exists already, as the least recently used."""
        self._recent.append((self._unnamed_key(), context))

    def choose(self, key: str, prompt: Tokens, group: str = "") -> tuple[str, CheckpointedContext]:
        """The context for `prompt`, with its key: that of `key`; without one, that of `group` which shares most with the prompt.

        It becomes the most recently used one.
        """
        found = self._by_key(key) if key else self._by_content(prompt, group)
        if found is None:
            found = (key or self._unnamed_key(group), self._spare(group))
        self._recent = [found, *(item for item in self._recent if item[1] is not found[1])]
        self._n_chosen += 1
        self._used[found[1]] = self._n_chosen
        for age, (_, context) in enumerate(self._recent):
            n_since = self._n_chosen - self._used.get(context, 0)
            context.importance = STALE**age * max(0.5 ** (n_since / HALF_LIFE), LEAST)
        found[1].note_key(found[0])
        return found

    def forget(self, key: str) -> None:
        """Empty the context of `key`, which then goes by another one: its content is not to be trusted."""
        at = next(i for i, (name, _) in enumerate(self._recent) if name == key)
        context = self._recent[at][1]
        context.clear()
        self._recent[at] = (self._unnamed_key(), context)

    def _by_key(self, key: str) -> tuple[str, CheckpointedContext] | None:
        return next((item for item in self._recent if item[0] == key), None)

    def _by_content(self, prompt: Tokens, group: str) -> tuple[str, CheckpointedContext] | None:
        own = ((key, context) for key, context in self._recent if group_of(key) == group)
        shared = [(common_length(context.resident, prompt), (key, context)) for key, context in own]
        if not shared:
            return None
        _, best = max(shared, key=lambda pair: pair[0])
        # Taking over a context throws away what the two do not share: only for a later state of the same text.
        return best if is_sequel(best[1].resident, prompt) else None

    def _spare(self, group: str) -> CheckpointedContext:
        """An empty context: a new one, or one whose contents are cheapest to lose; a named one only if there is no other.

        Of several groups the one with the most makes room, and `group` will have one more: nobody takes them all.
        """
        ages = {context: age for age, (_, context) in enumerate(self._recent)}
        unnamed = [(group_of(key), context) for key, context in self._recent if key.startswith(UNNAMED)]
        cheap = [context for _, context in unnamed if context.n_resident <= MAX_CHEAP_TOKENS]
        if not cheap and len(self._recent) < self._max_contexts:
            try:
                return self._create()
            except ModelRefused:
                self._max_contexts = len(self._recent)  # there is no memory for another
        n_of = Counter([group, *(owner for owner, _ in unnamed)])
        most = max((n_of[owner] for owner, _ in unnamed), default=0)
        # Size counts, not age alone: a thousand short prompts must not push out one that was long to compute.
        fair = [context for owner, context in unnamed if n_of[owner] == most]
        candidates = cheap or fair or [context for _, context in self._recent]
        victim = min(candidates, key=lambda context: context.n_resident * FADE ** ages[context])
        victim.put_away()
        return victim

    def _unnamed_key(self, group: str = "") -> str:
        self._n_unnamed += 1
        return unnamed_key(self._n_unnamed, group)
