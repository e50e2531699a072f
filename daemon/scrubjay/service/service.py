"""The daemon's one loop.

Take the next event; let the projects absorb it; forget the work that it made stale; if the engine is free hand it the most
urgent job; publish.
"""

import asyncio
import logging
import os
from collections import deque
from collections.abc import Callable
from dataclasses import asdict
from time import monotonic
from typing import TypeVar

from scrubjay.completion.requests import CompletionRequest
from scrubjay.completion.rules import Polish
from scrubjay.engine.interface import EngineGone, FromProcess
from scrubjay.errors import EngineError, RequestError, ScrubjayError
from scrubjay.notifications import Feed, News
from scrubjay.prompt.limits import Budgets, Limits
from scrubjay.prompt.recipe import Kit
from scrubjay.prompt.view import NOWHERE, View
from scrubjay.protocol.messages import (
    Done,
    EngineStatus,
    Failed,
    LoadProgress,
    Opened,
    Piece,
    Prefilling,
    Refused,
    Stopped,
    Synced,
)
from scrubjay.service.active_request import InFlight
from scrubjay.service.dispatcher import Desk
from scrubjay.service.engine_status import Lookout
from scrubjay.service.engine_supervisor import Keeper
from scrubjay.service.events import (
    Abandoned,
    AddTail,
    Complete,
    Drain,
    EngineDue,
    Event,
    Generate,
    Look,
    Overdue,
    PromptFailed,
    PromptMade,
    Settled,
    Shown,
    VocabularyOpened,
    VocabularyRefused,
    Warm,
)
from scrubjay.service.power import is_on_battery
from scrubjay.service.prompt_builder import PromptMaker
from scrubjay.service.scheduler import Priority
from scrubjay.service.settings import ServiceSettings
from scrubjay.service.speculation import Speculator
from scrubjay.service.warming import Warmer
from scrubjay.workspace.events import (
    ChangeDocument,
    CloseDocument,
    CloseOwner,
    FilesChanged,
    FocusDocument,
    OpenDocument,
    SaveDocument,
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
        self._maker = PromptMaker(settings.layout)
        self._drained: asyncio.Future[None] | None = None
        self._published: object = None
        self.feed = Feed()
        self.projects = Projects(os.path.realpath)
        self.keeper = Keeper(settings.engine, self._maker, self.post)
        budgets = Budgets(settings.context_budget, settings.latency_budget_ms)
        self.desk = Desk(self.keeper, self._maker, self.post, self.feed.publish, budgets)
        self._lookout = Lookout(self.keeper, self.feed, self.post)
        self._warmer = Warmer(self.projects, self.desk, self.post, settings.warm_delay_ms, self._may_warm)
        self._speculator = Speculator(self.desk, self._may_warm)
        tellers = (self.post, self._touched, self.feed.publish)
        self._workspace = Workspace(self.projects, *tellers, settings.watch)

    @property
    def fim_order(self) -> str | None:
        """In which order the model wants prefix and suffix; None until it is known."""
        return self._maker.template.order if self._maker.template else None

    def state_news(self) -> News:
        """The present state, as listeners are told it."""
        load = asdict(self.keeper.progress) if self.keeper.progress else None
        return {"type": "state", "state": self.keeper.state, "message": self.keeper.message, "load": load}

    def use_vocabulary(self, work: Callable[[Kit], T], n_characters: int) -> "asyncio.Future[T]":
        """What `work` makes of the vocabulary; it has about `n_characters` to tokenise.

        Raises:
            RequestError: 503, there is none yet.
        """
        if self._maker.template is None or self.keeper.info is None:
            raise RequestError("Loading model", 503)
        return self._maker.use(work, n_characters, Limits(self.keeper.info.n_ctx, 0))

    def post(self, event: Event) -> None:
        """Have `event` dealt with: now, or after the one that is being dealt with."""
        self._inbox.append(event)
        if not self._is_busy:
            self._deal()

    async def run(self) -> None:
        """Deal with events until this is cancelled. Then `close`."""
        self.keeper.start()
        self._deal()
        await asyncio.get_running_loop().create_future()

    async def close(self) -> None:
        """Answer those who still wait, and end the engine."""
        self._is_busy = True
        self._warmer.close()
        self._lookout.close()
        await self._workspace.close()
        self.desk.reject_all(_shutting_down())
        self.feed.close()
        await self.keeper.close()
        await self._maker.close()

    def _deal(self) -> None:
        """The loop. It waits for no turn of asyncio's: those take long, for a keystroke."""
        self._is_busy = True
        try:
            while self._inbox:
                while self._inbox:
                    self._absorb(self._inbox.popleft())
                self.desk.stop_stale()
                self.desk.start_next()
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
                self.desk.pace.typed(monotonic() * 1e3)
                self._workspace.absorb(event)
            case OpenDocument() | CloseDocument() | SaveDocument() | FocusDocument() | CloseOwner():
                self._workspace.absorb(event)
            case FilesChanged():
                self._workspace.absorb(event)
            case Complete():
                self._complete(event)
            case Generate():
                self._generate(event)
            case Warm():
                self._warm(event)
            case Look():
                self._lookout.look(event.reply, self.desk.scheduler.is_free)
            case Drain():
                self._drain(event)
            case Abandoned():
                self._abandoned(event.flight)
            case AddTail():
                project = self.projects.by_root(event.root)
                project.add_tail(event.tail)
                self._touched(project)
                answer(event.reply, None)
            case Shown():
                self._shown(event)
            case Overdue():
                self.desk.overdue(event.flight)
            case Settled():
                self._settled(event.root)
            case PromptMade():
                self._warmer.prompt_made(event.flight)
                self.desk.prompt_made(event.flight, event.prompt)
            case PromptFailed():
                self.desk.prompt_failed(event.flight, event.error)
            case VocabularyOpened():
                self.keeper.vocabulary_opened(event.template)
                self._if_ready()
            case VocabularyRefused():
                self._refused(event.message)
            case EngineDue():
                self.keeper.start()
            case _:
                self._hear(event)

    def _hear(self, event: FromProcess) -> None:
        match event:
            case Prefilling() | Synced() | Piece() | Done() | Stopped() | Failed():
                self.desk.heard(event)
                if isinstance(event, Done | Stopped):
                    self._lookout.look_later()
            case EngineStatus():
                self._lookout.seen(event)
                self.desk.seen(event)
            case LoadProgress():
                self.keeper.loading(event)
            case Opened():
                self.keeper.opened(event.info)
                self._if_ready()
            case Refused():
                self._refused(event.message)
            case EngineGone():
                self._engine_gone(event.reason)

    def _shown(self, event: Shown) -> None:
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
        flight = InFlight(key, view, request, event.on_text, [event.reply])
        flight.is_idle = self._warmer.has_rested(view.project)
        if request.rules and self._settings.rules:
            flight.polish = Polish.of(request, view.document, view.offset)
        self._watch(flight, event.reply)
        self._set_timer(flight, request.t_max_prompt_ms)
        self.desk.accept(flight, priority)

    def _generate(self, event: Generate) -> None:
        self._require_serving()
        request = event.request
        flight = InFlight(None, NOWHERE, request, event.on_text, [event.reply])
        self._watch(flight, event.reply)
        self._set_timer(flight, request.t_max_prompt_ms)
        self.desk.accept(flight, Priority.WARM if request.only_prepares else Priority.COMPLETION)

    def _set_timer(self, flight: InFlight, t_max_prompt_ms: float | None) -> None:
        """See to it that the client of `flight` is answered in time."""
        if t_max_prompt_ms is not None:
            loop = asyncio.get_running_loop()
            flight.timer = loop.call_later(t_max_prompt_ms / 1e3, self.post, Overdue(flight))

    def _view(self, request: CompletionRequest) -> View:
        document = self.projects.document(request.uri, request.owner)
        if request.version not in (None, document.version):
            raise RequestError(
                f"{request.uri} is at version {document.version}, not {request.version}; send its changes first.", 409
            )
        offset = document.offset_at(request.position, request.encoding)
        return View.of(self.projects.project_of(request.uri, request.owner), document, offset)

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
        flight = InFlight(("warm", project.root), View.of(project, focus.document, focus.offset), is_idle=True)
        if event.wait:
            flight.replies.append(event.reply)
            self._watch(flight, event.reply)
        else:
            answer(event.reply, flight.answer_warming(0, self.keeper.info.name if self.keeper.info else ""))
        self.desk.accept(flight, Priority.WARM)

    def _watch(self, flight: InFlight, reply: "asyncio.Future[T]") -> None:
        """Hear of it when the handler that awaits `reply` is cancelled."""
        reply.add_done_callback(lambda done: self.post(Abandoned(flight)) if done.cancelled() else None)

    def _abandoned(self, flight: InFlight) -> None:
        if not flight.is_wanted:
            self.desk.cancel(flight)

    def _may_warm(self) -> bool:
        is_affordable = self._settings.warm_on_battery or not is_on_battery()
        return self._settings.warm and is_affordable and not self._drained and self.keeper.state != "failed"

    def _require_serving(self) -> None:
        if self._drained:
            raise _shutting_down()
        if self.keeper.state == "failed":
            raise EngineError(self.keeper.message)

    def _drain(self, event: Drain) -> None:
        self._drained = event.reply
        for flight in self.desk:
            if flight.request is None or flight.is_answered or flight.is_automatic:
                self.desk.cancel(flight, _shutting_down())

    # --- the engine ---------------------------------------------------------------------------------------------------

    def _engine_gone(self, reason: str) -> None:
        self.keeper.gone(reason)
        self.desk.lose_engine(reason)
        self._lookout.engine_gone()
        self._if_failed()

    def _refused(self, message: str) -> None:
        self.keeper.refused(message)
        self._if_failed()

    def _if_ready(self) -> None:
        if self.keeper.is_ready and self.keeper.info:
            self._workspace.model_is_ready(self.keeper.info.prefill_speed, self.keeper.info.n_ctx)
            self._lookout.engine_ready()
            self.desk.make_prompts()
            self._warmer.all_settled()

    def _if_failed(self) -> None:
        if self.keeper.state == "failed":
            self.desk.reject_all(EngineError(self.keeper.message))

    # --- at the end of each turn --------------------------------------------------------------------------------------

    def _publish(self) -> None:
        """Tell listeners of a new state; tell who waits for the drain that it is over."""
        state = (self.keeper.state, self.keeper.message, self.keeper.progress)
        if state != self._published:
            self._published = state
            self.feed.publish(self.state_news())
        if self._drained and self.desk.is_idle:
            answer(self._drained, None)


def _shutting_down() -> RequestError:
    return RequestError("The daemon is shutting down; start it again.", 503)
