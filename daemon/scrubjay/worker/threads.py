"""How many threads the model has while others want the processors, too.

A decode is as slow as its slowest thread: while one of them waits for a processor, the others wait for it, hundreds of times in
each decode. So there are no more of them than processors that others leave free, and one at least.
"""

import os
from collections.abc import Callable, Iterable
from math import inf
from pathlib import Path
from time import monotonic, process_time, sleep
from typing import Protocol

import psutil

from scrubjay.llama.devices import device
from scrubjay.protocol.messages import EngineSettings

LOOK_S = 0.2
"""Between looks at the machine: its clocks count hundredths of a second."""
QUIET_S = 1.0
"""For so long there must be room for more threads. A thread too many costs several times as much as one too few."""
MAX_QUIET_S = 10.0
"""The same on a machine where that has often been wrong; after so long without a mistake, they are forgotten."""
STALE_S = 1.0
"""What others did in a longer time says little of what they do now."""
N_GLANCES, GLANCE_S = 3, 0.0005
"""Whoever wants a processor for long does so each time; the daemon, which has just sent a request, does not."""
MAX_TAKEN = 0.25
"""Of a processor that others use so little, the rest does for a thread."""
MIN_TAKEN = 0.4
"""A thread goes where others use so much of its processor."""
CROWDED = 0.9
"""Processors for us: with fewer, others wait for even one thread."""


class ThreadCount:
    """The number of threads that follows from how many processors were free for them. Pure.

    Args:
        most: threads on a machine that does nothing else.
    """

    def __init__(self, most: int) -> None:
        self.most = self.n = most
        self.is_crowded = False
        """Whether others have to wait even if there is one thread only."""
        self._quiet_s = 0.0
        self._wanted_s = QUIET_S
        self._risen_s = inf

    def note(self, elapsed: float, available: float, is_quiet: Callable[[], bool] = lambda: False) -> int:
        """How many there should be now.

        Args:
            elapsed: seconds since the last call.
            available: processors that did nothing meanwhile, or worked for us; on average.
            is_quiet: whether nobody else wants a processor at this moment; asked only where it matters.
        """
        if available < self.n - MIN_TAKEN and elapsed > STALE_S and is_quiet():
            available = self.n - MIN_TAKEN
        self.is_crowded = available < CROWDED
        self._risen_s += elapsed
        fitting = min(max(int(available + MAX_TAKEN), 1), self.most)
        self._quiet_s = self._quiet_s + elapsed if fitting > self.n else 0.0
        if available < self.n - MIN_TAKEN:
            self._fall(fitting)
        elif self._quiet_s >= self._wanted_s:
            self.n, self._quiet_s, self._risen_s = fitting, 0.0, 0.0
        return self.n

    def _fall(self, n: int) -> None:
        if n < self.n and self._risen_s < MAX_QUIET_S:
            # There was no room after all: next time it has to be there for longer.
            self._wanted_s = min(2 * self._wanted_s, MAX_QUIET_S)
        elif n < self.n:
            self._wanted_s = QUIET_S
        self.n = n


class Threaded(Protocol):
    """A context, as `Threads` sees it."""

    def set_threads(self, n: int) -> None:
        """Use `n` threads from the next decode on."""


class Threads:
    """Looks at the machine, and gives contexts the threads for which it has room.

    Args:
        most: threads on a machine that does nothing else.
        is_fixed: use as many whatever the machine does.
    """

    def __init__(self, most: int, is_fixed: bool) -> None:
        self.count = ThreadCount(most)
        self._is_fixed = is_fixed
        # What gives way to us is as good as idle, unless our own time is counted there.
        self._gives_way = os.nice(0) <= 0
        self._seen = self._clocks()

    def look(self, contexts: Iterable[Threaded]) -> None:
        """To be called before decodes: where `LOOK_S` have passed, see what others do, and set the threads of `contexts`."""
        if self._is_fixed or monotonic() - self._seen[0] < LOOK_S:
            return
        before, self._seen = self._seen, self._clocks()
        elapsed, free = (now - then for now, then in zip(self._seen, before, strict=True))
        n = self.count.n
        if self.count.note(elapsed, free / elapsed, is_quiet) != n:
            for context in contexts:
                context.set_threads(self.count.n)

    def _clocks(self) -> tuple[float, float]:
        """The time, and how long processors did nothing or worked for us until now; in seconds."""
        times = psutil.cpu_times()
        idle = times.idle + getattr(times, "iowait", 0.0) + (getattr(times, "nice", 0.0) if self._gives_way else 0.0)
        return monotonic(), idle + process_time()


def is_quiet() -> bool:
    """Whether no other thread of the machine wants a processor now; False where that cannot be known."""
    for _ in range(N_GLANCES):
        try:
            n_running, _, _ = Path("/proc/loadavg").read_text("ascii").split()[3].partition("/")
        except OSError:
            return False
        if int(n_running) <= 1:
            return True
        sleep(GLANCE_S)
    return False


def threads_for(settings: EngineSettings, n_wanted: int) -> Threads:
    """Those of an engine with these settings, whose user wants `n_wanted`, or 0 for as many as is best."""
    # What is on a GPU needs no processors.
    return Threads(settings.n_threads, is_fixed=n_wanted > 0 or device(settings.gpu_layers) != "cpu")
