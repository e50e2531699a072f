"""The TCP side is for programs of this machine, or those that have the key; never for web pages.

So is a daemon whose local socket is on loopback, for who can read its token file.
"""

from dataclasses import dataclass
from ipaddress import ip_address

from aiohttp import web
from aiohttp.typedefs import Middleware

from scrubjay.errors import RequestError, UsageError
from scrubjay.http.keys import TENANT, KeyRing
from scrubjay.http.page import PATHS as PAGE
from scrubjay.http.params import Handler
from scrubjay.key_tables import KeyTable
from scrubjay.loopback import HOST, MAX_NONCE, PROOF, proof

PUBLIC = ("/health", "/v1/health", "/models", "/v1/models")
"""What may be asked without the key, as llama.cpp's server has it."""
HEALTH = ("/health", "/v1/health")
"""The same where several people have keys: nothing but whether it is there."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where the TCP side listens, and the keys of which clients need one: this machine's user's ("" for none), and others'."""

    host: str
    port: int
    api_key: str = ""
    keys: tuple[KeyTable, ...] = ()

    def require_safe(self) -> None:
        """Raises:
        UsageError: other machines could reach it, and no key is set.
        """
        if not self.api_key and not self.keys and not is_loopback(self.host):
            raise UsageError(
                f"--http {self.host}:{self.port} would let other machines in; add --api-key or [keys], or use 127.0.0.1."
            )


def guard(address: Address, ring: KeyRing) -> Middleware:
    """The middleware that refuses everybody else, and notes who asks."""
    public = HEALTH if ring.tenants else PUBLIC

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        _refuse_web_pages(request)
        _check_host(request, address)
        # The page's paths are for who has its cookie, which is as good.
        if not ring or request.path in public or (request.path in PAGE and not _given_key(request)):
            return await handler(request)
        if (tenant := ring.find(_given_key(request))) is None:
            raise RequestError("This server wants its API key as a bearer token.", 401, "authentication_error")
        request[TENANT] = tenant
        with ring.in_flight(tenant):
            return await handler(request)

    return check


def guard_local(token: str) -> Middleware:
    """The middleware of the local socket where that is TCP: it refuses who does not have `token`."""
    address, ring = Address(HOST, 0), KeyRing((), token)

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        _refuse_web_pages(request)
        _check_host(request, address)
        if request.path != PROOF and ring.find(_given_key(request)) is None:
            says = "This daemon wants the token of its token file, as `Authorization: Bearer TOKEN`."
            raise RequestError(says, 401, "authentication_error")
        return await handler(request)

    return check


def proof_route(token: str) -> web.RouteDef:
    """Where a client has the daemon prove that it knows `token`, before it sends that or anything else."""

    async def prove(request: web.Request) -> web.Response:
        nonce = request.query.get("nonce", "")
        if not 0 < len(nonce) <= MAX_NONCE:
            raise RequestError(f"`nonce` must have 1 to {MAX_NONCE} characters.")
        return web.json_response({"proof": proof(token, nonce)})

    return web.get(PROOF, prove)


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


def _given_key(request: web.Request) -> str:
    """The key that comes with it, "" if none does."""
    # The scheme's case means nothing; a bare key is accepted, as llama.cpp's server does.
    scheme, _, rest = request.headers.get("Authorization", "").strip().partition(" ")
    given = (rest if scheme.lower() == "bearer" else scheme) or request.headers.get("X-Api-Key", "")
    return given.strip()


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return (name if colon and port.isdecimal() else host).strip("[]")
