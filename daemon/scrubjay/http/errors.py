"""Errors as clients get them: `{"error": {"code", "message", "type"}}` with the HTTP status that belongs to it."""

import json
import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

from aiohttp import web

from scrubjay.errors import EngineError, PromptRefused, RequestError, ScrubjayError
from scrubjay.http.params import MAX_BODY, TOO_LARGE

logger = logging.getLogger(__name__)

_TYPES = {
    400: "invalid_request_error",
    408: "timeout",
    404: "not_found_error",
    405: "method_not_allowed",
    409: "conflict",
    413: "too_large",
    503: "unavailable_error",
}
_GONE = RequestError("The client has gone.", 499)


dump: Callable[[object], str] = json.JSONEncoder(separators=(",", ":")).encode
"""Compact JSON on one line. One encoder for all: `json.dumps` makes one for each text."""


def error_body(error: BaseException) -> tuple[int, dict[str, Any]]:
    """The HTTP status and the JSON of an error."""
    status, message, kind = _parts(error)
    return status, {"error": {"code": status, "message": message, "type": kind or _TYPES.get(status, "server_error")}}


@web.middleware
async def answer_errors(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Turn whatever a handler raises into a JSON answer."""
    error: Exception
    if (request.content_length or 0) > MAX_BODY:
        error = RequestError(TOO_LARGE, 413)
    else:
        try:
            return await handler(request)
        except Exception as raised:
            error = _GONE if _has_gone(raised, request) else _known(raised, request)
    status, body = error_body(error)
    response = web.json_response(body, status=status, dumps=dump)
    if request.content.exception() is not None:
        # Nothing after it can be read; aiohttp would try to, and log what it raises.
        request.content.feed_eof()
        response.force_close()
    return response


def _has_gone(error: Exception, request: web.Request) -> bool:
    """Whether the client left while its answer was written, so that nobody reads another one."""
    is_closing = request.transport is None or request.transport.is_closing()
    return isinstance(error, ConnectionError) and is_closing


def _known(error: Exception, request: web.Request) -> Exception:
    """The error with a sentence for the user, where aiohttp has raised it."""
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return RequestError(TOO_LARGE, 413)
    if isinstance(error, web.HTTPNotFound):
        return RequestError(f"There is no {request.path} here; GET /health is.", 404)
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(error.allowed_methods))
        return RequestError(f"{request.method} is not for {request.path}; use {allowed}.", 405)
    if isinstance(error, web.RequestPayloadError):
        return RequestError("The body cannot be read: it ends too early, or is not encoded as its headers say.", 400)
    if isinstance(error, web.HTTPException):
        return RequestError(f"{error.reason}.", error.status)
    if not isinstance(error, ScrubjayError):
        logger.error("A mistake in answering %s.", request.path, exc_info=error)
    return error


def _parts(error: BaseException) -> tuple[int, str, str]:
    match error:
        case RequestError():
            return error.status, str(error), error.kind
        case PromptRefused():
            return HTTPStatus.BAD_REQUEST, str(error), ""
        case EngineError():
            return HTTPStatus.SERVICE_UNAVAILABLE, str(error), ""
        case _:
            return HTTPStatus.INTERNAL_SERVER_ERROR, f"Scrubjay made a mistake: {error!r}; see the daemon's log.", ""
