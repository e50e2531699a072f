"""What the daemon does on its own, shown to the user: loading a model, and prefills that take long."""

import asyncio

from scrubjay_lsp.replies import Json
from scrubjay_lsp.server import ScrubjayServer

LOADING = "Scrubjay: loading the model"
PREFILLING = "Scrubjay: reading the project"
LONG_S = 1.0
"""A prefill that has gone on for so long is shown."""


class Events:
    """The daemon's events, each as it comes."""

    def __init__(self, server: ScrubjayServer) -> None:
        self._server = server
        self._began: dict[object, float] = {}
        self._failure = ""

    def take(self, event: Json) -> None:
        """Show what is worth showing of `event`."""
        match event.get("type"):
            case "state":
                self._state(event)
            case "progress":
                self._progress(event)

    def link_changed(self) -> None:
        """Without a session nothing goes on that could be shown; a new one begins with the daemon's state."""
        self._began.clear()
        self._server.bars.end_all()
        if self._server.link.is_connected:
            self._server.link.submit("status", {}).add_done_callback(self._status)

    def _status(self, reply: "asyncio.Future[Json]") -> None:
        if not reply.cancelled() and reply.exception() is None:
            self._state(reply.result())

    def _state(self, event: Json) -> None:
        load, message = event.get("load") or {}, event.get("message") or ""
        if event.get("state") == "loading":
            self._server.bars.report(LOADING, load.get("fraction", 0.0), load.get("stage", ""))
        else:
            self._server.bars.end(LOADING)
        if event.get("state") == "failed" and message:
            self._server.say(message)

    def _progress(self, event: Json) -> None:
        job, done, total = event.get("job"), event.get("done", 0), event.get("total", 0)
        now = asyncio.get_running_loop().time()
        if done >= total:
            self._began.pop(job, None)
        elif now - self._began.setdefault(job, now) >= LONG_S:
            self._server.bars.report(PREFILLING, done / total, f"{done} of {total} tokens")
        if not self._began:
            self._server.bars.end(PREFILLING)


def register(server: ScrubjayServer) -> None:
    """Watch the daemon."""
    events = Events(server)
    server.on_event.append(events.take)
    server.on_change.append(events.link_changed)
