"""The web application on the Unix socket: routes, limits, errors."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

from scrubjay.http.errors import MAX_BODY, answer_errors
from scrubjay.http.native import NativeRoutes
from scrubjay.http.session import Session
from scrubjay.report import Reporter
from scrubjay.service import Service

CLEANUP_S = 2.0
"""How long handlers may take to end when the daemon does."""


@asynccontextmanager
async def serving(service: Service, socket: Path) -> AsyncIterator[None]:
    """Answer on `socket`, a path that nobody else uses; only this user may connect."""
    app = make_app(service)
    runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=CLEANUP_S)
    await runner.setup()
    try:
        await web.UnixSite(runner, str(socket)).start()
        socket.chmod(0o600)
        yield
    finally:
        await runner.cleanup()


def make_app(service: Service) -> web.Application:
    """All routes over `service`, which must be running. Shutting it down ends sessions and event streams."""
    reporter = Reporter(service)
    app = web.Application(client_max_size=MAX_BODY, middlewares=[answer_errors])

    async def session(request: web.Request) -> web.WebSocketResponse:
        # A local socket gains nothing by compression.
        socket = web.WebSocketResponse(max_msg_size=MAX_BODY, compress=False)
        await socket.prepare(request)
        await Session(service, reporter, socket).run()
        return socket

    async def end_streams(_: web.Application) -> None:
        service.feed.close()

    app.add_routes([*NativeRoutes(service, reporter).routes(), web.get("/api/session", session)])
    app.on_shutdown.append(end_streams)
    return app
