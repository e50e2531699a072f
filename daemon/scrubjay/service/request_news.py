"""What listeners are told about requests: how far a prefill is, what a prompt has cost, and that there is an answer."""

from collections.abc import Callable
from dataclasses import asdict

from scrubjay.completion.requests import Completion, Cost
from scrubjay.notifications import Notification
from scrubjay.protocol.messages import PrefillCost
from scrubjay.service.active_request import ActiveRequest


class RequestNews:
    """Hands notifications about requests to `tell`."""

    def __init__(self, tell: Callable[[Notification], None]) -> None:
        self._tell = tell

    def progress(self, request: ActiveRequest, total: int) -> None:
        """Of the prompt, `n_prefilled` tokens of `total` are resident."""
        self._tell({**_about(request, "progress"), "done": request.n_prefilled, "total": total})

    def stands_still(self, request: ActiveRequest) -> None:
        """Nothing more is done for it now: its progress is over, so that no bar is shown that does not move."""
        if request.n_prefilled:
            self.progress(request, request.n_prefilled)
            request.n_prefilled = 0

    def cost(self, request: ActiveRequest, cost: PrefillCost) -> Cost:
        """Its prompt has cost that much; returns the same as it is remembered."""
        ask = request.ask
        noted = Cost(ask.uri, cost.processed, cost.needed, cost.prefill_ms + cost.restore_ms, cost.reason)
        self._tell({"type": "edit", "root": ask.context, **asdict(noted)})
        if cost.restored:
            counts = {"restored": cost.restored, "processed": cost.processed}
            self._tell({"type": "restore", "root": ask.context, **counts})
        return noted

    def answered(self, request: ActiveRequest, completion: Completion) -> None:
        """It has its answer, if listeners want to know of its kind."""
        if request.ask.event:
            costs = {"timings": asdict(completion.timings), "reuse": asdict(completion.reuse)}
            self._tell({**_about(request, request.ask.event), "n_items": len(completion.items), **costs})


def _about(request: ActiveRequest, event: str) -> Notification:
    return {"type": event, "job": request.number, "root": request.ask.context, "uri": request.ask.uri}
