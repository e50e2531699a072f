"""The checkpoints' bytes: never over the budget, every buffer accounted for, and coverage kept when they run out."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrubjay.context_keys import GUARANTEED
from scrubjay.contexts.checkpoint_index import CheckpointIndex
from scrubjay.contexts.checkpoint_pool import CheckpointPool
from scrubjay.contexts.context_pool import STALE
from scrubjay.tokens import as_tokens
from tests.support.engine_rig import MIB, Rig, random_tokens, rig


@dataclass(slots=True)
class Owner:
    """What a pool must know of a context."""

    checkpoints: CheckpointIndex
    n_resident: int
    importance: float = 1.0
    group: str = ""


def fill(pool: CheckpointPool, index: CheckpointIndex, n_tokens: int, size: int) -> bool:
    digest = n_tokens.to_bytes(16, "little")
    return pool.save(index, n_tokens, digest, "grid", size, lambda buffer: buffer.nbytes) is not None


@given(
    st.integers(0, 1000),
    st.lists(st.tuples(st.integers(0, 1), st.integers(1, 60), st.integers(1, 400), st.booleans()), max_size=60),
)
def test_the_budget_is_never_exceeded(budget: int, steps: list[tuple[int, int, int, bool]]) -> None:
    """Whatever is saved and forgotten, of whatever sizes, by two contexts."""
    pool, indexes = CheckpointPool(budget), [CheckpointIndex(), CheckpointIndex()]
    for index in indexes:
        pool.register(Owner(index, 60))
    for which, n_tokens, size, is_forgotten in steps:
        index = indexes[which]
        if is_forgotten:
            pool.forget(index, n_tokens)
        elif index.at(n_tokens) is None:
            assert fill(pool, index, n_tokens, size) or size > budget or index_is_stuck(pool, indexes)
        pool.check_integrity()
        assert pool.used() <= budget


def index_is_stuck(pool: CheckpointPool, indexes: list[CheckpointIndex]) -> bool:
    """Whether only the longest checkpoints are left, which never go."""
    return all(len(index) <= 1 for index in indexes) and pool.used() > 0


def test_the_memory_that_was_given_back_last_is_used_first() -> None:
    """An edit drops the checkpoints after it and saves as many: in memory that has just been used."""
    pool, index = CheckpointPool(1000), CheckpointIndex()
    pool.register(Owner(index, 10))
    pool.prepare(100, 5)
    for n_tokens in (1, 2, 3):
        fill(pool, index, n_tokens, 100)
    used = {id(item.buffer) for item in index if item.n_tokens > 1}
    pool.forget(index, 1)
    for n_tokens in (4, 5):
        fill(pool, index, n_tokens, 100)
    assert {id(item.buffer) for item in index if item.n_tokens > 1} == used


def test_checkpoints_near_the_end_of_the_prompt_in_use_outlast_those_of_contexts_nobody_asks_for() -> None:
    pool, old, used = CheckpointPool(30 * 100), CheckpointIndex(), CheckpointIndex()
    pool.register(Owner(old, 2048, STALE**4))
    pool.register(Owner(used, 2048))
    for n_tokens in range(128, 2049, 128):
        fill(pool, old, n_tokens, 100)
    at_the_end = range(2048 - 64, 2048, 8)
    for n_tokens in (*range(128, 1984, 128), *at_the_end):
        fill(pool, used, n_tokens, 100)
    assert {item.n_tokens for item in used} >= set(at_the_end)


def test_a_state_that_could_not_be_written_is_no_checkpoint() -> None:
    pool, index = CheckpointPool(1000), CheckpointIndex()
    pool.register(Owner(index, 10))
    assert pool.save(index, 5, bytes(16), "grid", 100, lambda _: 0) is None
    assert len(index) == 0
    pool.check_integrity()


def edit(r: Rig, prompt: np.ndarray, at: int) -> int:
    """Change the token at `at`; the excess that it costs."""
    return r.warm.sync(as_tokens(np.concatenate([prompt[:at], [at % 7], prompt[at + 1 :]]))).excess


@pytest.mark.parametrize("kind", ["shortconv", "deltanet", "recurrent"])
def test_a_budget_too_small_for_every_interval_thins_the_spacing_out_evenly(kind: str) -> None:
    """With room for n checkpoints the excess is about 2 / n of the prompt, wherever the edit is."""
    with rig(kind, interval=16, budget=64 * MIB, n_ctx=1024) as sample:
        sample.warm.sync(random_tokens(np.random.default_rng(0), 17))
        size = next(iter(sample.warm.checkpoints)).size
    n_room = 12
    with rig(kind, interval=16, budget=n_room * size, n_ctx=1024) as r:
        prompt = random_tokens(np.random.default_rng(1), 960)
        r.warm.sync(prompt)
        r.check_integrity()
        assert len(r.warm.checkpoints) == n_room
        for at in (900, 700, 480, 200):
            assert edit(r, prompt, at) <= 2.5 * 960 / n_room
            r.check_integrity()
            assert r.pool.allocated <= r.pool.budget
            r.warm.sync(prompt)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 400), st.integers(1, 120)), min_size=20, max_size=80))
def test_nobody_takes_what_another_holds_of_his_part(steps: list[tuple[str, int, int]]) -> None:
    """Of half of the budget, divided equally; what goes beyond that may go."""
    pool = CheckpointPool(1000)
    owners = {group: Owner(CheckpointIndex(), 400, importance=0.1, group=group) for group in "abc"}
    for owner in owners.values():
        pool.register(owner)
    for group, n_tokens, size in steps:
        before = {name: sum(item.size for item in owner.checkpoints) for name, owner in owners.items()}
        owners[group].importance = 1.0
        if owners[group].checkpoints.at(n_tokens) is None:
            fill(pool, owners[group].checkpoints, n_tokens, size)
        pool.check_integrity()
        part = 1000 * GUARANTEED / 3
        for name, owner in owners.items():
            after = sum(item.size for item in owner.checkpoints)
            assert name == group or after >= min(before[name], part - 120)
            assert name == group or before[name] > part or after == before[name]
