"""The simulation of a team, small: its caches keep their law, and affinity and layout do what they are for."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from scrubjay.tokens import Tokens, as_tokens, common_length
from tests.benchmarks.scale import (
    BLOCK,
    LAYOUTS,
    MAX_BUSY,
    Ask,
    Machine,
    Server,
    asks_of,
    block_names,
    needed,
    simulate,
    traces,
)
from tests.support.gguf_models import tiny_model

PROMPTS = st.lists(st.lists(st.integers(0, 1), max_size=4 * BLOCK), min_size=1, max_size=12)


@given(PROMPTS)
def test_a_large_cache_has_every_block_that_was_sent(prompts: list[list[int]]) -> None:
    server, sent = Server(1000), list[Tokens]()
    for number, ask in enumerate(asks_of([(0.0, as_tokens(prompt)) for prompt in prompts])):
        tokens = as_tokens(prompts[number])
        n_known = max((common_length(tokens, other) // BLOCK * BLOCK for other in sent), default=0)
        assert server.serve(ask) == len(tokens) - min(n_known, len(tokens) - 1)
        sent.append(tokens)


@given(st.lists(st.integers(0, 30), min_size=1, max_size=60), st.integers(1, 8))
def test_a_small_cache_has_what_was_used_last(names: list[int], n_blocks: int) -> None:
    server, used = Server(n_blocks), list[int]()
    for name in names:
        is_hit = server.serve(Ask(0.0, (name,), BLOCK + 1)) == 1
        assert is_hit == (name in used[-n_blocks:])
        used = [*(other for other in used if other != name), name]


def test_names_stand_for_all_that_comes_before() -> None:
    tokens = as_tokens(np.arange(5 * BLOCK) % 7)
    names = block_names(tokens)
    other = as_tokens([9, *tokens[1:].tolist()])
    assert not set(names) & set(block_names(other))
    assert block_names(tokens, (other, block_names(other))) == names
    assert block_names(tokens[: 3 * BLOCK + 5], (tokens, names)) == names[:3]


def test_affinity_and_a_layout_that_only_grows_spare_tokens() -> None:
    found = {layout: traces(layout, 2, 60, tiny_model("dense")) for layout in LAYOUTS}
    machine = Machine(cache_tokens=100_000, prefill_speed=10_000, decode_speed=2_000)
    results = {layout: simulate(known, 4, 4, machine, affinity=True) for layout, known in found.items()}
    assert results["scrubjay"].hit_rate > max(results["lines"].hit_rate, results["characters"].hit_rate)
    without = simulate(found["scrubjay"], 4, 4, machine, affinity=False)
    assert without.hit_rate < results["scrubjay"].hit_rate


def test_enough_servers_are_found() -> None:
    known = traces("characters", 1, 40, tiny_model("dense"))
    slow = Machine(cache_tokens=100_000, prefill_speed=2_000, decode_speed=1_000)
    n_servers, result = needed(known, 8, slow, affinity=True)
    assert n_servers == 8 or result.load <= MAX_BUSY
    assert n_servers > 1
