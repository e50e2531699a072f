"""The requests in flight: their prompts, their turns in the engine, their answers.

Called by the service's loop only, so that nothing here happens at the same time as anything else.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from functools import partial
from itertools import count

from scrubjay.completion.history import CompletionHistory
from scrubjay.completion.requests import Completion, CompletionRequest, Cost, RawRequest, stopping
from scrubjay.completion.stop_rules import STOP_STRINGS
from scrubjay.errors import EngineDied, EngineError, RequestError, ScrubjayError
from scrubjay.notifications import Notification
from scrubjay.prompt.limits import Budgets, Limits, limits_for
from scrubjay.prompt.segments import Prompt
from scrubjay.protocol.messages import (
    Done,
    EngineStatus,
    Failed,
    Piece,
    PrefillCost,
    PrefillDone,
    PrefillProgress,
    Run,
    Sampling,
    Stopped,
)
from scrubjay.service.active_request import ActiveRequest, superseded
from scrubjay.service.debounce import TypingPace
from scrubjay.service.engine_supervisor import EngineSupervisor
from scrubjay.service.events import CompletionShown, Post, outcome
from scrubjay.service.prompt_builder import PromptBuilder
from scrubjay.service.residency import ContextResidency, ConversationIndex, PrefillSpeed, Residency
from scrubjay.service.scheduler import Job, Outcome, Priority, Scheduler

Tell = Callable[[Notification], None]


MOST_AHEAD = 256
"""A completion ahead of need is not worth a longer prefill."""


class Dispatcher:
    """Accepts requests, and sees each of them to its one answer.

    Args: post: takes the events of prompts that were made.
        tell: takes what listeners should know.
        budgets: how long prompts may be.
    """

    def __init__(
        self, supervisor: EngineSupervisor, maker: PromptBuilder, post: Post, tell: Tell, budgets: Budgets
    ) -> None:
        self._supervisor = supervisor
        self._maker = maker
        self._post = post
        self._tell = tell
        self._budgets = budgets
        self._numbers = count(1)
        self._flights: dict[int, ActiveRequest] = {}
        self._speed = PrefillSpeed()
        self.scheduler = Scheduler()
        self.remembered = CompletionHistory()
        self.pace = TypingPace()
        self._trunks = ConversationIndex()
        self._records = Residency()

    def __iter__(self) -> Iterator[ActiveRequest]:
        return iter(list(self._flights.values()))

    @property
    def is_idle(self) -> bool:
        """Whether no request is in flight."""
        return not self._flights

    def record(self, root: str) -> ContextResidency:
        """What is known of the context of the project at `root`."""
        return self._records.of(root)

    # --- requests -----------------------------------------------------------------------------------------------------

    def accept(self, flight: ActiveRequest, priority: Priority) -> None:
        """Take `flight` in; it supersedes what has its key, and what was to be warmed for it."""
        flight.priority = priority
        if self._answer_known(flight):
            return
        if flight.request and not flight.is_cold and not flight.is_automatic:
            self._forget_unasked(flight.root)
        self._submit(flight)
        if self._supervisor.is_ready:
            self._make_prompt(flight)
        else:
            flight.clock.wait()

    def make_prompts(self) -> None:
        """Now that the engine is ready: make the prompts of those who came before."""
        for flight in self:
            if flight.prompt is None:
                flight.clock.go()
                self._make_prompt(flight)

    def prompt_made(self, flight: ActiveRequest, prompt: Prompt) -> None:
        """The prompt is there: the request waits for its turn, if there is time for that."""
        if flight.number not in self._flights or flight.prompt is not None:
            return
        flight.prompt = prompt
        flight.clock.wait()
        if isinstance(flight.request, RawRequest):
            self._join_trunk(flight, flight.request, prompt)
        limit = flight.request.t_max_prompt_ms if flight.request else None
        if flight.is_ahead and self._n_needed(flight) > MOST_AHEAD:
            self._end(flight, Outcome.CANCELLED)
        elif flight.is_warming and not flight.replies and self._n_needed(flight) <= 1:
            self._end(flight, Outcome.DONE)
        elif self._is_prepared(flight):
            self._end(flight, Outcome.DONE)
            flight.resolve(flight.answer(self._model))
        elif limit is not None and self._speed.estimated_ms(self._n_needed(flight), self._supervisor.info) > limit:
            self.overdue(flight)

    def prompt_failed(self, flight: ActiveRequest, error: ScrubjayError) -> None:
        """There is no prompt for this request."""
        if self._end(flight, Outcome.FAILED):
            flight.reject(error)

    def overdue(self, flight: ActiveRequest) -> None:
        """The client waits no longer: answer with nothing, and go on in the background."""
        if flight.number not in self._flights or flight.processed or flight.is_answered:
            return
        flight.resolve(flight.answer_warming(self._n_common(flight), self._model))
        self.scheduler.demote(flight.number, Priority.WARM)

    def cancel(self, flight: ActiveRequest, error: ScrubjayError | None = None) -> None:
        """End `flight`; whoever still waits for it is told `error`."""
        if self._end(flight, Outcome.CANCELLED) and error:
            flight.reject(error)

    def reject_all(self, error: ScrubjayError) -> None:
        """End all requests: none can be served."""
        for flight in self:
            self.prompt_failed(flight, error)

    # --- turns --------------------------------------------------------------------------------------------------------

    def stop_stale(self) -> None:
        """Have the engine end a job that nobody wants any more, or that is in the way of a more urgent one."""
        if (number := self.scheduler.job_to_stop()) is not None:
            self._supervisor.stop(number)

    def start_next(self) -> None:
        """If the engine is free, hand it the most urgent job, as soon as that one's prompt is made."""
        job = self.scheduler.next_job()
        flight = self._flights[job.number] if job and self._supervisor.is_ready else None
        if flight is None or flight.prompt is None:
            return
        self.scheduler.start(flight.number)
        flight.clock.go()
        self._supervisor.run(self._run(flight, flight.prompt))

    # --- what the engine says -----------------------------------------------------------------------------------------

    def heard(self, message: PrefillProgress | PrefillDone | Piece | Done | Stopped | Failed) -> None:
        """The engine has said something about a job; if it has ended here, only the engine's being free matters."""
        flight = self._flights.get(message.job)
        match message:
            case PrefillProgress() if flight:
                self._prefilling(flight, message)
            case PrefillDone() if flight:
                self._synced(flight, message.cost)
            case Piece() if flight:
                self._written(flight, message)
            case Done():
                self._done(flight, message)
            case Stopped():
                self._stopped(flight, message)
            case Failed():
                self._failed(flight, message)

    def seen(self, status: EngineStatus) -> None:
        """The engine has said which contexts there are."""
        self._records.seen(status.contexts)

    def lose_engine(self, reason: str) -> None:
        """The engine is gone: only the request that it worked on has failed."""
        self._records.lose_all()
        number = self.scheduler.lose_engine()
        if number is not None and (flight := self._flights.pop(number, None)):
            self._stands_still(flight)
            flight.reject(
                EngineDied(f"{reason.rstrip('.')}, during this request; it is being started again, so ask once more.")
            )

    def _prefilling(self, flight: ActiveRequest, message: PrefillProgress) -> None:
        self._holds(flight, message.done)
        flight.n_prefilled = message.done
        self._tell_progress(flight, message.total)

    def _tell_progress(self, flight: ActiveRequest, total: int) -> None:
        self._tell({**flight.news("progress"), "done": flight.n_prefilled, "total": total})

    def _stands_still(self, flight: ActiveRequest) -> None:
        """Nothing more is done for `flight` now: its progress is over, so that nobody shows a bar that does not move."""
        if flight.n_prefilled:
            self._tell_progress(flight, flight.n_prefilled)
            flight.n_prefilled = 0

    def _synced(self, flight: ActiveRequest, cost: PrefillCost) -> None:
        flight.synced(cost)
        flight.n_prefilled = 0
        self._speed.note(cost)
        if not flight.is_cold:
            self._holds(flight, cost.prompt)
            if not flight.is_ahead:
                self._note_cost(flight, cost)
        if flight.request and flight.is_answered:
            # Its client has been told to come again: the prompt is all that is wanted of it.
            self._end(flight, Outcome.DONE)

    def _done(self, flight: ActiveRequest | None, message: Done) -> None:
        self._supervisor.did_well()
        if not self.scheduler.finish(message.job, Outcome.DONE) or flight is None:
            return
        del self._flights[message.job]
        flight.done(message)
        self._go_on(flight)

    def _ended_by_rule(self, flight: ActiveRequest) -> None:
        if self.scheduler.finish(flight.number, Outcome.DONE):
            del self._flights[flight.number]
            flight.cut()
            self._go_on(flight)

    def _go_on(self, flight: ActiveRequest) -> None:
        """One alternative is done: generate the next, or answer."""
        if flight.has_more:
            self._submit(flight)
            flight.clock.wait()
        elif not flight.is_answered:
            self._answer(flight)

    def _answer_known(self, flight: ActiveRequest) -> bool:
        """Answer with completions that were shown before, if some go on from this place."""
        request = flight.asked
        items = self.remembered.find(request, *flight.place) if request else ()
        if not items:
            return False
        for other in self:
            if flight.key is not None and other.key == flight.key:
                self.cancel(other, superseded())
        self._resolve(flight, partial(flight.answer_known, items))
        return True

    def _answer(self, flight: ActiveRequest) -> None:
        if flight.asked and flight.items:
            self.remembered.put(flight.asked, *flight.place, tuple(flight.items))
        completion = self._resolve(flight, flight.answer)
        if flight.request:
            news = flight.news("ahead" if flight.is_ahead else "completion") | {"n_items": len(flight.items)}
            self._tell({**news, "timings": asdict(completion.timings), "reuse": asdict(completion.reuse)})

    def _resolve(self, flight: ActiveRequest, answer: Callable[[str, int], Completion]) -> Completion:
        if is_shown := isinstance(flight.request, CompletionRequest) and not flight.is_automatic:
            self.pace.answered(flight.clock.elapsed_ms)
        completion = answer(self._model, self.pace.debounce_ms)
        if is_shown:
            self._post(CompletionShown(flight, completion.items))
        flight.resolve(completion)
        return completion

    def _written(self, flight: ActiveRequest, piece: Piece) -> None:
        was_cut = flight.is_cut
        flight.add(piece)
        if flight.is_cut and not was_cut:
            self._supervisor.end_early(piece.job)

    def _stopped(self, flight: ActiveRequest | None, message: Stopped) -> None:
        if flight and flight.is_cut:
            self._ended_by_rule(flight)
        elif self.scheduler.give_back(message.job) and flight:
            self._holds(flight, message.done)
            self._stands_still(flight)
            flight.start_again()
            flight.clock.wait()

    def _failed(self, flight: ActiveRequest | None, message: Failed) -> None:
        if self.scheduler.finish(message.job, Outcome.FAILED) and flight:
            del self._flights[message.job]
            self._stands_still(flight)
            flight.reject(RequestError(message.message) if message.fault == "request" else EngineError(message.message))

    # --- raw prompts --------------------------------------------------------------------------------------------------

    def _join_trunk(self, flight: ActiveRequest, request: RawRequest, prompt: Prompt) -> None:
        """Find out which conversation a raw prompt goes on from, and what is stale now."""
        flight.trunk, forgotten = self._trunks.choose(prompt.tokens)
        if forgotten:
            self._records.forget(forgotten)
        if not request.only_prepares:
            # What goes on in the background for an older prompt of the same conversation would take this one's place.
            for other in self:
                if other.trunk == flight.trunk and other.is_answered:
                    self.cancel(other)

    def _is_prepared(self, flight: ActiveRequest) -> bool:
        """Whether `flight` only wants to have in its context what is there already, perhaps with more behind it."""
        if not isinstance(flight.request, RawRequest) or flight.request.sampling.max_tokens > 0 or not flight.prompt:
            return False
        return self._n_common(flight) == len(flight.prompt.tokens)

    # --- helpers ------------------------------------------------------------------------------------------------------

    @property
    def _model(self) -> str:
        return self._supervisor.info.name if self._supervisor.info else ""

    def _submit(self, flight: ActiveRequest) -> None:
        flight.number = next(self._numbers)
        for number in self.scheduler.submit(Job(flight.number, flight.priority, flight.key)):
            self._supersede(self._flights.pop(number), flight)
        self._flights[flight.number] = flight

    def _forget_unasked(self, root: str) -> None:
        """The project's prompt is asked for as it is now: those that nobody waits for are stale."""
        for flight in self:
            if flight.root == root and flight.is_automatic and not flight.replies:
                self.cancel(flight)

    def _supersede(self, old: ActiveRequest, new: ActiveRequest) -> None:
        if old.request is None and new.request is None:
            # Who waits for a project to be warm wants it as it is now.
            new.replies.extend(old.replies)
        else:
            old.reject(superseded())

    def _end(self, flight: ActiveRequest, outcome: Outcome) -> bool:
        """End the present job of `flight` here; False if it has ended before."""
        self._flights.pop(flight.number, None)
        self._stands_still(flight)
        return self.scheduler.end(flight.number, outcome)

    def _make_prompt(self, flight: ActiveRequest) -> None:
        limits = self._limits(flight.sampling)
        if isinstance(flight.request, RawRequest):
            recipe = flight.request.recipe
            making = self._maker.use(recipe.make, recipe.n_characters, limits)
        else:
            making = self._maker.make(flight.view, limits, flight.is_idle, flight.is_ahead)
        if making.done():
            # A callback would wait for the event loop's next turns.
            self._post(outcome(flight, making))
        else:
            making.add_done_callback(lambda made: self._post(outcome(flight, made)))

    def _limits(self, sampling: Sampling | None) -> Limits:
        info = self._supervisor.info
        n_ctx, speed = (info.n_ctx, info.prefill_speed) if info else (0, 0.0)
        return limits_for(self._budgets, n_ctx, speed, sampling.max_tokens if sampling else 0)

    def _run(self, flight: ActiveRequest, prompt: Prompt) -> Run:
        sampling = flight.sampling
        if sampling and (template := self._maker.template_for(flight.request)):
            rules = STOP_STRINGS if flight.rules else ()
            sampling = stopping(sampling, template.stop_tokens, (*sampling.stop, *template.stop, *rules))
            if flight.rules and template.chat:
                flight.rules = replace(flight.rules, is_chat=True)
        if not flight.is_cold:
            record = self.record(flight.record_key)
            record.n_resident, record.prompt = self._n_common(flight), prompt
        context = "" if flight.is_cold else flight.root
        return Run(
            flight.number, context, prompt.tokens, prompt.boundaries, prompt.hot, sampling, flight.is_cold, prompt.parts
        )

    def _holds(self, flight: ActiveRequest, n_tokens: int) -> None:
        """The context of `flight` holds that many tokens of its prompt."""
        if n_tokens and not flight.is_cold:
            self.record(flight.record_key).n_resident = n_tokens

    def _n_common(self, flight: ActiveRequest) -> int:
        if flight.prompt is None or flight.is_cold:
            return 0
        record = self.record(flight.record_key)
        return min(record.n_resident, flight.prompt.n_common(record.prompt)) if record.prompt else 0

    def _n_needed(self, flight: ActiveRequest) -> int:
        n = len(flight.prompt.tokens) if flight.prompt else 0
        return n - min(self._n_common(flight), n - 1)

    def _note_cost(self, flight: ActiveRequest, cost: PrefillCost) -> None:
        ms = cost.prefill_ms + cost.restore_ms
        noted = Cost(flight.view.document.uri, cost.processed, cost.needed, ms, cost.reason)
        self.record(flight.record_key).costs.append(noted)
        self._tell({"type": "edit", "root": flight.root, **asdict(noted)})
        if cost.restored:
            self._tell({"type": "restore", "root": flight.root, "restored": cost.restored, "processed": cost.processed})
