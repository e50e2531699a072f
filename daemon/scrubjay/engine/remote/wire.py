"""HTTP to the server of a remote model: questions, streams of events, and one sentence for whatever goes wrong."""

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Coroutine, Mapping
from contextlib import suppress
from typing import Any, Literal, TypeVar

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError

from scrubjay.config import REMOTE_KEY_VARIABLE
from scrubjay.engine.remote.address import RemoteAddress
from scrubjay.errors import RemoteFailed

logger = logging.getLogger(__name__)

Json = dict[str, Any]
T = TypeVar("T")
Kind = Literal["", "down", "final", "missing", "request"]

CONNECT_S = 1.5
"""How long a server may take to accept a connection."""
SILENT_S = 1.0
"""After so long without a word a server is asked whether it is there: with a long prompt it may be silent for long."""
ALIVE_S = 0.8
"""How long it may take to say so."""
MAX_EVENT_BYTES = 1 << 20
MAX_ANSWER_BYTES = 1 << 26
"""Of answers that are no streams; the largest is a vocabulary."""
MAX_QUOTED_CHARACTERS = 300
DONE = b"[DONE]"


class Wire:
    """Connections to one server. To be used in one event loop, and closed.

    All methods raise `RemoteFailed`. Certificates are verified; proxies and redirects are not followed, so that the key goes to
    nobody but the server that was named.

    Args:
        key: what the server wants as a bearer token, "" for nothing.
    """

    def __init__(self, address: RemoteAddress, key: str = "") -> None:
        self._address = address
        self._key = key
        self._session = aiohttp.ClientSession(
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S),
            connector=aiohttp.TCPConnector(limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
            read_bufsize=MAX_EVENT_BYTES,
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def get(self, path: str) -> Json:
        """The JSON object at `path`, which is below the address, or an address of its own."""
        return self._object(await self.get_bytes(path))

    async def get_bytes(self, path: str) -> bytes:
        """What is at `path`."""
        return await self._whole("GET", path, None)

    async def post(self, path: str, body: Mapping[str, object]) -> Json:
        """The JSON object that answers `body`."""
        return self._object(await self._whole("POST", path, body))

    async def stream(
        self, path: str, body: Mapping[str, object], headers: Mapping[str, str]
    ) -> AsyncGenerator[Json, None]:
        """The events that answer `body`, until the server closes the stream; to end it early, close the iterator."""
        response = await self._begun("POST", path, body, headers)
        try:
            if response.content_type != "text/event-stream":
                self._require_no_error(self._object(await self._read(response)))
                raise self.garbage(f"an answer of type {response.content_type}")
            while line := await self._patiently(response.content.readline()):
                if (data := _data_of(line)) == DONE:
                    return
                if data:
                    self._require_no_error(event := self._object(data))
                    yield event
        finally:
            # A stream that was not read to its end is of no use any more, and closing is how the server hears of it.
            response.close()

    def garbage(self, what: str) -> RemoteFailed:
        """The server sent `what`, which no server of its kind sends."""
        return self._failed(f"sends {what}, which is no completion; is it the right address?", kind="down")

    def cut(self) -> RemoteFailed:
        """The server has ended an answer before its end."""
        return self._failed("has closed the connection in the middle of an answer; ask once more.", kind="down")

    # --- one exchange -------------------------------------------------------------------------------------------------

    async def _whole(self, method: str, path: str, body: Mapping[str, object] | None) -> bytes:
        response = await self._begun(method, path, body, {})
        try:
            return await self._read(response)
        finally:
            response.release()

    async def _begun(
        self, method: str, path: str, body: Mapping[str, object] | None, headers: Mapping[str, str]
    ) -> aiohttp.ClientResponse:
        """The answer as far as its status, which is one of success."""
        try:
            response = await self._sent(method, path, body, headers)
        except RemoteFailed as error:
            if not isinstance(error.__cause__, aiohttp.ServerDisconnectedError | ConnectionResetError):
                raise
            # It had closed an idle connection, and has not seen the request.
            response = await self._sent(method, path, body, headers)
        if response.status >= 300:
            try:
                raise self._refusal(response, await self._message(response))
            finally:
                response.close()
        return response

    async def _sent(
        self, method: str, path: str, body: Mapping[str, object] | None, headers: Mapping[str, str]
    ) -> aiohttp.ClientResponse:
        url = path if "://" in path else self._address.url + path
        data = None if body is None else json.dumps(body, separators=(",", ":")).encode("ascii")
        kind = {"Content-Type": "application/json"} if data else {}
        request = self._session.request(method, url, data=data, headers={**headers, **kind}, allow_redirects=False)
        return await self._patiently(_made(request))

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        data = await self._patiently(response.content.read(MAX_ANSWER_BYTES))
        while chunk := await self._patiently(response.content.read(MAX_ANSWER_BYTES)):
            data += chunk
            if len(data) > MAX_ANSWER_BYTES:
                raise self.garbage(f"more than {MAX_ANSWER_BYTES >> 20} MiB")
        return data

    async def _patiently(self, work: Coroutine[Any, Any, T]) -> T:
        """What `work` comes to, however long that takes, as long as the server answers other questions meanwhile."""
        task = asyncio.ensure_future(work)
        try:
            while not (await asyncio.wait([task], timeout=SILENT_S))[0]:
                await self._require_alive()
            return task.result()
        except (aiohttp.ClientError, HttpProcessingError, OSError, ValueError) as error:
            raise self._broken(error) from error
        finally:
            task.cancel()

    async def _require_alive(self) -> None:
        """Any answer shows that somebody is there."""
        limit = aiohttp.ClientTimeout(total=ALIVE_S)
        try:
            async with self._session.get(f"{self._address.root}/health", timeout=limit, allow_redirects=False):
                return
        except (aiohttp.ClientError, HttpProcessingError, OSError) as error:
            why = f"has not answered for {SILENT_S + ALIVE_S:.1f} s; it is tried again. Is it stopped, or overloaded?"
            raise self._failed(why, kind="down") from error

    # --- what goes wrong ----------------------------------------------------------------------------------------------

    def _failed(self, what: str, kind: Kind = "") -> RemoteFailed:
        return RemoteFailed(f"The server of the remote model, {self._address.url}, {self._without_key(what)}", kind)

    def _broken(self, error: Exception) -> RemoteFailed:
        """What the network, or the form of an answer, has made of a request."""
        match error:
            case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientSSLError():
                what = f"is not trusted: {error}. Its certificate has to be one that this machine knows."
            case aiohttp.ClientConnectorError():
                what = f"cannot be reached: {error.strerror or error}. It is tried again; is it started?"
            case TimeoutError():
                what = f"has not accepted a connection within {CONNECT_S:g} s; it is tried again."
            case ValueError() | HttpProcessingError() | aiohttp.ClientResponseError():
                return self.garbage("what is no HTTP")
            case _:
                return self.cut()
        return self._failed(what, kind="down")

    def _refusal(self, response: aiohttp.ClientResponse, message: str) -> RemoteFailed:
        """What a status other than that of success means."""
        status, path = response.status, response.url.path
        said = f": {message}" if message else "."
        match status:
            case 401 | 403:
                # What it says may have a part of the key in it.
                what = (
                    f"does not accept the key ({status}); set --remote-key-file, or {REMOTE_KEY_VARIABLE}, and restart."
                )
                return self._failed(what, kind="down")
            case 404 | 405:
                return self._failed(f"has no {path} ({status}){said}", kind="missing")
            case 429:
                after = response.headers.get("Retry-After", "")
                soon = f"in {after} s" if after.isdecimal() else "in a moment"
                return self._failed(f"has too many requests ({status}); ask again {soon}.")
            case 502 | 503 | 504:
                return self._failed(f"is not ready ({status}){said} It is tried again.", kind="down")
            case 400 | 413 | 422:
                return self._failed(f"refuses the request ({status}){said}", kind="request")
        return self._failed(f"has failed ({status}){said}")

    def _require_no_error(self, answer: Json) -> None:
        if answer.get("error") or answer.get("object") == "error":
            raise self._failed(f"has failed: {_message_in(answer)}")

    async def _message(self, response: aiohttp.ClientResponse) -> str:
        with suppress(RemoteFailed):
            return _message_in(self._object(await self._read(response)))
        return ""

    def _object(self, data: bytes) -> Json:
        try:
            value = json.loads(data)
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise self.garbage(repr(data[:40].decode(errors="replace")))
        return value

    def _without_key(self, text: str) -> str:
        return text.replace(self._key, "...") if self._key else text


async def _made(request: Any) -> aiohttp.ClientResponse:
    response: aiohttp.ClientResponse = await request
    return response


def _data_of(line: bytes) -> bytes:
    """What a line of a stream carries; nothing for comments and the lines between events."""
    name, _, data = line.strip().partition(b":")
    return data.strip() if name == b"data" else b"" if name in (b"", b"event", b"id", b"retry") else line.strip()


def _message_in(answer: Json) -> str:
    """The sentence of an error, in any of the forms that servers have."""
    error = answer.get("error")
    inner = error.get("message") if isinstance(error, dict) else error
    found = next((text for text in (inner, answer.get("message"), answer.get("detail")) if isinstance(text, str)), "")
    line = " ".join(found.split())
    return "".join(filter(str.isprintable, line))[:MAX_QUOTED_CHARACTERS]
