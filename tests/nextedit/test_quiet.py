"""The reasons to be quiet, one by one."""

import pytest

from scrubjay.nextedit.next_edit import Moment, NextEdit, OpenText
from scrubjay.nextedit.quiet import LEAST_CONFIDENCE, PRIOR, RULES, TYPING_S, Experience, reason_to_be_quiet
from tests.nextedit.session import A, Session

TEXT = "one = first\ntwo = first\n"


def reason(proposal: NextEdit, moment: Moment | None = None, experience: Experience | None = None) -> str | None:
    moment = moment or Moment((), [OpenText(A, A, TEXT)])
    return reason_to_be_quiet(proposal, moment, experience or Experience())


def test_nothing_speaks_against_an_edit_of_another_line() -> None:
    assert reason(NextEdit(A, 18, 23, "first", "second", "twice")) is None


def test_what_stands_there_is_no_edit() -> None:
    assert reason(NextEdit(A, 18, 23, "first", "first", "twice")) == "same"


def test_what_was_just_replaced_is_not_brought_back() -> None:
    session = Session(TEXT)
    session.edit("two = first", "two = second")
    at = session.texts[A].index("second")
    assert reason(NextEdit(A, at, at + 6, "second", "first", "twice"), session.moment()) == "undo"
    assert reason(NextEdit(A, at, at + 6, "second", "third", "twice"), session.moment()) is None


def test_what_was_just_undone_is_not_done_again() -> None:
    session = Session(TEXT)
    session.edit("two = first", "two = second")
    session.edit("two = second", "two = first")
    assert reason(NextEdit(A, 18, 23, "first", "second", "twice"), session.moment()) == "undo"


def test_an_undone_suggestion_does_not_come_back() -> None:
    session = Session("f(alpha)\ng(alpha)\nh(alpha)\n")
    session.edit("alpha", "beta")
    session.edit("alpha", "beta")
    assert session.accept() == "h(beta)"
    session.edit("h(beta)", "h(alpha)")
    assert session.ask().quiet == ("undo",)


def test_it_is_quiet_while_the_line_is_being_typed() -> None:
    session = Session("f(alpha)\ng(alpha)\nh(alpha)\n")
    session.edit("alpha", "beta")
    session.edit("alpha", "beta")
    assert session.history.last
    session.now_s = session.history.last.at_s + TYPING_S / 2
    assert session.ask().quiet == ("typing",)
    session.now_s += TYPING_S
    assert session.proposal()


def test_what_was_shown_and_not_taken_is_not_shown_again() -> None:
    session = Session("f(alpha)\ng(alpha)\nh(alpha)\nx = 1\n")
    session.edit("alpha", "beta")
    session.edit("alpha", "beta")
    suggested = session.ask().suggested
    assert suggested
    session.suggestions.shown(suggested.number)
    session.edit("x = 1", "x = 2")
    assert session.ask().suggested is None
    session.edit("x = 2", "x = 1")  # the edits before count again
    assert session.ask().quiet == ("passed_over",)


def test_a_suggestion_that_nobody_saw_is_not_held_against_it() -> None:
    session = Session("f(alpha)\ng(alpha)\nh(alpha)\nx = 1\n")
    session.edit("alpha", "beta")
    session.edit("alpha", "beta")
    assert session.ask().suggested
    session.edit("x = 1", "x = 2")
    assert session.ask().suggested is None
    session.edit("x = 2", "x = 1")
    assert session.ask().suggested


def test_asking_again_answers_the_same() -> None:
    session = Session("f(alpha)\ng(alpha)\nh(alpha)\n")
    session.edit("alpha", "beta")
    session.edit("alpha", "beta")
    first = session.ask().suggested
    assert first
    session.suggestions.shown(first.number)
    assert session.ask().suggested == first


@pytest.mark.parametrize("kind", PRIOR)
def test_it_learns_from_what_was_not_accepted(kind: str) -> None:
    experience = Experience()
    assert experience.confidence(kind) > LEAST_CONFIDENCE
    for number in range(20):
        experience.learn(NextEdit("/other", 0, 1, "a", f"b{number}", kind), "a", is_accepted=False)
    assert reason(NextEdit(A, 18, 23, "first", "second", kind), experience=experience) == "unsure"
    for number in range(30):
        experience.learn(NextEdit("/other", 0, 1, "a", f"b{number}", kind), "a", is_accepted=True)
    assert reason(NextEdit(A, 18, 23, "first", "second", kind), experience=experience) is None


def test_every_rule_says_why() -> None:
    assert all(rule.__doc__ for rule in RULES.values())
