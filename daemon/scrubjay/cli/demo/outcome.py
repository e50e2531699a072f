"""One edit of the demonstration with its answers, and whether the warm one equals the cold one."""

from dataclasses import dataclass
from itertools import accumulate

from scrubjay.cli.demo.edits import Edit
from scrubjay.process.client import Json

NOISE = 0.1
"""Logits. A warm and a cold run may cut their decodes at different places, and so add floating-point numbers in different
orders; with the starter model, margins were seen to differ by 0.03. Two tokens that are closer than this may change places
(law 4)."""

Pieces = list[tuple[str, list[float]]]
"""Generated texts, and for each of their tokens how much better it was than the next best."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One edit with its answers, and the project's context after the first.

    Args:
        warm: from the warm context, as the model writes it.
        cold: the same from an empty one.
        shown: as it is shown to users.
    """

    edit: Edit
    warm: Json
    cold: Json
    shown: Json
    context: Json

    @property
    def excess(self) -> int:
        """Tokens processed beyond those that no reuse could have saved."""
        excess: int = self.warm["reuse"]["excess"]
        return excess

    @property
    def interval(self) -> int:
        """The most that the excess may be."""
        interval: int = self.context["interval"]
        return interval

    @property
    def is_cheap(self) -> bool:
        """Whether the edit cost no more than promised."""
        return self.excess <= self.interval

    @property
    def is_same(self) -> bool:
        """Whether the warm answer is the cold one."""
        return _text(pieces_of(self.warm)) == _text(pieces_of(self.cold))

    @property
    def is_lawful(self) -> bool:
        """Whether it is, or parts from it only where the two best tokens were all but equal."""
        return agree(pieces_of(self.warm), pieces_of(self.cold))

    @property
    def noise(self) -> float:
        """The largest difference of a margin, in logits, over what both answers have in common."""
        return largest_difference(pieces_of(self.warm), pieces_of(self.cold))


# --- equal within rounding -------------------------------------------------------------------------------------------


def agree(warm: Pieces, cold: Pieces) -> bool:
    """Whether the two texts are equal, or first part at a token whose margin is within the noise."""
    a, b = _text(warm), _text(cold)
    if a == b:
        return True
    parting = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    return min(_margin_at(warm, parting), _margin_at(cold, parting)) <= NOISE


def largest_difference(warm: Pieces, cold: Pieces) -> float:
    """The largest difference between margins of the same token, up to where the texts part."""
    largest = 0.0
    for (text, margins), (other_text, other_margins) in zip(warm, cold, strict=False):
        if text != other_text or len(margins) != len(other_margins):
            break
        largest = max([largest, *(abs(a - b) for a, b in zip(margins, other_margins, strict=True))])
    return largest


def pieces_of(answer: Json) -> Pieces:
    """The pieces of an answer to `/api/complete` that was asked for with `margins`; an empty text has none."""
    return [(text, margins) for item in answer["items"] if item["text"] for text, margins in item["pieces"]]


def _margin_at(pieces: Pieces, offset: int) -> float:
    """The least margin of the tokens of the piece in which the character at `offset` stands; infinite past the end."""
    ends = accumulate(len(text) for text, _ in pieces)
    return next((min(margins) for end, (_, margins) in zip(ends, pieces, strict=True) if offset < end), float("inf"))


def _text(pieces: Pieces) -> str:
    return "".join(text for text, _ in pieces)
