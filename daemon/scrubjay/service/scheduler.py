"""Which job the engine works on: priorities, superseding, preemption, and what became of every job. Pure.

    submit -> queued -> running -> done | failed
                 |  ^       |
                 |  `-------+ the engine gave it back: something more urgent came
                 v          v
              cancelled  cancelled

Every job that was submitted ends in exactly one of done, cancelled and failed. The engine runs one job at a time; a job
that ends while it runs leaves the engine busy until the engine says so. Who comes first, `fair_queue` decides.
"""

from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass, field, replace
from enum import StrEnum

from scrubjay.errors import ScrubjayError
from scrubjay.service.fair_queue import FairQueue, Job, Priority


class Outcome(StrEnum):
    """How a job ended."""

    DONE = "done"
    CANCELLED = "cancelled"
    FAILED = "failed"


@dataclass(slots=True)
class _Running:
    """The job in the engine; `is_wanted` until it ends, `is_stopping` once the engine has been asked to stop it.

    `must_end`: stopping it would lose work, so it is in nobody's way.
    """

    job: Job
    is_wanted: bool = True
    is_stopping: bool = False
    must_end: bool = False


@dataclass(slots=True)
class Scheduler:
    """The queue, the job in the engine, and the account of all jobs."""

    n_accepted: int = 0
    ended: Counter[Outcome] = field(default_factory=Counter)
    queue: FairQueue = field(default_factory=FairQueue)
    _by_key: dict[Hashable, int] = field(default_factory=dict)
    _running: _Running | None = None

    @property
    def running(self) -> Job | None:
        """The job that the engine works on and somebody wants."""
        return self._running.job if self._running and self._running.is_wanted else None

    @property
    def is_free(self) -> bool:
        """Whether the engine could start a job."""
        return self._running is None

    def _is_live(self, number: int) -> bool:
        """Whether the job is queued or running."""
        return number in self.queue.queued or (self.running is not None and self.running.number == number)

    def submit(self, job: Job) -> list[int]:
        """Accept `job`; returns the number of the job that it superseded, if any, which has ended as cancelled."""
        superseded = self.supersede(job.key)
        self.n_accepted += 1
        self.queue.accept(job)
        self._note_key(job)
        return superseded

    def supersede(self, key: Hashable) -> list[int]:
        """Cancel the live job of `key`, if any; returns its number."""
        old = self._by_key.get(key) if key is not None else None
        return [old] if old is not None and self.end(old, Outcome.CANCELLED) else []

    def end(self, number: int, outcome: Outcome) -> bool:
        """End a job before the engine has had its say; False if it is not live (any more)."""
        if not self._is_live(number):
            return False
        if job := self.queue.queued.pop(number, None):
            self._forget(job)
        elif self._running:
            self._running.is_wanted = False
            self._forget(self._running.job)
        self.ended[outcome] += 1
        return True

    def demote(self, number: int, priority: Priority) -> None:
        """Give a live job another priority."""
        if job := self.queue.queued.get(number):
            self.queue.push(replace(job, priority=priority))
        elif self._running and self._running.job.number == number:
            old, self._running.job = self._running.job, replace(self._running.job, priority=priority)
            if self._running.is_wanted:
                self.queue.change(old, self._running.job)

    def served(self, number: int, n_tokens: int, n_written: int = 0, must_end: bool = False) -> bool:
        """The model has read and written so many tokens for the running job; whether that may change who is next."""
        running = self._running
        if running is None or running.job.number != number or not running.is_wanted:
            return False
        running.must_end = running.must_end or must_end
        self.queue.served(running.job, n_tokens, n_written)
        return self.queue.is_contended

    def next_step(self) -> tuple[int | None, Job | None]:
        """The job that the engine must be asked to stop, or the one that it should start; see the two methods below."""
        return self.job_to_stop(), self.next_job()

    def next_job(self) -> Job | None:
        """What the engine should start now: the most urgent job, if the engine is free."""
        return None if self._running or not self.queue.queued else self.queue.most_urgent()

    def start(self, number: int) -> None:
        """The engine has been given the job."""
        if not self.is_free:
            raise ScrubjayError("The engine runs one job at a time.")
        if (job := self.queue.queued.pop(number, None)) is None:
            raise ScrubjayError(f"Job {number} does not wait.")
        self._running = _Running(job)

    def job_to_stop(self) -> int | None:
        """The running job, once, when the engine must be asked to stop it: unwanted, or in the way of a more urgent one."""
        running = self._running
        if running is None or running.is_stopping:
            return None
        must_end = running.must_end and not running.job.priority.is_background
        if running.is_wanted and (must_end or not self.queue.queued or not self.queue.is_in_the_way(running.job)):
            return None
        running.is_stopping = True
        return running.job.number

    def finish(self, number: int, outcome: Outcome) -> bool:
        """The engine is done with the job, for good or bad; False if the job had ended before."""
        job = self._running.job if self._running else None
        was_wanted = self._leave(number)
        if was_wanted and job:
            self._forget(job)
            self.ended[outcome] += 1
        return was_wanted

    def give_back(self, number: int) -> bool:
        """The engine stopped the job early: it waits again, at its old place. False if the job had ended before."""
        job = self._running.job if self._running else None
        was_wanted = self._leave(number)
        if was_wanted and job:
            self.queue.push(job)
        return was_wanted

    def lose_engine(self) -> int | None:
        """The engine is gone: the running job has failed, queued ones wait on. Returns the job if somebody wanted it."""
        number = self.running.number if self.running else None
        if self._running:
            self.finish(self._running.job.number, Outcome.FAILED)
        return number

    def check_integrity(self) -> None:
        """Raises:
        ScrubjayError: the account does not add up.
        """
        n_live, n_ended = len(self._live()), self.ended.total()
        if self.n_accepted != n_live + n_ended:
            raise ScrubjayError(f"{self.n_accepted} jobs accepted, but {n_live} live + {n_ended} ended.")
        keys = {job.key: job.number for job in self._live() if job.key is not None}
        if self._by_key != keys:
            raise ScrubjayError(f"Jobs by key are {self._by_key}, but should be {keys}.")
        self.queue.check_integrity(self._live())

    def _live(self) -> list[Job]:
        return [*self.queue.queued.values(), *([self.running] if self.running else [])]

    def _note_key(self, job: Job) -> None:
        if job.key is not None:
            self._by_key[job.key] = job.number

    def _forget(self, job: Job) -> None:
        """`job` has ended."""
        self.queue.leave(job)
        if self._by_key.get(job.key) == job.number:
            del self._by_key[job.key]

    def _leave(self, number: int) -> bool:
        """Take the running job out of the engine; whether it was that one, and still wanted."""
        if self._running is None or self._running.job.number != number:
            return False
        was_wanted = self._running.is_wanted
        self._running = None
        return was_wanted
