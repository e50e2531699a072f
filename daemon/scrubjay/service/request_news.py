"""What listeners are told about requests: how far a prefill is, what a prompt has cost, and that there is an answer."""

import asyncio
import logging
import re
from collections.abc import Callable, Mapping

from scrubjay.completion.requests import Completion, Cost, Reuse
from scrubjay.notifications import Notification, facts_of
from scrubjay.prompt.segments import Prompt
from scrubjay.protocol.messages import PrefillCost
from scrubjay.service.active_request import ActiveRequest
from scrubjay.service.request_log import Outcome as Logged
from scrubjay.service.request_log import RequestLog, RequestLogs, RequestRecord
from scrubjay.service.residency import ContextResidency
from scrubjay.service.scheduler import Outcome

logger = logging.getLogger(__name__)

LINE_S = 0.1
_OUTCOMES: Mapping[Outcome, Logged] = {
    Outcome.DONE: "answered",
    Outcome.CANCELLED: "cancelled",
    Outcome.FAILED: "failed",
}


class RequestNews:
    """Hands notifications about the requests for one model to `tell`.

    Args:
        logs: the last requests, of all models.
        lines: writes of each of them into the daemon's log file.
        model: the model's name, "" until it is known.
    """

    def __init__(
        self, tell: Callable[[Notification], None], logs: RequestLogs, lines: "RequestLines", model: str
    ) -> None:
        self._tell = tell
        self._lines = lines
        self.model = model
        self._logs, self._own_log = logs, logs.of("")

    def accepted(self, request: ActiveRequest) -> None:
        """A client has asked for it."""
        request.record.model = self.model
        self._log(request).note(request.record, request.ask)

    def runs(self, request: ActiveRequest, prompt: Prompt, context: ContextResidency) -> None:
        """Its prompt is run in `context`, which still has its last one."""
        request.record.model = self.model
        self._log(request).run(request.record, request.ask, prompt, context)

    def ended(self, request: ActiveRequest, outcome: Outcome) -> None:
        """Nothing more is done for it."""
        self.stands_still(request)
        self._end(request, _OUTCOMES[outcome])

    def superseded(self, request: ActiveRequest) -> None:
        """A newer one has taken its place."""
        self.stands_still(request)
        self._end(request, "superseded")

    def is_late(self, request: ActiveRequest) -> None:
        """Its client was told to come again; it goes on."""
        self._end(request, "late")

    def progress(self, request: ActiveRequest, total: int) -> None:
        """Of the prompt, `n_prefilled` tokens of `total` are resident."""
        self._tell_of(request, {**self._about(request, "progress"), "done": request.n_prefilled, "total": total})

    def stands_still(self, request: ActiveRequest) -> None:
        """Nothing more is done for it now: its progress is over, so that no bar is shown that does not move."""
        if request.n_prefilled:
            self.progress(request, request.n_prefilled)
            request.n_prefilled = 0

    def prefilled(self, request: ActiveRequest, cost: PrefillCost) -> Cost | None:
        """Its prompt has cost that much; returns the same as it is to be remembered, if it is."""
        ask = request.ask
        self._log(request).prefilled(request.record, ask, cost)
        if ask.cold or ask.is_speculative:
            return None
        noted = Cost(ask.uri, cost.processed, cost.needed, cost.prefill_ms + cost.restore_ms, cost.reason)
        self._tell_of(request, {"type": "edit", "root": ask.context, "model": self.model, **facts_of(noted)})
        if cost.restored:
            counts = {"restored": cost.restored, "processed": cost.processed}
            self._tell_of(request, {"type": "restore", "root": ask.context, "model": self.model, **counts})
        return noted

    def answered(self, request: ActiveRequest, completion: Completion, is_known: bool) -> None:
        """It has its answer; listeners are told if they want to know of its kind."""
        if request.ask.tenant.name:
            self._add_up(request, completion)
        self._end(request, "cached" if is_known else "answered", completion)
        if request.ask.event and not is_known:
            costs = {"timings": facts_of(completion.timings), "reuse": facts_of(completion.reuse)}
            self._tell_of(
                request, {**self._about(request, request.ask.event), "n_items": len(completion.items), **costs}
            )

    def _add_up(self, request: ActiveRequest, completion: Completion) -> None:
        sums, timings, reuse = self._logs.sums(request.ask.tenant.name), completion.timings, completion.reuse
        sums.n_requests += 1
        sums.prompt += reuse.prompt
        sums.processed += reuse.processed
        sums.generated += timings.predicted_n
        sums.queue_ms += timings.queue_ms

    def _log(self, request: ActiveRequest) -> RequestLog:
        tenant = request.ask.tenant
        return self._logs.of(tenant.group) if tenant.name else self._own_log

    def _tell_of(self, request: ActiveRequest, notification: Notification) -> None:
        """Listeners are told what concerns this machine's user: what others ask for is theirs."""
        if not request.ask.tenant.name:
            self._tell(notification)

    def _about(self, request: ActiveRequest, event: str) -> Notification:
        ask = request.ask
        return {"type": event, "job": request.number, "root": ask.context, "uri": ask.uri, "model": self.model}

    def _end(self, request: ActiveRequest, outcome: Logged, completion: Completion | None = None) -> None:
        self._log(request).end(request.record, request.ask, outcome, completion)
        self._lines.add(request.record)


class RequestLines:
    """A line in the daemon's log file for each request that has ended, without any text of the user's.

    Lines are written a moment later, so that no answer waits for the disk.
    """

    def __init__(self) -> None:
        self._due: dict[RequestRecord, None] = {}

    def add(self, record: RequestRecord) -> None:
        """It has ended; what is still to become known of it in this step of the event loop will be in its line."""
        if record.about is None or not logger.isEnabledFor(logging.INFO):
            return
        if not self._due:
            asyncio.get_running_loop().call_later(LINE_S, self.write)
        self._due[record] = None

    def write(self) -> None:
        """Write the lines that are due."""
        due, self._due = self._due, {}
        for record in due:
            fields = _fields(record)
            logger.info("%s", _line(fields), extra={"fields": fields})


def _fields(record: RequestRecord) -> dict[str, object]:
    about, cost, timings = record.about, record.cost, record.timings
    fields: dict[str, object] = {"request": record.number, "outcome": record.outcome}
    if about:
        fields |= {"key": about.tenant.name} if about.tenant.name else {}
        fields |= {"kind": about.kind, "model": record.model, "root": about.root, "uri": about.uri}
    if cost:
        fields |= facts_of(Reuse.of(cost)) | {"first_token_ms": round(record.first_token_ms, 1)}
    if timings:
        fields |= {name: round(value, 1) for name, value in facts_of(timings).items()} | {"n_items": record.n_items}
    return fields


def _line(fields: Mapping[str, object]) -> str:
    what = f"Request {fields['request']}: {fields.get('kind')}, {fields['outcome']}"
    named = (
        f"{name} {value}"
        for name, value in fields.items()
        if name not in ("request", "kind", "outcome") and value != ""
    )
    # Names come from clients: a line stays one line.
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", "?", "; ".join((what, *named)))
