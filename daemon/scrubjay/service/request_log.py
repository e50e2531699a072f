"""The last requests: what each was, what it cost, which prompts to compare to say why; and sums over all. Pure.

On the way of a key only references are kept; `service.why` makes words of them when somebody asks.
"""

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import Literal

from scrubjay.completion.requests import Completion, Timings
from scrubjay.prompt.segments import Prompt, Span
from scrubjay.prompt.view import ProjectView
from scrubjay.protocol.messages import PrefillCost
from scrubjay.service.ask import Ask
from scrubjay.service.residency import ContextResidency, Loss
from scrubjay.service.tenants import OWNER, Tenant, TenantSums
from scrubjay.tokens import Tokens

MAX_RECORDS = 200
MAX_UNSHARED_TOKENS = 1 << 20
"""Of prompts that share no arrays with others: the oldest are forgotten, and with them what changed."""
MAX_REST_CHARACTERS = 200
BOUNDS_MS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000)

Kind = Literal["completion", "warm", "ahead", "raw", "embedding"]
"""A completion at a cursor; a prompt brought into its context; a completion before it is asked for; a client's own prompt; the
vector of a text."""
Outcome = Literal["waiting", "answered", "cached", "late", "cancelled", "superseded", "failed"]
"""`late`: its client was told to come again before the prompt was processed."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a model is asked to go on: a line, from 0, and what follows on it."""

    line: int
    rest: str

    @classmethod
    def of(cls, view: ProjectView) -> "Place":
        content, offset = view.document.content, view.offset
        _, end, _ = content.line_around(offset)
        return cls(content.line_at(offset), content.text[offset : min(end, offset + MAX_REST_CHARACTERS)])


@dataclass(frozen=True, slots=True)
class PromptRecord:
    """What of a prompt is remembered: its token arrays as they are, because most of them are those of other prompts too."""

    segments: tuple[Span, ...]
    reasons: tuple[str, ...]
    parts: tuple[Tokens, ...]
    n_unshared: int

    @classmethod
    def of(cls, prompt: Prompt) -> "PromptRecord":
        if prompt.parts:
            return cls(prompt.segments, prompt.reasons, prompt.parts, 0)
        return cls(prompt.segments, prompt.reasons, (prompt.tokens,), len(prompt.tokens))


@dataclass(frozen=True, slots=True)
class Change:
    """From which prompt of its context a request came to which; `loss`: why not all of the first one was there any more."""

    before: PromptRecord | None
    now: PromptRecord
    loss: Loss = ""


@dataclass(frozen=True, slots=True)
class About:
    """What a request is."""

    kind: Kind
    root: str
    uri: str
    is_cold: bool
    is_unasked: bool
    place: Place | None
    tenant: Tenant = OWNER

    @classmethod
    def of(cls, ask: Ask) -> "About":
        place = Place.of(ask.view) if ask.view else None
        return cls(_kind(ask, place), ask.context, ask.uri, ask.cold, ask.is_unasked, place, ask.tenant)


def _kind(ask: Ask, place: Place | None) -> Kind:
    if ask.sampling is None:
        return "warm" if place else "embedding"
    if place is None:
        return "raw"
    return "ahead" if ask.is_unasked else "completion"


@dataclass(slots=True, eq=False, weakref_slot=True)
class RequestRecord:
    """One request.

    Args:
        about: None until it is in the log.
        model: the name of the model that it is for, "" as long as that is not known.
        number: from 1 on.
        at: when it began, in seconds since 1970.
        change: None until its prompt is run.
        first_token_ms: from its acceptance to the moment at which the model could write.
        error: the sentence that its client was told.
    """

    about: About | None = None
    number: int = 0
    at: float = 0.0
    change: Change | None = None
    cost: PrefillCost | None = None
    outcome: Outcome = "waiting"
    first_token_ms: float = 0.0
    timings: Timings | None = None
    n_items: int = 0
    error: str = ""
    model: str = ""

    @property
    def is_over(self) -> bool:
        """Whether nothing of it changes any more, but that what changed may be forgotten."""
        return self.outcome not in ("waiting", "late") or (self.outcome == "late" and self.cost is not None)


@dataclass(slots=True)
class Histogram:
    """How many times were at most each of `BOUNDS_MS`, and more than the bound before; the last count is of longer ones."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS_MS) + 1))
    sum: float = 0.0

    def add(self, ms: float) -> None:
        self.counts[bisect_left(BOUNDS_MS, ms)] += 1
        self.sum += ms


@dataclass(slots=True)
class TokenSums:
    """Of completions that were asked for: how many, how many of them were known already, and their prompts in tokens.

    Args:
        processed: of the prompts' tokens, so the others were saved.
        processed_ahead: tokens of prompts that nobody had asked for yet.
    """

    n_requests: int = 0
    n_cached: int = 0
    prompt: int = 0
    processed: int = 0
    processed_ahead: int = 0


@dataclass(slots=True)
class Totals:
    """Since the daemon's start, and today (`day`, in this machine's time zone)."""

    all: TokenSums = field(default_factory=TokenSums)
    today: TokenSums = field(default_factory=TokenSums)
    day: date = date.min
    first_token: Histogram = field(default_factory=Histogram)
    own: Histogram = field(default_factory=Histogram)

    def prefilled(self, cost: PrefillCost, day: date, is_asked: bool, is_first: bool) -> None:
        """A prompt has cost that much; `is_first`: for the first text of its request."""
        for sums in self._on(day):
            if is_asked:
                sums.prompt += cost.prompt if is_first else cost.processed
                sums.processed += cost.processed
            else:
                sums.processed_ahead += cost.processed

    def answered(self, day: date, is_known: bool, first_token_ms: float, own_ms: float) -> None:
        """A completion that was asked for has its answer."""
        for sums in self._on(day):
            sums.n_requests += 1
            sums.n_cached += is_known
        self.first_token.add(first_token_ms)
        self.own.add(own_ms)

    def on_day(self, day: date) -> TokenSums:
        """The sums of `day`; those of an earlier one are over."""
        if day != self.day:
            self.day, self.today = day, TokenSums()
        return self.today

    def _on(self, day: date) -> tuple[TokenSums, TokenSums]:
        return self.all, self.on_day(day)


class RequestLogs:
    """What each group has asked for, and the sums of each tenant.

    Args:
        clock: seconds since 1970.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._by_group: dict[str, RequestLog] = {}
        self._sums: dict[str, TenantSums] = {}

    def of(self, group: str) -> "RequestLog":
        """The log of a group, whose numbers are its own."""
        if (log := self._by_group.get(group)) is None:
            log = self._by_group[group] = RequestLog(self._clock)
        return log

    def sums(self, tenant: str) -> TenantSums:
        """What the tenant of that name has asked for."""
        return self._sums.setdefault(tenant, TenantSums())


class RequestLog:
    """The last `MAX_RECORDS` requests that clients of one group asked for, or that were run unasked.

    Args:
        clock: seconds since 1970.

    Attributes:
        totals: sums over them and all before, but for those that were to reuse nothing.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._n_added = 0
        self.totals = Totals()
        self._records: deque[RequestRecord] = deque(maxlen=MAX_RECORDS)
        # Those of them whose prompts share nothing, and how many tokens they hold.
        self._unshared: deque[RequestRecord] = deque()
        self._n_unshared = 0

    def __iter__(self) -> Iterator[RequestRecord]:
        """The newest first."""
        return iter(list(reversed(self._records)))

    def run(self, record: RequestRecord, ask: Ask, now: Prompt, context: ContextResidency) -> None:
        """Its prompt `now` is run in `context`, which still has its last one."""
        self.note(record, ask)
        if context.prompt is now:
            return  # it goes on where it was interrupted
        before = PromptRecord.of(context.prompt) if context.prompt else None
        record.change = Change(before, PromptRecord.of(now), context.loss)
        if n := record.change.now.n_unshared:
            self._unshared.append(record)
            self._n_unshared += n
        while self._n_unshared > MAX_UNSHARED_TOKENS:
            self._forget_oldest()

    def end(self, record: RequestRecord, ask: Ask, outcome: Outcome, completion: Completion | None = None) -> None:
        """Nobody waits for it any more. What was never begun and never asked for is not noted."""
        if record.about is None and ask.is_unasked:
            return
        self.note(record, ask)
        if record.outcome == "waiting":
            record.outcome = outcome
        if completion:
            record.timings, record.n_items = completion.timings, len(completion.items)
            if ask.sampling and not ask.is_unasked and not ask.cold:
                own_ms, is_known = completion.timings.own_ms, record.cost is None
                self.totals.answered(self.today, is_known, own_ms if is_known else record.first_token_ms, own_ms)

    def prefilled(self, record: RequestRecord, ask: Ask, cost: PrefillCost) -> None:
        """Its prompt has cost that much."""
        if not ask.cold:
            is_asked = ask.sampling is not None and not ask.is_unasked
            self.totals.prefilled(cost, self.today, is_asked, record.cost is cost)

    @property
    def today(self) -> date:
        return date.fromtimestamp(self._clock())

    def note(self, record: RequestRecord, ask: Ask) -> None:
        """There is such a request; it has a number from now on."""
        if record.about is None:
            self._n_added += 1
            record.about, record.number, record.at = About.of(ask), self._n_added, self._clock()
            self._records.append(record)

    def _forget_oldest(self) -> None:
        oldest = self._unshared.popleft()
        if oldest.change:
            self._n_unshared -= oldest.change.now.n_unshared
            oldest.change = None
