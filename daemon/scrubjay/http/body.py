"""Reading bodies of requests, within limits of size and time."""

import asyncio

from aiohttp import web

from scrubjay.errors import RequestError
from scrubjay.http.params import Params, parse_object

BODY_S = 60.0
"""How long a client may take to send its body."""


async def read_params(request: web.Request) -> Params:
    """The fields of the JSON object that `request` brings; no body is as good as an empty object.

    Raises:
        RequestError: 408, it took too long; 400, it is no JSON object.
    """
    try:
        async with asyncio.timeout(BODY_S):
            body = await request.read()
    except TimeoutError as error:
        raise RequestError(f"The body did not come within {BODY_S:g} s; send it again.", 408) from error
    return parse_object(body)
