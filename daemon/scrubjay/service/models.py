"""The models of a daemon: which one is meant, and what is asked of all of them."""

import asyncio
from collections.abc import Callable, Iterator
from itertools import chain
from time import time

from scrubjay.engine import factory_for
from scrubjay.engine.interface import Deliver, Engine, EngineFactory
from scrubjay.errors import RequestError, ScrubjayError
from scrubjay.model_tables import Purpose
from scrubjay.notifications import Notification
from scrubjay.protocol.records import Forgotten
from scrubjay.service.active_request import ActiveRequest
from scrubjay.service.events import Event, ForgetRoot
from scrubjay.service.memory_budget import MemoryBudget
from scrubjay.service.request_log import RequestLogs
from scrubjay.service.request_news import RequestLines, RequestNews
from scrubjay.service.served_model import Hooks, ServedModel
from scrubjay.service.settings import ModelSettings, ServiceSettings
from scrubjay.workspace.events import answer

Tell = Callable[[Notification], None]


class Models:
    """All models; the first one completes code.

    Args:
        post: has an event handled that concerns a model.
        tell: takes notifications.
        on_ready: called when a model is loaded, each time.
        make_engine: see `Service`.

    Attributes:
        all: every model.
        first: the one that completes code.
        logs: the last requests for any of them, by whose they are.
        lines: writes of each request into the daemon's log file.
    """

    def __init__(
        self,
        settings: ServiceSettings,
        post: Callable[[ServedModel, Event], None],
        tell: Tell,
        on_ready: Callable[[ServedModel], None],
        make_engine: EngineFactory | None,
    ) -> None:
        self.logs = RequestLogs(time)
        self.lines = RequestLines()
        self.all: list[ServedModel] = []
        self.memory = MemoryBudget(self.all, settings.memory_budget)
        for each in settings.models:
            start = make_engine if make_engine and not self.all else factory_for(each.engine)
            self.all.append(self._make(each, start, post, tell, on_ready))
        self.first = self.all[0]

    def __iter__(self) -> Iterator[ServedModel]:
        return iter(self.all)

    def share(self) -> None:
        """Others may ask than this machine's user."""
        for model in self:
            model.dispatcher.scheduler.queue.is_shared = True

    def start(self) -> None:
        """Start the engine of the first model; each of the others is started when it is asked for."""
        for model in self.all[1:]:
            model.supervisor.state = "unloaded"
        self.first.supervisor.start()

    def __len__(self) -> int:
        return len(self.all)

    def choose(self, purpose: Purpose | None, name: str = "") -> ServedModel:
        """The model that a client means by `name`, of those that can do what `purpose` needs; else the one for it.

        Names count whole first, then as purposes, then by their beginnings. Many clients send a name that means nothing here.

        Args:
            purpose: None for what every model can do.

        Raises:
            RequestError: 501, no model can do it.
        """
        able = [model for model in self if purpose is None or model.makes_vectors == (purpose == "embed")]
        wanted = name.casefold()
        by_name = (model for model in able if wanted and wanted in model.names)
        by_purpose = (model for model in able if wanted in model.settings.purposes)
        by_prefix = (model for model in able if wanted and any(each.startswith(wanted) for each in model.names))
        for_route = (model for model in able if purpose in model.settings.purposes)
        found = next(chain(by_name, by_purpose, by_prefix, for_route, able), None)
        if found is None:
            says = f"No model here has the purpose {purpose!r}; `scrubjay restart --model {purpose}=MODEL` adds one."
            raise RequestError(says, 501, "not_supported_error")
        return self.at_hand(found)

    def at_hand(self, model: ServedModel) -> ServedModel:
        """`model`; while the server that runs it is away, one for the same purpose that runs here, if there is one."""
        if model.supervisor.state != "failed" or not model.settings.is_remote:
            return model
        here = (other for other in self if not other.settings.is_remote and other.supervisor.state != "failed")
        return next((other for other in here if {*other.settings.purposes} & {*model.settings.purposes}), model)

    def cancel(self, matches: Callable[[ActiveRequest], bool], error: ScrubjayError | None = None) -> None:
        """End the requests that match; clients that still wait for them are told `error`."""
        for model in self:
            for request in model.dispatcher:
                if matches(request):
                    model.dispatcher.cancel(request, error)

    def ask_status(self, reply: "asyncio.Future[None]") -> None:
        """Set `reply` when the status of each is as new as can be."""
        asking = asyncio.gather(*(model.ask_status() for model in self))
        asking.add_done_callback(lambda _: answer(reply, None))

    def forget(self, event: ForgetRoot) -> None:
        """Have each forget, one after the other because they share a folder, and reply with what all of them did."""
        done: list[Forgotten] = []
        rest = iter(self.all)

        def go_on(told: "asyncio.Future[Forgotten] | None" = None) -> None:
            done.extend([told.result()] if told else [])
            if model := next(rest, None):
                part = ForgetRoot(event.root)
                model.supervisor.forget(part)
                part.reply.add_done_callback(go_on)
            else:
                keys = tuple(sorted({key for each in done for key in each.keys}))
                sums = (sum(each.n_records for each in done), sum(each.n_bytes for each in done))
                answer(event.reply, Forgotten(*sums, keys))

        go_on()

    async def close(self) -> None:
        """End all engines."""
        self.memory.close()
        await asyncio.gather(*(model.close() for model in self))

    def _make(
        self,
        settings: ModelSettings,
        start: EngineFactory,
        post: Callable[[ServedModel, Event], None],
        tell: Tell,
        on_ready: Callable[[ServedModel], None],
    ) -> ServedModel:
        news = RequestNews(tell, self.logs, self.lines, settings.name)

        def is_ready(model: ServedModel) -> None:
            news.model = model.name
            on_ready(model)

        async def start_with_room(deliver: Deliver) -> Engine:
            await self.memory.room_for(model)
            return await start(deliver)

        model = ServedModel(
            settings, start_with_room, post, news, tell, Hooks(is_ready, self.memory.enforce, self.at_hand)
        )
        return model
