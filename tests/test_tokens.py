"""Token arrays: what they share and what names them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrubjay.tokens import as_tokens, common_length, prefix_digest

ids = st.lists(st.integers(0, 3), max_size=30)


@given(ids, ids)
def test_common_length_is_that_of_the_longest_common_prefix(a: list[int], b: list[int]) -> None:
    n = common_length(as_tokens(a), as_tokens(b))
    assert a[:n] == b[:n]
    assert n == min(len(a), len(b)) or a[n] != b[n]


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
