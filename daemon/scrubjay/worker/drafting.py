"""Generation ahead of what is certain: tokens that are likely to come are decoded together with the last one that did come.

certain   |=== resident ===|= owed =|
decode                     |= owed =|--- draft ---|
sampled                            ^ ^ ^   each place once, from the logits that it would have had without a draft

Whatever is drafted, the same tokens come out: llama.cpp rounds otherwise when it decodes several tokens at once, so only lengths
are used that were measured to change no bit against each other. See `worker.lengths.DecodeLengths`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from scrubjay.contexts.naive import Context, Control
from scrubjay.llama.vocabulary import Vocabulary
from scrubjay.protocol.messages import DraftCounts, Sampling
from scrubjay.tokens import EMPTY, Tokens, as_tokens
from scrubjay.worker.drafters import Draft, Drafter, Record, drafters_for
from scrubjay.worker.lengths import DecodeLengths

COPIED_PART, OTHER_PART = 0.97, 0.5
"""How many of an answer's tokens are the expected ones where it is a copy, and where it is something else that is alike."""
FIRST_CHANCE = 0.8
"""That an answer begins as a copy."""
CHANGE = 1 / 24
"""How often an answer begins to be a copy, or ends to be one, at a token."""
MAX_EXPECTED_CHARACTERS = 1 << 16
"""Of a text that may be copied: tokenising more would take longer than it saves."""


class Sight:
    """Whether an answer is what was expected. A function of its text, whatever was drafted: it decides how decodes are rounded.

    A filter of two states, a copy and something else, so that two or three tokens that were not expected end it, and about
    as many that were begin it again: a mean over the last tokens needs many more.

    Args:
        drafters: what is expected; nobody else may ask them.
        least: how likely the next token must be expected.
    """

    def __init__(self, drafters: Sequence[Drafter], least: float) -> None:
        self._drafters = drafters
        self._least = least
        self._chance = FIRST_CHANCE
        """That the answer is a copy at this place."""

    def is_clear(self, known: Tokens, token: int) -> bool:
        """To be asked about each `token` of the answer, which comes after `known`."""
        drafts = [drafter.propose(known, 1) for drafter in self._drafters]
        is_expected = any(draft is not None and int(draft.tokens[0]) == token for draft in drafts)
        if_copied = self._chance * (COPIED_PART if is_expected else 1 - COPIED_PART)
        otherwise = (1 - self._chance) * (OTHER_PART if is_expected else 1 - OTHER_PART)
        chance = if_copied / (if_copied + otherwise)
        self._chance = chance * (1 - CHANGE) + (1 - chance) * CHANGE
        return self._chance * COPIED_PART + (1 - self._chance) * OTHER_PART >= self._least


@dataclass(slots=True)
class Drafting:
    """How a generation is drafted: by whom, and in decodes of which lengths. The default drafts nothing.

    Args:
        record: of the drafters in this generation.
        sight: what says when `lengths` are used; None for always.
        otherwise: the lengths that are used in their place.
    """

    drafters: Sequence[Drafter] = ()
    lengths: DecodeLengths = field(default_factory=DecodeLengths)
    record: Record = field(default_factory=Record)
    sight: Sight | None = None
    otherwise: DecodeLengths = field(default_factory=DecodeLengths)

    def lengths_for(self, known: Tokens, token: int) -> DecodeLengths:
        """Those of the decode in which `token` is that comes after `known`."""
        return self.lengths if self.sight is None or self.sight.is_clear(known, token) else self.otherwise


class DraftPolicy:
    """What is drafted for which request to a model.

    Args:
        free: the lengths for any request: they change no bit against decodes of single tokens.
        paired: the lengths for those whose clients bring a prediction: they change no bit against each other.
    """

    def __init__(self, vocabulary: Vocabulary, free: DecodeLengths, paired: DecodeLengths) -> None:
        self._vocabulary = vocabulary
        self._free = free
        self._paired = paired
        self._record = Record()

    def drafting(self, sampling: Sampling) -> Drafting:
        """How to draft for a request that is generated like that."""
        lengths = self._paired if sampling.prediction else self._free
        if lengths.longest < 2:
            return Drafting(lengths=lengths)
        prediction, *others = (
            self._vocabulary.tokenize(text[:MAX_EXPECTED_CHARACTERS])
            for text in (sampling.prediction, *sampling.expected)
        )
        made = Drafting(drafters_for(prediction, others), lengths, Record(self._record))
        if lengths is not self._free and lengths.least_expected:
            made.sight = Sight(drafters_for(prediction, others), lengths.least_expected)
            made.otherwise = self._free
        return made


class Advance:
    """Brings the tokens of one generation into its context, and others on trial. `finish` must be called at its end.

    The logits that `context` looks at are always those after the last certain token.

    Args:
        control: asked inside decodes with a draft.
        n_most: tokens that will be generated at most.
    """

    def __init__(self, context: Context, drafting: Drafting, control: Control, n_most: int) -> None:
        self._context = context
        self._control = control
        self._drafting = drafting
        self._n_left = n_most
        self._draft: Draft | None = None
        self._n_tried = 0
        """Tokens of the decode that is on trial, 0 if none is; of them `_n_ok` are certain, and `_n_owed` were so before it."""
        self._n_owed = self._n_ok = 0
        self._lengths = drafting.lengths
        self._n_drafted = self._n_accepted = 0

    @property
    def counts(self) -> DraftCounts:
        return DraftCounts(self._n_drafted, self._n_accepted)

    @property
    def is_full(self) -> bool:
        """Whether the context has no room for another decode."""
        return self._n_certain + self._drafting.lengths.shortest > self._context.n_ctx

    @property
    def _n_certain(self) -> int:
        return self._context.n_resident - (self._n_tried - self._n_ok)

    def step(self, token: int) -> None:
        """`token` comes next.

        Raises:
            DecodeFailed: see `Context.decode`.
            Interrupted: see `Context.try_decode`.
        """
        self._n_left -= 1
        before, known = self._lengths, self._context.resident[: self._n_certain]
        self._lengths = self._drafting.lengths_for(known, token)
        is_tried = self._n_ok < self._n_tried and self._lengths is before
        if is_tried and int(self._context.resident[self._n_certain]) == token:
            self._n_ok += 1
            self._context.llama.row += 1
            return
        owed = as_tokens([*self._settle(is_wrong=True), token])
        if draft := self._propose(owed):
            self._try(owed, draft.tokens)
            self._draft = draft
        else:
            self._decode(owed)

    def finish(self) -> None:
        """Nothing more comes: what is not certain goes."""
        if self._context.n_resident:
            self._settle(is_wrong=False)

    def _propose(self, owed: Tokens) -> Draft | None:
        """What is worth being decoded together with `owed`, which come next for certain."""
        context, drafting = self._context, self._drafting
        drafters, lengths, record = drafting.drafters, self._lengths, drafting.record
        room = min(lengths.longest - len(owed), self._n_left - 1, context.n_ctx - context.n_resident - len(owed))
        if room < 1 or not drafters:
            return None
        draft = record.best(drafters, np.concatenate([context.resident, owed]), room)
        if draft is None:
            return None
        length = lengths.choose(record.chance(draft.key), len(owed), len(draft.tokens), context.redoes_tries)
        if length > len(owed):
            return Draft(draft.tokens[: length - len(owed)], draft.key)
        record.forgive(draft.key)
        return None

    def _decode(self, owed: Tokens) -> None:
        """Decode `owed`, which is certain, in the lengths that there are."""
        for length in self._lengths.parts(len(owed)):
            part, owed = owed[:length], owed[length:]
            if len(part) < length:
                # Alone it would be rounded otherwise, so that the answer depended on what was drafted.
                self._try(part, EMPTY)
                return
            self._timed(len(part), partial(self._context.decode, part, want_logits=len(part)))
            self._context.note_generated(len(part))

    def _try(self, owed: Tokens, more: Tokens) -> None:
        """Decode `owed`, and `more` on trial, filled up to the next length that there is."""
        tokens = np.concatenate([owed, more])
        n_missing = self._lengths.fitting(len(tokens)) - len(tokens)
        tokens = as_tokens(np.concatenate([tokens, np.repeat(tokens[-1:], n_missing)]))
        self._timed(len(tokens), partial(self._context.try_decode, tokens, self._control))
        self._n_tried, self._n_owed, self._n_ok = len(tokens), len(owed), len(owed)
        self._context.llama.row = len(owed) - 1

    def _timed(self, length: int, decode: Callable[[], object]) -> None:
        begun = self._lengths.clock()
        decode()
        self._lengths.note(length, self._lengths.clock() - begun)

    def _settle(self, is_wrong: bool) -> Sequence[int]:
        """End the trial; returns certain tokens that are not resident any more."""
        draft, n_tried, n_ok = self._draft, self._n_tried, self._n_ok
        self._draft, self._n_tried, self._n_ok = None, 0, 0
        if draft:
            n_right = min(n_ok - self._n_owed, len(draft.tokens))
            self._note(draft, n_right, is_wrong and n_right < len(draft.tokens))
        return self._context.keep_tried(n_ok).tolist() if n_tried else ()

    def _note(self, draft: Draft, n_right: int, is_wrong: bool) -> None:
        self._drafting.record.note(draft.key, n_right, is_wrong)
        self._n_drafted += len(draft.tokens)
        self._n_accepted += n_right
        self._context.counters.n_drafted += len(draft.tokens)
        self._context.counters.n_draft_accepted += n_right
