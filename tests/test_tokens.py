"""Token arrays: what they share and what names them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrubjay.tokens import MIN_SHARED_TOKENS, as_tokens, common_length, is_sequel, prefix_digest

ids = st.lists(st.integers(0, 3), max_size=30)


@given(ids, ids)
def test_common_length_is_that_of_the_longest_common_prefix(a: list[int], b: list[int]) -> None:
    n = common_length(as_tokens(a), as_tokens(b))
    assert a[:n] == b[:n]
    assert n == min(len(a), len(b)) or a[n] != b[n]


@given(st.integers(MIN_SHARED_TOKENS, 400), st.lists(st.integers(1000, 2000), max_size=100), st.integers(0, 100))
def test_an_edited_text_is_a_sequel_wherever_it_was_edited(at: int, new: list[int], n_gone: int) -> None:
    old = list(range(500))
    assert is_sequel(as_tokens(old), as_tokens(old[:at] + new + old[at + n_gone :]))


def test_what_only_begins_alike_is_no_sequel() -> None:
    old, other = list(range(500)), list(range(1000, 1500))
    assert not is_sequel(as_tokens(old), as_tokens(old[:100] + other))
    assert not is_sequel(as_tokens(old), as_tokens(other + old))
    assert is_sequel(as_tokens(old), as_tokens(old[:40]))
    assert is_sequel(as_tokens(old), as_tokens(old + other))


@given(ids, ids, st.integers(0, 30))
def test_prefixes_have_equal_names_exactly_when_they_are_equal(a: list[int], b: list[int], n: int) -> None:
    is_equal = a[:n] == b[:n]
    assert (prefix_digest(as_tokens(a), n) == prefix_digest(as_tokens(b), n)) == is_equal


def test_a_token_array_is_a_copy_that_nobody_can_change() -> None:
    source = np.array([1, 2, 3], dtype=np.int64)
    tokens = as_tokens(source)
    source[0] = 9
    assert tokens.tolist() == [1, 2, 3]
    with pytest.raises(ValueError, match="read-only"):
        tokens[0] = 5


def test_a_token_array_has_one_dimension() -> None:
    with pytest.raises(ValueError, match="one dimension"):
        as_tokens(np.zeros((2, 2), dtype=np.int32))
