"""What comes of a request to the daemon: a result, or one of the reasons why there is none."""

import asyncio
from typing import Any

from scrubjay.errors import ScrubjayError

Json = dict[str, Any]
Reply = asyncio.Future[Any]
"""Its result is JSON. Cancel it, or give it an exception, and the daemon is told to stop."""


class Stale(ScrubjayError):
    """The document has moved on, or a newer request has come: nobody wants this answer."""


def refuse(reply: Reply, error: ScrubjayError) -> None:
    """Give `reply` the exception, unless it has ended; nobody need look at it."""
    if not reply.done():
        reply.set_exception(error)
        reply.exception()
