"""Who is next among several: by decodes that are counted, never by time."""

from dataclasses import dataclass, field
from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from scrubjay.service.fair_queue import GENERATED, HORIZON, MAX_TEXT_TOKENS, TURN, Job, Priority
from scrubjay.service.scheduler import Outcome, Scheduler
from scrubjay.service.tenants import Tenant

DECODE = 128
"""Tokens that are read at once."""


@dataclass
class Task:
    """A job's work: tokens to read, then tokens to write."""

    job: Job
    n_read: int
    n_written: int
    n_decodes: int = 0


@dataclass
class Machine:
    """A scheduler and an engine that does one decode after the other."""

    scheduler: Scheduler = field(default_factory=Scheduler)
    tasks: dict[int, Task] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)
    numbers: "count[int]" = field(default_factory=lambda: count(1))

    def ask(
        self, name: str, n_read: int, n_written: int = 0, weight: float = 1.0, priority: Priority = Priority.COMPLETION
    ) -> Task:
        job = Job(next(self.numbers), priority, None, Tenant(name, name, weight))
        task = self.tasks[job.number] = Task(job, n_read, n_written)
        self.scheduler.submit(job)
        self.scheduler.queue.estimate(job.number, n_read, n_written)
        return task

    def decode(self) -> Task | None:
        """What the engine does until its next decode is done: the most urgent job has it, and is left for a more urgent one."""
        running = self.scheduler.running
        if running and self.scheduler.job_to_stop() == running.number:
            assert self.scheduler.give_back(running.number)
        if self.scheduler.is_free:
            if (job := self.scheduler.next_job()) is None:
                return None
            self.scheduler.start(job.number)
        assert self.scheduler.running
        task = self.tasks[self.scheduler.running.number]
        n_read = min(task.n_read, DECODE)
        task.n_read -= n_read
        task.n_written -= not n_read
        task.n_decodes += 1
        self.log.append(task.job.tenant.name)
        self.scheduler.served(task.job.number, n_read, int(not n_read))
        if task.n_read <= 0 and task.n_written <= 0:
            self.scheduler.finish(task.job.number, Outcome.DONE)
            del self.tasks[task.job.number]
        self.scheduler.check_integrity()
        return task

    def until_done(self, task: Task) -> list[str]:
        """Whose decodes there were until `task` was done."""
        begun = len(self.log)
        while task.job.number in self.tasks:
            self.decode()
        return self.log[begun:]


@given(
    st.integers(0, 40),
    st.lists(st.tuples(st.integers(1, 9000), st.integers(0, 300)), min_size=2, max_size=12),
    st.integers(1, 200),
    st.integers(0, 16),
)
def test_a_burst_of_one_does_not_delay_another_s_completion(
    n_before: int, burst: list[tuple[int, int]], n_read: int, n_written: int
) -> None:
    machine = Machine()
    for each in burst:
        machine.ask("a", *each)
    for _ in range(n_before):
        machine.decode()
    left = sum(task.n_read + GENERATED * min(task.n_written, MAX_TEXT_TOKENS) for task in machine.tasks.values())
    completion = machine.ask("b", n_read, n_written)
    others = machine.until_done(completion).count("a")
    if left > n_read + GENERATED * n_written:
        assert others == 0, "it goes first as soon as the decode that runs has ended"


def test_the_rest_of_an_only_completion_is_not_put_off_for_a_longer_one() -> None:
    machine = Machine()
    first = machine.ask("a", 100, 8)
    machine.decode()
    machine.ask("b", 100, 16)
    assert set(machine.until_done(first)) == {"a"}


def test_typing_beside_a_prefill_of_8k_tokens_again_and_again() -> None:
    """Seven type, one reads: nobody's completion waits for the reader, who comes on all the same."""
    machine = Machine()
    reader = machine.ask("reader", 8192)
    n_read = n_typed = 0
    for turn in range(400):
        if reader.job.number not in machine.tasks:
            reader = machine.ask("reader", 8192)
        for _ in range(5):  # between keys
            machine.decode()
        completion = machine.ask(f"typist {turn % 7}", 4, 12)
        waited = machine.until_done(completion)
        n_typed += len(waited)
        assert waited.count("reader") == 0
    n_read = machine.log.count("reader")
    assert n_read >= 400 * 4


def test_who_wants_more_than_his_share_waits_for_it() -> None:
    """One asks for the next completion as soon as he has the last, against one who reads: each has about half of the model."""
    machine = Machine()
    work = {"reader": 0, "writer": 0}
    tasks: dict[str, Task] = {}
    for _ in range(20_000):
        for name, what in (("reader", (8192, 0)), ("writer", (20, 32))):
            if name not in tasks or tasks[name].job.number not in machine.tasks:
                tasks[name] = machine.ask(name, *what)
        before = {name: task.n_read for name, task in tasks.items()}
        done = machine.decode()
        assert done
        name = done.job.tenant.name
        work[name] += (before[name] - done.n_read) or GENERATED
    assert abs(work["reader"] - work["writer"]) <= HORIZON + 2 * DECODE


@given(st.floats(0.25, 4))
def test_weights(weight: float) -> None:
    machine = Machine()
    work = {"a": 0.0, "b": 0.0}
    for name, share in (("a", 1.0), ("b", weight)):
        machine.ask(name, 1_000_000, weight=share)
    for _ in range(3000):
        done = machine.decode()
        assert done
        work[done.job.tenant.name] += DECODE
    # How far one looks ahead is another virtual time for another weight.
    ahead = HORIZON * abs(1 - 1 / weight)
    assert abs(work["a"] - work["b"] / weight) <= ahead + 2 * (TURN + DECODE) / min(weight, 1.0)
    turns = sum(one != other for one, other in zip(machine.log, machine.log[1:], strict=False))
    assert turns <= 3000 * DECODE / TURN, "each change of turns costs something"


def test_who_was_away_has_saved_up_nothing() -> None:
    machine = Machine()
    for _ in range(100):
        machine.until_done(machine.ask("a", DECODE))
    for name in ("a", "b"):
        machine.ask(name, 1_000_000)
    for _ in range(400):
        machine.decode()
    assert abs(machine.log[100:].count("a") - machine.log[100:].count("b")) <= 2 * (TURN // DECODE + 1)


@given(st.sampled_from([Priority.WARM, Priority.SPECULATIVE, Priority.AHEAD]), st.integers(1, 9000))
def test_what_nobody_waits_for_waits_for_everybody(priority: Priority, n_read: int) -> None:
    machine = Machine()
    warming = machine.ask("a", n_read, priority=priority)
    machine.decode()
    completion = machine.ask("b", 8192)
    assert set(machine.until_done(completion)) == {"b"}
    if warming.job.number in machine.tasks:
        assert set(machine.until_done(warming)) == {"a"}


def test_what_is_not_known_yet_is_in_nobody_s_way() -> None:
    machine = Machine()
    running = machine.ask("a", 8192)
    machine.decode()
    machine.scheduler.submit(Job(next(machine.numbers), Priority.COMPLETION, None, Tenant("b", "b")))
    assert set(machine.until_done(running)) == {"a"}
