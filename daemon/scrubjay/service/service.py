"""The daemon's one loop.

Take the next event; let the projects absorb it; forget the work that it made stale; if the engine is free hand it the most
urgent job; publish.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import asdict
from time import monotonic
from typing import TypeVar

from scrubjay.completion.requests import CompletionRequest
from scrubjay.completion.rules import CompletionRules
from scrubjay.engine.interface import EngineEvent, EngineGone
from scrubjay.errors import EngineError, RequestError, ScrubjayError
from scrubjay.notifications import Broadcaster, Notification
from scrubjay.prompt.limits import Budgets, Limits
from scrubjay.prompt.recipe import PromptTools
from scrubjay.prompt.view import NO_PROJECT, ProjectView
from scrubjay.protocol.messages import (
    Done,
    EngineStatus,
    Failed,
    LoadFailed,
    LoadProgress,
    Opened,
    Piece,
    PrefillDone,
    PrefillProgress,
    Stopped,
)
from scrubjay.service.active_request import ActiveRequest
from scrubjay.service.dispatcher import Dispatcher
from scrubjay.service.engine_status import EngineStatusPoller
from scrubjay.service.engine_supervisor import EngineSupervisor
from scrubjay.service.events import (
    AddTail,
    ClientGone,
    Complete,
    CompletionShown,
    Drain,
    EngineDue,
    Event,
    Generate,
    ProjectIdle,
    PromptDeadline,
    PromptFailed,
    PromptMade,
    RequestStatus,
    VocabularyOpened,
    VocabularyRefused,
    Warm,
)
from scrubjay.service.power import is_on_battery
from scrubjay.service.prompt_builder import PromptBuilder
from scrubjay.service.scheduler import Priority
from scrubjay.service.settings import ServiceSettings
from scrubjay.service.speculation import Speculator
from scrubjay.service.warming import Warmer
from scrubjay.uris import canonical_path
from scrubjay.workspace.events import (
    ChangeDocument,
    CloseDocument,
    CloseOwner,
    FilesChanged,
    FocusDocument,
    OpenDocument,
    SaveDocument,
    WorkspaceEvent,
    answer,
)
from scrubjay.workspace.project import Project
from scrubjay.workspace.projects import Projects
from scrubjay.workspace.workspace import Workspace

logger = logging.getLogger(__name__)

T = TypeVar("T")


class Service:
    """Documents, projects, requests and one engine. Handlers `post` events and await their replies."""

    def __init__(self, settings: ServiceSettings) -> None:
        self._settings = settings
        self._inbox: deque[Event] = deque()
        self._is_busy = True  # until `run` begins, while an event is being dealt with, and from `close` on
        self._maker = PromptBuilder(settings.layout)
        self._drained: asyncio.Future[None] | None = None
        self._published: object = None
        self.broadcaster = Broadcaster()
        self.projects = Projects(canonical_path)
        self.supervisor = EngineSupervisor(settings.engine, self._maker, self.post)
        budgets = Budgets(settings.context_budget, settings.latency_budget_ms)
        self.dispatcher = Dispatcher(self.supervisor, self._maker, self.post, self.broadcaster.publish, budgets)
        self._status_poller = EngineStatusPoller(self.supervisor, self.broadcaster, self.post)
        self._warmer = Warmer(self.projects, self.dispatcher, self.post, settings.warm_delay_ms, self._may_warm)
        self._speculator = Speculator(self.dispatcher, self._may_warm)
        self._workspace = Workspace(self.projects, self.post, self.broadcaster.publish, settings.watch)

    @property
    def fim_order(self) -> str | None:
        """In which order the model wants prefix and suffix; None until it is known."""
        return self._maker.template.order if self._maker.template else None

    def state_news(self) -> Notification:
        """The present state, as listeners are told it."""
        load = asdict(self.supervisor.progress) if self.supervisor.progress else None
        return {"type": "state", "state": self.supervisor.state, "message": self.supervisor.message, "load": load}

    def use_vocabulary(self, work: Callable[[PromptTools], T], n_characters: int) -> "asyncio.Future[T]":
        """What `work` makes of the vocabulary; it has about `n_characters` to tokenise.

        Raises:
            RequestError: 503, there is none yet.
        """
        if self._maker.template is None or self.supervisor.info is None:
            raise RequestError("Loading model", 503)
        return self._maker.use(work, n_characters, Limits(self.supervisor.info.n_ctx, 0))

    def post(self, event: Event) -> None:
        """Have `event` dealt with: now, or after the one that is being dealt with."""
        self._inbox.append(event)
        if not self._is_busy:
            self._deal()

    async def run(self) -> None:
        """Deal with events until this is cancelled. Then `close`."""
        self.supervisor.start()
        self._deal()
        await asyncio.get_running_loop().create_future()

    async def close(self) -> None:
        """Answer those who still wait, and end the engine."""
        self._is_busy = True
        self._warmer.close()
        self._status_poller.close()
        await self._workspace.close()
        self.dispatcher.reject_all(_shutting_down())
        self.broadcaster.close()
        await self.supervisor.close()
        await self._maker.close()

    def _deal(self) -> None:
        """The loop. It waits for no turn of asyncio's: those take long, for a keystroke."""
        self._is_busy = True
        try:
            while self._inbox:
                while self._inbox:
                    self._absorb(self._inbox.popleft())
                self.dispatcher.stop_stale()
                self.dispatcher.start_next()
                self._publish()
        finally:
            self._is_busy = False

    def _absorb(self, event: Event) -> None:
        """Handle one event; what goes wrong is told to whoever asked, and never ends the loop."""
        try:
            self._handle(event)
        except Exception as error:
            reply: asyncio.Future[object] | None = getattr(event, "reply", None)
            if not isinstance(error, ScrubjayError):
                logger.exception("A mistake in handling %s.", type(event).__name__)
                error = RequestError(f"Scrubjay made a mistake: {error!r}; see the daemon's log.", 500)
            if reply is not None and not reply.done():
                reply.set_exception(error)

    def _handle(self, event: Event) -> None:  # noqa: PLR0912  # one case for each thing that can happen
        match event:
            case ChangeDocument():
                self.dispatcher.pace.typed(monotonic() * 1e3)
                self._absorb_into_workspace(event)
            case OpenDocument() | CloseDocument() | SaveDocument() | FocusDocument() | CloseOwner() | FilesChanged():
                self._absorb_into_workspace(event)
            case Complete():
                self._complete(event)
            case Generate():
                self._generate(event)
            case Warm():
                self._warm(event)
            case RequestStatus():
                self._status_poller.look(event.reply, self.dispatcher.scheduler.is_free)
            case Drain():
                self._drain(event)
            case ClientGone():
                self._abandoned(event.flight)
            case AddTail():
                project = self.projects.by_root(event.root)
                project.add_tail(event.tail)
                self._touched(project)
                answer(event.reply, None)
            case CompletionShown():
                self._shown(event)
            case PromptDeadline():
                self.dispatcher.overdue(event.flight)
            case ProjectIdle():
                self._settled(event.root)
            case PromptMade():
                self._warmer.prompt_made(event.flight)
                self.dispatcher.prompt_made(event.flight, event.prompt)
            case PromptFailed():
                self.dispatcher.prompt_failed(event.flight, event.error)
            case VocabularyOpened():
                self.supervisor.vocabulary_opened(event.template)
                self._if_ready()
            case VocabularyRefused():
                self._refused(event.message)
            case EngineDue():
                self.supervisor.start()
            case _:
                self._hear(event)

    def _hear(self, event: EngineEvent) -> None:
        match event:
            case PrefillProgress() | PrefillDone() | Piece() | Done() | Stopped() | Failed():
                self.dispatcher.heard(event)
                if isinstance(event, Done | Stopped):
                    self._status_poller.look_later()
            case EngineStatus():
                self._status_poller.seen(event)
                self.dispatcher.seen(event)
            case LoadProgress():
                self.supervisor.loading(event)
            case Opened():
                self.supervisor.opened(event.info)
                self._if_ready()
            case LoadFailed():
                self._refused(event.message)
            case EngineGone():
                self._engine_gone(event.reason)

    def _shown(self, event: CompletionShown) -> None:
        self._speculator.shown(event)
        for project in self._at(event.flight.root):
            project.use_up(event.flight.view.project.tails)
            self._warmer.touched(project)

    def _settled(self, root: str) -> None:
        for project in self._at(root):
            self._warmer.settled(project)
            self._speculator.settled(project)

    def _at(self, root: str) -> list[Project]:
        """The project at `root`, if it is still there."""
        return [project for project in self.projects if project.root == root]

    def _absorb_into_workspace(self, event: WorkspaceEvent) -> None:
        for project in self._workspace.absorb(event).touched:
            self._touched(project)

    def _touched(self, project: Project) -> None:
        self._speculator.touched(project)
        self._warmer.touched(project)

    # --- requests -----------------------------------------------------------------------------------------------------

    def _complete(self, event: Complete) -> None:
        self._require_serving()
        request = event.request
        view = self._view(request)
        cursor = view.project.cursor
        priority = Priority.COMPLETION if cursor and cursor[0] != view.document.key else Priority.FOCUS
        if not request.cold:
            self.projects.focus(request.uri, request.position, request.encoding, request.owner)
        key = (request.client, view.document.key) if request.client else None
        flight = ActiveRequest(key, view, request, event.on_text, [event.reply])
        flight.is_idle = self._warmer.has_rested(view.project)
        if request.rules and self._settings.rules:
            flight.rules = CompletionRules.of(request, view.document, view.offset)
        self._watch(flight, event.reply)
        self._set_timer(flight, request.t_max_prompt_ms)
        self.dispatcher.accept(flight, priority)

    def _generate(self, event: Generate) -> None:
        self._require_serving()
        request = event.request
        flight = ActiveRequest(None, NO_PROJECT, request, event.on_text, [event.reply])
        self._watch(flight, event.reply)
        self._set_timer(flight, request.t_max_prompt_ms)
        self.dispatcher.accept(flight, Priority.WARM if request.only_prepares else Priority.COMPLETION)

    def _set_timer(self, flight: ActiveRequest, t_max_prompt_ms: float | None) -> None:
        """See to it that the client of `flight` is answered in time."""
        if t_max_prompt_ms is not None:
            loop = asyncio.get_running_loop()
            flight.timer = loop.call_later(t_max_prompt_ms / 1e3, self.post, PromptDeadline(flight))

    def _view(self, request: CompletionRequest) -> ProjectView:
        document = self.projects.document(request.uri, request.owner)
        if request.version not in (None, document.version):
            raise RequestError(
                f"{request.uri} is at version {document.version}, not {request.version}; send its changes first.", 409
            )
        offset = document.offset_at(request.position, request.encoding)
        return ProjectView.of(self.projects.project_of(request.uri, request.owner), document, offset)

    def _warm(self, event: Warm) -> None:
        self._require_serving()
        if event.uri is not None:
            self.projects.focus(event.uri, event.position, event.encoding, event.owner)
            project = self.projects.project_of(event.uri, event.owner)
        elif event.root is not None:
            project = self.projects.by_root(event.root)
        else:
            raise RequestError("Say what to warm: `root`, or `uri` and `position`.")
        if (focus := project.focus) is None:
            raise RequestError(f"Nothing is open in {project.root}; open one of its documents first.", 404)
        flight = ActiveRequest(
            ("warm", project.root), ProjectView.of(project, focus.document, focus.offset), is_idle=True
        )
        if event.wait:
            flight.replies.append(event.reply)
            self._watch(flight, event.reply)
        else:
            answer(event.reply, flight.answer_warming(0, self.supervisor.info.name if self.supervisor.info else ""))
        self.dispatcher.accept(flight, Priority.WARM)

    def _watch(self, flight: ActiveRequest, reply: "asyncio.Future[T]") -> None:
        """Hear of it when the handler that awaits `reply` is cancelled."""
        reply.add_done_callback(lambda done: self.post(ClientGone(flight)) if done.cancelled() else None)

    def _abandoned(self, flight: ActiveRequest) -> None:
        if not flight.is_wanted:
            self.dispatcher.cancel(flight)

    def _may_warm(self) -> bool:
        is_affordable = self._settings.warm_on_battery or not is_on_battery()
        return self._settings.warm and is_affordable and not self._drained and self.supervisor.state != "failed"

    def _require_serving(self) -> None:
        if self._drained:
            raise _shutting_down()
        if self.supervisor.state == "failed":
            raise EngineError(self.supervisor.message)

    def _drain(self, event: Drain) -> None:
        self._drained = event.reply
        for flight in self.dispatcher:
            if flight.request is None or flight.is_answered or flight.is_automatic:
                self.dispatcher.cancel(flight, _shutting_down())

    # --- the engine ---------------------------------------------------------------------------------------------------

    def _engine_gone(self, reason: str) -> None:
        self.supervisor.gone(reason)
        self.dispatcher.lose_engine(reason)
        self._status_poller.engine_gone()
        self._if_failed()

    def _refused(self, message: str) -> None:
        self.supervisor.refused(message)
        self._if_failed()

    def _if_ready(self) -> None:
        if self.supervisor.is_ready and self.supervisor.info:
            self._workspace.model_is_ready(self.supervisor.info.prefill_speed, self.supervisor.info.n_ctx)
            self._status_poller.engine_ready()
            self.dispatcher.make_prompts()
            self._warmer.all_settled()

    def _if_failed(self) -> None:
        if self.supervisor.state == "failed":
            self.dispatcher.reject_all(EngineError(self.supervisor.message))

    # --- at the end of each turn --------------------------------------------------------------------------------------

    def _publish(self) -> None:
        """Tell listeners of a new state; tell who waits for the drain that it is over."""
        state = (self.supervisor.state, self.supervisor.message, self.supervisor.progress)
        if state != self._published:
            self._published = state
            self.broadcaster.publish(self.state_news())
        if self._drained and self.dispatcher.is_idle:
            answer(self._drained, None)


def _shutting_down() -> RequestError:
    return RequestError("The daemon is shutting down; start it again.", 503)
