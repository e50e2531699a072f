"""One model as the daemon serves it: its engine, its vocabulary, the requests for it, and what it holds."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from time import monotonic
from typing import Any, TypeVar

from scrubjay.completion.finish import AsWritten, ClientLimits
from scrubjay.completion.requests import Completion
from scrubjay.engine.interface import EngineFactory, EngineGone
from scrubjay.errors import EngineError, RequestError, ScrubjayError
from scrubjay.notifications import Notification
from scrubjay.prompt.limits import Budgets, Limits
from scrubjay.prompt.recipe import PromptTools
from scrubjay.protocol.contexts import EngineStatus
from scrubjay.protocol.messages import Done, LoadFailed, ModelInfo, Opened, Stopped
from scrubjay.service.active_request import ActiveRequest
from scrubjay.service.ask import Ask
from scrubjay.service.dispatcher import Dispatcher
from scrubjay.service.engine_status import EngineStatusPoller
from scrubjay.service.engine_supervisor import EngineSupervisor
from scrubjay.service.events import (
    ClientGone,
    Embed,
    EngineHalted,
    Event,
    Generate,
    OpenModel,
    Post,
    PromptDeadline,
    PromptMade,
    PromptsDue,
    StatusDue,
    UnloadDue,
    VocabularyOpened,
    VocabularyRefused,
)
from scrubjay.service.fair_queue import Priority
from scrubjay.service.prompt_builder import PromptBuilder
from scrubjay.service.request_news import RequestNews
from scrubjay.service.settings import ModelSettings
from scrubjay.workspace.events import answer

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Hooks:
    """What of a model concerns others.

    Args:
        on_ready: called when it is loaded, each time.
        on_status: called when its engine has said what it holds.
        at_hand: see `Models.at_hand`.
    """

    on_ready: Callable[["ServedModel"], None]
    on_status: Callable[[], None]
    at_hand: Callable[["ServedModel"], "ServedModel"]


class ServedModel:
    """What serves one model. Called by the service's loop only; what it has to say to itself later goes to `post`.

    Args:
        post: has an event handled that concerns the model.
        news: told of what becomes of its requests.
        tell: told of what becomes of its engine.
        hooks: what else is to be done.

    Attributes:
        used_s: when something was asked of it last, on the clock of `monotonic`.
        last_status: what an engine of it said last, which may be gone; None if there was none.
    """

    def __init__(
        self,
        settings: ModelSettings,
        make_engine: EngineFactory,
        post: Callable[["ServedModel", Event], None],
        news: RequestNews,
        tell: Callable[[Notification], None],
        hooks: "Hooks",
    ) -> None:
        self.settings = settings
        self.post: Post = partial(post, self)
        self.supervisor = EngineSupervisor(make_engine, settings, self.post)
        self.builder = PromptBuilder(settings.layout, style=settings.prompt_style)
        self.dispatcher = Dispatcher(
            self.supervisor,
            self.builder,
            lambda request, made: self.post(PromptMade(request, made)),
            news,
            Budgets(settings.context_budget, settings.latency_budget_ms),
        )
        self._poller = EngineStatusPoller(self.supervisor, tell, self.post)
        self._hooks = hooks
        # They wait until the vocabulary is open.
        self._opening: list[asyncio.Future[None]] = []
        self.used_s = 0.0
        self.last_status: EngineStatus | None = None
        self.handlers = self._make_handlers()

    # --- what is known of it ------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """As answers name it; "" until it is known."""
        return self.supervisor.name

    @property
    def names(self) -> set[str]:
        """All names that it goes by, in lower case."""
        info = self.supervisor.info
        return {name.casefold() for name in (self.settings.name, info.name if info else "") if name}

    @property
    def status(self) -> EngineStatus | None:
        """What the engine said of itself last; None while there is none."""
        return self._poller.status

    @property
    def makes_vectors(self) -> bool:
        """Whether it makes vectors of texts, and nothing else."""
        return "embed" in self.settings.purposes

    @property
    def is_unused(self) -> bool:
        """Whether it is loaded, and nothing is asked of it."""
        return self.supervisor.is_ready and self.dispatcher.is_idle

    def state(self) -> Notification:
        """How far its loading is."""
        engine = self.supervisor
        load = asdict(engine.progress) if engine.progress else None
        return {"state": engine.state, "message": engine.message, "load": load}

    @property
    def fim_order(self) -> str | None:
        """In which order the model wants prefix and suffix; None until it is known."""
        return self.builder.model_template.order if self.builder.model_template else None

    @property
    def prompt_style(self) -> str | None:
        """How the model is asked to fill in: "fim" is by tokens for that, "plain" by what is before the cursor; or "chat"."""
        template = self.builder.fim_template
        if template is None:
            return None
        return "chat" if template.chat else "plain" if template.order == "plain" else "fim"

    def use_vocabulary(self, work: Callable[[PromptTools], T], n_characters: int) -> "asyncio.Future[T]":
        """What `work` makes of the vocabulary; it has about `n_characters` to tokenise.

        Raises:
            RequestError: 503, there is none yet.
        """
        if self.builder.fim_template is None or self.supervisor.info is None:
            raise RequestError("Loading model", 503)
        return self.builder.use(work, n_characters, Limits(self.supervisor.info.n_ctx, 0))

    # --- what is asked of it ------------------------------------------------------------------------------------------

    def require_serving(self) -> None:
        """There is work: load the model if it is not.

        Raises:
            EngineError: it cannot be.
        """
        if self.supervisor.state == "failed":
            raise EngineError(self.supervisor.message)
        self.used_s = monotonic()
        self.supervisor.wake()

    def submit(
        self, ask: Ask, reply: "asyncio.Future[Completion]", on_text: Callable[[str], None] | None = None
    ) -> None:
        """Accept a request; the client's going away ends it, and its deadline is kept."""
        request = ActiveRequest(ask, [reply], on_text)
        reply.add_done_callback(lambda done: self.post(ClientGone(request)) if done.cancelled() else None)
        if ask.deadline_ms is not None:
            loop = asyncio.get_running_loop()
            request.timer = loop.call_later(ask.deadline_ms / 1e3, self.post, PromptDeadline(request))
        self.dispatcher.accept(request)

    def _generate(self, event: Generate) -> None:
        request, recipe = event.request, event.request.recipe
        has_limits = bool(request.n_indent or recipe.closers)
        ask = Ask(
            recipe=recipe,
            finish=ClientLimits(request.n_indent, recipe.closers) if has_limits else AsWritten(),
            sampling=request.sampling,
            n=request.n,
            priority=Priority.WARM if request.sampling.max_tokens <= 1 else Priority.COMPLETION,
            deadline_ms=request.t_max_prompt_ms,
            cold=request.cold,
            event="completion",
            tenant=event.tenant,
        )
        self.submit(ask, event.reply, event.on_text)

    def _embed(self, event: Embed) -> None:
        how = (AsWritten(), None, 1, Priority.COMPLETION)
        ask = Ask(event.recipe, *how, cold=True, on_vector=event.on_vector, tenant=event.tenant)
        self.submit(ask, event.reply)

    def ask_status(self) -> "asyncio.Future[None]":
        """Done when `status` is as new as can be without keeping the engine from its work."""
        reply: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._poller.request(reply, self.dispatcher.scheduler.is_free)
        return reply

    def forget(self, root: str) -> None:
        """The project at `root` is closed."""
        self.builder.forget(root)
        self.dispatcher.residency.forget(root)

    async def close(self) -> None:
        """End the engine; the requests must have been answered."""
        self._poller.close()
        await self.supervisor.close()
        await self.builder.close()

    # --- what happens to it -------------------------------------------------------------------------------------------

    def _make_handlers(self) -> Mapping[type, Callable[[Any], None]]:
        own: dict[type, Callable[[Any], None]] = {
            ClientGone: self._on_client_gone,
            Embed: self._embed,
            EngineGone: self._on_engine_gone,
            EngineHalted: self._on_engine_halted,
            EngineStatus: self._on_engine_status,
            Generate: self._generate,
            LoadFailed: lambda event: self._on_load_failed(event.message, event.is_final),
            Opened: lambda event: self._on_model_opened(event.info),
            OpenModel: self._open,
            PromptDeadline: lambda event: self.dispatcher.on_deadline(event.request),
            PromptMade: lambda event: self.dispatcher.on_prompt(event.request, event.made),
            PromptsDue: self._make_prompts,
            StatusDue: lambda _: self._poller.ask(),
            UnloadDue: self._on_unload_due,
            VocabularyOpened: self._on_vocabulary_opened,
            VocabularyRefused: lambda event: self._on_load_failed(event.message),
        }
        handlers = {**self.supervisor.handlers, **self.dispatcher.handlers}
        jobs_end = {event: partial(self._on_job_end, handlers[event]) for event in (Done, Stopped)}
        return handlers | jobs_end | own

    def _on_client_gone(self, event: ClientGone) -> None:
        if not event.request.is_wanted:
            self.dispatcher.cancel(event.request)

    def _open(self, event: OpenModel) -> None:
        if self.builder.fim_template:
            answer(event.reply, None)
        else:
            self._opening.append(event.reply)

    def _on_model_opened(self, info: ModelInfo) -> None:
        self.supervisor.on_model_opened(info)
        if self.builder.fim_template:
            self._on_vocabulary_opened()
        else:
            self.builder.open_later(info, self._tell_vocabulary)

    def _tell_vocabulary(self, error: ScrubjayError | None) -> None:
        self.post(VocabularyRefused(str(error)) if error else VocabularyOpened())

    def _on_vocabulary_opened(self, _: VocabularyOpened | None = None) -> None:
        opening, self._opening = self._opening, []
        for reply in opening:
            answer(reply, None)
        self.supervisor.on_vocabulary_opened()
        if self.supervisor.is_ready:
            self.supervisor.idle_timer.used()
            self._hooks.on_ready(self)
            self._poller.on_engine_ready()
            self._make_prompts()

    def _make_prompts(self, _: PromptsDue | None = None) -> None:
        if self.supervisor.is_ready and self.dispatcher.make_prompts():
            asyncio.get_running_loop().call_soon(self.post, PromptsDue())

    def _on_load_failed(self, message: str, is_final: bool = True) -> None:
        self.supervisor.on_load_failed(message, is_final)
        self._reject_if_failed()

    def _on_engine_gone(self, event: EngineGone) -> None:
        self.supervisor.on_exit(event)
        self.dispatcher.on_engine_lost(event.reason)
        self._poller.on_exit()
        self._reject_if_failed()

    def _on_engine_halted(self, event: EngineHalted) -> None:
        if event.message:
            self.dispatcher.reject_all(EngineError(event.message))
            self._poller.on_halt()

    def _on_job_end(self, handler: Callable[[Any], None], message: Done | Stopped) -> None:
        handler(message)
        self.used_s = monotonic()
        self.supervisor.idle_timer.used()
        self._poller.schedule()

    def _on_unload_due(self, _: UnloadDue) -> None:
        if self.dispatcher.is_idle:
            self.supervisor.unload()
        else:
            self.supervisor.idle_timer.used()

    def _reject_if_failed(self) -> None:
        if self.supervisor.state == "failed":
            if (other := self._hooks.at_hand(self)) is not self:
                self._hand_over(other)
            error = EngineError(self.supervisor.message)
            self.dispatcher.reject_all(error)
            opening, self._opening = self._opening, []
            for reply in opening:
                if not reply.done():
                    reply.set_exception(error)

    def _hand_over(self, other: "ServedModel") -> None:
        """Have `other` answer what was asked of this model, but for texts of which clients have a part already."""
        for request in self.dispatcher:
            if request.may_begin_again:
                replies, request.replies = request.replies, []
                self.dispatcher.cancel(request)
                other.require_serving()
                for reply in replies:
                    other.submit(request.ask, reply, request.on_text)

    def _on_engine_status(self, status: EngineStatus) -> None:
        self._poller.on_status(status)
        self.dispatcher.residency.on_status(status.contexts)
        self.last_status = status
        self._hooks.on_status()
