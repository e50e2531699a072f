"""The engine's status, as new as can be had without keeping it from its work."""

import asyncio
from collections.abc import Callable
from dataclasses import asdict

from scrubjay.notifications import Notification
from scrubjay.protocol.contexts import EngineStatus
from scrubjay.service.engine_supervisor import EngineSupervisor
from scrubjay.service.events import Post, StatusDue

DELAY_S = 0.1
"""How long after a job the engine is asked: not in the way of the next request."""


class EngineStatusPoller:
    """Asks the engine for its status, once at a time, and tells handlers that wait for it.

    Attributes:
        status: what the engine said last; None if there is no engine.
    """

    def __init__(self, engine: EngineSupervisor, tell: Callable[[Notification], None], post: Post) -> None:
        self._engine = engine
        self._tell = tell
        self._post = post
        self._is_asked = False
        self._waiting: list[asyncio.Future[None]] = []
        self._timer: asyncio.TimerHandle | None = None
        self.status: EngineStatus | None = None

    def request(self, reply: "asyncio.Future[None]", is_free: bool) -> None:
        """Set `reply` when the status is there; at once if the engine is not free to give it."""
        self.ask()
        self._waiting.append(reply)
        if not (self._is_asked and is_free):
            self._answer()

    def ask(self) -> None:
        """Ask the engine, unless it has been asked."""
        if not self._is_asked:
            self._is_asked = self._engine.ask_status()

    def schedule(self) -> None:
        """The engine has done something: ask in a moment."""
        loop = asyncio.get_running_loop()
        if self._timer is None or self._timer.when() < loop.time():
            self._timer = loop.call_later(DELAY_S, self._post, StatusDue())

    def on_engine_ready(self) -> None:
        """A new engine can be asked."""
        self._is_asked = False
        self.ask()

    def on_status(self, status: EngineStatus) -> None:
        """The engine has answered."""
        old, self.status = self.status, status
        self._is_asked = False
        self._answer()
        if status.records and (old is None or old.records != status.records):
            self._tell({"type": "records", **asdict(status.records)})
        if old is None or old.n_saved != status.n_saved:
            sizes = {"count": status.n_checkpoints, "bytes": status.checkpoint_bytes}
            self._tell({"type": "checkpoint", **sizes, "budget": status.checkpoint_budget})

    def on_exit(self) -> None:
        """The engine is gone: there is nothing to wait for."""
        self.status, self._is_asked = None, False
        self._answer()

    def on_halt(self) -> None:
        """The engine does not answer for now."""
        self._answer()

    def close(self) -> None:
        if self._timer:
            self._timer.cancel()
        self._answer()

    def _answer(self) -> None:
        waiting, self._waiting = self._waiting, []
        for reply in waiting:
            if not reply.done():
                reply.set_result(None)
