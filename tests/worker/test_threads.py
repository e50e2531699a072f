"""How many threads there are: the rule alone, on a simulated machine, and what answers have to do with it."""

import os
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from scrubjay.contexts.naive import Control
from scrubjay.tokens import as_tokens
from scrubjay.worker.threads import MAX_QUIET_S, MAX_TAKEN, MIN_TAKEN, QUIET_S, STALE_S, ThreadCount, Threads, is_quiet
from tests.support.engine_rig import CLASSES, NOISE, logits_after, nmse, random_tokens, rig

STEP_S = 0.25
LONG_S = 2 * MAX_QUIET_S

counts = st.integers(1, 16)
shares = st.floats(0.0, 16.0)
times = st.floats(0.2, 30.0)


def settled(count: ThreadCount, available: float, seconds: float = LONG_S) -> int:
    """The number of threads after `seconds` in which so many processors were available."""
    for _ in range(int(seconds / STEP_S)):
        count.note(STEP_S, available)
    return count.n


def available_beside(n_busy: float, n_cpus: int, n_threads: int) -> float:
    """Processors that a fair scheduler leaves to so many threads beside so many busy ones, with those that nobody uses."""
    n_running = n_busy + n_threads
    if n_running <= n_cpus:
        return n_cpus - n_busy
    return n_cpus * n_threads / n_running


@given(counts, st.lists(st.tuples(times, shares), max_size=40))
def test_there_is_always_one_thread_and_never_more_than_the_most(most: int, looks: list[tuple[float, float]]) -> None:
    count = ThreadCount(most)
    for elapsed, available in looks:
        assert 1 <= count.note(elapsed, available) <= most


@given(counts, st.lists(st.tuples(times, shares), max_size=20), st.integers(0, 16), st.floats(0.0, MAX_TAKEN - 0.01))
def test_it_comes_to_the_processors_that_are_free_and_stays_there(
    most: int, before: list[tuple[float, float]], n_free: int, taken: float
) -> None:
    count = ThreadCount(most)
    for elapsed, available in before:
        count.note(elapsed, available)
    assert settled(count, n_free - taken) == max(1, min(n_free, most))
    assert all(count.note(STEP_S, n_free - taken) == count.n for _ in range(20))


@given(counts, st.integers(1, 16), st.lists(st.floats(-MIN_TAKEN, 1 - MAX_TAKEN - 0.01), max_size=40))
def test_what_is_not_much_changes_nothing(most: int, n: int, differences: list[float]) -> None:
    count = ThreadCount(most)
    n = settled(count, float(n))
    assert all(count.note(STEP_S, n + difference) == n for difference in differences)


@given(st.integers(1, 16), st.integers(0, 40), st.integers(1, 16))
@example(14, 9, 6)  # just so much is taken of each processor
def test_beside_busy_threads_none_loses_much_of_its_processor(n_cpus: int, n_busy: int, n_before: int) -> None:
    count = ThreadCount(n_cpus)
    settled(count, float(n_before))
    seen = [count.note(STEP_S, available_beside(n_busy, n_cpus, count.n)) for _ in range(int(2 * LONG_S / STEP_S))]
    assert len(set(seen[len(seen) // 2 :])) == 1
    n_free = n_cpus - n_busy
    assert count.n >= max(1, n_free)
    assert count.n == 1 or available_beside(n_busy, n_cpus, count.n) >= count.n - MIN_TAKEN


@pytest.mark.parametrize(("n_cpus", "n_busy"), [(2, 0), (2, 1), (2, 2), (2, 4), (4, 1), (8, 1), (8, 4), (8, 16)])
def test_busy_threads_have_processors_of_their_own_where_there_are_enough(n_cpus: int, n_busy: int) -> None:
    count = ThreadCount(n_cpus)
    for _ in range(int(LONG_S / STEP_S)):
        count.note(STEP_S, available_beside(n_busy, n_cpus, count.n))
    assert count.n == max(1, n_cpus - n_busy)
    assert count.is_crowded is (n_busy >= n_cpus)


def test_a_thread_too_many_goes_at_once_and_comes_back_after_a_while() -> None:
    count = ThreadCount(2)
    assert count.note(STEP_S, 1.3) == 1
    assert count.note(QUIET_S / 2, 2.0) == 1
    assert count.note(QUIET_S / 2, 2.0) == 2


def test_where_more_threads_were_wrong_again_and_again_they_come_later() -> None:
    def rises_within(seconds: float, available: float = 2.0) -> int:
        return sum(count.note(STEP_S, 1.2 if count.n == 2 else available) == 2 for _ in range(int(seconds / STEP_S)))

    count = ThreadCount(2)
    assert rises_within(4 * MAX_QUIET_S) <= 10
    assert rises_within(4 * MAX_QUIET_S) <= 4
    settled(count, 2.0)
    count.note(STEP_S, 1.0)
    assert settled(count, 2.0, QUIET_S + STEP_S) == 2, "it was right for long"


def test_what_others_did_long_ago_takes_no_threads_if_they_do_nothing_now() -> None:
    count = ThreadCount(2)
    assert count.note(10 * STALE_S, 1.2, is_quiet=lambda: True) == 2
    assert count.note(STALE_S / 2, 1.2, is_quiet=lambda: True) == 1, "that is as good as now"
    assert count.note(10 * STALE_S, 1.2, is_quiet=lambda: True) == 1, "nor does it bring any"
    count = ThreadCount(2)
    assert count.note(10 * STALE_S, 1.2, is_quiet=lambda: False) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says how many want a processor")
def test_who_wants_a_processor_is_seen() -> None:
    code = "print(flush=True)\nwhile True: pass"
    with subprocess.Popen([sys.executable, "-S", "-c", code], stdout=subprocess.PIPE) as busy:
        assert busy.stdout
        busy.stdout.readline()
        try:
            assert not is_quiet()
        finally:
            busy.kill()


class Recorder:
    """A context that notes what it is told."""

    def __init__(self) -> None:
        self.told: list[int] = []

    def set_threads(self, n: int) -> None:
        self.told.append(n)


def test_a_number_that_was_chosen_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scrubjay.worker.threads.LOOK_S", 0.0)
    context, threads = Recorder(), Threads(64, is_fixed=True)
    for _ in range(50):
        threads.look([context])
    assert threads.count.n == 64
    assert not context.told


def test_the_machine_has_no_more_free_processors_than_processors() -> None:
    """By its real clocks, whatever else runs on it."""
    n_cpus = os.cpu_count() or 1
    context, threads = Recorder(), Threads(64 * n_cpus, is_fixed=False)
    while not context.told:
        np.dot(np.ones((200, 200)), np.ones((200, 200)))
        threads.look([context])
    assert 1 <= context.told[0] <= 2 * n_cpus


@pytest.mark.parametrize("kind", CLASSES)
def test_answers_do_not_depend_on_the_number_of_threads(kind: str) -> None:
    """To the bit, but for flash attention on single tokens: its sums are made in as many parts as there are threads."""
    with rig(kind) as r:
        prompt = random_tokens(np.random.default_rng(0), 700)
        found = []
        for n_threads in (1, 2, 3):
            r.cold.llama.set_threads(n_threads)
            r.cold.sync(prompt)
            found.append((logits_after(r.cold), r.generate(r.cold, 8)))
        (first, text), *others = found
        assert all(other == text for _, other in others)
        assert all(nmse(logits, first) <= (NOISE if kind == "swa" else 0.0) for logits, _ in others)


@pytest.mark.parametrize("kind", CLASSES)
def test_a_warm_answer_by_other_threads_equals_a_cold_one(kind: str) -> None:
    """The number of threads changes in the middle of prefills, and with it nothing that is kept."""
    rng = np.random.default_rng(1)
    with rig(kind) as r:
        prompt = random_tokens(rng, 700)
        for number in range(6):
            prompt = as_tokens([*prompt[: 500 + 30 * number], *random_tokens(rng, 60)])
            turn = iter(range(1000))

            def change(turn: Iterator[int] = turn) -> None:
                r.llama.set_threads(1 + next(turn) % 3)

            r.warm.sync(prompt, control=Control(check=change))
            r.cold.sync(prompt)
            assert nmse(logits_after(r.warm), logits_after(r.cold)) <= NOISE
            r.check_integrity()
