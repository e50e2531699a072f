"""Connections as other programs make them: half-closed, abandoned, never read from, and many of them."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import unused_port

from scrubjay.http import app
from scrubjay.http.app import serving
from scrubjay.http.guard import Address
from scrubjay.http.params import MAX_BODY
from scrubjay.service.scheduler import Outcome
from scrubjay.service.service import Service
from tests.support.gguf_models import tiny_model
from tests.support.service import running_service, until_state

LONG = {"prompt": "def f(", "n_predict": 100_000, "ignore_eos": True}


@dataclass(frozen=True, slots=True)
class Place:
    """A service on both sides."""

    service: Service
    socket: Path
    port: int

    async def connect(self, side: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if side == "unix":
            return await asyncio.open_unix_connection(self.socket)
        return await asyncio.open_connection("127.0.0.1", self.port)


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    port = unused_port()
    address = Address("127.0.0.1", port)
    async with running_service(tiny_model("deltanet"), 4096) as service, serving(service, tmp_path / "s", address):
        await until_state(service, "ready")
        yield Place(service, tmp_path / "s", port)


def request(body: dict[str, Any] | bytes, version: str = "1.1", more: str = "") -> bytes:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = f"POST /completion HTTP/{version}\r\nHost: localhost\r\nContent-Length: {len(data)}\r\n{more}\r\n"
    return head.encode() + data


@pytest.mark.slow
@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("side", ["unix", "tcp"])
async def test_a_client_that_sends_nothing_more_is_answered(
    place: Place, side: str, stream: bool, version: str
) -> None:
    reader, writer = await place.connect(side)
    # Long enough that the answer is far from ready when the end of the request is seen.
    body = {"prompt": "x = 1\n" * 400, "n_predict": 30, "ignore_eos": True, "stream": stream}
    writer.write(request(body, version))
    writer.write_eof()
    answer = await reader.read()
    assert b"200 OK" in answer
    assert b'"stop":true' in answer.replace(b" ", b"")
    assert answer.count(b"100 Continue") <= (version == "1.1")
    writer.close()


@pytest.mark.slow
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("side", ["unix", "tcp"])
async def test_work_for_a_client_that_has_gone_ends(place: Place, side: str, stream: bool) -> None:
    before = place.service.dispatcher.scheduler.ended.total()
    news = place.service.broadcaster.subscribe()
    _, writer = await place.connect(side)
    writer.write(request({**LONG, "stream": stream}))
    async for event in news:
        if event["type"] == "progress" or place.service.dispatcher.scheduler.running:
            break
    writer.close()
    # The next request is answered, although the first would have taken the model for as long as the context holds.
    reader, writer = await place.connect(side)
    writer.write(request({"prompt": "a", "n_predict": 1}, more="Connection: close\r\n"))
    assert b"200 OK" in await reader.read()
    ended = place.service.dispatcher.scheduler.ended
    assert ended.total() == before + 2
    assert ended[Outcome.CANCELLED] == 1
    writer.close()


async def test_a_request_that_ends_too_early_ends_the_connection(place: Place) -> None:
    for side in ("unix", "tcp"):
        reader, writer = await place.connect(side)
        writer.write(request(LONG)[:-3])
        writer.write_eof()
        with suppress(ConnectionError):
            assert b"200 OK" not in await reader.read()
        writer.close()


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
async def test_a_body_that_is_not_encoded_as_it_says(
    place: Place, coding: str, caplog: pytest.LogCaptureFixture
) -> None:
    body = json.dumps({"prompt": "a", "n_predict": 1}).encode()
    for data in (body, gzip.compress(body)[:20], b""):
        reader, writer = await place.connect("tcp")
        writer.write(request(data, more=f"Content-Encoding: {coding}\r\nConnection: close\r\n"))
        answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 400"), answer
        writer.close()
    assert not caplog.records, "nothing that needs a look at the log"


@pytest.mark.slow
async def test_a_large_body_in_a_small_one_is_refused(place: Place) -> None:
    bomb = gzip.compress(b" " * (4 * MAX_BODY), 9)
    reader, writer = await place.connect("tcp")
    writer.write(request(bomb, more="Content-Encoding: gzip\r\nConnection: close\r\n"))
    assert (await reader.readline()).startswith(b"HTTP/1.1 413")
    writer.close()


@pytest.mark.slow
async def test_more_connections_than_there_may_be(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = [await place.connect("tcp") for _ in range(app.MAX_TCP)]
    reader, writer = await place.connect("tcp")
    with suppress(ConnectionError):
        assert await reader.read() == b"", "one too many"
    writer.close()
    # Editors use the socket, which has its own.
    reader, writer = await place.connect("unix")
    writer.write(request({"prompt": "a", "n_predict": 1}, more="Connection: close\r\n"))
    assert b"200 OK" in await reader.read()
    for _, other in opened:
        other.close()
    writer.close()


@pytest.mark.slow
async def test_a_client_that_never_reads_holds_nobody_up(place: Place) -> None:
    writers = []
    for _ in range(20):
        _, writer = await place.connect("tcp")
        writers.append(writer)
        body = {"prompt": "a", "n_predict": 2000, "ignore_eos": True, "stream": True, "n_cmpl": 1}
        writer.write(request(body) * 3)
    reader, writer = await place.connect("unix")
    writer.write(request({"prompt": "b", "n_predict": 1}, more="Connection: close\r\n"))
    for other in writers:
        other.transport.abort()
    assert b"200 OK" in await reader.read()
    writer.close()


@pytest.mark.parametrize(("host", "shown"), [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]")])
async def test_addresses_are_told_as_they_can_be_used(tmp_path: Path, host: str, shown: str) -> None:
    async with (
        running_service(tiny_model("deltanet"), 1024) as service,
        serving(service, tmp_path / "s", Address(host, 0)) as listeners,
    ):
        [url] = listeners.urls
        name, _, port = url.removeprefix("http://").rpartition(":")
        assert name == shown
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert b"200 OK" in await reader.read()
        writer.close()
