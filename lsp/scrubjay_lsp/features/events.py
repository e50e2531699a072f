"""What the daemon does on its own, shown to the user: loading a model, and prefills that take long."""

import asyncio

from lsprotocol import types

from scrubjay_lsp.progress import Bars
from scrubjay_lsp.replies import Json
from scrubjay_lsp.server import ScrubjayServer

LOADING = "Scrubjay: loading the model"
PREFILLING = "Scrubjay: reading the project"
LONG_S = 1.0
"""A prefill that has gone on for so long is shown."""
QUIET_S = 5.0
"""One that has not gone on for so long has been given up: nothing else tells."""


class Prefill:
    """What is being read of the project at one root; shown from when it takes long until it is done or goes quiet."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._quiet = self._loop.call_later(QUIET_S, self.end)
        self.has_ended = False

    def go_on(self, done: int, total: int) -> None:
        """`done` of `total` tokens are there."""
        self._quiet.cancel()
        if done >= total:
            self.end()
            return
        self._quiet = self._loop.call_later(QUIET_S, self.end)
        if self._loop.time() - self._began >= LONG_S:
            self._bars.report(PREFILLING, done / total, f"{done} of {total} tokens")

    def end(self) -> None:
        """It is done, or given up."""
        self._quiet.cancel()
        self._bars.end(PREFILLING)
        self.has_ended = True


class Events:
    """The daemon's events, each as it comes."""

    def __init__(self, server: ScrubjayServer) -> None:
        self._server = server
        self._prefill: Prefill | None = None

    def take(self, event: Json) -> None:
        """Show what is worth showing of `event`."""
        match event.get("type"):
            case "state":
                self._state(event)
            case "progress" if self._server.documents.find(event.get("uri", "")):
                self._progress(event["done"], event["total"])

    def link_changed(self) -> None:
        """Without a session nothing goes on that could be shown; a new one begins with the daemon telling its state."""
        if self._prefill:
            self._prefill.end()
        self._server.bars.end(LOADING)

    def _state(self, event: Json) -> None:
        load, message = event.get("load") or {}, event.get("message") or ""
        if event.get("state") == "loading":
            self._server.bars.report(LOADING, load.get("fraction", 0.0), load.get("stage", ""))
        else:
            self._server.bars.end(LOADING)
        if event.get("state") == "failed" and message:
            self._server.say(message, types.MessageType.Error)

    def _progress(self, done: int, total: int) -> None:
        if self._prefill is None or self._prefill.has_ended:
            self._prefill = Prefill(self._server.bars)
        self._prefill.go_on(done, total)


def register(server: ScrubjayServer) -> None:
    """Watch the daemon."""
    events = Events(server)
    server.on_event.append(events.take)
    server.on_change.append(events.link_changed)
