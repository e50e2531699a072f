"""The records of a prompt's beginning, found without looking at those of others."""

from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from scrubjay.store.record_file import Draft, head_of, parse_head
from scrubjay.store.record_index import Filed, RecordIndex
from scrubjay.tokens import Tokens, as_tokens, common_length

small_tokens = st.lists(st.integers(0, 2), min_size=1, max_size=12).map(as_tokens)


@st.composite
def ranges(draw: st.DrawFn) -> tuple[Tokens, int]:
    tokens = draw(small_tokens)
    return tokens, draw(st.integers(0, len(tokens) - 1))


def filed(tokens: Tokens, begin: int, number: int) -> Filed:
    head = head_of(Draft("/p", tokens, begin, b"m", ()), {})
    return Filed(Path(str(number)), parse_head(head, len(head) + 1), 0)


@given(st.lists(ranges(), max_size=8), small_tokens, st.integers(0, 8))
def test_a_way_is_the_longest_that_hangs_together(made: list[tuple[Tokens, int]], prompt: Tokens, n_gone: int) -> None:
    index = RecordIndex()
    for number, (tokens, begin) in enumerate(made):
        index.add(filed(tokens, begin, number))
    for number in range(min(n_gone, len(made))):
        index.remove(Path(str(number)))
    left = made[n_gone:]
    n = 0
    for step, end in index.find(prompt, 12).way:
        record = step.record
        assert record.begin <= n < end <= record.end
        assert np.array_equal(record.tokens[: end - record.begin], prompt[record.begin : end])
        n = end
    # By the definition: step by step, whatever has more.
    best, grows = 0, True
    while grows:
        ends = [common_length(t, prompt) for t, begin in left if begin <= best and common_length(t, prompt) >= begin]
        grows = max(ends, default=0) > best
        best = max([best, *ends])
    assert n == best
