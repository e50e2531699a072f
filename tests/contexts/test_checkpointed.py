"""The laws of a warm context, on every memory class: what is reused costs little, and changes nothing."""

from functools import partial

import numpy as np
import pytest

from scrubjay.contexts.naive import Control, Interrupted
from scrubjay.llama.devices import can_offload
from scrubjay.tokens import as_tokens
from tests.support.engine_rig import (
    CLASSES,
    NOISE,
    interrupt_after,
    is_same,
    logits_after,
    nmse,
    random_tokens,
    rig,
    set_flag_at,
)
from tests.support.gguf_models import TINY_WINDOW

WITH_CHECKPOINTS = ("swa", "shortconv", "deltanet", "mamba2_hybrid", "recurrent", "hybrid_swa")
INTERVAL = 16
ONE_RESTORE = 1e-5
"""What it may add to the error of a ring on a GPU; 2.2e-6 was seen in software."""
make_rig = partial(rig, interval=INTERVAL, n_ctx=512)


@pytest.mark.parametrize("kind", CLASSES)
def test_on_the_grid_a_warm_prefill_is_bit_equal_to_a_cold_one(kind: str) -> None:
    """Law 4: an edit at a cut of the grid runs the same batches as a prefill from nothing."""
    with make_rig(kind) as r:
        prompt = random_tokens(np.random.default_rng(1), 200)
        r.warm.sync(prompt)
        for at in (5 * INTERVAL, 3 * INTERVAL, 9 * INTERVAL):
            prompt = as_tokens(np.concatenate([prompt[:at], [at], prompt[at + 1 :]]))
            assert r.warm.sync(prompt).processed == len(prompt) - at
            r.cold.sync(prompt)
            warm, cold = logits_after(r.warm), logits_after(r.cold)
            # A GPU adds up a window in the order in which it stands in the ring, which a restore changes.
            is_in_ring = can_offload() and r.warm.memory_class in ("swa", "hybrid-swa")
            assert nmse(warm, cold) <= ONE_RESTORE if is_in_ring else np.array_equal(warm, cold)


@pytest.mark.parametrize("kind", CLASSES)
def test_generation_after_an_edit_is_the_cold_one(kind: str) -> None:
    """The greedy continuation is that of a cold context, here where the grid was kept and so the bits are the same."""
    with make_rig(kind) as r:
        prompt = random_tokens(np.random.default_rng(2), 200)
        r.warm.sync(prompt)
        r.generate(r.warm, 10)
        edited = as_tokens(np.concatenate([prompt[:80], [7], prompt[81:]]))
        r.warm.sync(edited)
        r.cold.sync(edited)
        assert r.generate(r.warm, 20) == r.generate(r.cold, 20)


@pytest.mark.slow
@pytest.mark.parametrize("kind", CLASSES)
def test_a_cancelled_prefill_asked_again_costs_only_the_rest(kind: str) -> None:
    """Law 5, at 4,000 tokens: what finished decodes have done is never done again."""
    with make_rig(kind, interval=256, n_ctx=4352) as r:
        prompt = random_tokens(np.random.default_rng(3), 4000)
        with pytest.raises(Interrupted):
            r.warm.sync(prompt, control=Control(check=interrupt_after(9)))
        assert r.warm.n_resident == (done := 9 * r.llama.n_batch)
        again = r.warm.sync(prompt)
        assert again.processed == again.needed == 4000 - done


@pytest.mark.parametrize("kind", WITH_CHECKPOINTS)
def test_an_abort_inside_a_decode_is_undone_before_anything_else(kind: str) -> None:
    """Trap 10: an aborted decode leaves the memory claiming tokens that it never evaluated."""
    with make_rig(kind, interval=64) as r:
        prompt = random_tokens(np.random.default_rng(4), 300)
        control = Control(check=set_flag_at(2, r.abort.set), clear_abort=r.abort.clear)
        processed = r.warm.sync(prompt, control=control)
        assert r.counters.n_aborted == 1
        assert processed.processed == 300
        r.cold.sync(prompt)
        assert is_same(r, logits_after(r.warm), logits_after(r.cold))


@pytest.mark.skipif(can_offload(), reason="a GPU computes a decode in one part, and is not asked in the middle of it")
@pytest.mark.parametrize("kind", CLASSES)
def test_an_abort_in_the_second_part_of_a_decode_undoes_the_first_as_well(kind: str) -> None:
    """Trap 10 where a decode is computed in two parts: the memory has a half of it when it is given up."""
    with make_rig(kind, interval=256, n_ctx=1024) as r:
        prompt = random_tokens(np.random.default_rng(8), 700)
        with r.llama.asking() as n_asked:
            r.warm.sync(prompt[:257])  # one decode of two parts, and the last token
        with r.llama.asking(abort_at=n_asked[0] * 3 // 4):
            processed = r.warm.sync(prompt)
        assert (r.counters.n_aborted, processed.common, processed.processed) == (1, 257, 700 - 257)
        r.check_integrity()
        assert is_same(r, logits_after(r.warm), r.logits_of_the_same_decodes())


@pytest.mark.slow
@pytest.mark.parametrize("kind", CLASSES)
def test_edits_far_apart_from_checkpoints_change_nothing(kind: str) -> None:
    """Decodes of two parts, but where a sliding window may have been restored: there llama.cpp would give up to 0.06 then."""
    with make_rig(kind, interval=256, n_ctx=1024) as r:
        rng = np.random.default_rng(9)
        prompt = random_tokens(rng, 900)
        for _ in range(25):
            at, n = int(rng.integers(1, 700)), int(rng.integers(701, 1000))
            prompt = as_tokens(np.concatenate([prompt[:at], random_tokens(rng, n - at)]))
            assert r.warm.sync(prompt).excess <= 256
            assert is_same(r, logits_after(r.warm), r.logits_of_the_same_decodes())
        r.check_integrity()


@pytest.mark.parametrize("kind", WITH_CHECKPOINTS)
@pytest.mark.parametrize("damage", ["emptied", "wrong magic"])
def test_a_checkpoint_that_cannot_be_restored_costs_a_prefill_and_no_more(kind: str, damage: str) -> None:
    """Law 3: any failure clears, forgets and starts from 0, and is counted."""
    with make_rig(kind, n_ctx=1024) as r:
        prompt = random_tokens(np.random.default_rng(5), 700)  # too long for a mere cut of a sliding window
        r.warm.sync(prompt)
        for item in r.warm.checkpoints:
            item.buffer[: item.size if damage == "emptied" else 4] = 0
        edited = as_tokens(np.concatenate([prompt[:40], [7], prompt[41:]]))
        processed = r.warm.sync(edited)
        assert (processed.reason, processed.processed) == ("repaired", 700)
        assert r.counters.n_repaired == 1
        r.check_integrity()
        warm = logits_after(r.warm)
        r.cold.sync(edited)
        # A GPU rounds otherwise in decodes of other lengths.
        want = r.logits_of_the_same_decodes() if can_offload() else logits_after(r.cold)
        assert np.array_equal(warm, want)


def test_a_checkpoint_of_another_prefix_is_not_believed() -> None:
    """Law 2: the digest must be that of the prompt's prefix, whatever the bookkeeping says."""
    with make_rig("shortconv") as r:
        prompt = random_tokens(np.random.default_rng(6), 100)
        r.warm.sync(prompt)
        for item in r.warm.checkpoints:
            item.digest = bytes(16)
        processed = r.warm.sync(as_tokens(np.concatenate([prompt[:50], [7], prompt[51:]])))
        assert (processed.reason, processed.restored, processed.processed) == ("cold", 0, 100)


@pytest.mark.parametrize("kind", ["dense", "swa_full"])
def test_memory_that_can_be_cut_anywhere_keeps_no_checkpoints(kind: str) -> None:
    """Trap 7: a "partial" state of plain attention is all of it."""
    with make_rig(kind) as r:
        prompt = random_tokens(np.random.default_rng(7), 200)
        r.warm.sync(prompt, boundaries=(50, 100))
        processed = r.warm.sync(as_tokens(np.concatenate([prompt[:77], [7], prompt[78:]])))
        assert (processed.reason, processed.excess) == ("truncate", 0)
        assert r.pool.n_saved == 0


def test_plain_attention_cut_where_the_warm_one_goes_on_gives_the_same_bits() -> None:
    with make_rig("dense") as r:
        prompt = random_tokens(np.random.default_rng(11), 200)
        r.warm.sync(prompt)
        edited = as_tokens(np.concatenate([prompt[:199], [7]]))
        r.warm.sync(edited)
        r.cold.sync(edited, boundaries=(199,))
        assert np.array_equal(logits_after(r.warm), logits_after(r.cold))


def test_a_sliding_window_is_cut_only_while_it_holds_what_the_next_token_sees() -> None:
    """Trap 5: llama.cpp says yes to any cut of a sliding window, also when what remains has left it."""
    with make_rig("swa", n_ctx=1024) as r:
        prompt = random_tokens(np.random.default_rng(8), 900)
        r.warm.sync(prompt)
        oldest = r.warm.llama.first_position()
        slack = oldest + TINY_WINDOW - 1
        assert r.warm.sync(as_tokens([*prompt[:slack], 7])).reason == "truncate"
        assert is_same(r, logits_after(r.warm), r.logits_of_the_same_decodes())
        r.branches.clear()  # what they bring back is made of no decodes that can be done again
        r.warm.sync(prompt)
        oldest = r.warm.llama.first_position()
        assert r.warm.sync(as_tokens([*prompt[: oldest + TINY_WINDOW - 2], 7])).reason == "checkpoint"
        assert is_same(r, logits_after(r.warm), r.logits_of_the_same_decodes())


def test_a_partial_state_alone_is_wrong_and_said_to_be_right() -> None:
    """Traps 1 and 2, shown on llama.cpp itself: without the cut, and without the attention's part, decodes succeed wrongly."""
    with make_rig("deltanet") as r:
        prompt = random_tokens(np.random.default_rng(9), 200)
        r.warm.sync(prompt)
        item = r.warm.checkpoints.at(96)
        assert item is not None
        right = as_tokens([*prompt[:96], 7])
        r.cold.sync(right)
        want, llama = logits_after(r.cold), r.llama
        llama.clear()
        assert llama.load_state(item.buffer[: item.size])
        assert llama.last_position() == -1  # the law that position and tokens agree is what finds this
        r.warm.clear()
        r.warm.sync(right)
        assert nmse(logits_after(r.warm), want) <= NOISE


@pytest.mark.parametrize("kind", WITH_CHECKPOINTS)
def test_typing_near_the_last_edit_costs_a_fine_cell_at_most(kind: str) -> None:
    """The fine grid: the second edit of a line finds a checkpoint just before it, whatever the interval."""
    with make_rig(kind, interval=128) as r:
        prompt = random_tokens(np.random.default_rng(10), 400)
        r.warm.sync(prompt)
        for at in (250, 251, 252):
            prompt = as_tokens(np.concatenate([prompt[:at], [at], prompt[at:]]))
            processed = r.warm.sync(prompt)
        assert processed.excess <= 32


@pytest.mark.parametrize("kind", CLASSES)
def test_other_ends_for_one_trunk_cost_only_themselves(kind: str) -> None:
    """From the third one on: the second shows where the trunk ends, and leaves a checkpoint there."""
    with make_rig(kind, interval=128) as r:
        rng = np.random.default_rng(11)
        trunk = random_tokens(rng, 250)
        costs = []
        for first in range(5):
            end = np.concatenate([[first], random_tokens(rng, 30)])
            costs.append(r.warm.sync(as_tokens(np.concatenate([trunk, end]))))
            assert is_same(r, logits_after(r.warm), r.logits_of_the_same_decodes())
        assert [cost.excess for cost in costs[2:]] == [0, 0, 0]


@pytest.mark.parametrize("kind", WITH_CHECKPOINTS)
@pytest.mark.parametrize(("distance", "allowed"), [(21, 7), (64, 7), (65, 31), (205, 31)])
def test_the_first_edit_near_the_end_of_a_long_prompt_costs_little_more_than_itself(
    kind: str, distance: int, allowed: int
) -> None:
    """Where everything is new, some more checkpoints before the end are cheap; nobody had to say where the edit will be."""
    with make_rig(kind, interval=128, n_ctx=2048) as r:
        prompt = random_tokens(np.random.default_rng(15), 1100)
        r.warm.sync(prompt)
        at = len(prompt) - distance
        processed = r.warm.sync(as_tokens(np.concatenate([prompt[:at], [7 + (prompt[at] == 7)], prompt[at + 1 :]])))
        assert processed.excess <= allowed
        assert is_same(r, logits_after(r.warm), r.logits_of_the_same_decodes())


@pytest.mark.parametrize("kind", WITH_CHECKPOINTS)
def test_a_repeated_prompt_costs_one_token_also_when_only_its_last_was_new(kind: str) -> None:
    """After an accepted completion the next key appends one token: the state before it must be kept, though none was cut."""
    with make_rig(kind, n_ctx=1024) as r:
        prompt = random_tokens(np.random.default_rng(14), 605)
        r.warm.sync(prompt)
        made = r.generate(r.warm, 6)
        typed = as_tokens([*prompt, *made, 7])
        assert r.warm.sync(typed).processed == 1
        assert r.warm.sync(typed).processed == 1


def test_a_full_context_ends_a_generation_and_refuses_a_longer_prompt() -> None:
    """Trap 16: nothing is ever decoded beyond the context."""
    with make_rig("shortconv", n_ctx=256) as r:
        prompt = random_tokens(np.random.default_rng(12), r.warm.n_ctx - 3)
        r.warm.sync(prompt)
        r.generate(r.warm, 50)
        assert r.warm.n_resident == r.warm.n_ctx
        r.check_integrity()
        with pytest.raises(Exception, match="larger --ctx"):
            r.warm.sync(random_tokens(np.random.default_rng(13), r.warm.n_ctx))
        assert r.warm.n_resident == r.warm.n_ctx, "a refused prompt costs nothing"
        assert r.warm.sync(prompt).processed == 1


def test_a_place_gets_its_checkpoint_when_that_has_been_missed_for_as_much_as_it_costs() -> None:
    """Two tokens after another one it takes five edits: each decode costs as much as some eight tokens."""
    rng = np.random.default_rng(6)
    with rig("recurrent") as r:
        base = random_tokens(rng, 1200)
        r.warm.sync(base)
        costs = []
        for number in range(7):
            prompt = as_tokens([*base[:1170], number % 2 + 1, *base[1171:]])
            costs.append(r.warm.sync(prompt))
            r.check_integrity()
        assert [cost.excess for cost in costs] == [2, 2, 2, 2, 2, 0, 0]
        assert [cost.n_decodes for cost in costs] == [2, 2, 2, 2, 3, 2, 2]


def test_where_the_grid_has_a_cut_at_the_end_one_checkpoint_does_for_both() -> None:
    with rig("recurrent") as r:
        prompt = random_tokens(np.random.default_rng(7), 4 * r.interval)
        r.warm.sync(prompt)
        assert [item.n_tokens for item in r.warm.checkpoints] == [r.interval, 2 * r.interval, 3 * r.interval, 255]
        assert [item.kind for item in r.warm.checkpoints] == ["grid"] * 4
        assert r.warm.sync(prompt).processed == 1
        assert r.warm.sync(as_tokens([*prompt, 5])).processed == 1
        # Now that it is a place in the middle, its state is worth having.
        assert r.warm.checkpoints.at(4 * r.interval) is not None
        assert r.warm.sync(as_tokens([*prompt, 6])).processed == 1
