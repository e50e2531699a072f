"""What a server may have cached: the prompts that it was sent last. Pure."""

from collections import OrderedDict

from scrubjay.context_keys import UNNAMED, group_of
from scrubjay.protocol.contexts import ContextStatus
from scrubjay.protocol.messages import PrefillCost, Reason
from scrubjay.tokens import Tokens, common_length

MAX_PROMPTS = 16


def raw_key(group: str) -> str:
    """The key of a group's prompts that belong to no project."""
    return f"{UNNAMED}remote@{group}" if group else f"{UNNAMED}remote"


class SentPrompts:
    """The last prompt of each context, those that were sent last; no more than `MAX_PROMPTS`."""

    def __init__(self) -> None:
        self._by_key: OrderedDict[str, Tokens] = OrderedDict()

    def add(self, key: str, tokens: Tokens) -> None:
        """`tokens` are the prompt of the context `key` now."""
        self._by_key[key] = tokens
        self._by_key.move_to_end(key)
        if len(self._by_key) > MAX_PROMPTS:
            self._by_key.popitem(last=False)

    def forget(self, key: str) -> None:
        """The context `key` is of no use any more, or with "" none is."""
        for known in [known for known in self._by_key if not key or known == key]:
            del self._by_key[known]

    def common(self, tokens: Tokens, group: str = "") -> int:
        """How many leading tokens of `tokens` were sent for `group` before."""
        own = (sent for key, sent in self._by_key.items() if group_of(key) == group)
        return max((common_length(sent, tokens) for sent in own), default=0)

    def contexts(self) -> tuple[ContextStatus, ...]:
        """What is known of the contexts."""
        return tuple(ContextStatus(key, len(tokens), (), 0) for key, tokens in self._by_key.items())


def cost_of(n_prompt: int, n_common: int, n_cached: int, prefill_ms: float) -> PrefillCost:
    """What a prompt has cost.

    Args:
        n_common: how many of its leading tokens were sent before.
        n_cached: how many the server did not have to process; it may know more than was sent from here.
    """
    n_cached = min(n_cached, n_prompt)
    common = min(max(n_common, n_cached), n_prompt)
    needed = n_prompt - min(common, n_prompt - 1)
    processed = n_prompt - n_cached
    reason: Reason = "cold" if not n_cached else "append" if processed <= needed else "truncate"
    return PrefillCost(n_prompt, common, 0, processed, needed, reason, prefill_ms)
