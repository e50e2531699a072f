"""Token arrays: 1-D read-only int32 numpy arrays, how much two of them share, and what names a prefix."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import xxhash

Tokens = npt.NDArray[np.int32]


def as_tokens(ids: Iterable[int] | Tokens) -> Tokens:
    """A token array of `ids`: a private copy, so that nobody else can change it."""
    tokens = np.array(ids if isinstance(ids, np.ndarray) else list(ids), dtype=np.int32)
    if tokens.ndim != 1:
        raise ValueError(f"a token array has one dimension, not {tokens.ndim}")
    return frozen(tokens)


def frozen(tokens: Tokens) -> Tokens:
    """`tokens` itself, made read-only."""
    tokens.flags.writeable = False
    return tokens


EMPTY: Tokens = as_tokens([])
MIN_SHARED_TOKENS = 32
"""A shorter common beginning does not make a prompt the same conversation."""


def common_length(a: Tokens, b: Tokens) -> int:
    """Number of leading tokens that `a` and `b` share."""
    n = min(len(a), len(b))
    differs = a[:n] != b[:n]
    first = int(differs.argmax()) if n else 0
    return first if n and differs[first] else n


def n_shared(a: Tokens, a_parts: Iterable[Tokens], b: Tokens, b_parts: Iterable[Tokens]) -> int:
    """`common_length` of `a` and `b`, which begin with those parts; parts that are the same arrays are not looked at."""
    n_same = 0
    for part, other in zip(a_parts, b_parts, strict=False):
        if part is not other:
            break
        n_same += len(part)
    return n_same + common_length(a[n_same:], b[n_same:])


def is_sequel(old: Tokens, new: Tokens) -> bool:
    """Whether `new` is what `old` has become, rather than something else that happens to begin alike.

    Half of the shorter one is in the other, before an edit or after it.
    """
    common = common_length(old, new)
    if common < min(MIN_SHARED_TOKENS, len(new) - 1):
        return False
    after = common_length(old[common:][::-1], new[common:][::-1])
    return 2 * (common + after) >= min(len(old), len(new))


def prefix_digest(tokens: Tokens, n_tokens: int) -> bytes:
    """The 16-byte name of the first `n_tokens` tokens: equal prefixes have equal names, on every machine."""
    return xxhash.xxh3_128_digest(np.ascontiguousarray(tokens[:n_tokens], dtype="<i4").data)
