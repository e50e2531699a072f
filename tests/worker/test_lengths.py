"""Which lengths of decodes may be used, and which is worth most."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrubjay.worker.lengths import DecodeLengths, draft_lengths

CHEAP = {1: 1.0, 2: 1.1, 4: 1.3, 8: 2.0, 16: 3.5}


def test_where_no_bit_changes_every_request_is_drafted() -> None:
    free, paired = draft_lengths({1: (1.0, b"a"), 2: (1.1, b"a"), 16: (2.0, b"a"), 32: (90.0, b"b")}, -1)
    assert free is paired
    assert sorted(free.seconds) == [1, 2, 16]


def test_where_single_tokens_are_rounded_otherwise_only_predictions_are_drafted_in_lengths_that_are_alike() -> None:
    free, paired = draft_lengths({1: (1.0, b"a"), 2: (1.1, b"b"), 4: (2.0, b"b"), 8: (9.0, b"c")}, -1)
    assert sorted(free.seconds) == [1]
    assert sorted(paired.seconds) == [2, 4]


def test_what_copies_a_prediction_the_quickest_is_chosen_even_if_no_decode_is_short() -> None:
    measured = {1: (1.0, b"a"), 2: (1.7, b"a"), 3: (2.1, b"a"), 4: (2.3, b"b"), 8: (3.0, b"c"), 16: (4.0, b"c")}
    free, paired = draft_lengths(measured, -1)
    assert sorted(free.seconds) == [1, 2, 3]
    assert sorted(paired.seconds) == [8, 16]


@pytest.mark.parametrize("measured", [{}, {1: (1.0, b"a")}, {1: (1.0, b"a"), 2: (2.0, b"b"), 4: (4.0, b"c")}])
def test_where_nothing_pays_nothing_is_drafted(measured: dict[int, tuple[float, bytes]]) -> None:
    assert [sorted(lengths.seconds) for lengths in draft_lengths(measured, -1)] == [[1], [1]]


def test_who_wants_drafts_has_them_also_where_they_do_not_pay() -> None:
    _, paired = draft_lengths({1: (1.0, b"a"), 2: (2.0, b"b"), 4: (4.0, b"b")}, 4)
    assert sorted(paired.seconds) == [2, 4]


def test_who_wants_no_drafts_has_none() -> None:
    free, paired = draft_lengths({1: (1.0, b"a"), 2: (1.1, b"a")}, 0)
    assert free.longest == paired.longest == 1


@given(st.integers(1, 200), st.sets(st.sampled_from([1, 2, 4, 8, 16, 32]), min_size=1))
def test_parts_add_up(n: int, lengths: set[int]) -> None:
    made = DecodeLengths(dict.fromkeys(lengths, 1.0))
    parts = made.parts(n)
    assert set(parts) <= lengths
    assert n <= sum(parts) < n + made.shortest
    assert all(sum(parts[:i]) < n for i in range(1, len(parts)))


def test_the_likelier_a_draft_the_more_of_it_is_tried() -> None:
    lengths = DecodeLengths(dict(CHEAP))
    chosen = [lengths.choose(chance, 1, 31, redoes=False) for chance in (0.02, 0.3, 0.7, 0.99)]
    assert chosen == sorted(chosen)
    assert chosen[0] == 1
    assert chosen[-1] == 16


def test_no_more_is_tried_than_was_drafted() -> None:
    assert DecodeLengths(dict(CHEAP)).choose(0.99, 1, 4, redoes=False) == 4


def test_a_draft_shorter_than_any_decode_costs_nothing_more() -> None:
    lengths = DecodeLengths({8: 4.0, 16: 7.0})
    assert lengths.choose(0.5, 1, 2, redoes=False) == 8
    assert lengths.choose(0.01, 1, 2, redoes=False) == 1, "it is hardly ever right"


def test_a_memory_that_must_do_all_again_is_more_careful() -> None:
    lengths = DecodeLengths(dict(CHEAP))
    assert lengths.choose(0.5, 1, 31, redoes=True) <= lengths.choose(0.5, 1, 31, redoes=False)


def test_where_drafts_lose_there_are_none() -> None:
    lengths = DecodeLengths({1: 1.0, 8: 8.5, 16: 17.0})
    assert lengths.choose(0.99, 1, 31, redoes=False) == 1


def test_a_fixed_number_does_not_ask_for_gains() -> None:
    lengths = DecodeLengths({1: 1.0, 4: 9.0, 8: 99.0}, most=6)
    assert lengths.choose(0.01, 1, 31, redoes=False) == 4


def test_speeds_follow_what_is_seen() -> None:
    lengths = DecodeLengths({1: 1.0, 8: 2.0})
    for _ in range(100):
        lengths.note(8, 12.0)
        lengths.note(1, 1.0)
    assert lengths.choose(0.99, 1, 31, redoes=False) == 1
    lengths.note(4, 1.0)
    assert sorted(lengths.seconds) == [1, 8]
