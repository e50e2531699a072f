"""Answers sent while they are generated, as server-sent events."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

from aiohttp import web

from scrubjay.completion.requests import Completion, RawRequest
from scrubjay.errors import ScrubjayError
from scrubjay.http.errors import dump, error_body
from scrubjay.service.events import Generate
from scrubjay.service.service import Service

Json = dict[str, Any]
_HEADERS = {"Content-Type": "text/event-stream", "Cache-Control": "no-store"}


class GenerationStream:
    """One request whose texts are taken as they come; closing it ends the request."""

    def __init__(self, service: Service, request: RawRequest) -> None:
        self._texts: asyncio.Queue[str | None] = asyncio.Queue()
        event = Generate(request, self._texts.put_nowait)
        self.reply = event.reply
        self.reply.add_done_callback(lambda _: self._texts.put_nowait(None))
        service.post(event)

    async def texts(self) -> AsyncIterator[str]:
        """What is generated, until the reply is there."""
        while (text := await self._texts.get()) is not None:
            yield text


async def send_events(
    request: web.Request,
    stream: GenerationStream,
    first: Iterable[Json],
    piece: Callable[[str], Iterable[Json]],
    last: Callable[[Completion], Iterable[Json]],
    end: bytes,
) -> web.StreamResponse:
    """Answer `request` with events, each sent at once: no comments between, some clients end at them.

    Raises:
        ScrubjayError: the request failed before anything was sent.
    """
    texts = stream.texts()
    response = web.StreamResponse(headers=_HEADERS)
    try:
        text = await anext(texts, None)
        if text is None:
            # Nothing is sent yet, so an error can still be an HTTP status.
            await stream.reply
        await response.prepare(request)
        await _write(response, [*first, *(piece(text) if text is not None else [])])
        async for text in texts:
            await _write(response, piece(text))
        await _write(response, await _closing(stream.reply, last))
        await response.write(end)
    finally:
        stream.reply.cancel()
    return response


async def _closing(reply: "asyncio.Future[Completion]", last: Callable[[Completion], Iterable[Json]]) -> Iterable[Json]:
    try:
        return last(await reply)
    except ScrubjayError as error:
        # Tabby ends at an event without these two keys.
        return [{**error_body(error)[1], "content": "", "stop": True}]


async def _write(response: web.StreamResponse, events: Iterable[Json]) -> None:
    for event in events:
        await response.write(b"data: " + dump(event).encode() + b"\n\n")
