"""The web applications, on the local socket and on TCP: routes, limits, errors."""

import asyncio
import resource
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Middleware

from scrubjay.errors import DaemonError
from scrubjay.http.api.routes import NativeRoutes, json_response
from scrubjay.http.api.session import Session
from scrubjay.http.compat import compat_routes
from scrubjay.http.connections import Connections, note_answer
from scrubjay.http.errors import answer_errors
from scrubjay.http.guard import Address, guard, guard_local, is_loopback, proof_route
from scrubjay.http.keys import KeyRing
from scrubjay.http.page import FOR_KEYS, PageAccess, page_routes
from scrubjay.http.params import MAX_BODY
from scrubjay.loopback import TokenFile, bind, new_token, uses_unix_sockets, write_token_file
from scrubjay.service.service import Service
from scrubjay.service.status import Json, StatusReport

CLEANUP_S = 2.0
"""How long handlers may take to end when the daemon does."""
KEEP_ALIVE_S = 75.0
"""How long a connection may be idle."""
MAX_TCP = 500
"""Connections over TCP at a time: whoever opens more must not use up the descriptors that editors need."""
BACKLOG = 4096
MAX_DESCRIPTORS = 1 << 16
MAX_MESSAGE = 4 * MAX_BODY
"""Of a session: a longer message ends it; one that is only larger than a request may be is refused."""


class Listeners:
    """Where requests are answered.

    Args:
        path: of the local socket.
        connect: makes aiohttp's protocol for a connection to it.
        given: a socket that listens there already; ours from now on.
        token: has it be a port on loopback, and `path` that of a token file.
    """

    def __init__(
        self,
        path: Path,
        connect: web.Server,
        connections: Connections,
        given: socket.socket | None = None,
        token: str = "",
    ) -> None:
        self._path = path
        self._given = given
        self._token = token
        self._port = 0
        self._factory = _factory(connect, connections)
        self._server: asyncio.Server | None = None
        self.urls: tuple[str, ...] = ()
        """Of the TCP side, as clients can use them."""

    async def listen_again(self) -> None:
        """Make the socket, or the token file, whose path must be free; connections that there are live on.

        Raises:
            OSError: it cannot be made.
        """
        # A port outlives its token file, and those who have read that may go on.
        if not (self._server and self._token):
            await self._listen()
        if self._token:
            write_token_file(self._path, TokenFile(self._port, self._token))

    async def _listen(self) -> None:
        self.close()
        bound, self._given = self._given or self._bind(), None
        try:
            loop = asyncio.get_running_loop()
            self._server = await loop.create_server(self._factory, sock=bound)
            # Connecting to a Unix socket with a full queue fails at once. asyncio's own number would also be how many
            # connections it accepts in one step.
            bound.listen(BACKLOG)
        except OSError:
            bound.close()
            raise

    def _bind(self) -> socket.socket:
        if self._token:
            on_loopback = bind()
            self._port = on_loopback.getsockname()[1]
            return on_loopback
        bound = socket.socket(socket.AF_UNIX)
        try:
            bound.bind(str(self._path))
            # Before anybody can connect.
            self._path.chmod(0o600)
        except OSError:
            bound.close()
            raise
        return bound

    def close(self) -> None:
        if self._server:
            self._server.close()
            self._server = None


@asynccontextmanager
async def serving(
    service: Service,
    path: Path,
    address: Address | None = None,
    anchor: bool = True,
    about: Callable[[], Json] = dict,
    given: socket.socket | None = None,
) -> AsyncIterator[Listeners]:
    """Answer on the socket `path`, which nobody else uses, where only this user may connect; and on `address`, if any.

    The socket is a port with a token file at `path` where `uses_unix_sockets` says so, unless it is given.

    Args:
        about: see `StatusReport`.
        given: see `Listeners`.

    Raises:
        DaemonError: the socket or the address cannot be had.
        UsageError: the address is not safe; or see `uses_unix_sockets`.
    """
    reporter = StatusReport(service, about)
    compatible = compat_routes(service, reporter, anchor)
    async with AsyncExitStack() as stack:
        native = NativeRoutes(service, reporter)
        page = _Page(stack, native)
        connections = Connections(_n_descriptors() // 2)
        token = "" if given or uses_unix_sockets() else new_token()
        app = make_app(service, reporter, [*compatible, web.post("/api/page", page.give)], connections, token)
        listeners = Listeners(path, await _set_up(stack, app), connections, given, token)
        stack.callback(listeners.close)
        try:
            await listeners.listen_again()
        except OSError as error:
            raise DaemonError(f"The socket {path} cannot be made: {error.strerror or error}.") from error
        if address:
            address.require_safe()
            ring = KeyRing(address.keys, address.api_key)
            reporter.tenants, reporter.n_refused = ring.tenants, ring.n_refused
            if ring.tenants:
                service.models.share()
            has_page = is_loopback(address.host)
            seen = page.routes if has_page else [web.get(path, native.seen[path]) for path in FOR_KEYS if ring.tenants]
            listeners.urls = await _listen(stack, address, [*compatible, *seen], ring)
            page.url = listeners.urls[0] if has_page else ""
        yield listeners


class _Page:
    """The status page: on the TCP side if only this machine reaches it, else on a port that is opened when it is asked for.

    Attributes:
        url: where it is; "" if it is nowhere yet.
    """

    def __init__(self, stack: AsyncExitStack, native: NativeRoutes) -> None:
        self._stack = stack
        self._access = PageAccess()
        self._opening = asyncio.Lock()
        self.routes = page_routes(self._access, native.seen)
        self.url = ""

    async def give(self, _: web.Request) -> web.Response:
        """An address that lets one browser in."""
        async with self._opening:
            if not self.url:
                [self.url] = await _listen(self._stack, Address("127.0.0.1", 0), self.routes)
        return json_response({"url": f"{self.url}/?token={self._access.new_token()}"})


def make_app(
    service: Service, reporter: StatusReport, more: list[web.RouteDef], connections: Connections, token: str = ""
) -> web.Application:
    """All routes over `service`, which must be running, and `more`. Shutting it down ends sessions and event streams.

    With a token, they are for who has it.
    """
    app = _application(connections, *([guard_local(token)] if token else []))
    app.add_routes([proof_route(token)] if token else [])

    async def session(request: web.Request) -> web.WebSocketResponse:
        # A local socket gains nothing by compression.
        channel = web.WebSocketResponse(max_msg_size=MAX_MESSAGE, compress=False)
        await channel.prepare(request)
        # A task of its own: else each message would wake it through the frames of the server and of all middlewares.
        await asyncio.create_task(Session(service, reporter, channel).run())
        return channel

    async def end_streams(_: web.Application) -> None:
        service.broadcaster.close()

    app.add_routes([*NativeRoutes(service, reporter).routes(), *more, web.get("/api/session", session)])
    app.on_shutdown.append(end_streams)
    return app


def make_tcp_app(
    address: Address, routes: list[web.RouteDef], connections: Connections, ring: KeyRing | None = None
) -> web.Application:
    """What clients over TCP may use: never the documents."""
    app = _application(connections, guard(address, ring or KeyRing(address.keys, address.api_key)))
    app.add_routes(routes)
    return app


def _application(connections: Connections, *more: Middleware) -> web.Application:
    app = web.Application(client_max_size=MAX_BODY, middlewares=[connections.middleware, answer_errors, *more])
    app.on_response_prepare.append(note_answer)
    return app


async def _set_up(stack: AsyncExitStack, app: web.Application) -> web.Server:
    """What makes the protocol of each connection to `app`."""
    runner = web.AppRunner(
        app,
        handler_cancellation=True,
        access_log=None,
        shutdown_timeout=CLEANUP_S,
        keepalive_timeout=KEEP_ALIVE_S,
    )
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    if runner.server is None:
        raise RuntimeError("the runner was not set up")
    return runner.server


async def _listen(
    stack: AsyncExitStack, address: Address, routes: list[web.RouteDef], ring: KeyRing | None = None
) -> tuple[str, ...]:
    """Answer on `address`; its URLs."""
    connections = Connections(min(MAX_TCP, _n_descriptors() // 4))
    connect = await _set_up(stack, make_tcp_app(address, routes, connections, ring))
    try:
        server = await asyncio.get_running_loop().create_server(
            _factory(connect, connections), address.host, address.port
        )
    except OSError as error:
        reason = error.strerror or str(error)
        raise DaemonError(
            f"Scrubjay cannot listen on {address.host}:{address.port} ({reason}); choose another --http."
        ) from error
    stack.callback(server.close)
    return tuple(_url(*listening.getsockname()[:2]) for listening in server.sockets)


def _factory(connect: web.Server, connections: Connections) -> Callable[[], asyncio.Protocol]:
    return lambda: connections.protocol(connect())


def _n_descriptors() -> int:
    """How many this process may have; without one, a connection cannot even be refused."""
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return soft if soft != resource.RLIM_INFINITY else MAX_DESCRIPTORS


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
