"""What the contexts of raw prompts hold, as far as the daemon knows: which of them a prompt goes on from. Pure."""

from itertools import count

from scrubjay.tokens import EMPTY, Tokens, common_length, is_sequel

MAX_TRUNKS = 16
_MARK = "#"


class Trunks:
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


def is_trunk(key: str) -> bool:
    """Whether `key` names a conversation; otherwise it is the root of a project."""
    return key.startswith(_MARK)
