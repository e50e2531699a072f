"""What became of the completions that were offered."""

import pytest

from scrubjay_lsp.offers import N_REMEMBERED, Offers
from scrubjay_lsp.text import Place


def offer_one(offers: Offers, text: str = "x😀") -> str:
    return offers.make("file:///a.py", 1, Place(0, 0), text, "").number


def test_an_offer_is_accepted_once() -> None:
    offers = Offers()
    number = offer_one(offers)
    offers.shown(number)
    accepted = offers.accepted(number)
    assert accepted is not None
    assert accepted.text == "x😀"
    assert offers.accepted(number) is None
    assert (offers.counts.shown, offers.counts.accepted, offers.counts.accepted_characters) == (1, 1, 3)


def test_a_part_may_be_accepted_before_the_whole() -> None:
    offers = Offers()
    number = offer_one(offers)
    offers.accepted_in_part(number, 1)
    assert offers.accepted(number)
    assert (offers.counts.accepted_in_part, offers.counts.accepted) == (1, 1)
    assert offers.counts.accepted_characters == 3


def test_what_was_rejected_cannot_be_accepted() -> None:
    offers = Offers()
    number = offer_one(offers)
    offers.rejected(number)
    offers.rejected(number)
    assert offers.accepted(number) is None
    assert offers.counts.rejected == 1


@pytest.mark.parametrize("number", ["99", None, 1, [], {"x": 1}])
def test_unknown_numbers_are_passed_over(number: object) -> None:
    offers = Offers()
    offer_one(offers)
    offers.shown(number)
    offers.accepted_in_part(number, 1)
    offers.rejected(number)
    assert offers.accepted(number) is None
    assert (offers.counts.shown, offers.counts.rejected) == (0, 0)


def test_only_so_many_are_remembered() -> None:
    offers = Offers()
    first = offer_one(offers)
    for _ in range(N_REMEMBERED):
        last = offer_one(offers)
    assert offers.accepted(first) is None
    assert offers.accepted(last)
