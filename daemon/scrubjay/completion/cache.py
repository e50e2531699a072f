"""Completions already computed, found again when the user types along with them, accepts a part, or comes back.

A completion belongs to the text before and after the cursor where it was asked for. It serves a later place too if the
text after the cursor is the same and the text before has only grown by what the completion begins with.
"""

from collections import OrderedDict
from collections.abc import Hashable, Iterator
from dataclasses import dataclass

import xxhash

MAX_TYPED_CHARACTERS = 128
"""How many characters may have been typed or accepted since."""
FINGERPRINT_CHARACTERS = 32
"""Characters before the cursor that are compared before the whole text is looked at."""


@dataclass(frozen=True, slots=True)
class Kept:
    """Completions for a place, the best first.

    Args:
        n_prefix: number of characters before the cursor.
        ending: the last of them.
        digest: the name of all of them.
        n_replaced: how many characters right of the cursor the completions replace.
    """

    n_prefix: int
    ending: str
    digest: bytes
    texts: tuple[str, ...]
    n_replaced: int = 0


class CompletionCache:
    """The last `max_entries` sets of completions, those not used for longest forgotten first."""

    def __init__(self, max_entries: int = 256) -> None:
        self._max_entries = max_entries
        # By document and request, and by the text after the cursor: then by the text before it.
        self._entries: OrderedDict[tuple[Hashable, bytes, bytes], Kept] = OrderedDict()

    def put(self, key: Hashable, prefix: str, suffix: str, texts: tuple[str, ...], n_replaced: int = 0) -> None:
        """Keep `texts` for the place between `prefix` and `suffix`; `key` names the document and what was asked for."""
        digest = _digest(prefix)
        name = (key, _digest(suffix), digest)
        self._entries[name] = Kept(len(prefix), prefix[-FINGERPRINT_CHARACTERS:], digest, texts, n_replaced)
        self._entries.move_to_end(name)
        if len(self._entries) > self._max_entries:
            self._entries.popitem(last=False)

    def find(self, key: Hashable, prefix: str, suffix: str) -> Kept | None:
        """What is left of completions that this place agrees with, those with the fewest characters typed since first.

        A completion that was typed or accepted to its end is none any more.
        """
        for name, kept in sorted(self._candidates(key, prefix, suffix), key=lambda item: -item[1].n_prefix):
            typed = prefix[kept.n_prefix :]
            left = tuple(text[len(typed) :] for text in kept.texts if text.startswith(typed) and text != typed)
            if left and _digest(prefix[: kept.n_prefix]) == kept.digest:
                self._entries.move_to_end(name)
                return Kept(len(prefix), prefix[-FINGERPRINT_CHARACTERS:], b"", left, kept.n_replaced)
        return None

    def _candidates(
        self, key: Hashable, prefix: str, suffix: str
    ) -> Iterator[tuple[tuple[Hashable, bytes, bytes], Kept]]:
        after = _digest(suffix)
        for name, kept in self._entries.items():
            n_typed = len(prefix) - kept.n_prefix
            if (
                name[:2] == (key, after)
                and 0 <= n_typed <= MAX_TYPED_CHARACTERS
                and prefix.endswith(kept.ending, 0, kept.n_prefix)
            ):
                yield name, kept


def _digest(text: str) -> bytes:
    return xxhash.xxh3_128_digest(text.encode(errors="surrogatepass"))
