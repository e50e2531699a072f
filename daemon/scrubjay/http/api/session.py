"""The WebSocket that an editor keeps open: ordered requests, answers as they come, and pushed events.

What the editor opens belongs to its session, and is closed with it.
"""

import asyncio
import logging
import re
from collections.abc import Callable, Mapping
from functools import partial
from itertools import count
from typing import Any

from aiohttp import WSCloseCode, WSMsgType, web

from scrubjay.errors import RequestError, ScrubjayError
from scrubjay.http.api import methods
from scrubjay.http.api.methods import Call, Json, Method, Render
from scrubjay.http.errors import dump, error_body
from scrubjay.http.params import AT_ONCE, Fields, Id, Params, optional, read_any_size
from scrubjay.notifications import Subscription
from scrubjay.service.events import RequestStatus
from scrubjay.service.service import Service
from scrubjay.service.status import StatusReport
from scrubjay.workspace.events import CloseOwner

logger = logging.getLogger(__name__)

PUSHED = ("state", "progress")
"""Types of events that an editor gets unasked."""
_NUMBER = optional(Params.identity)
_CALL: Fields = {"id": _NUMBER, "params": optional(Params.nested), "method": Params.text}
_numbers = count(1)
_ID = re.compile(r'\s*\{[^{}]{,200}?"id"\s*:\s*(\d{1,15})\b')


class Session:
    """One connected editor. Requests are posted in the order received, so an edit comes before what was asked after it."""

    def __init__(self, service: Service, reporter: StatusReport, socket: web.WebSocketResponse) -> None:
        self._service = service
        self._reporter = reporter
        self._socket = socket
        self._owner = f"session-{next(_numbers)}"
        self._outbox: asyncio.Queue[Json] = asyncio.Queue()
        self._is_over = False
        self._replies: dict[Id, asyncio.Future[Any]] = {}
        self._methods: Mapping[str, Method] = {
            **methods.METHODS,
            "status": (lambda _params, _owner: RequestStatus, lambda _: reporter.status()),
        }

    async def run(self) -> None:
        """Serve until either side closes."""
        self._reporter.n_editors += 1
        subscription = self._service.broadcaster.subscribe(PUSHED)
        subscription.put(self._service.state_news())
        writer, pusher = asyncio.create_task(self._write()), asyncio.create_task(self._push(subscription))
        try:
            async for message in self._socket:
                if message.type is WSMsgType.TEXT:
                    await self._receive(message.data)
            if self._is_over:
                await pusher
        finally:
            self._reporter.n_editors -= 1
            self._service.broadcaster.unsubscribe(subscription)
            for ending in (writer, pusher, *self._replies.values()):
                ending.cancel()
            self._service.post(CloseOwner(self._owner))

    async def _receive(self, data: str) -> None:
        """Handle one message; whatever is wrong with it is answered."""
        # Until it is read: what seems to be its number.
        number = _number_of(data) if len(data) > AT_ONCE else None
        try:
            act = await read_any_size(data, self._read)
        except ScrubjayError as error:
            self._send_error(number, error)
        else:
            act()

    def _read(self, message: Params) -> Callable[[], None]:
        """What is to be done about a message; this may happen in a thread."""
        try:
            call = message.read(_CALL)
            number: Id | None = call["id"]
            method, params = call["method"], call["params"] or Params({})
            if method == "cancel":
                return partial(self._cancel, params.identity("id"))
            if method not in self._methods:
                raise RequestError(
                    f"There is no method {method}; there are {', '.join(self._methods)} and cancel.", 404
                )
            make, render = self._methods[method]
            return partial(self._call, number, make(params, self._owner), render)
        except ScrubjayError as error:
            return partial(self._send_error, _NUMBER(message, "id"), error)

    def _call(self, number: Id | None, make: Callable[[], Call], render: Render) -> None:
        if number is None or number in self._replies:
            self._send_error(number, RequestError("Each request needs an `id` that no other request has."))
            return
        event = make()
        self._service.post(event)
        self._replies[number] = event.reply
        event.reply.add_done_callback(lambda reply: self._answer(number, reply, render))

    def _cancel(self, number: Id) -> None:
        """End a request; that it has ended before is no mistake."""
        if reply := self._replies.get(number):
            reply.cancel()

    def _answer(self, number: Id, reply: "asyncio.Future[Any]", render: Render) -> None:
        self._replies.pop(number, None)
        if reply.cancelled():
            self._send_error(number, RequestError("The request was cancelled.", 409, "cancelled"))
        elif error := reply.exception():
            self._send_error(number, error)
        else:
            self._outbox.put_nowait({"id": number, "result": render(reply.result())})

    def _send_error(self, number: Id | None, error: BaseException) -> None:
        self._outbox.put_nowait({"id": number, **error_body(error)[1]})

    async def _write(self) -> None:
        while True:
            await self._send(await self._outbox.get())

    async def _push(self, subscription: Subscription) -> None:
        async for news in subscription:
            await self._send({"event": news})
        # This ends the reading too, which then waits until the goodbye is said.
        self._is_over = True
        await self._socket.close(code=WSCloseCode.GOING_AWAY, message=b"The daemon is shutting down.")

    async def _send(self, message: Json) -> None:
        try:
            await self._socket.send_str(dump(message))
        except ConnectionError:
            # The reading side hears of it too, and ends the session.
            logger.debug("An editor has gone away.")


def _number_of(data: str) -> Id | None:
    """The number of a request that is too large to be read, if it comes first: so its sender can be told."""
    found = _ID.match(data)
    return int(found[1]) if found else None
