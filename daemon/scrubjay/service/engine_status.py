"""The engine's status, as new as can be had without keeping it from its work."""

import asyncio

from scrubjay.notifications import Broadcaster
from scrubjay.protocol.messages import EngineStatus
from scrubjay.service.engine_supervisor import EngineSupervisor
from scrubjay.service.events import Post, RequestStatus

LATER_S = 0.1
"""After a job the engine is asked so much later: not in the way of the next request."""


class EngineStatusPoller:
    """Asks the engine for its status, once at a time, and tells those who wait for it."""

    def __init__(self, supervisor: EngineSupervisor, feed: Broadcaster, post: Post) -> None:
        self._supervisor = supervisor
        self._broadcaster = feed
        self._post = post
        self._is_asked = False
        self._waiting: list[asyncio.Future[None]] = []
        self._timer: asyncio.TimerHandle | None = None

    def look(self, reply: "asyncio.Future[None]", is_free: bool) -> None:
        """Set `reply` when the status is there; at once if the engine is not free to give it."""
        self._ask()
        self._waiting.append(reply)
        if not (self._is_asked and is_free):
            self._answer()

    def look_later(self) -> None:
        """The engine has done something."""
        loop = asyncio.get_running_loop()
        if self._timer is None or self._timer.when() < loop.time():
            self._timer = loop.call_later(LATER_S, lambda: self._post(RequestStatus()))

    def engine_ready(self) -> None:
        """A new engine can be asked."""
        self._is_asked = False
        self._ask()

    def seen(self, status: EngineStatus) -> None:
        """The engine has answered."""
        old, self._supervisor.status = self._supervisor.status, status
        self._is_asked = False
        self._answer()
        if old is None or old.n_saved != status.n_saved:
            news = {"count": status.n_checkpoints, "bytes": status.checkpoint_bytes, "budget": status.checkpoint_budget}
            self._broadcaster.publish({"type": "checkpoint", **news})

    def engine_gone(self) -> None:
        """There is nothing to wait for."""
        self._is_asked = False
        self._answer()

    def close(self) -> None:
        if self._timer:
            self._timer.cancel()
        self._answer()

    def _ask(self) -> None:
        if not self._is_asked:
            self._is_asked = self._supervisor.ask_status()

    def _answer(self) -> None:
        waiting, self._waiting = self._waiting, []
        for reply in waiting:
            if not reply.done():
                reply.set_result(None)
