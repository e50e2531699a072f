"""A client of the daemon's socket for the tests: nothing between the test and the wire but aiohttp."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from scrubjay.http.app import serving
from scrubjay.service.service import Service
from tests.support.service import running_service, until_state

Json = dict[str, Any]
Answer = tuple[int, Json]
BASE = "http://localhost"


class Api:
    """Requests to one daemon."""

    def __init__(self, http: aiohttp.ClientSession) -> None:
        self.http = http

    async def get(self, path: str) -> Answer:
        async with self.http.get(BASE + path) as response:
            return response.status, await response.json()

    async def post(self, path: str, body: Json | None = None, data: bytes | None = None) -> Answer:
        async with self.http.post(BASE + path, json=body, data=data) as response:
            return response.status, await response.json()

    async def open(self, uri: str, text: str, root: str = "/project", version: int = 1) -> None:
        body = {"uri": uri, "text": text, "root": root, "version": version, "language": "python"}
        assert await self.post("/api/documents/open", body) == (200, {"version": version})

    async def complete(self, uri: str, line: int = 0, max_tokens: int = 4, **more: object) -> Answer:
        position = {"line": line, "character": 0}
        return await self.post("/api/complete", {"uri": uri, "position": position, "max_tokens": max_tokens, **more})

    async def until(self, kind: str, **values: object) -> Json:
        """The next event of that type and with those values, from a stream of its own."""
        async with self.events() as events:
            return await next_event(events, kind, **values)

    @asynccontextmanager
    async def events(self) -> AsyncIterator[AsyncIterator[Json]]:
        """The daemon's events from now on; the first is its state."""
        async with self.http.get(BASE + "/api/events") as response:
            assert response.headers["Content-Type"] == "text/event-stream"
            yield _events(response)


async def _events(response: aiohttp.ClientResponse) -> AsyncIterator[Json]:
    async for line in response.content:
        if line.strip():
            assert line.startswith(b"data: ")
            yield json.loads(line.removeprefix(b"data: "))


async def next_event(events: AsyncIterator[Json], kind: str, **values: object) -> Json:
    """The next event of that type with those values."""
    async for event in events:
        if event["type"] == kind and values.items() <= event.items():
            return event
    raise AssertionError("the event stream ended")


async def next_prefill(events: AsyncIterator[Json]) -> Json:
    """The next sign that a prompt is being processed and not done yet."""
    async for event in events:
        if event["type"] == "progress" and event["done"] < event["total"]:
            return event
    raise AssertionError("the event stream ended")


@asynccontextmanager
async def connected(socket: Path) -> AsyncIterator[Api]:
    """A client of the daemon on `socket`."""
    timeout = aiohttp.ClientTimeout(total=None)
    connector = aiohttp.UnixConnector(path=str(socket), limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as http:
        yield Api(http)


@asynccontextmanager
async def running_api(
    model: Path, socket: Path, n_ctx: int = 8192, ready: bool = True
) -> AsyncIterator[tuple[Service, Api]]:
    """A service behind a real socket, and a client of it."""
    async with running_service(model, n_ctx) as service, serving(service, socket), connected(socket) as api:
        if ready:
            await until_state(service, "ready")
        yield service, api
