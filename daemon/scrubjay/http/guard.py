"""The TCP side is for programs of this machine, or those that have the key; never for web pages."""

import hmac
from dataclasses import dataclass
from ipaddress import ip_address

from aiohttp import web
from aiohttp.typedefs import Middleware

from scrubjay.errors import RequestError, UsageError
from scrubjay.http.page import PATHS as PAGE
from scrubjay.http.params import Handler

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
    """The middleware that refuses everybody else."""

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        _refuse_web_pages(request)
        _check_host(request, address)
        _check_key(request, address.api_key)
        return await handler(request)

    return check


def is_loopback(host: str) -> bool:
    """Whether `host` names this machine for itself only."""
    host = host.lower().removesuffix(".").strip("[]")
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
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
    host = _without_port(request.headers.get("Host", "")).lower()
    if is_loopback(host) or host == address.host.lower() or not is_loopback(address.host):
        return
    raise RequestError(f"{host or 'No host'} is not this server; use http://{address.host}.", 403, "forbidden")


def _check_key(request: web.Request, key: str) -> None:
    # The page's paths are for who has its cookie, which is as good.
    if not key or request.path in (*PUBLIC, *PAGE):
        return
    # The scheme's case means nothing; a bare key is accepted, as llama.cpp's server does.
    scheme, _, rest = request.headers.get("Authorization", "").strip().partition(" ")
    given = (rest if scheme.lower() == "bearer" else scheme) or request.headers.get("X-Api-Key", "")
    if not hmac.compare_digest(given.strip().encode(errors="replace"), key.encode()):
        raise RequestError("This server wants its API key as a bearer token.", 401, "authentication_error")


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return (name if colon and port.isdecimal() else host).strip("[]")
