"""One request on its way through the daemon: the clients that wait for it, its progress, and its cost."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from time import perf_counter

from scrubjay.completion.finish import Finish
from scrubjay.completion.generated_text import Alternatives
from scrubjay.completion.requests import Completion, Item, Reuse, Timings, alternative
from scrubjay.errors import RequestError, ScrubjayError
from scrubjay.prompt.fim import FimTemplate
from scrubjay.prompt.segments import Prompt
from scrubjay.protocol.messages import Done, ModelInfo, PrefillCost, Reason, Sampling
from scrubjay.service.ask import Ask
from scrubjay.service.request_log import RequestRecord

Replies = list["asyncio.Future[Completion]"]


@dataclass(slots=True)
class Reading:
    """How far the model is with a prompt, in the present run of its job.

    Args:
        since: when the run began; None once all is read.
        n_resident: how many tokens are resident, None as long as that was not said.
        n_read: how many of them the model is known to have read in this run; `n_before`: in earlier runs, which gave way.
        is_again: there were such runs.
    """

    since: float | None = None
    n_resident: int | None = None
    n_read: int = 0
    n_before: int = 0
    is_again: bool = False

    def begin(self) -> None:
        """Its job is run (again)."""
        self.since, self.n_resident, self.n_read = perf_counter(), None, 0

    def progress(self, n_resident: int) -> int:
        """So many tokens are resident; how many more than was said before, 0 the first time."""
        n_new = 0 if self.n_resident is None else n_resident - self.n_resident
        self.n_resident = n_resident
        self.n_read += n_new
        return n_new

    def in_all(self, n_read: int) -> int:
        """The model has read so many tokens; how many more than were known."""
        n_new = max(0, n_read - self.n_read)
        self.n_read += n_new
        return n_new


@dataclass(slots=True)
class Clock:
    """Where the time of a request goes, in seconds; `waiting_since` is set while the request waits for the engine.

    The rest is what the model did for it, as in `Timings`; `reading` is of its prompt.
    """

    accepted: float = field(default_factory=perf_counter)
    waiting_since: float | None = None
    waited: float = 0.0
    generating_since: float = 0.0
    prompt_n: int = 0
    prompt_ms: float = 0.0
    predicted_n: int = 0
    predicted_ms: float = 0.0
    draft_n: int = 0
    draft_n_accepted: int = 0
    reading: Reading = field(default_factory=Reading)

    def wait(self) -> None:
        """From now on the request waits."""
        if self.waiting_since is None:
            self.waiting_since = perf_counter()

    def go(self) -> None:
        """The waiting has an end."""
        if self.waiting_since is not None:
            self.waited += perf_counter() - self.waiting_since
            self.waiting_since = None
        self.reading.begin()

    def read_for(self, cost: PrefillCost) -> None:
        """In this run what has to be read before anything can be written was read, for that much."""
        self.reading.since = None
        self.prompt_ms += cost.prefill_ms + cost.restore_ms

    def prefilled(self, cost: PrefillCost) -> None:
        """The prompt has cost that much."""
        self.read_for(cost)
        self.prompt_n += cost.processed
        self.generating_since = perf_counter()

    def corrected(self, old: PrefillCost, new: PrefillCost) -> None:
        """The prompt has not cost what was said, but this."""
        self.prompt_n += new.processed - old.processed

    def generated(self, done: Done) -> None:
        """A text has cost that much."""
        self.predicted_n += done.n_generated
        self.predicted_ms += done.generate_ms
        self.draft_n += done.drafts.n_drafted
        self.draft_n_accepted += done.drafts.n_accepted

    @property
    def elapsed_ms(self) -> float:
        return (perf_counter() - self.accepted) * 1e3

    @property
    def timings(self) -> Timings:
        """The account, with what is left for the daemon itself."""
        queue_ms = self.waited * 1e3
        own_ms = max(0.0, self.elapsed_ms - queue_ms - self.prompt_ms - self.predicted_ms)
        drafts = (self.draft_n, self.draft_n_accepted)
        return Timings(self.prompt_n, self.prompt_ms, self.predicted_n, self.predicted_ms, own_ms, queue_ms, *drafts)


@dataclass(slots=True, eq=False)
class ActiveRequest:
    """A request from its acceptance to its answer. It is run by one job after the other, one for each text.

    Args:
        replies: the clients that wait; for a warming that superseded another one, also those that waited for that.
        on_text: called with each piece of the first item as it is generated.
        number: of the present job.
        template: what its prompt follows, if it is one for filling in.
        record: what the log has of it.
        n_prefilled: tokens of the prompt that are resident, while it is being processed.
    """

    ask: Ask
    replies: Replies = field(default_factory=list)
    on_text: Callable[[str], None] | None = None
    number: int = 0
    prompt: Prompt | None = None
    template: FimTemplate | None = None
    record: RequestRecord = field(default_factory=RequestRecord)
    is_answered: bool = False
    timer: asyncio.TimerHandle | None = None
    n_prefilled: int = 0
    clock: Clock = field(default_factory=Clock)
    texts: Alternatives = field(init=False)

    def __post_init__(self) -> None:
        self._use(self.ask.finish)

    @property
    def cost(self) -> PrefillCost | None:
        """What the prompt has cost, for the first text."""
        return self.record.cost

    def fit_to(self, info: ModelInfo | None) -> None:
        """See that its prompt is one that the model can go on from."""
        if info and not info.writes_typed and self.ask.recipe.typed:
            self.ask = replace(self.ask, recipe=self.ask.recipe.unhealed)

    @property
    def is_wanted(self) -> bool:
        """Whether a client still waits for it, or none has to."""
        return self.ask.is_unasked or not self.replies or not all(reply.cancelled() for reply in self.replies)

    @property
    def may_begin_again(self) -> bool:
        """Whether clients wait for it that have nothing of it yet."""
        return not self.ask.is_unasked and not self.is_answered and not self.texts.has_told

    @property
    def sampling(self) -> Sampling | None:
        """How to generate the next text; None if only the prompt is wanted (any more)."""
        if self.ask.sampling is None or self.is_answered:
            return None
        sampling = self.ask.sampling
        typed, is_judged = self.ask.recipe.typed, self.ask.finish.min_confidence > 0
        if typed or is_judged:
            sampling = replace(sampling, typed=typed, with_confidence=is_judged)
        return alternative(sampling, self.texts.n_done) if self.texts.n_done else sampling

    def use_template(self, template: FimTemplate) -> None:
        """Its prompt follows `template`."""
        self.template = template
        finish = self.ask.finish.for_template(template)
        if finish is not self.ask.finish:
            self._use(finish)

    def prefilled(self, cost: PrefillCost) -> PrefillCost:
        """The prompt is in its context; what it has cost in all, its job having given way to others perhaps."""
        cost = self._whole(cost)
        self.n_prefilled = 0
        self.clock.prefilled(cost)
        if self.prompt:
            self.prompt.note_read()
        if self.record.cost is None:
            self.record.cost, self.record.first_token_ms = cost, self.clock.elapsed_ms
        return cost

    def _whole(self, cost: PrefillCost) -> PrefillCost:
        """With what was read of the prompt before its job gave way: that was not held before."""
        n, self.clock.reading.n_before = self.clock.reading.n_before, 0
        if not n:
            return cost
        common = max(0, cost.common - n)
        reason: Reason = "cold" if not common else cost.reason
        return replace(cost, common=common, processed=cost.processed + n, needed=cost.needed + n, reason=reason)

    def gave_way(self, n_read: int) -> None:
        """Its job was stopped for a more urgent one, and waits; the model has read so many tokens since it was run."""
        clock, reading = self.clock, self.clock.reading
        reading.is_again = True
        # What is read ahead of need is told as what is held, once somebody needs it.
        if reading.since is not None and not self.ask.priority.is_background:
            clock.prompt_ms += (perf_counter() - reading.since) * 1e3
            reading.n_before += n_read
        clock.wait()

    def end_text(self, done: Done | None = None) -> None:
        """The present text is complete: as the engine says, or because its `Finish` has ended it."""
        if done is None:
            done = self.texts.end_cut(self.number, (perf_counter() - self.clock.generating_since) * 1e3)
        self.clock.generated(done)
        if done.cost and self.cost and not self.texts.n_done:
            self.clock.corrected(self.cost, done.cost)
            self.record.cost = done.cost
        self.tell(self.texts.end(done))

    def completion(self, model: str, debounce_ms: int) -> Completion:
        """The answer."""
        n_prompt = len(self.prompt.tokens) if self.prompt else 0
        reuse = Reuse.of(self.cost) if self.cost else Reuse.prepared(n_prompt)
        items, discarded = tuple(self.texts.items), tuple(self.texts.discarded)
        return self._completion(items, reuse, model, discarded=discarded, debounce_ms=debounce_ms)

    def known(self, items: tuple[Item, ...], model: str, debounce_ms: int) -> Completion:
        """The answer where `items` were known already."""
        return self._completion(items, Reuse.cached(), model, debounce_ms=debounce_ms)

    def still_warming(self, n_common: int, model: str) -> Completion:
        """The answer to a client that cannot wait for the prompt, of which `n_common` tokens are resident."""
        return self._completion((), Reuse.warming(len(self.prompt.tokens) if self.prompt else 0, n_common), model)

    def resolve(self, completion: Completion) -> None:
        """Answer the clients that wait."""
        for reply in self._waiting():
            reply.set_result(completion)

    def reject(self, error: ScrubjayError) -> None:
        """Tell the clients that wait that nothing comes."""
        self.record.error = str(error)
        for reply in self._waiting():
            reply.set_exception(error)

    def _use(self, finish: Finish) -> None:
        self.texts = Alternatives(finish, self.ask.recipe.indent, self.ask.n, self.on_text is not None)

    def _completion(self, items: tuple[Item, ...], reuse: Reuse, model: str, **more: object) -> Completion:
        number = self.record.number
        return Completion(items, self.clock.timings, reuse, self.ask.version, model, request=number, **more)  # type: ignore[arg-type]

    def _waiting(self) -> Replies:
        self.is_answered = True
        if self.timer:
            self.timer.cancel()
        return [reply for reply in self.replies if not reply.done()]

    def tell(self, text: str) -> None:
        """Let the client have `text`, if there is any, which goes on with the first item."""
        if text and self.on_text:
            self.on_text(text)


def superseded() -> RequestError:
    """For clients that wait for a request that a newer one has replaced."""
    return RequestError("A newer request for this document has superseded this one.", 409, "superseded")
