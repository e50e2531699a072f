"""What became of the completions that were offered."""

import pytest

from scrubjay.positions import Position
from scrubjay_lsp.suggestions import N_REMEMBERED, Suggestions


def suggest_one(suggestions: Suggestions, text: str = "x😀") -> str:
    return suggestions.make("file:///a.py", 1, Position(0, 0), text, "").number


def test_an_offer_is_accepted_once() -> None:
    suggestions = Suggestions()
    number = suggest_one(suggestions)
    suggestions.shown(number)
    accepted = suggestions.accepted(number)
    assert accepted is not None
    assert accepted.text == "x😀"
    assert suggestions.accepted(number) is None
    assert (suggestions.counts.shown, suggestions.counts.accepted, suggestions.counts.accepted_characters) == (1, 1, 3)


def test_a_part_may_be_accepted_before_the_whole() -> None:
    suggestions = Suggestions()
    number = suggest_one(suggestions)
    suggestions.accepted_in_part(number, 1)
    assert suggestions.accepted(number)
    assert (suggestions.counts.accepted_in_part, suggestions.counts.accepted) == (1, 1)
    assert suggestions.counts.accepted_characters == 3


def test_what_was_rejected_cannot_be_accepted() -> None:
    suggestions = Suggestions()
    number = suggest_one(suggestions)
    suggestions.rejected(number)
    suggestions.rejected(number)
    assert suggestions.accepted(number) is None
    assert suggestions.counts.rejected == 1


@pytest.mark.parametrize("number", ["99", None, 1, [], {"x": 1}])
def test_unknown_numbers_are_passed_over(number: object) -> None:
    suggestions = Suggestions()
    suggest_one(suggestions)
    suggestions.shown(number)
    suggestions.accepted_in_part(number, 1)
    suggestions.rejected(number)
    assert suggestions.accepted(number) is None
    assert (suggestions.counts.shown, suggestions.counts.rejected) == (0, 0)


def test_only_so_many_are_remembered() -> None:
    suggestions = Suggestions()
    first = suggest_one(suggestions)
    for _ in range(N_REMEMBERED):
        last = suggest_one(suggestions)
    assert suggestions.accepted(first) is None
    assert suggestions.accepted(last)
