"""The native routes: documents, completions, warming, and what there is to see."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web

from scrubjay.errors import RequestError, ScrubjayError
from scrubjay.http.api import methods
from scrubjay.http.api.methods import Json
from scrubjay.http.errors import dump, error_body
from scrubjay.http.keys import tenant_of
from scrubjay.http.params import Handler, read_params
from scrubjay.service.events import Complete, RequestStatus
from scrubjay.service.request_log import MAX_RECORDS
from scrubjay.service.service import Service
from scrubjay.service.status import StatusReport
from scrubjay.service.why import RequestReport


class NativeRoutes:
    """Handlers: each makes an event, posts it, and answers with its reply.

    A client that goes away cancels its handler, and with it the reply: that ends the request.
    """

    def __init__(self, service: Service, reporter: StatusReport) -> None:
        self._service = service
        self._reporter = reporter
        self._requests = RequestReport(service)

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/api/status", self.status),
            web.get("/api/context", self.context),
            web.get("/api/requests", self.requests),
            web.get("/api/events", self.events),
            web.get("/api/documents", self.document),
            web.post("/api/complete", self.complete),
            *(
                web.post(f"/api/{name}", self._handler(*method))
                for name, method in methods.METHODS.items()
                if name != "complete"
            ),
        ]

    @property
    def seen(self) -> Mapping[str, Handler]:
        """What the status page asks for, by path."""
        return {
            "/api/status": self.status,
            "/api/context": self.context,
            "/api/requests": self.requests,
            "/api/events": self.events,
        }

    async def complete(self, request: web.Request) -> web.StreamResponse:
        make, streams = await read_params(
            request, lambda params: (methods.complete(params), params.flag("stream", default=False))
        )
        event = make()
        if streams:
            return await self._stream(request, event)
        self._service.post(event)
        return json_response(methods.completion_json(await event.reply))

    async def status(self, request: web.Request) -> web.Response:
        await self._update_status()
        return json_response(self._reporter.status(tenant_of(request)))

    async def context(self, request: web.Request) -> web.Response:
        if not (root := request.query.get("root")):
            raise RequestError("Say which project: ?root=PATH; GET /api/status lists them.")
        await self._update_status()
        return json_response(self._reporter.context(root))

    async def requests(self, request: web.Request) -> web.Response:
        """The last requests, each with the reason for what it cost."""
        last = request.query.get("last", str(MAX_RECORDS))
        if not last.isdecimal():
            raise RequestError(f"`last` must be a number of requests, not {last!r}.")
        return json_response({"requests": await self._requests.requests(int(last), tenant_of(request).group)})

    async def document(self, request: web.Request) -> web.Response:
        """The text of an open document as the daemon has it: the copy that was last touched."""
        if not (uri := request.query.get("uri")):
            raise RequestError("Say which document: ?uri=URI.")
        return json_response(self._reporter.document(uri))

    async def events(self, request: web.Request) -> web.StreamResponse:
        """Server-sent events; the first one is the present state."""
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        subscription = self._service.broadcaster.subscribe()
        try:
            await response.prepare(request)
            await response.write(_sse(self._service.state_news()))
            async for news in subscription:
                await response.write(_sse(news))
        finally:
            self._service.broadcaster.unsubscribe(subscription)
        return response

    def _handler(self, make: methods.Make, render: methods.Render) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            event = (await read_params(request, lambda params: make(params, "")))()
            self._service.post(event)
            return json_response(render(await event.reply))

        return handle

    async def _update_status(self) -> None:
        event = RequestStatus()
        self._service.post(event)
        await event.reply

    async def _stream(self, request: web.Request, event: Complete) -> web.StreamResponse:
        """One JSON object a line: texts as they are generated, then the whole answer."""
        texts: asyncio.Queue[str | None] = asyncio.Queue()
        streamed = Complete(event.request, texts.put_nowait, event.reply)
        event.reply.add_done_callback(lambda _: texts.put_nowait(None))
        self._service.post(streamed)
        try:
            text = await texts.get()
            if text is None:
                # Nothing is sent yet, so an error can still be an HTTP status.
                await event.reply
            response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
            await response.prepare(request)
            while text is not None:
                await response.write(_line({"text": text}))
                text = await texts.get()
            await response.write(_line(await _final(event.reply)))
        finally:
            event.reply.cancel()
        return response


def json_response(body: Json, status: int = 200) -> web.Response:
    return web.json_response(body, status=status, dumps=dump)


async def _final(reply: "asyncio.Future[Any]") -> Json:
    try:
        return methods.completion_json(await reply) | {"done": True}
    except ScrubjayError as error:
        return error_body(error)[1] | {"done": True}


def _line(value: Json) -> bytes:
    return dump(value).encode() + b"\n"


def _sse(value: object) -> bytes:
    return b"data: " + dump(value).encode() + b"\n\n"
