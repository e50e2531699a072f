"""Which conversation a raw prompt goes on from."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from scrubjay.service.residency import MAX_TRUNKS, ConversationIndex
from scrubjay.tokens import MIN_SHARED_TOKENS, Tokens, as_tokens, common_length


def prompt(seed: int, n: int = 200) -> Tokens:
    return as_tokens(np.random.default_rng(seed).integers(0, 1000, n).tolist())


def joined(*parts: Tokens) -> Tokens:
    return as_tokens(np.concatenate(parts).tolist())


def test_a_conversation_that_goes_on_keeps_its_key() -> None:
    trunks = ConversationIndex()
    first, _ = trunks.choose(prompt(1))
    other, _ = trunks.choose(prompt(2))
    assert first != other
    assert trunks.choose(joined(prompt(1), prompt(3, 50))) == (first, None)
    assert trunks.choose(prompt(1)[:150]) == (first, None)


def test_an_edit_near_the_beginning_does_not_begin_anew() -> None:
    trunks = ConversationIndex()
    first, _ = trunks.choose(prompt(1, 1000))
    edited = joined(prompt(1, 1000)[:100], prompt(2, 5), prompt(1, 1000)[103:])
    assert trunks.choose(edited) == (first, None)


def test_a_short_common_beginning_is_no_conversation() -> None:
    """A title for a long chat must not take its place."""
    trunks = ConversationIndex()
    first, _ = trunks.choose(prompt(1))
    short, _ = trunks.choose(joined(prompt(1)[: MIN_SHARED_TOKENS - 2], prompt(5, 40)))
    long, _ = trunks.choose(joined(prompt(1)[:60], prompt(6, 500)))
    assert len({first, short, long}) == 3


def test_the_one_not_used_for_longest_is_forgotten() -> None:
    trunks = ConversationIndex()
    keys = [trunks.choose(prompt(seed))[0] for seed in range(MAX_TRUNKS)]
    trunks.choose(prompt(0))
    _, forgotten = trunks.choose(prompt(99))
    assert forgotten == keys[1]
    assert trunks.choose(prompt(0)) == (keys[0], None)


@given(st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=80), min_size=1, max_size=40))
def test_a_key_means_one_conversation(prompts: list[list[int]]) -> None:
    trunks, last = ConversationIndex(), dict[str, Tokens]()
    for tokens in map(as_tokens, prompts):
        key, forgotten = trunks.choose(tokens)
        if key in last:
            common = common_length(last[key], tokens)
            assert common >= min(MIN_SHARED_TOKENS, len(tokens) - 1)
            assert common == max(common_length(old, tokens) for old in last.values())
        last[key] = tokens
        if forgotten:
            del last[forgotten]
        assert len(last) <= MAX_TRUNKS
