"""What the daemon pushes: its state, passed on to editors that show it, and progress of loading and of long prefills."""

import asyncio

from lsprotocol import types

from scrubjay_lsp.daemon_reply import Json
from scrubjay_lsp.progress import Bars
from scrubjay_lsp.server import ScrubjayServer

LOADING = "Scrubjay: loading the model"
PREFILLING = "Scrubjay: reading the project"
LONG_S = 1.0
"""A prefill that takes longer than this is shown."""
STATE = "scrubjay/state"


class Events:
    """The daemon's events, each as it comes."""

    def __init__(self, server: ScrubjayServer) -> None:
        self._server = server
        self._bars = Bars(server, lambda: server.settings.progress)
        self._loop = asyncio.get_running_loop()
        self._prefill_began: float | None = None

    def take(self, event: Json) -> None:
        """Show what is worth showing of `event`."""
        match event.get("type"):
            case "state":
                self._state(event)
            case "progress" if self._server.documents.find(event.get("uri", "")):
                self._progress(event["done"], event["total"])

    def connection_changed(self) -> None:
        """Without a session nothing goes on that could be shown; a new one begins with the daemon telling its state."""
        self._end_prefill()
        self._bars.end(LOADING)

    def _state(self, event: Json) -> None:
        if self._server.shows_status:
            self._server.protocol.notify(STATE, {key: event.get(key) for key in ("state", "message", "load")})
        load, message = event.get("load") or {}, event.get("message") or ""
        if event.get("state") == "loading":
            self._bars.report(LOADING, load.get("fraction", 0.0), load.get("stage", ""))
        else:
            self._bars.end(LOADING)
        if event.get("state") == "failed" and message:
            self._server.say(message, types.MessageType.Error)

    def _progress(self, done: int, total: int) -> None:
        """`done` of `total` tokens are in the model; all of them as well when the daemon has given up the prefill."""
        if done >= total:
            self._end_prefill()
            return
        if self._prefill_began is None:
            self._prefill_began = self._loop.time()
        if self._loop.time() - self._prefill_began >= LONG_S:
            self._bars.report(PREFILLING, done / total, f"{done} of {total} tokens")

    def _end_prefill(self) -> None:
        self._prefill_began = None
        self._bars.end(PREFILLING)


def register(server: ScrubjayServer) -> None:
    """Watch the daemon."""
    events = Events(server)
    server.on_event.append(events.take)
    server.on_connection_change.append(events.connection_changed)
