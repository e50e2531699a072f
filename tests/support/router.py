"""Routers before several servers: a small one that knows sessions, and vllm-router where that is installed."""

import asyncio
import os
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path

import aiohttp
from aiohttp import web
from aiohttp.test_utils import unused_port

from tests.benchmarks.vllm_traces import VENV

SESSION = "X-Session-ID"


def vllm_router() -> str | None:
    """The program, if it is on the path or beside vLLM."""
    return shutil.which("vllm-router", path=os.pathsep.join([os.environ.get("PATH", ""), str(VENV / "bin")]))


@asynccontextmanager
async def small_router(workers: Sequence[str], knows_sessions: bool = True) -> AsyncIterator[tuple[str, Counter[str]]]:
    """A proxy that sends what has a session always to one worker, all else to each in turn; its address, and who got what."""
    turns, sent, places = count(), Counter[str](), dict[str, int]()

    async def forward(request: web.Request) -> web.StreamResponse:
        session = request.headers.get(SESSION, "") if knows_sessions else ""
        is_asked = request.method == "POST" and request.path.endswith(("/completion", "/completions"))
        place = places.setdefault(session, len(places)) if session else next(turns) if is_asked else 0
        worker = workers[place % len(workers)]
        if is_asked:
            sent[worker] += 1
        body = await request.read()
        kind = {"Content-Type": request.content_type} if body else {}
        async with (
            aiohttp.ClientSession() as client,
            client.request(request.method, worker + request.path_qs, data=body or None, headers=kind) as answer,
        ):
            response = web.StreamResponse(status=answer.status, headers={"Content-Type": answer.content_type})
            await response.prepare(request)
            async for chunk in answer.content.iter_any():
                await response.write(chunk)
            await response.write_eof()
            return response

    app = web.Application(client_max_size=1 << 24)
    app.router.add_route("*", "/{path:.*}", forward)
    runner, port = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1), unused_port()
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        yield f"http://127.0.0.1:{port}", sent
    finally:
        await runner.cleanup()


@asynccontextmanager
async def real_router(workers: Sequence[str], policy: str, log: Path) -> AsyncIterator[str]:
    """vllm-router before `workers`, which must be there; its address, where it may not listen yet."""
    port = unused_port()
    where = ["--host", "127.0.0.1", "--port", str(port), "--prometheus-port", str(unused_port())]
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            str(vllm_router()), *where, "--policy", policy, "--worker-urls", *workers, stdout=out, stderr=out
        )
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            await process.wait()
