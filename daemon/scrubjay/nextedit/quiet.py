"""When to be quiet: the reasons not to show a next edit, each with its name."""

from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from scrubjay.nextedit.next_edit import Moment, NextEdit

TYPING_S = 0.08
"""A key less long ago means that the line is being typed."""
LEAST_CONFIDENCE = 0.6
N_REMEMBERED = 30
"""How many outcomes of a kind count."""
N_PASSED_OVER = 200

PRIOR: Mapping[str, tuple[float, float]] = {
    "definition": (6.0, 1.0),
    "renamed": (8.5, 1.5),
    "twice": (9.6, 0.4),
    "line": (8.6, 1.4),
    "model": (6.5, 3.5),
}
"""Accepted and not accepted, of ten, before anything is known of this user: what was right in the benchmark.

Of a model nothing is known: it is shown until more than about one in three was not accepted.
"""


class Passed(NamedTuple):
    """What a proposal is remembered by: where it was does not matter."""

    key: str
    before: str
    after: str


class Experience:
    """What has become of the next edits that were shown."""

    def __init__(self) -> None:
        self._outcomes: dict[str, deque[bool]] = {}
        self._passed_over: dict[Passed, None] = {}
        self._accepted: deque[NextEdit] = deque(maxlen=N_REMEMBERED)

    def learn(self, proposal: NextEdit, text: str, is_accepted: bool) -> None:
        """The user took it, or did not; `text` is that of its document, when it was proposed."""
        self._outcomes.setdefault(proposal.kind, deque(maxlen=N_REMEMBERED)).append(is_accepted)
        if is_accepted:
            self._accepted.append(proposal)
        else:
            self._passed_over[Passed(proposal.key, *proposal.lines(text))] = None
        for old in [*self._passed_over][:-N_PASSED_OVER]:
            del self._passed_over[old]

    def confidence(self, kind: str) -> float:
        """How likely a next edit of that kind is to be accepted."""
        good, bad = PRIOR.get(kind, (5.0, 5.0))
        counts = Counter(self._outcomes.get(kind, ()))
        return (good + counts[True]) / (good + bad + counts.total())

    def has_accepted(self, proposal: NextEdit) -> bool:
        """Whether this very edit was accepted, so that it must have been undone since."""
        return proposal in self._accepted

    def has_passed_over(self, proposal: NextEdit, text: str) -> bool:
        return Passed(proposal.key, *proposal.lines(text)) in self._passed_over


@dataclass(frozen=True, slots=True)
class Case:
    """A next edit that may be shown, with `text`, that of its document."""

    proposal: NextEdit
    text: str
    moment: Moment
    experience: Experience


def changes_nothing(case: Case) -> bool:
    """It is what stands there."""
    return case.text[case.proposal.start : case.proposal.end] == case.proposal.new


def undoes(case: Case) -> bool:
    """It would bring back what the user has just replaced, or what the user has just taken back."""
    before, after = case.proposal.lines(case.text)
    key = case.proposal.key
    back = [(edit.new, edit.old) for edit in case.moment.edits if edit.key == key]
    again = [(edit.old, edit.new) for edit in case.moment.taken_back if edit.key == key]
    is_known = any(before in old.splitlines() and after in new.splitlines() for old, new in (*back, *again))
    return is_known or case.experience.has_accepted(case.proposal)


def is_typing(case: Case) -> bool:
    """The user is typing."""
    return is_typing_at(case.moment)


def is_typing_at(moment: Moment) -> bool:
    """Whether there was a key just before."""
    return bool(moment.edits) and moment.now_s - moment.edits[-1].at_s < TYPING_S


def was_passed_over(case: Case) -> bool:
    """It was shown, and not taken."""
    return case.experience.has_passed_over(case.proposal, case.text)


def is_unsure(case: Case) -> bool:
    """Too few of its kind were accepted."""
    return case.experience.confidence(case.proposal.kind) < LEAST_CONFIDENCE


RULES: Mapping[str, Callable[[Case], bool]] = {
    "same": changes_nothing,
    "undo": undoes,
    "typing": is_typing,
    "passed_over": was_passed_over,
    "unsure": is_unsure,
}


def reason_to_be_quiet(proposal: NextEdit, moment: Moment, experience: Experience) -> str | None:
    """The name of the first rule that forbids to show `proposal`."""
    case = Case(proposal, moment.text_of(proposal.key), moment, experience)
    return next((name for name, rule in RULES.items() if rule(case)), None)
