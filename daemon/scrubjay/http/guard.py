"""Who may talk to the TCP side: programs of this machine, or those that have the key. No web page ever."""

import asyncio
import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from ipaddress import ip_address
from weakref import WeakSet

from aiohttp import web
from aiohttp.typedefs import Middleware

from scrubjay.errors import RequestError, UsageError

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
PUBLIC = ("/health", "/v1/health", "/models", "/v1/models")
"""What may be asked without the key, as llama.cpp's server has it."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where the TCP side listens, and the key that clients need ("" for none)."""

    host: str
    port: int
    api_key: str = ""

    def require_safe(self) -> None:
        """Raises:
        UsageError: other machines could reach it, and no key is set.
        """
        if not self.api_key and not is_loopback(self.host):
            raise UsageError(
                f"--http {self.host}:{self.port} would let other machines in; add --api-key, or use 127.0.0.1."
            )


def guard(address: Address) -> Middleware:
    """The middleware that lets in only who may come in."""

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        _refuse_web_pages(request)
        _check_host(request, address)
        _check_key(request, address.api_key)
        return await handler(request)

    return check


class IdleConnections:
    """Connections, which are ended if no request comes within `patience` seconds.

    aiohttp only limits how long a connection may be idle after its first request.
    """

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._known: WeakSet[asyncio.BaseTransport] = WeakSet()

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Notes who has sent a request."""
        if request.transport:
            self._known.add(request.transport)
        return await handler(request)

    def watched(self, visitor: web.RequestHandler) -> web.RequestHandler:
        """The protocol of a connection that is being made."""
        asyncio.get_running_loop().call_later(self._patience, self._end_if_silent, visitor)
        return visitor

    def _end_if_silent(self, visitor: web.RequestHandler) -> None:
        if visitor.transport and visitor.transport not in self._known:
            visitor.transport.abort()


def is_loopback(host: str) -> bool:
    """Whether `host` names this machine for itself only."""
    if host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _refuse_web_pages(request: web.Request) -> None:
    """Browsers say where a request comes from; programs do not. A page that this server itself has sent may ask."""
    origin = request.headers.get("Origin")
    if origin is not None and origin != f"{request.scheme}://{request.host}":
        raise RequestError("Web pages may not talk to Scrubjay.", 403, "forbidden")
    if request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
        raise RequestError("Web pages may not talk to Scrubjay.", 403, "forbidden")


def _check_host(request: web.Request, address: Address) -> None:
    """A page may have its own name lead here, but it cannot have a request say so and name this machine."""
    host = _without_port(request.headers.get("Host", ""))
    if is_loopback(host) or host == address.host or not is_loopback(address.host):
        return
    raise RequestError(f"{host or 'No host'} is not this server; use http://{address.host}.", 403, "forbidden")


def _check_key(request: web.Request, key: str) -> None:
    if not key or request.path in PUBLIC:
        return
    given = request.headers.get("Authorization", "").removeprefix("Bearer ") or request.headers.get("X-Api-Key", "")
    if not hmac.compare_digest(given.strip().encode(errors="replace"), key.encode()):
        raise RequestError("This server wants its API key as a bearer token.", 401, "authentication_error")


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return (name if colon and port.isdecimal() else host).strip("[]")
