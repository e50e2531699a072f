"""A prompt put together from segments: one token array, and where in it everything is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate, chain
from typing import Literal, NamedTuple

import numpy as np

from scrubjay.tokens import EMPTY, Tokens, as_tokens, frozen, n_shared

SegmentKind = Literal["repo", "file", "path", "prefix", "suffix", "middle", "tail"]


@dataclass(frozen=True, slots=True)
class Segment:
    """One piece of a prompt, with tokens of its own: no token reaches from one segment into the next.

    Args:
        label: what a person should read, a path mostly.
        parts: special tokens, texts, and arrays of tokens, in order.
        hot: where in the segment the next edit is expected, as numbers of its leading tokens.
        reason: why the segment is here and like this, in a few words.
    """

    kind: SegmentKind
    label: str
    parts: tuple[int | str | Tokens, ...]
    hot: tuple[int, ...] = ()
    reason: str = ""


class Span(NamedTuple):
    """A segment in its prompt: its tokens are those in [start, end)."""

    kind: SegmentKind
    label: str
    start: int
    end: int


@dataclass(frozen=True, slots=True, eq=False)
class Prompt:
    """What to put through the model.

    Args:
        boundaries: ends of segments, as numbers of leading tokens, but the last, which is the prompt's own end.
        hot: where the next edit is expected, as numbers of leading tokens.
        segments: what the tokens are, from 0 to the end without a gap.
        reasons: why each of the segments is here and like this.
        parts: arrays that the tokens begin with, one after the other, as far as they are known.
        on_read: to be called when the tokens are in a context; only for prompts that are read ahead of need.
    """

    tokens: Tokens
    boundaries: tuple[int, ...]
    hot: tuple[int, ...]
    segments: tuple[Span, ...]
    reasons: tuple[str, ...]
    parts: tuple[Tokens, ...] = ()
    on_read: Callable[[], None] | None = None

    def note_read(self) -> None:
        """The tokens are in a context."""
        if self.on_read:
            self.on_read()

    def n_common(self, other: "Prompt") -> int:
        """Number of leading tokens that the two share."""
        return n_shared(self.tokens, self.parts, other.tokens, other.parts)


@dataclass(frozen=True, slots=True)
class ShownPart:
    """A segment of a prompt as the model gets it, with special tokens by their names, and why it is there."""

    kind: SegmentKind
    label: str
    n_tokens: int
    reason: str
    text: str


def count_tokens(segment: Segment, tokenize: Callable[[str], Tokens]) -> int:
    """How many tokens `segment` has."""
    return sum(1 if isinstance(part, int) else len(_part_tokens(part, tokenize)) for part in segment.parts)


def part_tokens(parts: Sequence[int | str | Tokens], tokenize: Callable[[str], Tokens]) -> Tokens:
    """The tokens of the parts of a segment."""
    return frozen(np.concatenate([EMPTY, *(_part_tokens(part, tokenize) for part in parts)]))


def assemble(segments: Sequence[Segment], tokenize: Callable[[str], Tokens]) -> Prompt:
    """The prompt made of `segments`, each of their texts tokenised alone; those without a token leave no trace."""
    arrays = [[_part_tokens(part, tokenize) for part in segment.parts] for segment in segments]
    sizes = [sum(map(len, own)) for own in arrays]
    parts = tuple(chain.from_iterable(arrays))
    spans = [
        (Span(segment.kind, segment.label, end - size, end), segment)
        for segment, size, end in zip(segments, sizes, accumulate(sizes), strict=True)
        if size
    ]
    return Prompt(
        tokens=frozen(np.concatenate([EMPTY, *parts])),
        boundaries=tuple(span.end for span, _ in spans[:-1]),
        hot=tuple(span.start + n for span, segment in spans for n in segment.hot),
        segments=tuple(span for span, _ in spans),
        reasons=tuple(segment.reason for _, segment in spans),
        parts=parts,
    )


def _part_tokens(part: int | str | Tokens, tokenize: Callable[[str], Tokens]) -> Tokens:
    if isinstance(part, str):
        return tokenize(part)
    return _one_token(part) if isinstance(part, int) else part


@cache
def _one_token(token: int) -> Tokens:
    return as_tokens([token])
