"""The daemon's one loop.

Take the next event; let what it concerns absorb it; forget the work that it made stale; if the engine is free hand it the
most urgent job; publish.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from time import monotonic
from typing import Any, TypeVar, get_args

from scrubjay.completion.history import CompletionHistory
from scrubjay.completion.requests import Completion, CompletionRequest
from scrubjay.engine.client import EngineClient
from scrubjay.engine.interface import EngineFactory, EngineGone
from scrubjay.errors import EngineError, RequestError, ScrubjayError
from scrubjay.notifications import Broadcaster, Notification
from scrubjay.prompt.limits import Budgets, Limits
from scrubjay.prompt.recipe import PromptTools
from scrubjay.prompt.view import ProjectView
from scrubjay.protocol.messages import (
    Done,
    EngineStatus,
    LoadFailed,
    ModelInfo,
    Opened,
    Piece,
    PrefillDone,
    PrefillProgress,
    Stopped,
)
from scrubjay.service.client_requests import ClientRequests
from scrubjay.service.dispatcher import Dispatcher
from scrubjay.service.engine_status import EngineStatusPoller
from scrubjay.service.engine_supervisor import EngineSupervisor
from scrubjay.service.events import (
    AddTail,
    Complete,
    Drain,
    EngineHalted,
    Event,
    Generate,
    Pause,
    ProjectIdle,
    ProjectWarm,
    PromptDeadline,
    PromptMade,
    PromptsDue,
    RequestStatus,
    UnloadDue,
    VocabularyOpened,
    VocabularyRefused,
    Warm,
)
from scrubjay.service.next_edits import NextEdits
from scrubjay.service.power import is_on_battery
from scrubjay.service.prompt_builder import PromptBuilder
from scrubjay.service.request_news import RequestNews
from scrubjay.service.settings import ServiceSettings
from scrubjay.service.speculation import Speculator
from scrubjay.service.warming import Warmer
from scrubjay.uris import canonical_path
from scrubjay.workspace.events import ChangeDocument, WorkspaceEvent, answer
from scrubjay.workspace.project import Project
from scrubjay.workspace.projects import Projects
from scrubjay.workspace.workspace import Workspace

logger = logging.getLogger(__name__)

T = TypeVar("T")

NO_TURN = frozenset((EngineStatus, Piece, PrefillDone, PrefillProgress, RequestStatus))
"""Events after which the queue is as it was before, or the dispatcher has taken its turn already."""
NEEDS_ENGINE = frozenset((Complete, Generate, Warm))


class Service:
    """Documents, projects, requests and one engine. Handlers of clients `post` events and await their replies.

    Args:
        make_engine: starts engines; the worker process on llama.cpp unless something else is given.
    """

    def __init__(self, settings: ServiceSettings, make_engine: EngineFactory | None = None) -> None:
        self._inbox: deque[Event] = deque()
        self._is_busy = True  # until `start`, while an event is handled, and from `close` on
        self._drained: asyncio.Future[None] | None = None
        self.broadcaster = Broadcaster()
        projects = Projects(canonical_path, monotonic)
        make_engine = make_engine or partial(EngineClient.start, settings.engine)
        self.supervisor = EngineSupervisor(make_engine, settings.engine.model, self.post, settings.idle_unload_s)
        self._builder = PromptBuilder(settings.layout, style=settings.prompt_style)
        self.dispatcher = Dispatcher(
            self.supervisor,
            self._builder,
            lambda request, made: self.post(PromptMade(request, made)),
            RequestNews(self.broadcaster.publish),
            Budgets(settings.context_budget, settings.latency_budget_ms),
        )
        self._status_poller = EngineStatusPoller(self.supervisor, self.broadcaster.publish, self.post)
        history = CompletionHistory()
        may_warm = partial(self._may_warm, settings.warm, settings.warm_on_battery)
        self._warmer = Warmer(projects, self.dispatcher, self.post, settings.warm_delay_ms, may_warm, self._can_go_back)
        self._speculator = Speculator(self.dispatcher, history, may_warm, settings.unasked)
        requests = ClientRequests(settings, projects, self.dispatcher, history, self._warmer, self._on_shown, self.post)
        self._workspace = Workspace(
            projects, self.post, self.broadcaster.publish, settings.watch, settings.show_secrets
        )
        self._handlers = self._make_handlers(requests)

    @property
    def projects(self) -> Projects:
        """The projects with what is open in them."""
        return self._workspace.projects

    @property
    def fim_order(self) -> str | None:
        """In which order the model wants prefix and suffix; None until it is known."""
        return self._builder.model_template.order if self._builder.model_template else None

    @property
    def prompt_style(self) -> str | None:
        """How the model is asked to fill in: "fim" is by tokens for that, "plain" by what is before the cursor; or "chat"."""
        template = self._builder.fim_template
        if template is None:
            return None
        return "chat" if template.chat else "plain" if template.order == "plain" else "fim"

    @property
    def engine_status(self) -> EngineStatus | None:
        """What the engine said of itself last; None while there is none."""
        return self._status_poller.status

    def state_news(self) -> Notification:
        """The present state, as listeners are told it."""
        load = asdict(self.supervisor.progress) if self.supervisor.progress else None
        return {"type": "state", "state": self.supervisor.state, "message": self.supervisor.message, "load": load}

    def use_vocabulary(self, work: Callable[[PromptTools], T], n_characters: int) -> "asyncio.Future[T]":
        """What `work` makes of the vocabulary; it has about `n_characters` to tokenise.

        Raises:
            RequestError: 503, there is none yet.
        """
        if self._builder.fim_template is None or self.supervisor.info is None:
            raise RequestError("Loading model", 503)
        return self._builder.use(work, n_characters, Limits(self.supervisor.info.n_ctx, 0))

    def post(self, event: Event) -> None:
        """Have `event` handled: now, in the caller's stack, or after the one that is being handled. Never raises."""
        self._inbox.append(event)
        if not self._is_busy:
            self._drain()

    def start(self) -> None:
        """Start the engine, and handle events from now on, until `close`."""
        self.supervisor.start()
        self._drain()

    async def close(self) -> None:
        """Answer the clients that still wait, and end the engine."""
        self._is_busy = True
        self._warmer.close()
        self._status_poller.close()
        await self._workspace.close()
        self.dispatcher.reject_all(_shutting_down())
        self.dispatcher.news.lines.write()
        self.broadcaster.close()
        await self.supervisor.close()
        await self._builder.close()

    # --- the loop -----------------------------------------------------------------------------------------------------

    def _drain(self) -> None:
        """The loop. It does not wait for asyncio's next turn: that takes long, for a keystroke."""
        self._is_busy = True
        try:
            while self._inbox:
                has_turn = False
                while self._inbox:
                    event = self._inbox.popleft()
                    has_turn |= type(event) not in NO_TURN
                    self._handle_safely(event)
                if has_turn:
                    self.dispatcher.take_turn()
                    self._publish()
        finally:
            self._is_busy = False

    def _handle_safely(self, event: Event) -> None:
        """Handle one event; what goes wrong is told to the client that asked, and never ends the loop."""
        try:
            if type(event) in NEEDS_ENGINE:
                self._require_serving()
            self._handlers[type(event)](event)
        except Exception as error:
            if not isinstance(error, ScrubjayError):
                error = _mistake(error, f"handling {type(event).__name__}")
            reply: asyncio.Future[object] | None = getattr(event, "reply", None)
            if reply is not None and not reply.done():
                reply.set_exception(error)

    def _make_handlers(self, requests: ClientRequests) -> Mapping[type, Callable[[Any], None]]:
        """What becomes of each event."""
        own: dict[type, Callable[[Any], None]] = {
            AddTail: self._add_tail,
            Drain: self._on_drain,
            EngineGone: self._on_engine_gone,
            EngineHalted: self._on_engine_halted,
            EngineStatus: self._on_engine_status,
            LoadFailed: lambda event: self._on_load_failed(event.message),
            Opened: lambda event: self._on_model_opened(event.info),
            Pause: self._pause,
            ProjectIdle: self._on_idle,
            ProjectWarm: self._on_warm,
            PromptDeadline: lambda event: self.dispatcher.on_deadline(event.request),
            PromptsDue: self._make_prompts,
            PromptMade: lambda event: self.dispatcher.on_prompt(event.request, event.made),
            RequestStatus: self._on_request_status,
            UnloadDue: self._on_unload_due,
            VocabularyOpened: self._on_vocabulary_opened,
            VocabularyRefused: lambda event: self._on_load_failed(event.message),
        }
        workspace = dict.fromkeys(get_args(WorkspaceEvent), self._absorb) | {ChangeDocument: self._change}
        parts = (self.supervisor, self.dispatcher, requests, NextEdits(self.projects, monotonic))
        handlers = {event: handler for part in parts for event, handler in part.handlers.items()}
        jobs_end = {event: partial(self._on_job_end, handlers[event]) for event in (Done, Stopped)}
        return handlers | jobs_end | workspace | own

    # --- the workspace ------------------------------------------------------------------------------------------------

    def _change(self, event: ChangeDocument) -> None:
        self.dispatcher.pace.typed(monotonic() * 1e3)
        self._absorb(event)

    def _absorb(self, event: WorkspaceEvent) -> None:
        absorbed = self._workspace.absorb(event)
        for project in absorbed.touched:
            self._touched(project)
        for root in absorbed.forgotten:
            for part in (self._warmer, self._speculator, self._builder, self.dispatcher.residency):
                part.forget(root)

    def _add_tail(self, event: AddTail) -> None:
        project = self.projects.by_root(event.root)
        project.add_tail(event.tail)
        self._touched(project)
        answer(event.reply, None)

    def _touched(self, project: Project) -> None:
        self._speculator.touched(project)
        self._warmer.touched(project)

    def _on_shown(self, view: ProjectView, request: CompletionRequest, completion: Completion) -> None:
        self._speculator.on_shown(view, request, completion.items)
        for project in self._at(view.project.root):
            project.use_up(view.project.tails)
            self._warmer.touched(project)

    def _on_idle(self, event: ProjectIdle) -> None:
        for project in self._at(event.root):
            self._warmer.on_idle(project)
            self._speculator.on_idle(project)

    def _on_warm(self, event: ProjectWarm) -> None:
        for project in self._at(event.root):
            self._warmer.on_warm(project, event.has_read_ahead)

    def _at(self, root: str) -> list[Project]:
        """The project at `root`, if it is still there."""
        return [project for project in self.projects if project.root == root]

    # --- whether there is anything to serve with -----------------------------------------------------------------------

    @property
    def is_paused(self) -> bool:
        """Whether nothing is done but what clients ask for."""
        return self._warmer.is_paused

    def _pause(self, event: Pause) -> None:
        self._warmer.is_paused = event.paused
        for request in self.dispatcher:
            if event.paused and request.ask.is_unasked and not request.replies:
                self.dispatcher.cancel(request)
        if not event.paused:
            self._warmer.all_touched()
        answer(event.reply, event.paused)

    def _may_warm(self, is_wanted: bool, on_battery: bool) -> bool:
        is_affordable = on_battery or not is_on_battery()
        return (
            is_wanted
            and is_affordable
            and not self._drained
            and not self.is_paused
            and self.supervisor.state in ("loading", "ready")
        )

    def _can_go_back(self) -> bool:
        return self.supervisor.info is not None and self.supervisor.info.memory_class != "opaque"

    def _require_serving(self) -> None:
        if self._drained:
            raise _shutting_down()
        if self.supervisor.state == "failed":
            raise EngineError(self.supervisor.message)
        self.supervisor.wake()

    def _on_drain(self, event: Drain) -> None:
        self._drained = event.reply
        for request in self.dispatcher:
            if request.ask.sampling is None or request.is_answered or request.ask.is_unasked:
                self.dispatcher.cancel(request, _shutting_down())

    # --- the engine ---------------------------------------------------------------------------------------------------

    def _on_model_opened(self, info: ModelInfo) -> None:
        self.supervisor.on_model_opened(info)
        if self._builder.fim_template:
            self._on_vocabulary_opened()
        else:
            self._builder.open_later(info, self._tell_vocabulary)

    def _tell_vocabulary(self, error: ScrubjayError | None) -> None:
        self.post(VocabularyRefused(str(error)) if error else VocabularyOpened())

    def _on_vocabulary_opened(self, _: VocabularyOpened | None = None) -> None:
        self.supervisor.on_vocabulary_opened()
        info = self.supervisor.info
        if self.supervisor.is_ready and info:
            self.supervisor.idle_timer.used()
            self._workspace.model_is_ready(info.prefill_speed, info.n_ctx)
            self._status_poller.on_engine_ready()
            self._make_prompts()
            self._warmer.all_touched()

    def _make_prompts(self, _: PromptsDue | None = None) -> None:
        if self.supervisor.is_ready and self.dispatcher.make_prompts():
            asyncio.get_running_loop().call_soon(self.post, PromptsDue())

    def _on_load_failed(self, message: str) -> None:
        self.supervisor.on_load_failed(message)
        self._reject_if_failed()

    def _on_engine_gone(self, event: EngineGone) -> None:
        self.supervisor.on_exit(event)
        self.dispatcher.on_engine_lost(event.reason)
        self._status_poller.on_exit()
        self._reject_if_failed()

    def _on_engine_halted(self, event: EngineHalted) -> None:
        if event.message:
            self.dispatcher.reject_all(EngineError(event.message))
            self._status_poller.on_halt()

    def _on_job_end(self, handler: Callable[[Any], None], message: Done | Stopped) -> None:
        handler(message)
        self.supervisor.idle_timer.used()
        self._status_poller.schedule()

    def _on_unload_due(self, _: UnloadDue) -> None:
        if self.dispatcher.is_idle:
            self.supervisor.unload()
        else:
            self.supervisor.idle_timer.used()

    def _reject_if_failed(self) -> None:
        if self.supervisor.state == "failed":
            self.dispatcher.reject_all(EngineError(self.supervisor.message))

    def _on_request_status(self, event: RequestStatus) -> None:
        self._status_poller.request(event.reply, self.dispatcher.scheduler.is_free)

    def _on_engine_status(self, status: EngineStatus) -> None:
        self._status_poller.on_status(status)
        self.dispatcher.residency.on_status(status.contexts)

    # --- at the end of each turn --------------------------------------------------------------------------------------

    def _publish(self) -> None:
        """Tell listeners of a new state; tell the client that waits for the drain that it is over."""
        self.broadcaster.publish_change(self.state_news())
        if self._drained and self.dispatcher.is_idle:
            answer(self._drained, None)


def _mistake(error: Exception, what: str) -> RequestError:
    logger.exception("A mistake in %s.", what)
    return RequestError(f"Scrubjay made a mistake: {error!r}; see the daemon's log.", 500)


def _shutting_down() -> RequestError:
    return RequestError("The daemon is shutting down; start it again.", 503)
