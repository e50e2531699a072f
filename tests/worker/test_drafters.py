"""What may come next, by text alone: the interface of drafters, and what is made of how often they were right."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrubjay.tokens import EMPTY, as_tokens
from scrubjay.worker.drafters import (
    MAX_MATCH,
    MIN_AGREED,
    Draft,
    ExpectedDrafter,
    Record,
    RepeatDrafter,
    drafters_for,
    expected,
    places,
    substituted,
)

TEXTS = st.lists(st.integers(0, 3), max_size=40).map(as_tokens)


def proposed(draft: Draft | None) -> list[int]:
    return draft.tokens.tolist() if draft else []


@given(TEXTS, TEXTS)
def test_places_are_where_the_last_tokens_stand(text: np.ndarray, known: np.ndarray) -> None:
    ends, lengths = places(text, known)
    for end, n in zip(ends.tolist(), lengths.tolist(), strict=True):
        assert 1 <= n <= MAX_MATCH
        assert text[end - n : end].tolist() == known[len(known) - n :].tolist()
        is_whole = n in (MAX_MATCH, end, len(known))
        assert is_whole or text[end - n - 1] != known[len(known) - n - 1]
    assert ends.tolist() == [i + 1 for i, token in enumerate(text) if len(known) and token == known[-1]]


@given(TEXTS, TEXTS, TEXTS, st.integers(1, 8))
def test_a_draft_has_as_many_tokens_as_are_wanted_or_fewer(
    prediction: np.ndarray, other: np.ndarray, known: np.ndarray, n: int
) -> None:
    for drafter in drafters_for(prediction, [other]):
        draft = drafter.propose(known, n)
        assert draft is None or 1 <= len(draft.tokens) <= n


def test_what_was_repeated_goes_on_as_it_went_on() -> None:
    drafter = RepeatDrafter()
    assert proposed(drafter.propose(as_tokens([1, 2, 3, 4, 5, 9, 1, 2, 3]), 2)) == [4, 5]
    assert drafter.propose(as_tokens([1, 2, 3, 4, 5, 9, 0, 2, 3]), 2) is None, "two tokens say too little"


def test_what_goes_round_in_circles_is_drafted_as_long_as_is_wanted() -> None:
    assert proposed(RepeatDrafter().propose(as_tokens([5, 1, 2, 3, 1, 2, 3, 1, 2, 3]), 5)) == [1, 2, 3, 1, 2]


def test_the_longest_agreement_counts_and_of_equals_the_last() -> None:
    drafter = RepeatDrafter()
    assert proposed(drafter.propose(as_tokens([7, 1, 2, 3, 4, 0, 1, 2, 3, 5, 7, 1, 2, 3]), 1)) == [4]
    assert proposed(drafter.propose(as_tokens([0, 1, 2, 3, 4, 9, 1, 2, 3, 5, 8, 1, 2, 3]), 1)) == [5]


def test_a_prediction_begins_with_its_beginning_and_goes_on_after_a_change() -> None:
    drafter = ExpectedDrafter("prediction", as_tokens([10, 11, 12, 13, 14, 15, 16]), from_start=True)
    prompt = [1, 2]
    assert proposed(drafter.propose(as_tokens(prompt), 3)) == [10, 11, 12]
    # 11 became 90: one token that agrees is enough, so near.
    assert drafter.propose(as_tokens([*prompt, 10, 90]), 3) is None
    assert proposed(drafter.propose(as_tokens([*prompt, 10, 90, 12]), 3)) == [13, 14, 15]
    assert drafter.propose(as_tokens([*prompt, 10, 90, 12, 13, 14, 15, 16]), 3) is None, "it is at its end"


def test_the_first_token_of_an_answer_may_be_known_already() -> None:
    drafter = ExpectedDrafter("prediction", as_tokens([10, 11, 12]), from_start=True)
    assert proposed(drafter.propose(as_tokens([1, 2, 10]), 3)) == [11, 12]


FIRST, SECOND, THIRD = ([20 + 10 * n + i for i in range(MIN_AGREED + 1)] for n in range(3))


@pytest.mark.parametrize(
    ("old", "new"),
    [([5], [6]), ([5], [5, 6]), ([5], [7, 8, 9]), ([5, 6], [7]), ([5, 6], [5]), ([5], [])],
    ids=["another", "more after it", "three", "one of two", "without the last", "without"],
)
def test_what_was_changed_once_is_expected_to_be_changed_again(old: list[int], new: list[int]) -> None:
    text = as_tokens([10, *old, *FIRST, *old, *SECOND, *old, *THIRD])
    drafter = ExpectedDrafter("prediction", text, from_start=True)
    written = [1, 10, *new, *FIRST]
    for n in range(2, len(written)):
        drafter.propose(as_tokens(written[:n]), 4)
    assert proposed(drafter.propose(as_tokens(written), 99)) == [*new, *SECOND, *new, *THIRD]


def test_what_was_changed_only_once_is_not_expected_for_long() -> None:
    drafter = ExpectedDrafter("prediction", as_tokens([10, 5, *FIRST, 5, *SECOND, 5, *THIRD]), from_start=True)
    drafter.propose(as_tokens([1, 10]), 4)
    assert proposed(drafter.propose(as_tokens([1, 10, 6, *FIRST]), 1)) == [6]
    assert proposed(drafter.propose(as_tokens([1, 10, 6, *FIRST, 5, *SECOND]), 1)) == [5]


def test_what_is_expected_does_not_grow_without_an_end() -> None:
    text = as_tokens([*FIRST, 5] * 20)
    drafter, written = ExpectedDrafter("prediction", text, from_start=True), [1, *FIRST]
    for n in range(2, 12):
        written += [5] * n + FIRST
        draft = drafter.propose(as_tokens(written), 10_000)
        assert draft is None or len(draft.tokens) <= 2 * len(text)


@given(TEXTS, st.lists(st.integers(0, 3), min_size=1, max_size=3), st.lists(st.integers(4, 5), max_size=3))
def test_tokens_are_substituted_as_characters_would_be(text: np.ndarray, old: list[int], new: list[int]) -> None:
    as_text = "".join(map(str, text.tolist())).replace("".join(map(str, old)), "".join(map(str, new)))
    assert "".join(map(str, substituted(text, as_tokens(old), as_tokens(new)).tolist())) == as_text


def test_of_equal_places_in_a_prediction_the_next_one_counts() -> None:
    drafter = ExpectedDrafter("prediction", as_tokens([1, 2, 3, 4, 1, 2, 3, 5, 1, 2, 3, 6]), from_start=True)
    drafter.propose(as_tokens([0]), 4)
    assert proposed(drafter.propose(as_tokens([0, 1, 2, 3]), 1)) == [4]
    assert proposed(drafter.propose(as_tokens([0, 1, 2, 3, 4, 1, 2, 3]), 1)) == [5]
    assert proposed(drafter.propose(as_tokens([0, 1, 2, 3, 4, 1, 2, 3, 5, 1, 2, 3]), 1)) == [6]


def test_a_text_of_the_workspace_needs_a_place_to_begin() -> None:
    drafter = ExpectedDrafter("workspace", as_tokens([4, 5, 6, 7]), from_start=False)
    assert drafter.propose(EMPTY, 2) is None
    assert proposed(drafter.propose(as_tokens([1, 4, 5, 6]), 2)) == [7]


def test_a_drafter_that_keeps_being_wrong_is_trusted_less_and_forgiven_later() -> None:
    record = Record()
    at_first = record.chance("a")
    for _ in range(50):
        record.note("a", 0, is_wrong=True)
    assert record.chance("a") < 0.15 < at_first == record.chance("b")
    for _ in range(200):
        record.forgive("a")
    assert record.chance("a") > 0.7


def test_what_was_long_ago_counts_no_more() -> None:
    record = Record()
    for _ in range(1000):
        record.note("a", 1, is_wrong=False)
    for _ in range(500):
        record.note("a", 0, is_wrong=True)
    assert record.chance("a") < 0.3


def test_a_generation_that_differs_from_those_before_is_noticed_soon_and_remembered() -> None:
    before = Record()
    for _ in range(100):
        before.note("a", 8, is_wrong=False)
    usual = before.chance("a")
    now = Record(before)
    assert usual > 0.95
    assert now.chance("a") == usual
    for _ in range(8):
        now.note("a", 0, is_wrong=True)
    assert now.chance("a") < 0.55
    assert usual > before.chance("a") > 0.8
    for _ in range(300):
        now.forgive("a")
    assert now.chance("a") > 0.7


class Saying:
    """A drafter that says one thing."""

    def __init__(self, key: str, n: int) -> None:
        self._draft = Draft(as_tokens([n] * n), key)

    def propose(self, known: np.ndarray, n: int) -> Draft | None:  # noqa: ARG002
        return self._draft


def test_the_draft_with_the_most_tokens_that_are_likely_right_wins() -> None:
    record = Record()
    for _ in range(20):
        record.note("good", 8, is_wrong=False)
        record.note("bad", 0, is_wrong=True)
    best = record.best([Saying("bad", 30), Saying("good", 4)], EMPTY, 31)
    assert best and best.key == "good"
    best = record.best([Saying("good", 4), Saying("good", 9)], EMPTY, 31)
    assert best and len(best.tokens) == 9
    assert record.best([], EMPTY, 31) is None


@given(st.floats(0, 1), st.integers(0, 40))
def test_how_many_tokens_of_a_draft_are_right(chance: float, n: int) -> None:
    got = expected(chance, n)
    assert got == sum(chance**i for i in range(1, n + 1)) or abs(got - sum(chance**i for i in range(1, n + 1))) < 1e-6
