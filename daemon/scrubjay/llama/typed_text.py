"""A text that has to begin with what was typed: which tokens may come as long as some of that is to be written.

Tokens are cut as the model likes it: a token may be the beginning of what was typed, even a part of a character, or go on
after its end. So a prompt may end where a token begins, and the model still writes what follows the cursor.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate
from typing import overload

import numpy as np

from scrubjay.llama.vocabulary import Vocabulary
from scrubjay.tokens import EMPTY, Tokens, as_tokens, frozen


class SortedPieces(Sequence[bytes]):
    """The pieces of a vocabulary, in the order of their bytes; empty ones are left out.

    Args:
        pieces: the bytes of each token, by its number.
    """

    def __init__(self, pieces: Sequence[bytes]) -> None:
        order = sorted((token for token, piece in enumerate(pieces) if piece), key=pieces.__getitem__)
        self._tokens = as_tokens(order)
        # One object in place of one for each piece, of which there may be a quarter of a million.
        self._data = b"".join(pieces[token] for token in order)
        self._ends = np.fromiter(accumulate(len(pieces[token]) for token in order), dtype=np.int64, count=len(order))

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, index: int) -> bytes: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[bytes]: ...
    def __getitem__(self, index: int | slice) -> bytes | Sequence[bytes]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        start = int(self._ends[index - 1]) if index else 0
        return self._data[start : int(self._ends[index])]

    def agreeing(self, text: bytes) -> Tokens:
        """The tokens with whose pieces a text may begin that begins with `text`: beginnings of it, and what begins with it."""
        found = []
        low, high = 0, len(self)
        for n in range(1, len(text) + 1):
            beginning = text[:n]
            low = bisect_left(self, beginning, low, high)
            high = _end_of(self, beginning, low, high)
            if low == high:
                break
            found.append(self._tokens[low : bisect_right(self, beginning, low, high) if n < len(text) else high])
        return frozen(np.concatenate([EMPTY, *found]))


class TypedText:
    """What is left to be written of a typed text.

    Args:
        typed: the bytes with which the generated text has to begin.
        forbidden: tokens that may not come before that is written, as those that end a text.
    """

    def __init__(self, pieces: SortedPieces, typed: bytes, forbidden: Sequence[int] = ()) -> None:
        self._pieces = pieces
        self._forbidden = as_tokens(forbidden)
        self.left = typed

    def allowed(self) -> Tokens:
        """The tokens that may come next; none if the vocabulary cannot write what is left."""
        tokens = self._pieces.agreeing(self.left)
        return frozen(tokens[~np.isin(tokens, self._forbidden)])

    def accept(self, piece: bytes) -> bytes:
        """What `piece`, which comes next, adds to what was typed."""
        n = len(self.left)
        self.left = self.left[len(piece) :]
        return piece[n:]


@lru_cache(maxsize=4)
def pieces_of(vocabulary: Vocabulary) -> SortedPieces:
    """The pieces of all tokens of `vocabulary` but those that end a text; made on first use, which takes up to a second."""
    tokens = range(vocabulary.n_tokens)
    return SortedPieces([b"" if vocabulary.is_end(token) else vocabulary.piece(token) for token in tokens])


def _end_of(pieces: Sequence[bytes], beginning: bytes, low: int, high: int) -> int:
    """The index after the last of the sorted `pieces` that begins with `beginning`."""
    kept = beginning.rstrip(b"\xff")
    return bisect_left(pieces, kept[:-1] + bytes([kept[-1] + 1]), low, high) if kept else high
