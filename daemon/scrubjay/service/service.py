"""The daemon's one loop.

Take the next event; let what it concerns absorb it; forget the work that it made stale; give each engine that is free its
most urgent job; publish.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from time import monotonic
from typing import Any, get_args

from scrubjay.completion.history import CompletionHistory
from scrubjay.completion.requests import Completion, CompletionRequest
from scrubjay.engine.interface import EngineFactory
from scrubjay.engine.remote.engine import REMOTE
from scrubjay.errors import RequestError, ScrubjayError
from scrubjay.notifications import Broadcaster, Notification
from scrubjay.prompt.view import ProjectView
from scrubjay.protocol.contexts import EngineStatus
from scrubjay.protocol.messages import Piece, PrefillDone, PrefillProgress
from scrubjay.service.acceptance_log import AcceptanceLog
from scrubjay.service.client_requests import ClientRequests
from scrubjay.service.dispatcher import Dispatcher
from scrubjay.service.engine_supervisor import EngineSupervisor
from scrubjay.service.events import (
    AddTail,
    Complete,
    CompletionOutcome,
    Drain,
    Embed,
    Event,
    ForgetRoot,
    Generate,
    OpenModel,
    Pause,
    ProjectIdle,
    ProjectWarm,
    RequestStatus,
    ShowPrompt,
    StatusDue,
    Warm,
)
from scrubjay.service.model_edits import ModelEdits
from scrubjay.service.models import Models
from scrubjay.service.next_edits import NextEdits
from scrubjay.service.power import is_on_battery
from scrubjay.service.served_model import ServedModel
from scrubjay.service.settings import ServiceSettings
from scrubjay.service.speculation import Speculator
from scrubjay.service.warming import Warmer
from scrubjay.uris import canonical_path
from scrubjay.workspace.events import ChangeDocument, WorkspaceEvent, answer
from scrubjay.workspace.project import Project
from scrubjay.workspace.projects import Projects
from scrubjay.workspace.workspace import Workspace

logger = logging.getLogger(__name__)

NO_TURN = frozenset((CompletionOutcome, EngineStatus, Piece, PrefillDone, PrefillProgress, RequestStatus, StatusDue))
"""Events after which the queue is as it was before, or the dispatcher has taken its turn already."""
NEEDS_ENGINE = frozenset((Complete, Embed, Generate, OpenModel, ShowPrompt, Warm))


class Service:
    """Documents, projects, requests and models. Handlers of clients `post` events and await their replies.

    Args:
        make_engine: makes the engines of the first model; those of its settings unless something else is given.

    Attributes:
        first: the model that completes code.
    """

    def __init__(self, settings: ServiceSettings, make_engine: EngineFactory | None = None) -> None:
        # What has happened, and the model that it concerns.
        self._inbox: deque[tuple[ServedModel, Event]] = deque()
        self._is_busy = True  # until `start`, while an event is handled, and from `close` on
        self._drained: asyncio.Future[None] | None = None
        self.broadcaster = Broadcaster()
        self.models = Models(settings, self._post_to, self.broadcaster.publish, self._on_ready, make_engine)
        self.first = self.models.first
        self._told: object = None  # of the state of `first`
        projects, history = Projects(canonical_path, monotonic), CompletionHistory()
        self.acceptance = AcceptanceLog(projects, settings.acceptance, monotonic)
        may_warm = partial(self._may_warm, settings.warm, settings.warm_on_battery)
        self._warmer = Warmer(projects, self.dispatcher, self.post, settings.warm_delay_ms, may_warm, self._can_go_back)
        self._speculator = Speculator(self.dispatcher, history, may_warm, settings.unasked)
        requests = ClientRequests(settings, projects, self.models, history, self._warmer, self._on_shown)
        shown = (settings.watch, settings.show_secrets, settings.show_diff)
        self._workspace = Workspace(projects, self.post, self.broadcaster.publish, *shown)
        self._handlers = self._make_handlers(requests)

    @property
    def projects(self) -> Projects:
        """The projects with what is open in them."""
        return self._workspace.projects

    @property
    def supervisor(self) -> EngineSupervisor:
        """Of the engine of the model that completes code."""
        return self.first.supervisor

    @property
    def dispatcher(self) -> Dispatcher:
        """Of the requests for the model that completes code."""
        return self.first.dispatcher

    def state_news(self) -> Notification:
        """The present state of the model that completes code, as listeners are told it."""
        return {"type": "state", **self.first.state()}

    def post(self, event: Event) -> None:
        """Have `event` handled: now, in the caller's stack, or after the one that is being handled. Never raises."""
        self._post_to(self.first, event)

    def _post_to(self, model: ServedModel, event: Event) -> None:
        self._inbox.append((model, event))
        if not self._is_busy:
            self._drain()

    def start(self) -> None:
        """Start the engine of the first model, and handle events from now on, until `close`."""
        self.models.start()
        self._drain()

    async def close(self) -> None:
        """Answer the clients that still wait, and end the engines."""
        self._is_busy = True
        self._warmer.close()
        await self._workspace.close()
        for model in self.models:
            model.dispatcher.reject_all(_shutting_down())
        self.models.lines.write()
        self.broadcaster.close()
        await self.models.close()

    # --- the loop -----------------------------------------------------------------------------------------------------

    def _drain(self) -> None:
        """The loop. It does not wait for asyncio's next turn: that takes long, for a keystroke."""
        self._is_busy = True
        try:
            while self._inbox:
                has_turn = False
                while self._inbox:
                    model, event = self._inbox.popleft()
                    has_turn |= type(event) not in NO_TURN
                    self._handle_safely(model, event)
                if has_turn:
                    for model in self.models.all:
                        model.dispatcher.take_turn()
                    self._publish()
        finally:
            self._is_busy = False

    def _handle_safely(self, model: ServedModel, event: Event) -> None:
        """Handle one event; what goes wrong is told to the client that asked, and never ends the loop."""
        kind = type(event)
        try:
            if kind in NEEDS_ENGINE:
                if model.supervisor.state == "failed":
                    model = self.models.at_hand(model)
                self._require_serving(model)
            handler = self._handlers.get(kind) or model.handlers[kind]
            handler(event)
        except Exception as error:
            if not isinstance(error, ScrubjayError):
                error = _mistake(error, f"handling {kind.__name__}")
            reply: asyncio.Future[object] | None = getattr(event, "reply", None)
            if reply is not None and not reply.done():
                reply.set_exception(error)

    def _make_handlers(self, requests: ClientRequests) -> Mapping[type, Callable[[Any], None]]:
        """What becomes of each event that does not concern one model only; those are `ServedModel.handlers`."""
        own: dict[type, Callable[[Any], None]] = {
            AddTail: self._add_tail,
            Drain: self._on_drain,
            ForgetRoot: self.models.forget,
            Pause: self._pause,
            ProjectIdle: self._on_idle,
            ProjectWarm: self._on_warm,
            RequestStatus: lambda event: self.models.ask_status(event.reply),
        }
        workspace = dict.fromkeys(get_args(WorkspaceEvent), self._absorb) | {ChangeDocument: self._change}
        parts = (requests, NextEdits(self.projects, ModelEdits(self.models), monotonic), self.acceptance)
        handlers = {event: handler for part in parts for event, handler in part.handlers.items()}
        return self.acceptance.watching(handlers | workspace | own)

    # --- the workspace ------------------------------------------------------------------------------------------------

    def _change(self, event: ChangeDocument) -> None:
        self.dispatcher.pace.typed(monotonic() * 1e3)
        self._absorb(event)

    def _absorb(self, event: WorkspaceEvent) -> None:
        absorbed = self._workspace.absorb(event)
        for project in absorbed.touched:
            self._touched(project)
        for root in absorbed.forgotten:
            for part in (self._warmer, self._speculator, *self.models):
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
        self.acceptance.answered(view, request, completion)
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
        if event.paused:
            self.models.cancel(lambda request: request.ask.is_unasked and not request.replies)
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
        return self.supervisor.info is not None and self.supervisor.info.memory_class not in ("opaque", REMOTE)

    def _require_serving(self, model: ServedModel) -> None:
        if self._drained:
            raise _shutting_down()
        model.require_serving()

    def _on_drain(self, event: Drain) -> None:
        self._drained = event.reply
        self.models.cancel(
            lambda request: request.ask.sampling is None or request.is_answered or request.ask.is_unasked,
            _shutting_down(),
        )

    def _on_ready(self, model: ServedModel) -> None:
        """A model is loaded: if it completes code, there is something to warm projects with."""
        if model is self.first and (info := model.supervisor.info):
            self._workspace.model_is_ready(info.prefill_speed, info.n_ctx)
            self._warmer.all_touched()

    # --- at the end of each turn --------------------------------------------------------------------------------------

    def _publish(self) -> None:
        """Tell listeners of new states; tell the client that waits for the drain that it is over."""
        engine = self.first.supervisor
        if (state := (engine.state, engine.message, engine.progress)) != self._told:
            self._told = state
            self.broadcaster.publish_change(self.state_news())
        if len(self.models.all) > 1:
            self.models.memory.note_change()
            for model in self.models:
                self.broadcaster.publish_change({"type": "model", "name": model.name, **model.state()})
        if self._drained and all(model.dispatcher.is_idle for model in self.models):
            answer(self._drained, None)


def _mistake(error: Exception, what: str) -> RequestError:
    logger.exception("A mistake in %s.", what)
    return RequestError(f"Scrubjay made a mistake: {error!r}; see the daemon's log.", 500)


def _shutting_down() -> RequestError:
    return RequestError("The daemon is shutting down; start it again.", 503)
