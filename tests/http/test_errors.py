"""What clients are told of errors, and what the log is."""

import asyncio
import logging

import pytest
from aiohttp import web

from scrubjay.http.errors import answer_errors


async def test_a_client_that_leaves_during_its_answer_is_no_mistake(caplog: pytest.LogCaptureFixture) -> None:
    done = asyncio.Event()

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b"more")
        finally:
            done.set()

    app = web.Application(middlewares=[answer_errors])
    app.router.add_get("/", endless)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        reader, writer = await asyncio.open_connection(*runner.addresses[0][:2])
        writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert await reader.read(1)
        writer.transport.abort()
        await done.wait()
    finally:
        await runner.cleanup()
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []
