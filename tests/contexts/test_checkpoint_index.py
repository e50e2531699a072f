"""Which checkpoint serves a prompt, and which would be missed least."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from scrubjay.contexts.checkpoint_index import Checkpoint, CheckpointIndex, CheckpointKind, EditPredictor
from scrubjay.tokens import Tokens, as_tokens, prefix_digest

RESIDENT = as_tokens(np.arange(2000) % 97)


def index_of(lengths: list[int], resident: Tokens = RESIDENT, kind: CheckpointKind = "grid") -> CheckpointIndex:
    index = CheckpointIndex()
    for n in lengths:
        index.add(Checkpoint(n, prefix_digest(resident, n), kind, None, 100))
    return index


lengths = st.lists(st.integers(1, 1999), unique=True, max_size=30)


@given(lengths, st.integers(0, 1999), st.integers(0, 1999))
def test_the_best_is_what_a_linear_search_finds(at: list[int], keep: int, first_change: int) -> None:
    """Also when the bookkeeping claims more than is true: a prefix that differs is not believed."""
    prompt = as_tokens(np.concatenate([RESIDENT[:first_change], [999], RESIDENT[first_change + 1 :]]))
    right = [n for n in at if n <= keep and n <= first_change]
    best = index_of(at).best(prompt, keep, RESIDENT)
    assert (best.n_tokens if best else None) == max(right, default=None)


@given(lengths.filter(bool), st.integers(0, 1999))
def test_a_name_that_two_prefixes_share_restores_nothing(at: list[int], first_change: int) -> None:
    """As after a collision: the digests are those of the prompt, the resident tokens are others."""
    prompt = as_tokens(np.concatenate([RESIDENT[:first_change], [999], RESIDENT[first_change + 1 :]]))
    best = index_of(at, resident=prompt).best(prompt, 1999, RESIDENT)
    assert (best.n_tokens if best else None) == max((n for n in at if n <= first_change), default=None)


@given(lengths, st.integers(0, 1999))
def test_dropping_what_is_beyond_a_cut_keeps_the_rest(at: list[int], cut: int) -> None:
    index = index_of(at)
    dropped = index.drop_after(cut)
    assert sorted(item.n_tokens for item in dropped) == sorted(n for n in at if n > cut)
    assert [item.n_tokens for item in index] == sorted(n for n in at if n <= cut)


@given(lengths.filter(lambda at: len(at) > 2), st.integers(0, 1999))
def test_the_longest_and_the_pinned_one_are_never_offered(at: list[int], pick: int) -> None:
    index = index_of(at)
    index.pinned = index.at(at[pick % len(at)])
    offered = [item for _, item in index.eviction_costs(2000)]
    assert index.pinned not in offered
    assert index.at(max(at)) not in offered


def test_thinning_by_least_loss_keeps_the_spacing_even_without_edits() -> None:
    """Never the lowest by rule: what remains covers the context."""
    index = index_of(list(range(32, 2000, 32)))
    while len(index) > 16:
        index.remove(min(index.eviction_costs(2000), key=lambda pair: (pair[0], pair[1].n_tokens))[1])
    kept = [item.n_tokens for item in index]
    gaps = np.diff([0, *kept])
    assert gaps.max() <= 2 * 2000 / 16 + 32


def test_checkpoints_stay_denser_near_recent_edits() -> None:
    index = index_of(list(range(64, 2000, 64)))
    for _ in range(4):
        index.edits.record(640)
    while len(index) > 10:
        index.remove(min(index.eviction_costs(2000), key=lambda pair: (pair[0], pair[1].n_tokens))[1])
    kept = np.array([item.n_tokens for item in index])
    assert np.sum(np.abs(kept - 640) <= 256) > np.sum(np.abs(kept - 1600) <= 256)


@given(st.lists(st.integers(0, 2000), max_size=12), st.integers(0, 2000), st.integers(0, 2000), st.integers(0, 2000))
def test_weights_add_up_over_neighbouring_ranges(edits: list[int], a: int, b: int, c: int) -> None:
    model = EditPredictor()
    for at in edits:
        model.record(at)
    low, middle, high = sorted((a, b, c))
    whole = model.weight(low, high, 2000)
    assert np.isclose(whole, model.weight(low, middle, 2000) + model.weight(middle, high, 2000))
    assert whole >= 0


def test_a_new_tip_makes_older_ones_of_its_fine_cell_useless_but_the_last() -> None:
    index = index_of([64, 66, 68, 70, 90, 97], kind="tip")
    assert [item.n_tokens for item in index.redundant_tips(92)] == [64, 66, 68, 70]
