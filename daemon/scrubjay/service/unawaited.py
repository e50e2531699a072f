"""Requests that are in flight although no client waits for them. Some of those in the books may have ended. Pure."""

from collections.abc import Callable

from scrubjay.prompt.segments import Prompt
from scrubjay.service.active_request import ActiveRequest
from scrubjay.tokens import is_sequel

MAX_LATE = 16
"""Prompts of one tenant that are processed although their clients were told to come again; older ones are dropped."""


class Unawaited:
    """What was made unasked, by context; and what goes on for clients that were told to come again, the oldest first.

    Args:
        is_live: whether a request is in flight.
    """

    def __init__(self, is_live: Callable[[ActiveRequest], bool]) -> None:
        self._is_live = is_live
        self._unasked: dict[str, list[ActiveRequest]] = {}
        self._late: list[ActiveRequest] = []

    def note_unasked(self, request: ActiveRequest) -> None:
        """Nobody has asked for it."""
        others = self._unasked.get(request.ask.context, [])
        self._unasked[request.ask.context] = [*filter(self._is_live, others), request]

    def stale(self, context: str) -> list[ActiveRequest]:
        """Those that are of no use any more, because the prompt of `context` is asked for as it is now."""
        return [other for other in self._unasked.pop(context, []) if not other.replies]

    def note_late(self, request: ActiveRequest) -> list[ActiveRequest]:
        """Its client was told to come again; returns those that are too many."""
        self._late.append(request)
        own = [other for other in self._late if other.ask.tenant == request.ask.tenant]
        if len(own) <= MAX_LATE:
            return []
        self._late.remove(own[0])
        return own[:1]

    def overtaken(self, request: ActiveRequest, prompt: Prompt) -> list[ActiveRequest]:
        """Those for an older prompt of the same conversation, which would take the place of this one."""
        self._late = [other for other in self._late if self._is_live(other)]
        return [
            other
            for other in self._late
            if other is not request and other.ask.context == request.ask.context
            if other.ask.tenant.group == request.ask.tenant.group
            if other.prompt and (other.prompt.on_read is None) == (prompt.on_read is None)
            if is_sequel(other.prompt.tokens, prompt.tokens)
        ]
