"""In which order jobs wait: by urgency among those of one tenant, by fair shares of the model among tenants. Pure.

Each tenant has a virtual time, which runs while the model works for him, the slower the larger his weight. Who has nothing to
do saves up nothing: his time is at least that of those at work when he comes back. Of several, the one goes first whose work
would be done at the earliest virtual time. So a completion of one is done before a burst of another, or its long prompt, goes on;
and neither waits for ever, because the time of who is served passes.

Work is counted in tokens that are read: no clock is asked, so the order is the same on every machine.
"""

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from heapq import heappop, heappush

from scrubjay.errors import ScrubjayError
from scrubjay.service.tenants import OWNER, Tenant

GENERATED = 8
"""To generate a token takes about as long as to read so many."""
MAX_TEXT_TOKENS = 128
"""Few texts become longer, whatever their limit is: more is not reckoned with before they are written."""
HORIZON = 4096
"""More work than this counts as this much: who has very much to do is not put off until all of it would be done."""
TURN = 1024
"""Of two who have very much to do, one is this far ahead before it is the other's turn: each change of turns costs something."""


class Priority(IntEnum):
    """How urgent a job is; the lowest goes first."""

    FOCUS = 0
    COMPLETION = 1
    SPECULATIVE = 2
    WARM = 3
    AHEAD = 4
    SNAPSHOT = 5

    @property
    def is_background(self) -> bool:
        """Whether nobody waits for it, so that it may be preempted."""
        return self >= Priority.SPECULATIVE


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be run.

    Args:
        number: names it; larger ones were submitted later.
        key: a job supersedes all earlier ones of the same key; None supersedes nothing.
        tenant: whose it is.
    """

    number: int
    priority: Priority
    key: Hashable = None
    tenant: Tenant = OWNER

    @property
    def urgency(self) -> tuple[int, int]:
        """Jobs of a tenant sort by this: by priority, then first come, first served."""
        return self.priority, self.number


@dataclass(slots=True)
class _Share:
    """What is known of a tenant.

    Args:
        time: his virtual time.
        work: what is left of his jobs that somebody waits for, as far as that is known.
        n_live: how many jobs he has, queued and running.
        heap: the urgencies of his queued jobs, and of some that are queued no more: those are dropped when they come up.
    """

    tenant: Tenant
    time: float = 0.0
    work: float = 0.0
    n_live: int = 0
    heap: list[tuple[int, int]] = field(default_factory=list)

    def end(self, job: Job, left: float) -> tuple[float, bool]:
        """The virtual time at which his work is done, and whether it is too much to look so far ahead."""
        work = left if job.priority.is_background else self.work
        return self.time + min(work, HORIZON) / self.tenant.weight, work >= HORIZON


@dataclass(slots=True)
class FairQueue:
    """The jobs that wait. No operation looks at all of them, so that thousands cost each no more than one does.

    Attributes:
        queued: the jobs that wait, by number; what is taken out of it waits no more.
        is_shared: whether others may have jobs than this machine's user; where not, nobody needs to know what jobs cost.
    """

    queued: dict[int, Job] = field(default_factory=dict)
    is_shared: bool = False
    _shares: dict[str, _Share] = field(default_factory=dict)
    # What is left to be done for each job, queued or running, once it is known.
    _left: dict[int, float] = field(default_factory=dict)
    _now: float = 0.0

    @property
    def waiting(self) -> list[Job]:
        """The jobs that wait, the most urgent first. Looks at all of them."""
        return sorted(self.queued.values(), key=lambda job: job.urgency)

    # --- jobs ---------------------------------------------------------------------------------------------------------

    def accept(self, job: Job) -> None:
        """There is a new job."""
        share = self._share(job)
        if not share.n_live:
            share.time = max(share.time, self._now)
            share.tenant = job.tenant
        share.n_live += 1
        self.push(job)

    def push(self, job: Job) -> None:
        """`job` waits (again), perhaps with another priority."""
        if old := self.queued.get(job.number):
            self._count(old, -1)
            self._count(job, 1)
        self.queued[job.number] = job
        heappush(self._share(job).heap, job.urgency)

    def change(self, old: Job, new: Job) -> None:
        """The running job has another priority."""
        self._count(old, -1)
        self._count(new, 1)

    def leave(self, job: Job) -> None:
        """`job` has ended, and waits no more."""
        share = self._share(job)
        self._count(job, -1)
        self._left.pop(job.number, None)
        share.n_live -= 1
        self._pass_time()

    # --- work ---------------------------------------------------------------------------------------------------------

    def estimate(self, number: int, n_tokens: int, n_written: int) -> None:
        """A job that waits has so many tokens to read, and so many to write at most: before, it goes before nobody else's."""
        if (job := self.queued.get(number)) is None:
            return
        self._count(job, -1)
        self._left[job.number] = n_tokens + GENERATED * min(n_written, MAX_TEXT_TOKENS)
        self._count(job, 1)

    def served(self, job: Job, n_tokens: int, n_written: int = 0) -> None:
        """The model has read so many tokens for `job`, which runs, and written so many."""
        share, work = self._share(job), n_tokens + GENERATED * n_written
        share.time += work / job.tenant.weight
        self._count(job, -1)
        if job.number in self._left:
            self._left[job.number] = max(0.0, self._left[job.number] - work)
        self._count(job, 1)
        self._pass_time()

    # --- who is next --------------------------------------------------------------------------------------------------

    def most_urgent(self) -> Job | None:
        """What should run now, if nothing does."""
        return min(self._heads(), key=self._order, default=None)

    def is_in_the_way(self, job: Job) -> bool:
        """Whether `job`, which runs, keeps one waiting that should run in its place."""
        return any(self._goes_before(other, job) for other in self._heads())

    @property
    def is_contended(self) -> bool:
        """Whether several tenants have something to do, so that the order changes while one is served."""
        return sum(share.n_live > 0 for share in self._shares.values()) > 1

    def _order(self, job: Job) -> tuple[bool, bool, float, int]:
        # What is not known to be small does not go before others; among a tenant's own it keeps its place.
        is_unknown = job.number not in self._left
        end, _ = self._share(job).end(job, self._left.get(job.number, 0.0))
        return job.priority.is_background, is_unknown, end, job.number

    def _goes_before(self, other: Job, job: Job) -> bool:
        is_less = other.priority.is_background, job.priority.is_background
        if other.tenant.name == job.tenant.name:
            return job.priority.is_background and other.priority < job.priority
        if other.number not in self._left or is_less == (True, False):
            return False
        if is_less == (False, True):
            return True
        end, is_long = self._share(other).end(other, self._left[other.number])
        # What is not known may be of any length.
        running_end, _ = self._share(job).end(job, self._left.get(job.number, HORIZON))
        return end + (TURN / other.tenant.weight if is_long else 0) < running_end

    def _heads(self) -> Iterator[Job]:
        """The most urgent job of each tenant."""
        for share in self._shares.values():
            while share.heap:
                job = self.queued.get(share.heap[0][1])
                if job and job.urgency == share.heap[0]:
                    yield job
                    break
                heappop(share.heap)

    def check_integrity(self, live: list[Job]) -> None:
        """Raises:
        ScrubjayError: what is known of tenants is not what their `live` jobs, queued and running, add up to.
        """
        for name, share in self._shares.items():
            own = [job for job in live if job.tenant.name == name]
            work = sum(self._left.get(job.number, 0.0) for job in own if not job.priority.is_background)
            if (share.n_live, share.work) != (len(own), work):
                raise ScrubjayError(
                    f"{name!r} has {share.n_live} jobs with {share.work}, but should have {len(own)}, {work}."
                )
        if strangers := self._left.keys() - {job.number for job in live}:
            raise ScrubjayError(f"Jobs {strangers} have ended.")

    # --- books --------------------------------------------------------------------------------------------------------

    def _share(self, job: Job) -> _Share:
        if (share := self._shares.get(job.tenant.name)) is None:
            share = self._shares[job.tenant.name] = _Share(job.tenant, self._now)
            self.is_shared = self.is_shared or not job.tenant.is_owner
        return share

    def _count(self, job: Job, sign: int) -> None:
        """Count what is left of `job`, or no more."""
        if not job.priority.is_background:
            share = self._share(job)
            share.work = max(0.0, share.work + sign * self._left.get(job.number, 0.0))

    def _pass_time(self) -> None:
        self._now = max(self._now, min((share.time for share in self._shares.values() if share.n_live), default=0.0))
