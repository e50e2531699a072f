"""What the daemon needs of an engine, whatever runs the model."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from scrubjay.protocol.messages import FromEngine, Run


@dataclass(frozen=True, slots=True)
class EngineGone:
    """The engine has ended; `reason` is a sentence that says how."""

    reason: str


EngineEvent = FromEngine | EngineGone
"""What an engine delivers."""

Deliver = Callable[[EngineEvent], None]
"""Takes each event of an engine, in order, in the event loop's thread; it must not raise."""


class Engine(Protocol):
    """One engine, from its start to its end. An `EngineFactory` makes it.

    It opens its model by itself and delivers `LoadProgress`..., then `Opened` or `LoadFailed`. Afterwards each `run` is
    answered by `PrefillProgress`..., `PrefillDone`, `Piece`..., and at last exactly one of `Done`, `Stopped` and `Failed`. The
    last event of all is exactly one `EngineGone`, whether the engine was closed or died; a job that had no final answer by
    then gets none.

    All methods are called from the event loop in which the engine was made. None but `close` waits, and none raises: what is
    said to an engine that has ended is lost, and `EngineGone` is on its way.
    """

    @property
    def pid(self) -> int | None:
        """Process id of what runs the model, whose memory is what the status report shows; None on another machine."""

    @property
    def is_stopped(self) -> bool:
        """Whether somebody has stopped it (SIGSTOP), and it does nothing until it is continued; False if that is not known."""

    def run(self, run: Run) -> None:
        """Do a job. The engine must be free: it has one job at a time, and no queue."""

    def stop(self, job: int, goes_on: bool = False) -> None:
        """End `job` as soon as possible, inside a decode if need be.

        With `goes_on` it will be run again soon; an engine that can goes on with its text then, and says so in `PrefillDone`.

        It is answered by `Stopped`, or by `Done` if it was quicker. Every decode that had finished is kept in the context.
        Without effect if `job` has ended.
        """

    def end_early(self, job: int) -> None:
        """End `job` after the decode that runs, so that no work is lost; answered like `stop`."""

    def ask_status(self) -> None:
        """Answered by `EngineStatus`, once the running job has ended."""

    def forget(self, root: str) -> None:
        """Hold nothing of the project at `root`, or with "" nothing at all; answered by `Forgotten`."""

    async def close(self, deadline_s: float = 5.0) -> None:
        """End the engine: in good order until the deadline, then by force. Returns after `EngineGone`; may be called twice."""


EngineFactory = Callable[[Deliver], Awaitable[Engine]]
"""Starts an engine that tells everything to the given function. Raises OSError where the system refuses to start one."""
