"""One WebSocket to the daemon: messages go out in the order in which they were given, answers find their futures."""

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from http import HTTPStatus
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler

from scrubjay.errors import DaemonError, RequestError
from scrubjay.loopback import TokenFile
from scrubjay.process.peer import own_token_file, require_own_peer
from scrubjay_lsp.daemon_reply import Json, Reply, refuse

logger = logging.getLogger(__name__)

CONNECT_S = 5.0
"""How long a daemon may take to prove what it is, over TCP."""


class Session:
    """What the daemon knows of this editor lives as long as this session.

    Args:
        on_event: called with every event that the daemon pushes.
    """

    def __init__(
        self, http: aiohttp.ClientSession, socket: aiohttp.ClientWebSocketResponse, on_event: Callable[[Json], None]
    ) -> None:
        self._http = http
        self._socket = socket
        self._on_event = on_event
        self._numbers = count(1)
        self._outbox: asyncio.Queue[Json] = asyncio.Queue()
        self._waiting: dict[int, Reply] = {}

    @classmethod
    async def open(cls, path: str, on_event: Callable[[Json], None]) -> "Session":
        """A session with the daemon that listens on the socket, or on the port of the token file, at `path`.

        Raises:
            DaemonError: none does, or it is none that has sessions, or it is another user's.
        """
        try:
            token_file = own_token_file(Path(path))
        except OSError as error:
            raise _nobody_on(path) from error
        http = (
            _over_loopback(token_file) if token_file else aiohttp.ClientSession(connector=aiohttp.UnixConnector(path))
        )
        try:
            socket = await http.ws_connect("http://localhost/api/session", max_msg_size=0)
            if token_file is None:
                # Before any source is sent.
                require_own_peer(socket.get_extra_info("socket"), Path(path))
        except (aiohttp.ClientError, OSError) as error:
            await http.close()
            raise _nobody_on(path) from error
        except (asyncio.CancelledError, DaemonError):
            await http.close()
            raise
        return cls(http, socket, on_event)

    async def get(self, route: str, query: Mapping[str, str]) -> Json | None:
        """The answer to `GET /api/<route>`; None if the daemon knows nothing of that name.

        Raises:
            DaemonError: the daemon went away, or refuses.
        """
        try:
            async with self._http.get(f"http://localhost/api/{route}", params=query) as response:
                answer: Json = await response.json()
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise DaemonError("The Scrubjay daemon went away; the request can be repeated.") from error
        if response.status == HTTPStatus.NOT_FOUND:
            return None
        if refusal := answer.get("error"):
            raise DaemonError(refusal["message"])
        return answer

    def submit(self, method: str, params: Json, reply: Reply) -> None:
        """Send a request; `reply` gets the result or RequestError. To end `reply` before that ends the request."""
        number = next(self._numbers)
        self._waiting[number] = reply
        self._outbox.put_nowait({"id": number, "method": method, "params": params})
        reply.add_done_callback(lambda _: self._ended(number))

    async def run(self) -> None:
        """Carry messages until the daemon goes away; what still waits then is refused."""
        writer = asyncio.create_task(self._write())
        try:
            async for message in self._socket:
                if message.type is aiohttp.WSMsgType.TEXT:
                    self._receive(json.loads(message.data))
        finally:
            writer.cancel()
            try:
                await self._http.close()
            finally:
                # The very last thing: what is submitted after it would wait for ever.
                self._refuse_all()

    async def close(self) -> None:
        """Say goodbye; `run` ends."""
        await self._socket.close()

    async def _write(self) -> None:
        while True:
            message = await self._outbox.get()
            try:
                # ASCII, because a lone surrogate in a document has no UTF-8.
                await self._socket.send_str(json.dumps(message, separators=(",", ":")))
            except (aiohttp.ClientError, OSError) as error:
                logger.info("The daemon cannot be written to: %s", error)
                return

    def _receive(self, message: Json) -> None:
        if "event" in message:
            self._on_event(message["event"])
            return
        reply = self._waiting.pop(message.get("id", 0), None)
        if reply is None or reply.done():
            return
        if error := message.get("error"):
            refuse(reply, RequestError(error.get("message", ""), error.get("code", 500), error.get("type", "")))
        else:
            reply.set_result(message.get("result"))

    def _ended(self, number: int) -> None:
        """If the daemon has not answered request `number`, nobody wants its answer any more."""
        if self._waiting.pop(number, None) is not None:
            self._outbox.put_nowait({"method": "cancel", "params": {"id": number}})

    def _refuse_all(self) -> None:
        waiting, self._waiting = self._waiting, {}
        for reply in waiting.values():
            refuse(reply, RequestError("The Scrubjay daemon went away; the request can be repeated.", 503, "gone"))


def _nobody_on(path: str) -> DaemonError:
    return DaemonError(f"No daemon listens on {path}; `scrubjay start` starts one.")


def _over_loopback(token_file: TokenFile) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(connector=_LoopbackConnector(token_file), headers=token_file.headers)


class _LoopbackConnector(aiohttp.BaseConnector):
    """Has each connection proven before a request is sent on it. aiohttp's own connectors are made in the same way."""

    def __init__(self, token_file: TokenFile) -> None:
        super().__init__()
        self._token_file = token_file

    async def _create_connection(self, *_: Any) -> ResponseHandler:
        connection = await asyncio.to_thread(self._token_file.connect, CONNECT_S)
        return (await self._loop.create_connection(self._factory, sock=connection))[1]
