"""The status page: what `/api` shows of the daemon, in a browser of this machine.

The page is let in by a token that is good once, for a while; from then on by a cookie that no script can read and no other
site has sent. Only this user can get such a token, over the daemon's own socket.
"""

import secrets
from collections.abc import Callable, Mapping
from functools import cache, partial
from importlib.resources import files
from time import monotonic
from typing import TypeVar

from aiohttp import web

from scrubjay.errors import RequestError
from scrubjay.http.keys import tenant_of
from scrubjay.http.params import Handler

T = TypeVar("T")

TOKEN_S = 300.0
"""How long a token is good."""
MAX_TOKENS = 16
MAX_COOKIES = 64
"""The oldest are forgotten."""
PATHS = ("/", "/api/status", "/api/context", "/api/requests", "/api/events")
"""What the page consists of: nothing else of `/api` is there for browsers."""
FOR_KEYS = ("/api/status", "/api/requests")
"""Of these, what who has a key of his own may see of himself."""
_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_POLICY = (
    "default-src 'none'; script-src 'nonce-{0}'; style-src 'nonce-{0}'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_REFUSAL = "This page is for the user of this daemon: run `scrubjay status --open`, which lets a browser in."


class PageAccess:
    """Who may see the page.

    Args:
        clock: seconds, for how long tokens are good.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._tokens: dict[str, float] = {}
        self._cookies: dict[str, None] = {}

    def new_token(self) -> str:
        """Lets one browser in, once."""
        token = secrets.token_urlsafe(32)
        self._tokens[token] = self._clock() + TOKEN_S
        _keep_last(self._tokens, MAX_TOKENS)
        return token

    def enter(self, token: str) -> str | None:
        """The cookie for who has `token`, which is used up; None if it is not good."""
        end = self._tokens.pop(token, None)
        if end is None or end < self._clock():
            return None
        cookie = secrets.token_urlsafe(32)
        self._cookies[cookie] = None
        _keep_last(self._cookies, MAX_COOKIES)
        return cookie

    def is_known(self, cookie: str) -> bool:
        return cookie in self._cookies


def page_routes(access: PageAccess, handlers: Mapping[str, Handler]) -> list[web.RouteDef]:
    """The page at `/`, and what it asks for; `handlers` by their paths."""

    async def page(request: web.Request) -> web.StreamResponse:
        if (token := request.query.get("token")) is not None:
            return _enter(access, token, request)
        if not _may_see(access, request):
            return web.Response(text=_REFUSAL + "\n", status=401, headers=_HEADERS)
        nonce = secrets.token_urlsafe(16)
        headers = {**_HEADERS, "Content-Security-Policy": _POLICY.format(nonce)}
        return web.Response(text=_template().replace("NONCE", nonce), content_type="text/html", headers=headers)

    async def data(handler: Handler, request: web.Request) -> web.StreamResponse:
        tenant = tenant_of(request)
        if not (_may_see(access, request) if tenant.is_owner else request.path in FOR_KEYS):
            raise RequestError(_REFUSAL, 401, "authentication_error")
        return await handler(request)

    return [web.get("/", page), *(web.get(path, partial(data, handlers[path])) for path in PATHS[1:])]


def _enter(access: PageAccess, token: str, request: web.Request) -> web.Response:
    if (cookie := access.enter(token)) is None:
        return web.Response(text=f"This link has been used, or is too old. {_REFUSAL}\n", status=401, headers=_HEADERS)
    # Without the token in its address, the page can be loaded again.
    response = web.Response(status=303, headers={**_HEADERS, "Location": "/"})
    response.set_cookie(_cookie_name(request), cookie, httponly=True, samesite="Strict", path="/")
    return response


def _may_see(access: PageAccess, request: web.Request) -> bool:
    return access.is_known(request.cookies.get(_cookie_name(request), ""))


def _cookie_name(request: web.Request) -> str:
    # Cookies know no ports: those of two daemons must not have one name.
    port = request.transport.get_extra_info("sockname")[1] if request.transport else 0
    return f"scrubjay-{port}"


@cache
def _template() -> str:
    return files("scrubjay.http").joinpath("status_page.html").read_text("utf-8")


def _keep_last(entries: dict[str, T], n: int) -> None:
    for name in list(entries)[:-n]:
        del entries[name]
