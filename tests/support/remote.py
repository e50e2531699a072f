"""Remote engines, and a server that does what a test says: real sockets, and whatever may come over them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.test_utils import unused_port

from scrubjay.engine.interface import EngineEvent
from scrubjay.engine.remote.engine import RemoteEngine
from scrubjay.protocol.messages import EngineSettings, Opened
from scrubjay.tokens import Tokens, as_tokens

Events = asyncio.Queue[EngineEvent]
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]
Json = dict[str, Any]


@dataclass
class ScriptedServer:
    """Answers as llama.cpp's server does, but for completions, which `answer` answers.

    Attributes:
        bodies, headers: of the completions that were asked for.
        card: what `/v1/models` says of the model, beside its name.
        more: other routes.
        left: set when a client has closed the connection before the answer was complete.
    """

    model: Path
    answer: Answer
    port: int = field(default_factory=unused_port)
    name: str = "tiny"
    status: int = 200
    bodies: list[Json] = field(default_factory=list)
    headers: list[Json] = field(default_factory=list)
    left: asyncio.Event = field(default_factory=asyncio.Event)
    card: Json = field(default_factory=dict)
    more: tuple[web.RouteDef, ...] = ()
    _runner: web.AppRunner | None = None

    @property
    def address(self) -> str:
        return f"remote+llama:http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        app = web.Application(client_max_size=1 << 24)
        app.router.add_get("/props", self._props)
        app.router.add_get("/v1/models", self._models)
        app.router.add_post("/completion", self._completion)
        app.router.add_routes(self.more)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True).start()

    async def stop(self) -> None:
        if self._runner:
            await self._runner.cleanup()

    async def _props(self, _: web.Request) -> web.Response:
        body = {"default_generation_settings": {"n_ctx": 2048}, "model_path": str(self.model), "model_alias": self.name}
        return web.json_response(body, status=self.status)

    async def _models(self, _: web.Request) -> web.Response:
        return web.json_response({"data": [{"id": self.name, **self.card}]})

    async def _completion(self, request: web.Request) -> web.StreamResponse:
        self.bodies.append(await request.json())
        self.headers.append(dict(request.headers))
        try:
            return await self.answer(request)
        except (asyncio.CancelledError, ConnectionResetError):
            self.left.set()
            raise


@asynccontextmanager
async def scripted(model: Path, answer: Answer) -> AsyncIterator[ScriptedServer]:
    server = ScriptedServer(model, answer)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


async def events_of(request: web.Request, *lines: bytes) -> web.StreamResponse:
    """An answer of these events, as they are."""
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    for line in lines:
        await response.write(b"data: " + line + b"\n\n")
    return response


@asynccontextmanager
async def remote_engine(model: str, **settings: Any) -> AsyncIterator[tuple[RemoteEngine, Events]]:
    """An engine that has begun to open."""
    events: Events = asyncio.Queue()
    engine = await RemoteEngine.start(EngineSettings(model, **settings), events.put_nowait)
    try:
        yield engine, events
    finally:
        await engine.close()


@asynccontextmanager
async def opened_engine(model: str, **settings: Any) -> AsyncIterator[tuple[RemoteEngine, Events]]:
    """An engine that is open."""
    async with remote_engine(model, **settings) as (engine, events):
        await until(events, Opened)
        yield engine, events


async def until(events: Events, *wanted: type) -> list[EngineEvent]:
    """All events up to the first one of a wanted type."""
    seen = [await events.get()]
    while not isinstance(seen[-1], wanted):
        seen.append(await events.get())
    return seen


def tokens_of(*ids: int) -> Tokens:
    return as_tokens(ids)
