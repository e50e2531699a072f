"""What a server may have cached, as far as it is known here."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from scrubjay.engine.remote.dialects import DIALECTS, Sender, Served
from scrubjay.engine.remote.sent import MAX_PROMPTS, SentPrompts, cost_of, raw_key
from scrubjay.protocol.messages import Run
from scrubjay.tokens import as_tokens, common_length

PROMPTS = st.lists(st.lists(st.integers(0, 2), max_size=12), max_size=30)


@given(PROMPTS, st.lists(st.integers(0, 2), max_size=12))
def test_the_longest_beginning_that_was_sent_is_found(sent: list[list[int]], wanted: list[int]) -> None:
    prompts = SentPrompts()
    for number, tokens in enumerate(sent):
        prompts.add(f"/{number}", as_tokens(tokens))
    kept = sent[-MAX_PROMPTS:]
    expected = max((common_length(as_tokens(tokens), as_tokens(wanted)) for tokens in kept), default=0)
    assert prompts.common(as_tokens(wanted)) == expected
    assert len(prompts.contexts()) == len(kept)


@given(st.integers(1, 1000), st.integers(0, 1000), st.integers(0, 1000))
def test_the_account_of_a_prompt_adds_up(n_prompt: int, n_common: int, n_cached: int) -> None:
    cost = cost_of(n_prompt, min(n_common, n_prompt), n_cached, 1.0)
    assert 0 <= cost.processed <= cost.prompt == n_prompt
    assert 1 <= cost.needed <= n_prompt
    assert cost.common <= n_prompt
    assert (cost.reason == "cold") == (cost.processed == n_prompt)


def test_a_context_has_one_prompt() -> None:
    prompts = SentPrompts()
    for n in (3, 5):
        prompts.add("/one", as_tokens(np.arange(n)))
    assert [(context.key, context.n_resident) for context in prompts.contexts()] == [("/one", 5)]
    prompts.forget("/one")
    assert not prompts.contexts()


def test_what_was_sent_for_a_group_is_no_other_s() -> None:
    prompts, tokens = SentPrompts(), as_tokens(np.arange(9))
    prompts.add(raw_key("team"), tokens)
    prompts.add("/project", as_tokens(np.arange(4)))
    assert [prompts.common(tokens, group) for group in ("team", "", "eve")] == [9, 4, 0]
    assert [prompts.common(tokens)] == [4]


def test_a_server_is_told_whose_a_prompt_is_or_to_keep_nothing() -> None:
    served = Served("it", "openai", 100)
    bodies = {
        (name, group): dialect.body(
            Run(1, tokens=as_tokens([5, 6]), group=group), served, Sender("name", group and "salt")
        )
        for name, dialect in DIALECTS.items()
        for group in ("", "team")
    }
    assert bodies["openai", "team"]["cache_salt"] == "salt"
    assert "cache_salt" not in bodies["openai", ""]
    assert bodies["llama", ""]["cache_prompt"]
    assert not bodies["llama", "team"]["cache_prompt"]
    assert bodies["llama", "team"]["cold"]
