"""Records at work: what a worker computed is there for the next one, and the answers stay those of a cold one."""

import errno
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from scrubjay.worker.records import MAX_WASTE, SAVE_AFTER_S, SAVE_ALL_AFTER_S
from tests.support.engine_rig import CLASSES, INTERVAL, MIB
from tests.support.gguf_models import tiny_model
from tests.support.lives import Lives, joined, text


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "records"


@pytest.mark.parametrize("in_order", [True, False])
@pytest.mark.parametrize("kind", CLASSES)
def test_after_a_restart_a_prompt_costs_a_token(kind: str, in_order: bool, folder: Path) -> None:
    lives = Lives(kind, folder)
    prompt = text(0, 1500)
    assert lives.run(prompt).processed == 1500
    if not in_order:
        lives.rest(SAVE_ALL_AFTER_S)
    lives.begin_again(in_order)
    cost = lives.run(prompt)
    assert (cost.processed, cost.reason, cost.paged) == (1, "paged", 1499)
    typed = joined(prompt, [5, 6, 7])
    assert lives.run(typed).processed == 3
    lives.begin_again()
    assert lives.run(typed).processed == 1


def test_a_state_at_a_prompts_end_is_found_beside_longer_records(folder: Path) -> None:
    """Records that go on from before there are the way then, and do not have the state."""
    lives, prompt = Lives("deltanet", folder), text(21, 1000)
    lives.run(joined(prompt, text(22, 400)))
    lives.begin_again()
    assert lives.run(prompt).processed <= INTERVAL
    lives.begin_again()
    n_bytes = lives.store.n_bytes
    assert lives.run(prompt).processed == 1
    lives.begin_again()
    assert lives.store.n_bytes == n_bytes


def test_ends_of_prompts_are_written_as_far_as_the_rest_allows(folder: Path) -> None:
    """At each of many pauses: all that is written is at most a fifth more than the memory and the states of the grid."""
    lives = Lives("deltanet", folder)
    per_token, prompt, n_computed = lives.bytes_per_token, text(23, 1000), 512
    for seed in range(12):
        prompt = joined(prompt, text(100 + seed, 40))
        n_computed += lives.run(prompt).processed
        lives.rest(SAVE_ALL_AFTER_S)
    n_ends = sum(n % INTERVAL > 0 for filed in lives.store._index for n in filed.record.states)
    assert n_ends > 2
    assert lives.store.n_bytes_today <= MAX_WASTE * per_token * n_computed


@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize("at", [0.25, 0.5, 0.9])
def test_an_edit_made_while_it_was_down_costs_what_follows_it_and_an_interval(
    kind: str, at: float, folder: Path
) -> None:
    lives = Lives(kind, folder)
    prompt, n = text(1, 1400), int(at * 1400)
    lives.run(prompt)
    lives.begin_again()
    edited = joined(prompt[:n], [1, 2, 3], prompt[n:])
    cost = lives.run(edited)
    assert cost.processed <= 1400 - n + 3 + INTERVAL
    # And back: the states that were not read yet are in the records still.
    assert lives.run(prompt).processed <= INTERVAL
    assert lives.run(joined(prompt[: n // 2], [5], prompt[n // 2 :])).processed <= 1400 - n // 2 + 1 + INTERVAL


@pytest.mark.parametrize("kind", CLASSES)
def test_what_was_left_before_it_was_written_is_written_as_a_branch(kind: str, folder: Path) -> None:
    lives = Lives(kind, folder)
    trunk, here, there = text(2, 300), text(3, 600), text(4, 600)
    lives.run(joined(trunk, here))
    lives.run(joined(trunk, there))
    lives.rest(SAVE_ALL_AFTER_S)
    lives.begin_again(in_order=False)
    assert lives.run(joined(trunk, there, [7])).processed <= INTERVAL + 1
    assert lives.run(joined(trunk, here, [7])).processed <= INTERVAL + 1


def test_while_somebody_types_only_what_stays_is_written(folder: Path) -> None:
    lives = Lives("deltanet", folder)
    before, after = text(5, 600), text(6, 400)
    typed: list[int] = []
    for key in range(4):
        typed.append(key)
        lives.run(joined(before, typed, after))
        lives.rest(SAVE_AFTER_S)
    assert max(filed.record.end for filed in lives.store._index) <= 600
    assert lives.worker.status().records is not None
    lives.rest(SAVE_ALL_AFTER_S)
    assert max(filed.record.end for filed in lives.store._index) > 900
    records = lives.worker.status().records
    assert records
    assert (records.is_saved, records.count) == (True, len(lives.store))


@pytest.mark.parametrize("kind", ["dense", "deltanet", "swa"])
def test_bytes_written_are_those_of_what_was_computed(kind: str, folder: Path) -> None:
    """An hour of typing and going from place to place: nothing is written twice."""
    lives, rng = Lives(kind, folder), np.random.default_rng(7)
    per_token = lives.bytes_per_token
    before, places = text(8, 500), [text(seed, 500) for seed in (9, 10)]
    n_computed, written = 0, lives.store.n_bytes_today
    for turn in range(30):
        at = int(rng.integers(100, 400))
        place = places[turn % 2]
        for _ in range(int(rng.integers(1, 5))):
            place = joined(place[:at], [int(rng.integers(700))], place[at:])
            n_computed += lives.run(joined(before, place)).processed
            at += 1
        places[turn % 2] = place
        lives.rest(SAVE_ALL_AFTER_S if turn % 5 == 0 else SAVE_AFTER_S)
    lives.end()
    assert lives.store.n_bytes_today - written <= 1.2 * per_token * (n_computed + 512)
    assert lives.store.n_bytes_today - written >= 0.2 * per_token * len(before)


def test_a_request_that_comes_while_something_is_written_does_not_wait(folder: Path) -> None:
    lives = Lives("deltanet", folder)
    lives.run(text(11, 900))
    assert lives.worker.rest(SAVE_ALL_AFTER_S) == 0.0
    assert lives.worker.rest(SAVE_ALL_AFTER_S) == 0.0
    assert [path.suffix for path in folder.iterdir()] == [".unfinished"]
    assert lives.run(text(11, 900)).processed == 1
    assert list(folder.iterdir()) == []
    lives.rest(SAVE_ALL_AFTER_S)
    assert len(lives.store) > 0


@pytest.mark.parametrize(
    "more", [{"n_threads": 2}, {"interval": 128}, {"n_ctx": 4096}, {"checkpoint_budget": 16 * MIB}]
)
def test_what_states_do_not_depend_on_may_change(more: dict[str, int], folder: Path) -> None:
    lives = Lives("deltanet", folder)
    prompt = text(12, 1000)
    lives.run(prompt)
    lives.end()
    lives.settings = replace(lives.settings, **more)  # type: ignore[arg-type]
    lives.begin_again()
    assert lives.run(prompt).processed <= INTERVAL


def test_records_of_a_larger_context_are_used_as_far_as_they_fit(folder: Path) -> None:
    lives = Lives("dense", folder, n_ctx=4096)
    prompt = text(13, 3000)
    lives.run(prompt)
    lives.end()
    lives.settings = replace(lives.settings, n_ctx=1024)
    lives.begin_again()
    assert lives.run(prompt[:1000]).processed < 1000


def test_records_of_another_model_are_not_used_and_stay(folder: Path) -> None:
    lives, prompt = Lives("dense", folder), text(14, 800)
    lives.run(prompt)
    lives.end()
    n = len(list(folder.glob("*.record")))
    other = Lives("dense_plain", folder)
    assert other.run(prompt).processed == 800
    other.end()
    assert len(list(folder.glob("*.record"))) == 2 * n
    lives.begin_again()
    assert lives.run(prompt).processed <= INTERVAL


def test_records_of_an_older_file_of_the_same_name_are_removed(folder: Path, tmp_path: Path) -> None:
    model = Path(shutil.copy(tiny_model("dense"), tmp_path / "model.gguf"))
    lives, prompt = Lives("dense", folder), text(15, 800)
    lives.settings = replace(lives.settings, model=str(model))
    lives.begin_again()
    lives.run(prompt)
    lives.end()
    assert list(folder.glob("*.record"))
    with model.open("ab") as file:
        file.write(bytes(1))
    lives.begin_again(in_order=False)
    assert not list(folder.glob("*.record"))
    assert lives.run(prompt).processed == 800


@pytest.mark.parametrize("kind", ["dense", "deltanet", "swa_full"])
@pytest.mark.parametrize("what", ["damaged", "gone", "unreadable"])
def test_a_record_that_is_not_as_it_was_is_missed_and_nothing_else(kind: str, what: str, folder: Path) -> None:
    lives, prompt = Lives(kind, folder), text(16, 1200)
    lives.run(prompt)
    lives.end()
    lives.begin_again()
    lives.worker.forget("/nobody")
    lives.worker.branches.clear()
    ordered = sorted(lives.store._index, key=lambda filed: filed.record.begin)
    victim = ordered[1]
    if what == "damaged":
        data = bytearray(victim.path.read_bytes())
        data[-5] ^= 4
        data[victim.record.memory.offset + 50 if victim.record.memory else -6] ^= 1
        victim.path.write_bytes(data)
    elif what == "gone":
        victim.path.unlink()
    else:
        lives.files.fails = lambda name: errno.EIO if name == "read_into" else 0
    cost = lives.run(prompt)
    assert cost.processed >= 1200 - victim.record.begin - INTERVAL
    assert lives.store.error or what != "unreadable"
    lives.files.fails = lambda _: 0
    lives.rest(SAVE_ALL_AFTER_S)
    lives.begin_again(in_order=False)
    assert lives.run(prompt).processed <= INTERVAL or what == "unreadable"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_disk_that_takes_nothing_is_seen_and_disturbs_nobody(number: int, folder: Path) -> None:
    lives, prompt = Lives("deltanet", folder), text(17, 700)
    lives.files.fails = lambda name: number if name in ("make_folder", "create", "write", "publish") else 0
    lives.run(prompt)
    assert lives.worker.rest(SAVE_ALL_AFTER_S) == 0.0
    lives.rest(SAVE_ALL_AFTER_S)
    records = lives.worker.status().records
    assert records
    assert (os.strerror(number) in records.error, records.is_saved) == (True, False)
    assert lives.run(prompt).processed == 1
    lives.end()
    lives.begin_again()
    assert lives.run(prompt).processed == 700


def test_the_status_says_how_much_of_a_context_is_on_disk(folder: Path) -> None:
    lives = Lives("dense", folder)
    lives.run(text(1, 600), "/project")
    assert [context.n_on_disk for context in lives.worker.status().contexts] == [0]
    lives.rest(SAVE_ALL_AFTER_S)
    [context] = lives.worker.status().contexts
    assert 512 <= context.n_on_disk <= context.n_resident
    lives.worker.forget("")
    assert not [context.n_on_disk for context in lives.worker.status().contexts if context.n_on_disk]


def test_forgetting_takes_all_of_a_project(folder: Path) -> None:
    lives, one, other = Lives("deltanet", folder), text(18, 600), text(19, 600)
    lives.run(one, "/home/one")
    lives.run(joined(one[:100], text(20, 300)), "/home/one")
    lives.run(other, "/home/other")
    lives.rest(SAVE_ALL_AFTER_S)
    told = lives.worker.forget("/home/one")
    assert told.n_records > 0
    assert told.keys == ("/home/one",)
    assert {filed.record.key for filed in lives.store._index} == {"/home/other"}
    assert lives.run(one, "/home/one").processed == 600
    assert lives.run(other, "/home/other").processed == 1
    lives.worker.forget("")
    lives.begin_again()
    assert (len(lives.store), lives.run(other, "/home/other").processed) == (0, 600)


N_STEPS = int(os.environ.get("SCRUBJAY_RECORD_STEPS", "12"))


@pytest.mark.parametrize("kind", CLASSES)
def test_whatever_happens_warm_equals_cold(kind: str, folder: Path) -> None:
    """Prompts, pauses, restarts, kills, and disks that fail, at random; `Lives.run` compares each answer with a cold one.

    The long form: SCRUBJAY_RECORD_STEPS=2000.
    """
    rng = np.random.default_rng(N_STEPS)
    lives = Lives(kind, folder, store_budget=2 * MIB, checkpoint_budget=4 * MIB)
    known = [text(seed, 400) for seed in range(3)]
    for step in range(N_STEPS):
        match int(rng.integers(9)):
            case 0 | 1 | 2:
                prompt = known[int(rng.integers(len(known)))]
                at = int(rng.integers(len(prompt)))
                known.append(joined(prompt[:at], text(step, int(rng.integers(1, 80))), prompt[at + 40 :][:700]))
                known = known[-6:]
                lives.run(known[-1], f"/{step % 3}")
            case 3 | 4:
                lives.run(known[int(rng.integers(len(known)))], f"/{step % 3}")
            case 5:
                lives.rest(SAVE_ALL_AFTER_S if step % 2 else SAVE_AFTER_S)
            case 6:
                for _ in range(int(rng.integers(1, 12))):
                    lives.worker.rest(SAVE_ALL_AFTER_S)
                if rng.integers(2):
                    lives.begin_again(in_order=False)
            case 7:
                lives.begin_again()
            case _:
                failing = rng.choice(["read_into", "write", "publish", "create", "none", "touch", "remove"])
                lives.files.fails = lambda name, bad=failing: errno.EIO if name == bad else 0  # type: ignore[misc]
                for path in [*folder.glob("*.record")][: int(rng.integers(2))]:
                    data = bytearray(path.read_bytes())
                    data[int(rng.integers(len(data)))] ^= 1
                    path.write_bytes(data)
    assert lives.store.n_bytes <= 2 * MIB
