"""Next edits as they are shown: each with a number, until it is known what has become of it."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count

from scrubjay.nextedit.formats import KIND
from scrubjay.nextedit.next_edit import Moment, NextEdit, Proposer
from scrubjay.nextedit.quiet import Experience, reason_to_be_quiet
from scrubjay.nextedit.repetition import repetitions

PROPOSERS: tuple[Proposer, ...] = (repetitions,)


@dataclass(frozen=True, slots=True)
class Suggested:
    """A next edit that may be shown; `text` is that of its document then."""

    number: int
    proposal: NextEdit
    text: str


@dataclass(frozen=True, slots=True)
class Suggestion:
    """The answer to the question what is next: at most one edit; `quiet` names the rules that kept others from being it."""

    suggested: Suggested | None
    quiet: tuple[str, ...] = ()


@dataclass(slots=True)
class Suggestions:
    """What was suggested last, and what was learnt from it.

    Args:
        numbers: the next one names the next suggestion.
    """

    numbers: Iterator[int] = field(default_factory=lambda: count(1))
    proposers: Sequence[Proposer] = PROPOSERS
    experience: Experience = field(default_factory=Experience)
    _last: Suggested | None = None
    _is_shown: bool = False

    def suggest(self, moment: Moment) -> Suggestion:
        """The next edit after `moment`. What was shown before and is another one now counts as not accepted.

        What a model has made stays as long as the texts do: it is not asked again.
        """
        last = self._last
        if last is not None and last.proposal.kind == KIND and self._is_still(last.proposal, moment):
            return Suggestion(last)
        return self.consider(moment, (proposal for proposer in self.proposers for proposal in proposer(moment)))

    def consider(self, moment: Moment, proposals: Iterable[NextEdit]) -> Suggestion:
        """The first of these that there is no reason to be quiet about."""
        quiet: dict[str, None] = {}
        for proposal in proposals:
            if self._is_still(proposal, moment):
                return Suggestion(self._last)
            self._pass_over()
            reason = reason_to_be_quiet(proposal, moment, self.experience)
            if reason is None:
                self._last = Suggested(next(self.numbers), proposal, moment.text_of(proposal.key))
                return Suggestion(self._last, tuple(quiet))
            quiet[reason] = None
        self._pass_over()
        return Suggestion(None, tuple(quiet))

    def shown(self, number: int) -> None:
        """The user sees it."""
        self._is_shown |= self._last is not None and self._last.number == number

    def ended(self, number: int, is_accepted: bool) -> None:
        """The user has taken it, or does not want it."""
        if self._last is not None and self._last.number == number:
            self.experience.learn(self._last.proposal, self._last.text, is_accepted)
            self._last, self._is_shown = None, False

    def _is_still(self, proposal: NextEdit, moment: Moment) -> bool:
        """Whether it is what was suggested last, in the same text."""
        last = self._last
        return last is not None and last.proposal == proposal and any(last.text is text.text for text in moment.texts)

    def _pass_over(self) -> None:
        if self._last and self._is_shown:
            self.ended(self._last.number, is_accepted=False)
        self._last, self._is_shown = None, False
