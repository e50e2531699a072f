"""What listeners are told about requests: how far a prefill is, what a prompt has cost, and that there is an answer."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from time import time

from scrubjay.completion.requests import Completion, Cost
from scrubjay.notifications import Notification
from scrubjay.prompt.segments import Prompt
from scrubjay.protocol.messages import PrefillCost
from scrubjay.service.active_request import ActiveRequest
from scrubjay.service.request_log import Outcome as Logged
from scrubjay.service.request_log import RequestLog
from scrubjay.service.residency import ContextResidency
from scrubjay.service.scheduler import Outcome

_OUTCOMES: Mapping[Outcome, Logged] = {
    Outcome.DONE: "answered",
    Outcome.CANCELLED: "cancelled",
    Outcome.FAILED: "failed",
}


class RequestNews:
    """Hands notifications about requests to `tell`.

    Attributes:
        log: the last requests.
    """

    def __init__(self, tell: Callable[[Notification], None]) -> None:
        self._tell = tell
        self.log = RequestLog(time)

    def runs(self, request: ActiveRequest, prompt: Prompt, context: ContextResidency) -> None:
        """Its prompt is run in `context`, which still has its last one."""
        self.log.run(request.record, request.ask, prompt, context)

    def ended(self, request: ActiveRequest, outcome: Outcome) -> None:
        """Nothing more is done for it."""
        self.stands_still(request)
        self.log.end(request.record, request.ask, _OUTCOMES[outcome])

    def superseded(self, request: ActiveRequest) -> None:
        """A newer one has taken its place."""
        self.stands_still(request)
        self.log.end(request.record, request.ask, "superseded")

    def is_late(self, request: ActiveRequest) -> None:
        """Its client was told to come again; it goes on."""
        self.log.end(request.record, request.ask, "late")

    def progress(self, request: ActiveRequest, total: int) -> None:
        """Of the prompt, `n_prefilled` tokens of `total` are resident."""
        self._tell({**_about(request, "progress"), "done": request.n_prefilled, "total": total})

    def stands_still(self, request: ActiveRequest) -> None:
        """Nothing more is done for it now: its progress is over, so that no bar is shown that does not move."""
        if request.n_prefilled:
            self.progress(request, request.n_prefilled)
            request.n_prefilled = 0

    def prefilled(self, request: ActiveRequest, cost: PrefillCost) -> Cost | None:
        """Its prompt has cost that much; returns the same as it is to be remembered, if it is."""
        ask = request.ask
        self.log.prefilled(request.record, ask, cost)
        if ask.cold or ask.is_speculative:
            return None
        noted = Cost(ask.uri, cost.processed, cost.needed, cost.prefill_ms + cost.restore_ms, cost.reason)
        self._tell({"type": "edit", "root": ask.context, **asdict(noted)})
        if cost.restored:
            counts = {"restored": cost.restored, "processed": cost.processed}
            self._tell({"type": "restore", "root": ask.context, **counts})
        return noted

    def answered(self, request: ActiveRequest, completion: Completion, is_known: bool) -> None:
        """It has its answer; listeners are told if they want to know of its kind."""
        self.log.end(request.record, request.ask, "cached" if is_known else "answered", completion)
        if request.ask.event and not is_known:
            costs = {"timings": asdict(completion.timings), "reuse": asdict(completion.reuse)}
            self._tell({**_about(request, request.ask.event), "n_items": len(completion.items), **costs})


def _about(request: ActiveRequest, event: str) -> Notification:
    return {"type": event, "job": request.number, "root": request.ask.context, "uri": request.ask.uri}
