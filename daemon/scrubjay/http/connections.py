"""Connections beyond what aiohttp sees to: ones that never send a request, and ones whose client sends nothing more."""

import asyncio
import select
import socket
from collections.abc import Callable
from weakref import WeakKeyDictionary

from aiohttp import HttpVersion11, web

from scrubjay.http.params import Handler

HEADERS_S = 20.0
"""How long a client may take from connecting to the end of its first request's headers."""
LOOK_S = 0.02
MAX_LOOK_S = 1.0
"""How often a half-closed connection is looked at, at first and after a while."""
_IS_ANSWERED = web.RequestKey("is_answered", bool)
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Connections:
    """The connections of one listener; `protocol` is for its factory, the rest for its application.

    A connection that brings no request within `HEADERS_S` is ended: aiohttp limits only how long one may be idle after
    its first request, and silent ones would use up the daemon's descriptors.

    A client may close its sending side when its request is sent (`nc -N`, socat): it is answered all the same. One that has
    closed its whole connection looks the same over TCP until something is written to it.

    Args:
        most: how many there may be at a time; more are closed at once. None for any number.
    """

    def __init__(self, most: int | None = None) -> None:
        self._most = most
        self._live: set[_Connection] = set()
        self._requests: WeakKeyDictionary[asyncio.BaseTransport, web.Request | None] = WeakKeyDictionary()

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Remembers which request each connection is busy with; to be the outermost."""
        transport = request.transport
        if transport is None:
            return await handler(request)
        self._requests[transport] = request
        try:
            return await handler(request)
        finally:
            self._requests[transport] = None

    def protocol(self, inner: web.RequestHandler) -> asyncio.Protocol:
        """The protocol of a connection that is being made, around aiohttp's."""
        return _Connection(inner, self)

    def admit(self, connection: "_Connection") -> bool:
        """Whether there is room for one more."""
        if self._most is not None and len(self._live) >= self._most:
            return False
        self._live.add(connection)
        return True

    def forget(self, connection: "_Connection") -> None:
        """It has ended."""
        self._live.discard(connection)

    def request_of(self, transport: asyncio.BaseTransport) -> web.Request | None:
        """What the connection is busy with.

        Raises:
            KeyError: it has not brought a request yet.
        """
        return self._requests[transport]


class _Connection(asyncio.Protocol):
    def __init__(self, inner: web.RequestHandler, connections: Connections) -> None:
        self._inner = inner
        self._connections = connections
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._is_probed = False
        self._n_idle = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._inner.connection_made(transport)
        if isinstance(transport, asyncio.Transport):
            self._transport = transport
            if self._connections.admit(self):
                self._later(HEADERS_S, self._end_if_silent)
            else:
                transport.abort()

    def data_received(self, data: bytes) -> None:
        self._inner.data_received(data)

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer:
            self._timer.cancel()
        self._transport = None
        self._connections.forget(self)
        self._inner.connection_lost(exc)

    def eof_received(self) -> bool:
        """The client sends nothing more; whether it may still read."""
        if self._transport is None or _is_gone(self._transport):
            return False
        self._look(LOOK_S)
        return True

    def _look(self, wait_s: float) -> None:
        self._later(wait_s, lambda: self._look_at_half_closed(min(2 * wait_s, MAX_LOOK_S)))

    def _look_at_half_closed(self, wait_s: float) -> None:
        """End the connection if its client is gone, or has got its answer; else look again."""
        if self._transport is None:
            return
        request = self._current()
        if request is None:
            # Between two looks without a request the last answer has been handed over.
            self._n_idle += 1
            if self._n_idle > 1:
                self._transport.close()
                return
        else:
            self._n_idle = 0
            if not request.content.is_eof() or "Upgrade" in request.headers:
                self._transport.abort()  # the rest of the request, or the next message, will never come
                return
            self._probe(request)
        if _is_gone(self._transport):
            self._transport.abort()
        else:
            self._look(wait_s)

    def _probe(self, request: web.Request) -> None:
        """Write what means nothing, once: a system whose program has closed the connection says so."""
        if (
            self._transport
            and not self._is_probed
            and request.version >= HttpVersion11
            and not request.get(_IS_ANSWERED)
        ):
            self._transport.write(_CONTINUE)
        self._is_probed = True

    def _current(self) -> web.Request | None:
        try:
            return self._connections.request_of(self._transport) if self._transport else None
        except KeyError:
            return None

    def _end_if_silent(self) -> None:
        try:
            if self._transport:
                self._connections.request_of(self._transport)
        except KeyError:
            if self._transport:
                self._transport.abort()

    def _later(self, wait_s: float, work: Callable[[], None]) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(wait_s, work)


async def note_answer(request: web.Request, response: web.StreamResponse) -> None:
    """To be called when an answer begins: nothing may be written to the connection but it from then on."""
    request[_IS_ANSWERED] = True
    _ = response


def _is_gone(transport: asyncio.Transport) -> bool:
    """Whether the other end of a connection has closed both directions, as far as the system knows."""
    connection: socket.socket | None = transport.get_extra_info("socket")
    if connection is None or connection.fileno() < 0:
        return True
    poll = select.poll()
    poll.register(connection.fileno(), 0)
    return bool(poll.poll(0))
