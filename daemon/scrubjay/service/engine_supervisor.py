"""Keeps an engine running: starts it, says how far it is, and starts it again when it dies."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from scrubjay.engine.interface import Engine, EngineFactory, EngineGone
from scrubjay.protocol.messages import LoadProgress, ModelInfo, Run
from scrubjay.protocol.records import Forgotten
from scrubjay.service.events import EngineDue, EngineHalted, ForgetRoot, Post, UnloadDue
from scrubjay.service.settings import ModelSettings
from scrubjay.workspace.events import answer

logger = logging.getLogger(__name__)

MAX_FAILED_LOADS = 3
"""How often a model that was opened before may fail to load again; a model that never was gets one chance."""
MAX_PAUSE_S = 30.0
ENDING_S = 5.0
LOOK_S = 5.0
"""How often it is looked whether the engine has been stopped."""

State = Literal["loading", "ready", "unloaded", "failed"]


@dataclass(slots=True)
class _Failures:
    """Deaths since the last job that was done, loads that failed since the last that did not, and restarts in all.

    `retry` starts the engine again after a pause; `look` looks whether it has been stopped.
    """

    n_deaths: int = 0
    n_loads: int = 0
    n_restarts: int = 0
    retry: asyncio.TimerHandle | None = None
    look: asyncio.TimerHandle | None = None


@dataclass(slots=True)
class _Life:
    """Whether the engine has opened its model, is loading it because of a request, is being ended to free memory, or for good."""

    is_open: bool = False
    is_woken: bool = False
    is_unloading: bool = False
    is_closing: bool = False


class EngineCalls:
    """What the engine is told, whichever process it is at present; lost if there is none.

    Attributes:
        state: "ready" when the engine has the model and its vocabulary is open here; "unloaded" while there is none because
            nothing was asked for.
    """

    def __init__(self) -> None:
        self._engine: Engine | None = None
        self._forgetting: deque[ForgetRoot] = deque()
        self.state: State = "loading"

    @property
    def is_ready(self) -> bool:
        return self.state == "ready"

    @property
    def pid(self) -> int | None:
        """Process id of the engine, None while there is none."""
        return self._engine.pid if self._engine else None

    def run(self, run: Run) -> None:
        if self._engine:
            self._engine.run(run)

    def stop(self, job: int, goes_on: bool = False) -> None:
        if self._engine:
            self._engine.stop(job, goes_on)

    def end_early(self, job: int) -> None:
        if self._engine:
            self._engine.end_early(job)

    def ask_status(self) -> bool:
        """Ask the engine for its status; whether there is one to ask."""
        if self._engine and self.is_ready:
            self._engine.ask_status()
            return True
        return False

    def forget(self, event: ForgetRoot) -> None:
        """Have the engine forget what it holds, and reply with what it did."""
        if self._engine and self.is_ready:
            self._engine.forget(event.root)
            self._forgetting.append(event)
        else:
            answer(event.reply, Forgotten())

    def _on_forgotten(self, forgotten: Forgotten) -> None:
        answer(self._forgetting.popleft().reply, forgotten)

    def _is_gone(self) -> None:
        """There is no engine any more, and nothing that it held in memory."""
        self._engine = None
        while self._forgetting:
            self._on_forgotten(Forgotten())


class IdleTimer:
    """Posts `UnloadDue` when the engine was not used for a while.

    Args:
        seconds: how long; 0 for never.
    """

    def __init__(self, post: Post, seconds: float) -> None:
        self._post = post
        self._seconds = seconds
        self._timer: asyncio.TimerHandle | None = None

    def used(self) -> None:
        """The engine is used: the time begins again."""
        self.close()
        if self._seconds:
            self._timer = asyncio.get_running_loop().call_later(self._seconds, self._post, UnloadDue())

    def close(self) -> None:
        if self._timer:
            self._timer.cancel()


class EngineSupervisor(EngineCalls):
    """The engine as the service sees it, one process after the other. What they deliver goes to `post`.

    Attributes:
        message: why the state is "failed", or what happened before this loading.
        progress: how far the loading is.
        info: about the model, once it was opened.
    """

    def __init__(self, make_engine: EngineFactory, settings: ModelSettings, post: Post) -> None:
        super().__init__()
        self._make_engine = make_engine
        self._settings = settings
        self._post = post
        self._task: asyncio.Task[None] | None = None
        self._failures = _Failures()
        self._life = _Life()
        self.idle_timer = IdleTimer(post, settings.idle_unload_s)
        self.message = ""
        self.progress: LoadProgress | None = None
        self.info: ModelInfo | None = None

    @property
    def handlers(self) -> Mapping[type, Callable[[Any], None]]:
        return {
            LoadProgress: self._on_load_progress,
            EngineDue: lambda _: self.start(),
            Forgotten: self._on_forgotten,
        }

    @property
    def name(self) -> str:
        """The model's name in answers: that of the settings, else what its file says, "" until it was opened."""
        return self._settings.name or (self.info.name if self.info else "")

    @property
    def is_woken(self) -> bool:
        """Whether the model is loading because a request needs it, which waits for it."""
        return self._life.is_woken

    @property
    def is_ending(self) -> bool:
        """Whether the engine is being ended to free its memory."""
        return self._life.is_unloading

    @property
    def n_restarts(self) -> int:
        """How often an engine was started in the place of one that had died."""
        return self._failures.n_restarts

    def start(self) -> None:
        """Start an engine process."""
        self.state, self.progress = "loading", None
        self._task = asyncio.create_task(self._start())

    def unload(self) -> None:
        """End the engine, and free its memory, until `wake`."""
        if self._engine and self.is_ready:
            self.state, self.message, self._life.is_open, self._life.is_unloading = "unloaded", "", False, True
            self._task = asyncio.create_task(self._engine.close(ENDING_S))

    def wake(self) -> None:
        """There is work: load the model if it is unloaded."""
        self.idle_timer.used()
        if self.state == "unloaded":
            # One that is still ending is waited for: its end starts the next.
            self.state, self.progress, self._life.is_woken = "loading", LoadProgress("start", 0.0), True
            if self._engine is None:
                self.start()

    # --- what happens to it ---------------------------------------------------------------------------------------------

    def on_model_opened(self, info: ModelInfo) -> None:
        """The engine has accepted the model."""
        self.info, self._failures.n_loads, self._life.is_open = info, 0, True

    def on_vocabulary_opened(self) -> None:
        """The vocabulary is open too: everything is there, unless the engine has died meanwhile."""
        if self._life.is_open:
            self.state, self.message, self.progress, self._life.is_woken = "ready", "", None, False

    def on_load_failed(self, message: str, is_final: bool = True) -> None:
        """The model cannot be used; if that `is_final`, it will not change by trying again."""
        self.state, self.message, self.progress, self._life.is_open = "failed", message, None, False
        if self._engine and is_final:
            self._task = asyncio.create_task(self._engine.close())

    def note_success(self) -> None:
        """A job is done: whatever killed earlier engines does not kill this one."""
        self._failures.n_deaths = 0

    def on_exit(self, gone: EngineGone) -> None:
        """The engine process has ended: start it again, after a pause that grows with each death; or give up."""
        self._is_gone()
        self._life.is_open = False
        if self.state == "unloaded":
            self._life.is_unloading = False
        if self.state in ("failed", "unloaded") or self._life.is_closing:
            return
        if self._life.is_unloading:
            # Somebody wanted it again while it ended.
            self._life.is_unloading = False
            self.start()
            return
        logger.warning("%s", gone.reason)
        if self.state == "loading" and not self._may_load_again():
            self.on_load_failed(f"The model {self._settings.engine.model} could not be loaded. {gone.reason}")
            return
        self.state, self.message, self.progress = "loading", f"{gone.reason} It is being started again.", None
        pause = min(0.5 * 2.0 ** (self._failures.n_deaths - 1), MAX_PAUSE_S) if self._failures.n_deaths else 0.0
        self._failures.n_deaths += 1
        self._failures.n_restarts += 1
        self._failures.retry = asyncio.get_running_loop().call_later(pause, self._post, EngineDue())

    async def close(self) -> None:
        """End the engine process."""
        self._life.is_closing = True
        for timer in (self._failures.retry, self._failures.look):
            if timer:
                timer.cancel()
        self.idle_timer.close()
        if self._task:
            await asyncio.wait([self._task])
        if self._engine:
            # While it loads it does not listen, and there is nothing to lose.
            await self._engine.close(ENDING_S if self._life.is_open or self._life.is_unloading else 0.0)

    def _on_load_progress(self, progress: LoadProgress) -> None:
        self.progress = progress

    def _may_load_again(self) -> bool:
        self._failures.n_loads += 1
        return self.info is not None and self._failures.n_loads < MAX_FAILED_LOADS

    async def _start(self) -> None:
        try:
            self._engine = await self._make_engine(self._post)
        except OSError as error:
            self._post(EngineGone(f"The engine process could not be started: {error.strerror}."))
        else:
            self._post(LoadProgress("start", 0.0))
            self._look_again()

    def _look_again(self) -> None:
        self._failures.look = asyncio.get_running_loop().call_later(LOOK_S, self._look)

    def _look(self) -> None:
        """Nobody should wait for an engine that has been stopped without being told."""
        if self._engine is None:
            return
        told = f"The engine process {self.pid} has been stopped; `kill -CONT {self.pid}` lets it go on."
        if self._engine.is_stopped:
            if told != self.message:
                logger.warning("%s", told)
            self.message = told
            self._post(EngineHalted(told))
        elif self.message == told:
            self.message = ""
            self._post(EngineHalted(""))
        self._look_again()
