"""What the contexts of raw prompts hold, as far as the daemon knows: which of them a prompt goes on from. Pure."""

from itertools import count

from scrubjay.tokens import EMPTY, Tokens, common_length

MAX_TRUNKS = 16
WORTH_SHARING = 32
"""A shorter common beginning does not make a prompt the same conversation; the engine chooses contexts by the same rule."""


class Trunks:
    """The prompts that ran last, one for each conversation, by keys that name them."""

    def __init__(self) -> None:
        self._numbers = count(1)
        self._prompts: dict[str, Tokens] = {}

    def choose(self, prompt: Tokens) -> tuple[str, str | None]:
        """The key of the conversation that `prompt` belongs to, and of one that is forgotten for it."""
        key = max(self._prompts, key=lambda key: common_length(self._prompts[key], prompt), default=None)
        if key is None or not _is_same(self._prompts[key], prompt):
            key = f"#{next(self._numbers)}"
        self._prompts.pop(key, EMPTY)
        self._prompts[key] = prompt
        forgotten = next(iter(self._prompts)) if len(self._prompts) > MAX_TRUNKS else None
        if forgotten:
            del self._prompts[forgotten]
        return key, forgotten


def _is_same(old: Tokens, new: Tokens) -> bool:
    common = common_length(old, new)
    return common >= min(WORTH_SHARING, len(new) - 1) and 2 * common >= min(len(old), len(new))
