"""The web applications, on the Unix socket and on TCP: routes, limits, errors."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from aiohttp import web

from scrubjay.errors import DaemonError
from scrubjay.http.api.routes import NativeRoutes
from scrubjay.http.api.session import Session
from scrubjay.http.compat.info import InfoRoutes
from scrubjay.http.compat.routes import CompatRoutes
from scrubjay.http.errors import MAX_BODY, answer_errors
from scrubjay.http.guard import Address, IdleConnections, guard
from scrubjay.service.service import Service
from scrubjay.service.status import StatusReport

CLEANUP_S = 2.0
"""How long handlers may take to end when the daemon does."""
KEEP_ALIVE_S = 75.0
"""How long a connection may be idle."""
HEADERS_S = 20.0
"""How long a stranger may take from connecting to the end of the first request's headers."""


class Listeners:
    """Where requests are answered.

    Args:
        runner: of the application on the Unix socket `path`.
    """

    def __init__(self, runner: web.AppRunner, path: Path) -> None:
        self._runner = runner
        self._path = path
        self._site: web.SockSite | None = None
        self.urls: tuple[str, ...] = ()
        """Of the TCP side, as clients can use them."""

    async def listen_again(self) -> None:
        """Make the socket, whose path must be free; connections that there are live on.

        Raises:
            OSError: it cannot be made.
        """
        if self._site:
            await self._site.stop()
            self._site = None
        bound = socket.socket(socket.AF_UNIX)
        try:
            bound.bind(str(self._path))
            # Before anybody can connect.
            self._path.chmod(0o600)
            site = web.SockSite(self._runner, bound)
            await site.start()
        except OSError:
            bound.close()
            raise
        self._site = site


@asynccontextmanager
async def serving(
    service: Service, path: Path, address: Address | None = None, anchor: bool = True
) -> AsyncIterator[Listeners]:
    """Answer on the socket `path`, which nobody else uses, where only this user may connect; and on `address`, if any.

    Raises:
        DaemonError: the socket or the address cannot be had.
        UsageError: the address is not safe.
    """
    reporter = StatusReport(service)
    compatible = [*CompatRoutes(service, anchor).routes(), *InfoRoutes(service, reporter).routes()]
    async with AsyncExitStack() as stack:
        listeners = Listeners(await _runner(stack, make_app(service, reporter, compatible)), path)
        try:
            await listeners.listen_again()
        except OSError as error:
            raise DaemonError(f"The socket {path} cannot be made: {error.strerror or error}.") from error
        if address:
            address.require_safe()
            listeners.urls = await _listen(stack, address, compatible)
        yield listeners


def make_app(service: Service, reporter: StatusReport, compatible: list[web.RouteDef]) -> web.Application:
    """All routes over `service`, which must be running. Shutting it down ends sessions and event streams."""
    app = web.Application(client_max_size=MAX_BODY, middlewares=[answer_errors])

    async def session(request: web.Request) -> web.WebSocketResponse:
        # A local socket gains nothing by compression.
        channel = web.WebSocketResponse(max_msg_size=MAX_BODY, compress=False)
        await channel.prepare(request)
        # A task of its own: else each message would wake it through the frames of the server and of all middlewares.
        await asyncio.create_task(Session(service, reporter, channel).run())
        return channel

    async def end_streams(_: web.Application) -> None:
        service.broadcaster.close()

    app.add_routes([*NativeRoutes(service, reporter).routes(), *compatible, web.get("/api/session", session)])
    app.on_shutdown.append(end_streams)
    return app


def make_foreign_app(address: Address, compatible: list[web.RouteDef], visitors: IdleConnections) -> web.Application:
    """What strangers may use: never the documents."""
    app = web.Application(client_max_size=MAX_BODY, middlewares=[answer_errors, visitors.middleware, guard(address)])
    app.add_routes(compatible)
    return app


async def _runner(stack: AsyncExitStack, app: web.Application) -> web.AppRunner:
    runner = web.AppRunner(
        app,
        handler_cancellation=True,
        access_log=None,
        shutdown_timeout=CLEANUP_S,
        keepalive_timeout=KEEP_ALIVE_S,
    )
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    return runner


async def _listen(stack: AsyncExitStack, address: Address, compatible: list[web.RouteDef]) -> tuple[str, ...]:
    visitors = IdleConnections(HEADERS_S)
    runner = await _runner(stack, make_foreign_app(address, compatible, visitors))
    connect = runner.server
    if connect is None:
        raise RuntimeError("the runner was not set up")
    try:
        server = await asyncio.get_running_loop().create_server(
            lambda: visitors.watched(connect()), address.host, address.port
        )
    except OSError as error:
        reason = error.strerror or str(error)
        raise DaemonError(
            f"Scrubjay cannot listen on {address.host}:{address.port} ({reason}); choose another --http."
        ) from error
    stack.callback(server.close)
    return tuple(_url(*listening.getsockname()[:2]) for listening in server.sockets)


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
