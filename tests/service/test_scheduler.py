"""The scheduler's law: every accepted job ends in exactly one way, the most urgent runs, no warming is lost."""

from dataclasses import replace
from itertools import count

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from scrubjay.errors import ScrubjayError
from scrubjay.service.fair_queue import Job, Priority
from scrubjay.service.scheduler import Outcome, Scheduler
from scrubjay.service.tenants import OWNER, Tenant
from tests.support.growth import calls_of

KEYS = st.sampled_from([None, "a", "b", ("warm", "root")])
TENANTS = st.sampled_from([OWNER, OWNER, Tenant("a", "a", 2.0), Tenant("b", "a")])


class SchedulerMachine(RuleBasedStateMachine):
    """Clients and an engine that do anything in any order; the model is one fate per job."""

    def __init__(self) -> None:
        super().__init__()
        self.scheduler = Scheduler()
        self.numbers = count(1)
        self.jobs: dict[int, Job] = {}
        self.fates: dict[int, Outcome] = {}
        self.in_engine: int | None = None
        self.stops: list[int] = []

    def end(self, number: int, outcome: Outcome) -> None:
        assert number not in self.fates, "a job ended twice"
        self.fates[number] = outcome

    def live(self) -> list[Job]:
        return [job for number, job in self.jobs.items() if number not in self.fates]

    @rule(priority=st.sampled_from(Priority), key=KEYS, tenant=TENANTS)
    def submit(self, priority: Priority, key: object, tenant: Tenant) -> None:
        job = Job(next(self.numbers), priority, (key, tenant.name) if key else None, tenant)
        key = job.key
        expected = {old.number for old in self.live() if key is not None and old.key == key}
        superseded = self.scheduler.submit(job)
        assert set(superseded) == expected
        for number in superseded:
            self.end(number, Outcome.CANCELLED)
        self.jobs[job.number] = job

    @precondition(lambda self: self.jobs)
    @rule(data=st.data())
    def end_early(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.jobs)))
        outcome = data.draw(st.sampled_from(Outcome))
        if self.scheduler.end(number, outcome):
            self.end(number, outcome)
        else:
            assert number in self.fates

    @precondition(lambda self: self.live())
    @rule(data=st.data())
    def demote(self, data: st.DataObject) -> None:
        job = data.draw(st.sampled_from(self.live()))
        self.scheduler.demote(job.number, Priority.WARM)
        self.jobs[job.number] = replace(job, priority=Priority.WARM)

    @precondition(lambda self: self.live())
    @rule(data=st.data(), n_tokens=st.integers(0, 9000), n_written=st.integers(0, 300))
    def estimate(self, data: st.DataObject, n_tokens: int, n_written: int) -> None:
        self.scheduler.queue.estimate(data.draw(st.sampled_from(self.live())).number, n_tokens, n_written)

    @precondition(lambda self: self.in_engine)
    @rule(n_tokens=st.integers(0, 256), n_written=st.integers(0, 4))
    def work(self, n_tokens: int, n_written: int) -> None:
        assert self.in_engine
        self.scheduler.served(self.in_engine, n_tokens, n_written)

    @rule()
    def start(self) -> None:
        job = self.scheduler.next_job()
        if self.in_engine is not None:
            assert job is None, "one job at a time"
            return
        heads: dict[str, Job] = {}
        for other in sorted(self.live(), key=lambda other: (other.priority, other.number)):
            heads.setdefault(other.tenant.name, other)
        assert job is None if not heads else job in heads.values()
        if job:
            assert not job.priority.is_background or all(other.priority.is_background for other in heads.values())
            self.scheduler.start(job.number)
            self.in_engine = job.number

    @rule()
    def ask_to_stop(self) -> None:
        number = self.scheduler.job_to_stop()
        running = self.jobs[self.in_engine] if self.in_engine else None
        if number is None:
            return
        assert running
        assert number == running.number
        assert number not in self.stops, "asked to stop once"
        self.stops.append(number)
        own = [job for job in self.live() if job.tenant == running.tenant and job.priority < running.priority]
        others = [job for job in self.live() if job.tenant != running.tenant]
        assert number in self.fates or (running.priority.is_background and own) or others
        assert (
            number in self.fates
            or own
            or not all(job.priority.is_background > running.priority.is_background for job in others)
        )

    @precondition(lambda self: self.in_engine)
    @rule(outcome=st.sampled_from([Outcome.DONE, Outcome.FAILED]))
    def engine_finishes(self, outcome: Outcome) -> None:
        number = self.leave_engine()
        if self.scheduler.finish(number, outcome):
            self.end(number, outcome)
        else:
            assert number in self.fates

    @precondition(lambda self: self.in_engine in self.stops)
    @rule()
    def engine_stops(self) -> None:
        number = self.leave_engine()
        assert self.scheduler.give_back(number) == (number not in self.fates)

    @rule()
    def engine_dies(self) -> None:
        number = self.in_engine
        lost = self.scheduler.lose_engine()
        if number is None or number in self.fates:
            assert lost is None
        else:
            assert lost == number
            self.end(number, Outcome.FAILED)
        self.in_engine = None
        self.stops.clear()

    def leave_engine(self) -> int:
        assert self.in_engine
        number, self.in_engine = self.in_engine, None
        if number in self.stops:
            self.stops.remove(number)
        return number

    @invariant()
    def account_adds_up(self) -> None:
        self.scheduler.check_integrity()
        assert self.scheduler.n_accepted == len(self.jobs)
        assert self.scheduler.ended.total() == len(self.fates)

    @invariant()
    def nothing_is_lost(self) -> None:
        running = [self.scheduler.running] if self.scheduler.running else []
        known = sorted((*self.scheduler.queue.waiting, *running), key=lambda job: job.number)
        assert known == self.live()

    @invariant()
    def nothing_urgent_waits_for_background_work(self) -> None:
        running = self.scheduler.running
        if running and running.priority.is_background and running.number not in self.stops:
            own = [job for job in self.scheduler.queue.waiting if job.tenant == running.tenant]
            urgent = any(job.priority < running.priority for job in own)
            stopped = self.scheduler.job_to_stop()
            assert not urgent or stopped == running.number
            if stopped:
                self.stops.append(running.number)

    def teardown(self) -> None:
        """Whatever happened, an engine that works ends them all."""
        if self.in_engine:
            self.engine_finishes(Outcome.DONE)
        while job := self.scheduler.next_job():
            self.scheduler.start(job.number)
            assert self.scheduler.finish(job.number, Outcome.DONE)
            self.end(job.number, Outcome.DONE)
        assert self.fates.keys() == self.jobs.keys()


TestSchedulerMachine = pytest.mark.slow(SchedulerMachine.TestCase)
TestSchedulerMachine.settings = settings(max_examples=100, stateful_step_count=40)


def test_order_is_by_priority_then_by_arrival() -> None:
    scheduler = Scheduler()
    for number, priority in enumerate([Priority.WARM, Priority.COMPLETION, Priority.FOCUS, Priority.COMPLETION]):
        scheduler.submit(Job(number, priority))
    assert [job.number for job in scheduler.queue.waiting] == [2, 1, 3, 0]


def test_preempted_warming_goes_on_after_the_completion() -> None:
    scheduler = Scheduler()
    scheduler.submit(Job(1, Priority.WARM, "warm"))
    scheduler.start(1)
    scheduler.submit(Job(2, Priority.COMPLETION))
    assert scheduler.job_to_stop() == 1
    assert scheduler.job_to_stop() is None
    assert scheduler.give_back(1)
    assert scheduler.next_job() == Job(2, Priority.COMPLETION)
    scheduler.start(2)
    assert scheduler.finish(2, Outcome.DONE)
    assert scheduler.next_job() == Job(1, Priority.WARM, "warm")


def test_a_completion_is_not_preempted_by_one_in_focus() -> None:
    scheduler = Scheduler()
    scheduler.submit(Job(1, Priority.COMPLETION))
    scheduler.start(1)
    scheduler.submit(Job(2, Priority.FOCUS))
    assert scheduler.job_to_stop() is None


def test_a_superseded_job_leaves_the_engine_busy_until_it_has_stopped() -> None:
    scheduler = Scheduler()
    scheduler.submit(Job(1, Priority.FOCUS, "key"))
    scheduler.start(1)
    assert scheduler.submit(Job(2, Priority.FOCUS, "key")) == [1]
    assert scheduler.running is None
    assert scheduler.next_job() is None
    assert scheduler.job_to_stop() == 1
    assert not scheduler.give_back(1)
    assert scheduler.next_job() == Job(2, Priority.FOCUS, "key")


def test_words_of_the_engine_about_other_jobs_change_nothing() -> None:
    scheduler = Scheduler()
    scheduler.submit(Job(1, Priority.WARM))
    assert not scheduler.finish(1, Outcome.DONE)
    assert not scheduler.give_back(7)
    assert scheduler.lose_engine() is None
    assert scheduler.queue.waiting == [Job(1, Priority.WARM)]


def test_only_one_job_runs() -> None:
    scheduler = Scheduler()
    scheduler.submit(Job(1, Priority.WARM))
    scheduler.submit(Job(2, Priority.WARM))
    scheduler.start(1)
    with pytest.raises(ScrubjayError):
        scheduler.start(2)


def one_turn(scheduler: Scheduler, number: int) -> None:
    """All that a request does to the queue: it supersedes its older self, is demoted, runs, is given back and ends."""
    scheduler.submit(Job(number, Priority.WARM, "mine"))
    scheduler.submit(Job(number + 1, Priority.COMPLETION, "mine"))
    scheduler.demote(number + 1, Priority.FOCUS)
    assert scheduler.next_job()
    scheduler.start(number + 1)
    scheduler.job_to_stop()
    scheduler.give_back(number + 1)
    scheduler.end(number + 1, Outcome.CANCELLED)


def test_a_request_costs_the_same_however_many_wait() -> None:
    few, many = Scheduler(), Scheduler()
    for scheduler, n_jobs in ((few, 10), (many, 20_000)):
        for number in range(n_jobs):
            scheduler.submit(Job(number, Priority.COMPLETION, f"key {number}"))
    assert calls_of(lambda: one_turn(many, 30_000)) == calls_of(lambda: one_turn(few, 30_000))
    many.check_integrity()
