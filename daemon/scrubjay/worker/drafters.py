"""What may come next, taken from texts that are there already. Pure, and never trusted: see `drafting.Drafting`.

Most of what an edit writes stands somewhere: in the prompt, in what the client expects, in what was just deleted.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from scrubjay.tokens import EMPTY, Tokens, common_length

MIN_MATCH = 3
"""Tokens that must agree before a place in a text is one that may go on in the same way."""
MAX_MATCH = 16
NEAR_TOKENS = 64
"""So near after the place where an expected text was left, one token that agrees is enough."""
MIN_AGREED = 4
"""Tokens that must agree after a change for it to be clear what was changed."""
MAX_CHANGED = 24
"""Tokens between two places that agree, of which a change can be told."""
MAX_PLACES = 256
"""Places that are compared; the last ones, where there are more."""
MEMORY = 200.0
"""Tokens on which a chance is founded, at most: what was long ago counts no more."""
USUAL_CHANCE = 0.75
USUAL_TOKENS = 8
"""What was usual before counts as much as so many tokens."""
FORGIVING = 0.97
"""What is left of a bad record each time that its drafter is not asked."""


@dataclass(frozen=True, slots=True)
class Draft:
    """Tokens that may come next; `key` names the drafter, and how much agreed."""

    tokens: Tokens
    key: str


class Drafter(Protocol):
    """Something that knows what may come next."""

    def propose(self, known: Tokens, n: int) -> Draft | None:
        """At most `n` tokens, and at least one, that may follow `known`: the prompt and what was generated."""


class RepeatDrafter:
    """What followed where the last tokens stood before."""

    def propose(self, known: Tokens, n: int) -> Draft | None:
        ends, lengths = places(known[:-1], known)
        if not len(ends) or (longest := int(lengths.max())) < MIN_MATCH:
            return None
        end = int(ends[lengths == longest][-1])
        is_circle = len(known) - end <= longest
        tokens = np.resize(known[end:], n) if is_circle else known[end : end + n]
        return Draft(tokens, f"repeat {_grade(longest)}")


class ExpectedDrafter:
    """A text that is expected to be written, as far as it agrees with what is.

    What was written in the place of some of its tokens is expected in the place of the same tokens after them, too: who renames
    something, or indents otherwise, does it everywhere.

    Args:
        name: of its kind.
        text: its tokens.
        from_start: whether its first token is the first that is expected; if not, a place in it must be found first.
    """

    def __init__(self, name: str, text: Tokens, from_start: bool) -> None:
        self._name = name
        self._text = text
        # A few tokens, each with more in its place again and again, must not become millions.
        self._n_most = 2 * len(text)
        self._from_start = from_start
        self._at = 0
        self._n_seen = -1
        """Known tokens that were looked at; -1 before the first."""
        self._n_agree = 0
        """How many of the last ones agree with the text before `_at`; 0 if it does not go on there."""
        self._agreed = (0, 0)
        """Where in the text, and after how many known tokens, the two agreed the last time."""

    def propose(self, known: Tokens, n: int) -> Draft | None:
        """Of the places that agree the most, the first after the one before."""
        if self._n_seen < 0:
            self._begin(known)
        # Each token tells something, those that were drafted, too.
        for n_known in range(self._n_seen + 1, len(known) + 1):
            self._n_agree = self._follow(known[:n_known])
        self._n_seen = len(known)
        tokens = self._text[self._at : self._at + n] if self._n_agree else EMPTY
        return Draft(tokens, f"{self._name} {_grade(self._n_agree)}") if len(tokens) else None

    def _begin(self, known: Tokens) -> None:
        self._n_seen = max(len(known) - 1, 0)
        if self._from_start:
            # The first token of an answer is sampled before anything is drafted.
            self._at, self._n_seen = common_length(self._text[:1], known[-1:]), len(known)
            self._agreed, self._n_agree = (self._at, len(known)), MIN_MATCH

    def _follow(self, known: Tokens) -> int:
        """Find where the text goes on after `known`; returns how many tokens agree before that, 0 if it is nowhere."""
        ends, lengths = places(self._text, known)
        is_near = (ends >= self._at) & (ends < self._at + NEAR_TOKENS)
        fits = is_near | (lengths >= MIN_MATCH)
        if not fits.any():
            return 0
        ends, lengths, is_near = ends[fits], lengths[fits], is_near[fits]
        # Where it was expected to go on is worth as much as two more tokens that agree.
        best = np.lexsort((ends, ends < self._at, -(lengths + 2 * is_near)))[0]
        self._at, n_agree = int(ends[best]), int(lengths[best])
        if n_agree >= MIN_AGREED:
            self._learn(known)
        return n_agree

    def _learn(self, known: Tokens) -> None:
        """Expect in the rest of the text what was changed since it agreed with `known` the last time."""
        (at, n_known), self._agreed = self._agreed, (self._at, len(known))
        if not 0 < at <= self._at or max(self._at - at, len(known) - n_known) > MAX_CHANGED:
            return
        # From the last token that agreed: by it is told where something is put in that takes the place of nothing.
        old, new = self._text[at - 1 : self._at], known[n_known - 1 :]
        n_first = common_length(old, new)
        n_last = common_length(old[n_first:][::-1], new[n_first:][::-1])
        begin = n_first - (n_first == len(old) - n_last)
        old, new = old[begin : len(old) - n_last], new[begin : len(new) - n_last]
        if not np.array_equal(old, new):
            rest = substituted(self._text[self._at :], old, new)
            self._text = np.concatenate([self._text[: self._at], rest])[: self._n_most]


def substituted(text: Tokens, old: Tokens, new: Tokens) -> Tokens:
    """`text` with `new`, wherever `old` stands, in its place."""
    starts = np.flatnonzero(text[: max(len(text) - len(old) + 1, 0)] == old[0])
    for n in range(1, len(old)):
        starts = starts[text[starts + n] == old[n]]
    parts, end = list[Tokens](), 0
    for start in starts.tolist():
        if start >= end:
            parts += [text[end:start], new]
            end = start + len(old)
    return np.concatenate([*parts, text[end:]])


def places(text: Tokens, known: Tokens) -> tuple[Tokens, Tokens]:
    """Where in `text` the last token of `known` stands: the positions after it, and how many tokens agree before each."""
    if not len(text) or not len(known):
        return text[:0], text[:0]
    ends = (np.flatnonzero(text == known[-1])[-MAX_PLACES:] + 1).astype(np.int32)
    lengths = np.ones_like(ends)
    alive = np.arange(len(ends))
    for n in range(2, min(MAX_MATCH, len(known)) + 1):
        alive = alive[ends[alive] >= n]
        alive = alive[text[ends[alive] - n] == known[-n]]
        if not len(alive):
            break
        lengths[alive] = n
    return ends, lengths


class Record:
    """How often drafts were right, by their keys.

    Args:
        before: the record of all generations before this one; None for that itself.
    """

    def __init__(self, before: "Record | None" = None) -> None:
        self._before = before
        self._counts: dict[str, tuple[float, float]] = {}

    def chance(self, key: str) -> float:
        """How likely a token of such a draft is right, given that those before it were."""
        right, wrong = self._counts.get(key, (0.0, 0.0))
        usual = self._before.chance(key) if self._before else USUAL_CHANCE
        return (right + USUAL_TOKENS * usual) / (right + wrong + USUAL_TOKENS)

    def note(self, key: str, n_right: int, is_wrong: bool) -> None:
        """Of a draft the first `n_right` tokens were right, and then one wrong, or none was left."""
        right, wrong = self._counts.get(key, (0.0, 0.0))
        right, wrong = right + n_right, wrong + is_wrong
        kept = min(1.0, MEMORY / max(right + wrong, 1.0))
        self._counts[key] = right * kept, wrong * kept
        if self._before:
            self._before.note(key, n_right, is_wrong)

    def forgive(self, key: str) -> None:
        """It was not asked, for its record is bad: so it will be asked again some time."""
        right, wrong = self._counts.get(key, (0.0, 0.0))
        self._counts[key] = right * FORGIVING, wrong * FORGIVING
        if self._before:
            self._before.forgive(key)

    def best(self, drafters: Iterable[Drafter], known: Tokens, n: int) -> Draft | None:
        """The draft of which the most tokens are likely to be right."""
        drafts = [draft for drafter in drafters if (draft := drafter.propose(known, n))]
        return max(drafts, key=lambda draft: expected(self.chance(draft.key), len(draft.tokens)), default=None)


def expected(chance: float, n: int) -> float:
    """How many of the `n` tokens of a draft are right, on average."""
    return float(n) if chance >= 1 else chance * (1 - chance**n) / (1 - chance)


def drafters_for(prediction: Tokens, others: Sequence[Tokens]) -> list[Drafter]:
    """The drafters of a request whose client expects `prediction`, and whose workspace knows `others`."""
    made: list[Drafter] = [RepeatDrafter()]
    if len(prediction):
        made.append(ExpectedDrafter("prediction", prediction, from_start=True))
    return [*made, *(ExpectedDrafter("workspace", text, from_start=False) for text in others)]


def _grade(n_agree: int) -> str:
    return "well" if n_agree >= 2 * MIN_MATCH else "fairly" if n_agree >= MIN_MATCH else "barely"
