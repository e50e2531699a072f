"""Sees each request from its acceptance to its one answer: prompt, turn in the engine, texts.

Called by the service's loop only, so nothing here happens at the same time as anything else.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from itertools import count
from typing import Any

from scrubjay.completion.requests import Completion, stopping
from scrubjay.engine.remote.engine import REMOTE
from scrubjay.errors import EngineDied, EngineError, RequestError, ScrubjayError
from scrubjay.prompt.fim import FimTemplate
from scrubjay.prompt.limits import Budgets
from scrubjay.prompt.segments import Prompt
from scrubjay.protocol.messages import Done, Embedded, Failed, Piece, PrefillDone, PrefillProgress, Run, Stopped
from scrubjay.service.active_request import ActiveRequest, superseded
from scrubjay.service.debounce import TypingPace
from scrubjay.service.engine_supervisor import EngineSupervisor
from scrubjay.service.fair_queue import Job, Priority
from scrubjay.service.prompt_builder import Made, PromptBuilder
from scrubjay.service.request_news import RequestNews
from scrubjay.service.residency import Residency
from scrubjay.service.scheduler import Outcome, Scheduler
from scrubjay.service.unawaited import Unawaited

logger = logging.getLogger(__name__)
_numbers = count(1)

MAX_PROMPTS_AT_ONCE = 4
"""Prompts that are made in one turn of the loop when an engine becomes ready: so that a key need not wait for all."""


class Dispatcher:
    """Accepts requests, and hands the most urgent one to the engine.

    Args:
        post_prompt: takes what a thread has made into the service's loop, which hands it to `on_prompt`.
        news: told of what becomes of requests.
        budgets: how long prompts may be.
    """

    def __init__(
        self,
        engine: EngineSupervisor,
        builder: PromptBuilder,
        post_prompt: Callable[[ActiveRequest, Made], None],
        news: RequestNews,
        budgets: Budgets,
    ) -> None:
        self._engine = engine
        self._builder = builder
        self._post_prompt = post_prompt
        self.news = news
        self._requests: dict[int, ActiveRequest] = {}
        self._unawaited = Unawaited(lambda request: request.number in self._requests)
        # Those that came before the engine was ready.
        self._early: deque[ActiveRequest] = deque()
        self.residency = Residency(budgets)
        self.scheduler = Scheduler()
        self.pace = TypingPace()

    def __iter__(self) -> Iterator[ActiveRequest]:
        return iter(list(self._requests.values()))

    @property
    def is_idle(self) -> bool:
        """Whether no request is in flight."""
        return not self._requests

    @property
    def handlers(self) -> Mapping[type, Callable[[Any], None]]:
        """What becomes of each message of the engine about a job."""
        handlers: dict[type, Callable[[Any], None]] = {
            PrefillProgress: self._on_progress,
            PrefillDone: self._on_prefilled,
            Piece: self._on_piece,
            Embedded: self._on_embedded,
            Done: self._on_done,
            Stopped: self._on_stopped,
            Failed: self._on_failed,
        }
        return {message: partial(self._for_its_request, handler) for message, handler in handlers.items()}

    # --- requests -----------------------------------------------------------------------------------------------------

    def accept(self, request: ActiveRequest) -> None:
        """Take `request` in. It supersedes older ones of its key, and what was prepared unasked for its context."""
        ask = request.ask
        if not ask.is_unasked:
            self.news.accepted(request)
        if ask.memory and (items := ask.memory.find()):
            for number in self.scheduler.supersede(ask.supersedes):
                self._supersede(self._requests.pop(number), request)
            self._answer(request, request.known(items, self._engine.name, self._debounce_ms(request)))
            return
        if ask.context and ask.sampling and not ask.is_unasked and not ask.cold:
            self._cancel_all(self._unawaited.stale(ask.context))
        elif ask.is_unasked:
            self._unawaited.note_unasked(request)
        self._submit(request)
        if self._engine.state == "ready":
            with self._failing(request):
                self._make_prompt(request)
        else:
            self._early.append(request)
            request.clock.wait()

    def make_prompts(self) -> bool:
        """Now that the engine is ready: make prompts of requests that came before, a few at a time; whether there are more."""
        for _ in range(min(MAX_PROMPTS_AT_ONCE, len(self._early))):
            request = self._early.popleft()
            if request.number in self._requests:
                request.clock.go()
                with self._failing(request):
                    self._make_prompt(request)
        return bool(self._early)

    def on_prompt(self, request: ActiveRequest, made: Made) -> None:
        """The making of the prompt of `request` has come to an end."""
        if request.number not in self._requests or request.prompt is not None:
            return
        if isinstance(made, Prompt):
            self._prompt_made(request, made)
        else:
            self._prompt_failed(request, made)

    def _prompt_made(self, request: ActiveRequest, prompt: Prompt) -> None:
        """It waits for its turn, unless nothing is left to do or the time is too short."""
        request.prompt = prompt
        request.clock.wait()
        ask, n_needed = request.ask, self._n_needed(request, prompt)
        if ask.on_prompt:
            ask.on_prompt()
        if template := self._template(request):
            request.use_template(template)
        if (prompt.on_read or not ask.only_prepares) and not request.is_answered:
            self._cancel_all(self._unawaited.overtaken(request, prompt))
        if ask.max_needed is not None and n_needed > ask.max_needed:
            self._end(request, Outcome.CANCELLED)
        elif self._is_prepared(request, prompt, n_needed):
            self._end(request, Outcome.DONE)
            self._answer(request)
        elif self.residency.is_too_slow(ask.deadline_ms, prompt, n_needed, self._engine.info, ask.tenant.group):
            self.on_deadline(request)
        elif self.scheduler.queue.is_shared:
            self.scheduler.queue.estimate(request.number, n_needed, ask.sampling.max_tokens if ask.sampling else 0)

    def _prompt_failed(self, request: ActiveRequest, error: ScrubjayError) -> None:
        """There is no prompt for this request."""
        if self._end(request, Outcome.FAILED):
            request.reject(error)

    def on_deadline(self, request: ActiveRequest) -> None:
        """The client waits no longer: answer with nothing, and go on in the background."""
        if request.number not in self._requests or request.cost or request.is_answered:
            return
        request.resolve(self.still_warming(request))
        self.news.is_late(request)
        self.scheduler.demote(request.number, Priority.WARM)
        self._cancel_all(self._unawaited.note_late(request))

    def still_warming(self, request: ActiveRequest) -> Completion:
        """The answer to a client that does not wait for `request`."""
        n_common = self._n_common(request, request.prompt) if request.prompt else 0
        return request.still_warming(n_common, self._engine.name)

    def cancel(self, request: ActiveRequest, error: ScrubjayError | None = None) -> None:
        """End `request`; clients that still wait for it are told `error`."""
        if self._end(request, Outcome.CANCELLED) and error:
            request.reject(error)

    def _cancel_all(self, requests: list[ActiveRequest]) -> None:
        for request in requests:
            self.cancel(request)

    def reject_all(self, error: ScrubjayError) -> None:
        """End all requests: none can be served."""
        for request in self:
            self._prompt_failed(request, error)

    # --- turns --------------------------------------------------------------------------------------------------------

    def take_turn(self) -> None:
        """Stop a job that is stale or in the way of a more urgent one; if the engine is free, start the most urgent."""
        number, job = self.scheduler.next_step()
        if number is not None:
            self._engine.stop(number, goes_on=self.scheduler.running is not None)
        while job and self._engine.state == "ready":
            request = self._requests[job.number]
            if request.prompt is None:
                # A less urgent job would only be in the way of this one, whose prompt is being made.
                return
            with self._failing(request):
                self._start(request, request.prompt)
                return
            job = self.scheduler.next_job()

    def _start(self, request: ActiveRequest, prompt: Prompt) -> None:
        ask, sampling = request.ask, request.sampling
        self.scheduler.start(request.number)
        request.clock.go()
        if sampling and (template := request.template):
            stop = (*sampling.stop, *template.stop, *ask.finish.stop_strings)
            sampling = stopping(sampling, template.stop_tokens, stop)
        if ask.context and not ask.cold:
            self.news.runs(request, prompt, self.residency.known(ask.context))
            self.residency.begin(ask.context, prompt)
        context, is_unasked = "" if ask.cold else ask.context, ask.is_unasked and not request.replies
        what = (context, prompt.tokens, prompt.boundaries, prompt.hot, sampling, ask.cold, prompt.parts, is_unasked)
        self._engine.run(Run(request.number, *what, ask.tenant.group))

    # --- what the engine says -----------------------------------------------------------------------------------------

    def _for_its_request(self, handler: Callable[[Any], None], message: Any) -> None:
        """Handle `message`; a request may have ended here before the engine has ended its job."""
        with self._failing(self._requests.get(message.job)):
            handler(message)

    def _on_progress(self, message: PrefillProgress) -> None:
        if request := self._requests.get(message.job):
            self._note_resident(request, request.ask.context, message.done)
            request.n_prefilled = message.done
            self.news.progress(request, message.total)
            if self.scheduler.queue.is_shared:
                self._served(request, request.clock.reading.progress(message.done))

    def _on_prefilled(self, message: PrefillDone) -> None:
        if not (request := self._requests.get(message.job)):
            return
        if self.scheduler.queue.is_shared:
            self._served(request, request.clock.reading.in_all(message.cost.processed))
        if message.goes_on:
            request.clock.read_for(message.cost)
            return
        if request.clock.reading.is_again:
            request.texts.restart()
        if request.record.change is None and request.prompt:
            self.news.runs(request, request.prompt, self.residency.known(message.context))
        self.residency.note_speed(message.cost)
        cost = request.prefilled(message.cost)
        self._note_resident(request, message.context, cost.prompt)
        if noted := self.news.prefilled(request, cost):
            self.residency.of(message.context).costs.append(noted)
        if request.is_answered and request.ask.sampling:
            # Its client was told to come again: the prompt is all that is wanted.
            self._end(request, Outcome.DONE)
            self.take_turn()

    def _on_piece(self, piece: Piece) -> None:
        if (request := self._requests.get(piece.job)) and not request.texts.is_cut:
            if text := request.texts.add(piece):
                request.tell(text)
            if request.texts.is_cut:
                self._engine.end_early(piece.job)
            if self.scheduler.queue.is_shared:
                self._served(request, 0, piece.n_tokens)

    def _on_embedded(self, message: Embedded) -> None:
        if (request := self._requests.get(message.job)) and request.ask.on_vector:
            request.ask.on_vector(message.vector)

    def _on_done(self, message: Done) -> None:
        self._engine.note_success()
        if self.scheduler.finish(message.job, Outcome.DONE) and (request := self._requests.pop(message.job, None)):
            self._next_text(request, message)

    def _on_stopped(self, message: Stopped) -> None:
        request = self._requests.get(message.job)
        if request and request.texts.is_cut:
            if self.scheduler.finish(message.job, Outcome.DONE):
                del self._requests[message.job]
                self._next_text(request, None)
            return
        n_read = request.clock.reading.in_all(message.n_read) if request else 0
        self.scheduler.served(message.job, n_read)
        if self.scheduler.give_back(message.job) and request:
            self._note_resident(request, request.ask.context, message.done)
            self.news.stands_still(request)
            request.gave_way(message.n_read)

    def _on_failed(self, message: Failed) -> None:
        if self.scheduler.finish(message.job, Outcome.FAILED) and (request := self._requests.pop(message.job, None)):
            self.news.ended(request, Outcome.FAILED)
            request.reject((RequestError if message.fault == "request" else EngineError)(message.message))

    def on_engine_lost(self, reason: str) -> None:
        """The engine is gone: only the request that it worked on has failed."""
        self.residency.on_engine_lost()
        number = self.scheduler.lose_engine()
        if number is not None and (request := self._requests.pop(number, None)):
            self.news.ended(request, Outcome.FAILED)
            why = f"{reason.rstrip('.')}, during this request; it is being started again, so ask once more."
            request.reject(EngineDied(why))

    # --- answers ------------------------------------------------------------------------------------------------------

    def _next_text(self, request: ActiveRequest, done: Done | None) -> None:
        """One text is done: generate the next, or answer."""
        request.end_text(done)
        if request.ask.sampling and not request.is_answered and request.texts.has_more:
            self._submit(request)
            request.clock.wait()
        elif not request.is_answered:
            self._answer(request)

    def _answer(self, request: ActiveRequest, known: Completion | None = None) -> None:
        """Answer: what was `known`, or else what was generated."""
        ask = request.ask
        completion = known or request.completion(self._engine.name, self._debounce_ms(request))
        if not known and ask.memory and completion.items:
            ask.memory.put(completion.items)
        if ask.on_answer:
            ask.on_answer(completion)
        request.resolve(completion)
        self.news.answered(request, completion, is_known=known is not None)

    def _debounce_ms(self, request: ActiveRequest) -> int:
        if request.ask.on_answer and request.ask.sampling:
            self.pace.answered(request.clock.elapsed_ms)
        return self.pace.debounce_ms

    def _is_prepared(self, request: ActiveRequest, prompt: Prompt, n_needed: int) -> bool:
        """Whether nothing is to be generated, and the prompt is in its context already, perhaps with more after it."""
        if request.ask.priority is Priority.AHEAD:
            return not self.residency.is_worth_reading_ahead(prompt, n_needed)
        if request.ask.sampling is None:
            return request.ask.is_unasked and not request.replies and n_needed <= 1
        return request.ask.sampling.max_tokens <= 0 and self._n_common(request, prompt) == len(prompt.tokens)

    @contextmanager
    def _failing(self, request: ActiveRequest | None) -> Iterator[None]:
        """A mistake of ours ends `request`, which is told: left in the queue it would stop all that come after it."""
        try:
            yield
        except Exception as error:
            logger.exception("A mistake with a request.")
            if request:
                if not self._end(request, Outcome.FAILED):
                    self.scheduler.finish(request.number, Outcome.FAILED)
                request.reject(RequestError(f"Scrubjay made a mistake: {error!r}; see the daemon's log.", 500))

    # --- helpers ------------------------------------------------------------------------------------------------------

    def _served(self, request: ActiveRequest, n_read: int, n_written: int = 0) -> None:
        """The model has worked that much for `request`: others may be next, but no remote text is begun anew for them."""
        must_end = n_written > 0 and self._engine.info is not None and self._engine.info.memory_class == REMOTE
        if self.scheduler.served(request.number, n_read, n_written, must_end):
            self.take_turn()

    def _template(self, request: ActiveRequest) -> FimTemplate | None:
        return self._builder.fim_template if request.ask.recipe.is_fim else None

    def _submit(self, request: ActiveRequest) -> None:
        request.number = next(_numbers)
        ask = request.ask
        for number in self.scheduler.submit(Job(request.number, ask.priority, ask.supersedes, ask.tenant)):
            self._supersede(self._requests.pop(number), request)
        self._requests[request.number] = request

    def _supersede(self, old: ActiveRequest, new: ActiveRequest) -> None:
        self.news.superseded(old)
        if old.ask.sampling is None and new.ask.sampling is None:
            # A client that waits for a project to be warm wants it as it is now.
            new.replies.extend(old.replies)
        else:
            old.reject(superseded())

    def _end(self, request: ActiveRequest, outcome: Outcome) -> bool:
        """End the present job of `request` here; False if it has ended before."""
        self._requests.pop(request.number, None)
        self.news.ended(request, outcome)
        return self.scheduler.end(request.number, outcome)

    def _make_prompt(self, request: ActiveRequest) -> None:
        """Make the prompt: at once if that is quick, else in a thread, which reports to `on_prompt`."""
        request.fit_to(info := self._engine.info)
        sampling = request.sampling
        limits = self.residency.limits(info, sampling.max_tokens if sampling else 0, request.ask.sampling is None)
        report = partial(self._post_prompt, request)
        made = self._builder.make(request.ask.recipe, limits, report, request.ask.tenant.group)
        if made is not None:
            self.on_prompt(request, made)

    def _note_resident(self, request: ActiveRequest, context: str, n_tokens: int) -> None:
        """`context`, if the engine has named it yet, holds that many tokens of the prompt of `request`."""
        if context and n_tokens and request.prompt and not request.ask.cold:
            self.residency.note(context, request.prompt, n_tokens)

    def _n_common(self, request: ActiveRequest, prompt: Prompt) -> int:
        return 0 if (ask := request.ask).cold else self.residency.n_common(ask.context, prompt, ask.tenant.group)

    def _n_needed(self, request: ActiveRequest, prompt: Prompt) -> int:
        return len(prompt.tokens) - min(self._n_common(request, prompt), len(prompt.tokens) - 1)
