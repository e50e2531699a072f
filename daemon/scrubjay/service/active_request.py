"""One request on its way through the daemon: what it waits for, what it has got so far, and what it has cost."""

import asyncio
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from time import perf_counter

from scrubjay.code_text import without_closers, without_indent
from scrubjay.completion.postprocess import DisplayText
from scrubjay.completion.requests import Completion, CompletionRequest, Item, RawRequest, Reuse, Timings, alternative
from scrubjay.completion.rules import CompletionRules
from scrubjay.completion.stop_rules import leaves_asked_indent
from scrubjay.errors import RequestError, ScrubjayError
from scrubjay.prompt.segments import Prompt
from scrubjay.prompt.view import ProjectView
from scrubjay.protocol.messages import Done, Piece, PrefillCost, Sampling
from scrubjay.service.scheduler import Priority
from scrubjay.workspace.document import Document
from scrubjay.workspace.project import Project

Replies = list["asyncio.Future[Completion]"]
N_TRIES = 2
"""So many texts are generated at most for each alternative that is asked for."""


@dataclass(slots=True)
class Clock:
    """Where the time of a request goes, in seconds; `waiting_since` is set while the request waits for the engine."""

    accepted: float = field(default_factory=perf_counter)
    waiting_since: float | None = None
    waited: float = 0.0

    def wait(self) -> None:
        """From now on the request waits."""
        if self.waiting_since is None:
            self.waiting_since = perf_counter()

    def go(self) -> None:
        """The waiting has an end."""
        if self.waiting_since is not None:
            self.waited += perf_counter() - self.waiting_since
            self.waiting_since = None

    @property
    def elapsed_ms(self) -> float:
        return (perf_counter() - self.accepted) * 1e3


@dataclass(slots=True, eq=False)
class ActiveRequest:
    """A completion, or a warming (then `request` is None), from its acceptance to its answer.

    It is run by one job after the other, one for each alternative; `number` is that of the present one.

    Args:
        key: see `Job.key`.
        view: the place for which the prompt is made, as it was when the request came.
        replies: who waits for it; for a warming that superseded another one, also those who waited for that.
        is_automatic: nobody asked for it.
        is_idle: nobody types while its prompt is made, so that it may lay out anew what has changed.
        rules: the completion rules, if they apply.
        trunk: for a raw prompt, the conversation that it belongs to.
        n_done: alternatives that are generated.
        n_prefilled: tokens of the prompt that are resident, while it is being processed.
    """

    key: Hashable
    view: ProjectView
    request: CompletionRequest | RawRequest | None = None
    on_text: Callable[[str], None] | None = None
    replies: Replies = field(default_factory=list)
    is_automatic: bool = False
    is_idle: bool = False
    rules: CompletionRules | None = None
    number: int = 0
    priority: Priority = Priority.WARM
    prompt: Prompt | None = None
    processed: PrefillCost | None = None
    is_answered: bool = False
    trunk: str = ""
    timer: asyncio.TimerHandle | None = None
    clock: Clock = field(default_factory=Clock)
    items: list[Item] = field(default_factory=list)
    n_done: int = 0
    n_prefilled: int = 0
    is_cut: bool = False
    discarded: list[str] = field(default_factory=list)
    _written: str = ""
    _text: str = ""
    _told: str = ""
    _generating_since: float = 0.0
    _pieces: list[Piece] = field(default_factory=list)
    _timings: Timings = field(default_factory=Timings)

    @property
    def root(self) -> str:
        """The project's root, which is also the key of its context."""
        return self.view.project.root

    @property
    def place(self) -> tuple[Project, Document, int]:
        """The place for which the prompt is made."""
        return self.view.project, self.view.document, self.view.offset

    @property
    def asked(self) -> CompletionRequest | None:
        """The request, if its answer may be one that is known, and is worth keeping."""
        request = self.request
        return request if self.rules and isinstance(request, CompletionRequest) and not self.is_cold else None

    @property
    def record_key(self) -> str:
        """Under which the dispatcher notes what the context of this request holds."""
        return self.trunk or self.root

    @property
    def sampling(self) -> Sampling | None:
        """How to generate next; None if the prompt alone is wanted."""
        return None if self.request is None or self.is_answered else alternative(self.request.sampling, self.n_done)

    @property
    def is_cold(self) -> bool:
        """Whether nothing may be reused for it."""
        return self.request is not None and self.request.cold

    @property
    def is_warming(self) -> bool:
        """Whether it only warms, unasked."""
        return self.is_automatic and self.request is None

    @property
    def is_ahead(self) -> bool:
        """Whether it is a completion that nobody has asked for yet, and its place one where nobody is yet."""
        return self.is_automatic and self.request is not None

    @property
    def is_wanted(self) -> bool:
        """Whether anybody still waits for it (or it was nobody's request in the first place)."""
        return self.is_automatic or not self.replies or not all(reply.cancelled() for reply in self.replies)

    @property
    def has_more(self) -> bool:
        """Whether another alternative is to be generated: by the rules, also in the place of one that is not shown."""
        if self.request is None or self.is_answered:
            return False
        if self.rules is None or self.request.n == 1:
            # Who types has gone on by the time that a second try would be there.
            return self.n_done < self.request.n
        return len(self.items) < self.request.n and self.n_done < N_TRIES * self.request.n

    @property
    def _indent(self) -> str:
        """What is there already of what the model writes."""
        if isinstance(self.request, RawRequest):
            return self.request.recipe.indent
        return self.view.document.text[self.view.start : self.view.offset]

    @property
    def _closers(self) -> str:
        """What is there already of what the model writes at the end of the line; the rules see to that by themselves."""
        return self.request.recipe.closers if isinstance(self.request, RawRequest) else ""

    def news(self, what: str) -> dict[str, object]:
        """The beginning of what listeners are told about it."""
        return {"type": what, "job": self.number, "root": self.root, "uri": self.view.document.uri}

    def add(self, piece: Piece) -> None:
        """The present job has generated `piece`; once a rule has ended the text (`is_cut`), no more counts."""
        if self.is_cut:
            return
        self._pieces.append(piece)
        self._written += piece.text
        self._text = without_indent(self._written, self._indent) if self._indent else self._written
        end = self._end_of(self._text)
        if end is not None:
            self.is_cut, self._text = True, self._text[:end]
        if "\n" in self._text or not self._closers:
            # Blanks at the end may be taken off by the rules: they wait for what comes after them.
            self._tell(self._text.rstrip() if self.rules else self._text)

    def start_again(self) -> None:
        """The present job was given back: what it has generated does not count."""
        self._forget_text()

    def synced(self, processed: PrefillCost) -> None:
        """The prompt is in its context; the first job's cost is that of the request."""
        self.processed = self.processed or processed
        self._generating_since = perf_counter()
        self._spend(prompt_n=processed.processed, prompt_ms=processed.prefill_ms + processed.restore_ms)

    def done(self, done: Done) -> None:
        """The present job has ended well."""
        text = self._text if self.is_cut else without_closers(self._text, self._closers)
        pieces = tuple((piece.text, piece.margins) for piece in self._pieces if piece.margins)
        finished = self.rules.postprocess(text) if self.rules and done.stop_reason != "none" else DisplayText(text)
        self._tell(finished.text)
        self._forget_text()
        self.n_done += 1
        if finished.discarded:
            self.discarded.append(finished.discarded)
        elif done.stop_reason != "none" and not self._has(finished.text):
            item = Item(finished.text, done.stop_reason, done.n_generated, pieces, done.stop_word, finished.n_replaced)
            self.items.append(item)
        self._spend(predicted_n=done.n_generated, predicted_ms=done.generate_ms)

    def cut(self) -> None:
        """The present job was ended because a rule has ended its text."""
        n_generated = sum(piece.n_tokens for piece in self._pieces)
        self.done(Done(self.number, "stop", "", n_generated, (perf_counter() - self._generating_since) * 1e3))

    def answer(self, model: str, debounce_ms: int = 0) -> Completion:
        """What it has come to; for a prompt that is still to be processed use `answer_warming`."""
        n_prompt = len(self.prompt.tokens) if self.prompt else 0
        reuse = Reuse.of(self.processed) if self.processed else Reuse.prepared(n_prompt)
        version, discarded = self.view.document.version, tuple(self.discarded)
        return Completion(tuple(self.items), self._final_timings(), reuse, version, model, discarded, debounce_ms)

    def answer_known(self, items: tuple[Item, ...], model: str, debounce_ms: int) -> Completion:
        """Completions that were known already."""
        reuse, version = Reuse.cached(), self.view.document.version
        return Completion(items, self._final_timings(), reuse, version, model, debounce_ms=debounce_ms)

    def answer_warming(self, n_common: int, model: str) -> Completion:
        """Nothing yet, in time."""
        reuse = Reuse.warming(len(self.prompt.tokens) if self.prompt else 0, n_common)
        return Completion((), self._final_timings(), reuse, self.view.document.version, model)

    def resolve(self, completion: Completion) -> None:
        """Answer all who wait."""
        self._settle()
        for reply in self.replies:
            if not reply.done():
                reply.set_result(completion)

    def reject(self, error: ScrubjayError) -> None:
        """Tell all who wait that nothing comes."""
        self._settle()
        for reply in self.replies:
            if not reply.done():
                reply.set_exception(error)

    def _end_of(self, text: str) -> int | None:
        """After how many characters `text` should have ended, by the rules or as its client asks; None to go on."""
        if isinstance(self.request, RawRequest):
            line, newline, _ = text.partition("\n")
            fitted = without_closers(line, self._closers)
            if newline and fitted != line:
                return len(fitted)
            return leaves_asked_indent(text, self.request.n_indent) if self.request.n_indent else None
        return self.rules.stop_offset(text) if self.rules else None

    def _tell(self, text: str) -> None:
        """Hand on what `text`, the first alternative's so far, says beyond what was told already."""
        if self.on_text and self.n_done == 0 and len(text) > len(self._told) and text.startswith(self._told):
            self.on_text(text[len(self._told) :])
            self._told = text

    def _has(self, text: str) -> bool:
        """Whether an item says the same; with rules, blanks around it make no difference."""
        if self.rules:
            return any(item.text.strip() == text.strip() for item in self.items)
        return any(item.text == text for item in self.items)

    def _forget_text(self) -> None:
        self._pieces.clear()
        self._written, self._text, self.is_cut = "", "", False

    def _settle(self) -> None:
        self.is_answered = True
        if self.timer:
            self.timer.cancel()

    def _spend(
        self, prompt_n: int = 0, prompt_ms: float = 0.0, predicted_n: int = 0, predicted_ms: float = 0.0
    ) -> None:
        t = self._timings
        self._timings = Timings(
            t.prompt_n + prompt_n, t.prompt_ms + prompt_ms, t.predicted_n + predicted_n, t.predicted_ms + predicted_ms
        )

    def _final_timings(self) -> Timings:
        t, queue_ms = self._timings, self.clock.waited * 1e3
        own_ms = max(0.0, self.clock.elapsed_ms - queue_ms - t.prompt_ms - t.predicted_ms)
        return Timings(t.prompt_n, t.prompt_ms, t.predicted_n, t.predicted_ms, own_ms, queue_ms)


def superseded() -> RequestError:
    """What they are told who wait for a request in whose place there is a newer one."""
    return RequestError("A newer request for this document has superseded this one.", 409, "superseded")
