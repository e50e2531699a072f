"""Keeps an engine running: starts it, says how far it is, and starts it again when it dies."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from scrubjay.engine.interface import Engine, EngineFactory, EngineGone
from scrubjay.protocol.messages import LoadProgress, ModelInfo, Run
from scrubjay.service.events import EngineDue, EngineHalted, Post

logger = logging.getLogger(__name__)

State = Literal["loading", "ready", "failed"]

MAX_FAILED_LOADS = 3
"""How often a model that was opened before may fail to load again; a model that never was gets one chance."""
MAX_PAUSE_S = 30.0
ENDING_S = 5.0
LOOK_S = 5.0
"""How often it is looked whether the engine has been stopped."""


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


class EngineSupervisor:
    """The engine as the service sees it, one process after the other. What they deliver goes to `post`.

    Attributes:
        state: "ready" when the engine has the model and its vocabulary is open here.
        message: why the state is "failed", or what happened before this loading.
        progress: how far the loading is.
        info: about the model, once it was opened.
    """

    def __init__(self, make_engine: EngineFactory, model: str, post: Post) -> None:
        self._make_engine = make_engine
        self._model = model
        self._post = post
        self._engine: Engine | None = None
        self._task: asyncio.Task[None] | None = None
        self._failures = _Failures()
        self._is_open = self._is_closing = False
        self.state: State = "loading"
        self.message = ""
        self.progress: LoadProgress | None = None
        self.info: ModelInfo | None = None

    @property
    def handlers(self) -> Mapping[type, Callable[[Any], None]]:
        return {LoadProgress: self._on_load_progress, EngineDue: lambda _: self.start()}

    @property
    def n_restarts(self) -> int:
        """How often an engine was started in the place of one that had died."""
        return self._failures.n_restarts

    @property
    def is_ready(self) -> bool:
        return self.state == "ready"

    @property
    def pid(self) -> int | None:
        """Process id of the engine, None while there is none."""
        return self._engine.pid if self._engine else None

    def start(self) -> None:
        """Start an engine process."""
        self.state, self.progress = "loading", None
        self._task = asyncio.create_task(self._start())

    # --- what the engine is told; lost if there is none ----------------------------------------------------------------

    def run(self, run: Run) -> None:
        if self._engine:
            self._engine.run(run)

    def stop(self, job: int) -> None:
        if self._engine:
            self._engine.stop(job)

    def end_early(self, job: int) -> None:
        if self._engine:
            self._engine.end_early(job)

    def ask_status(self) -> bool:
        """Ask the engine for its status; whether there is one to ask."""
        if self._engine and self.is_ready:
            self._engine.ask_status()
            return True
        return False

    # --- what happens to it ---------------------------------------------------------------------------------------------

    def on_model_opened(self, info: ModelInfo) -> None:
        """The engine has accepted the model."""
        self.info, self._failures.n_loads, self._is_open = info, 0, True

    def on_vocabulary_opened(self) -> None:
        """The vocabulary is open too: everything is there, unless the engine has died meanwhile."""
        if self._is_open:
            self.state, self.message, self.progress = "ready", "", None

    def on_load_failed(self, message: str) -> None:
        """The model cannot be used; that will not change by trying again."""
        self.state, self.message, self.progress = "failed", message, None
        if self._engine:
            self._task = asyncio.create_task(self._engine.close())

    def note_success(self) -> None:
        """A job is done: whatever killed earlier engines does not kill this one."""
        self._failures.n_deaths = 0

    def on_exit(self, gone: EngineGone) -> None:
        """The engine process has ended: start it again, after a pause that grows with each death; or give up."""
        self._engine, self._is_open = None, False
        if self.state == "failed" or self._is_closing:
            return
        logger.warning("%s", gone.reason)
        if self.state == "loading" and not self._may_load_again():
            self.on_load_failed(f"The model {self._model} could not be loaded. {gone.reason}")
            return
        self.state, self.message, self.progress = "loading", f"{gone.reason} It is being started again.", None
        pause = min(0.5 * 2.0 ** (self._failures.n_deaths - 1), MAX_PAUSE_S) if self._failures.n_deaths else 0.0
        self._failures.n_deaths += 1
        self._failures.n_restarts += 1
        self._failures.retry = asyncio.get_running_loop().call_later(pause, self._post, EngineDue())

    async def close(self) -> None:
        """End the engine process."""
        self._is_closing = True
        for timer in (self._failures.retry, self._failures.look):
            if timer:
                timer.cancel()
        if self._task:
            await asyncio.wait([self._task])
        if self._engine:
            # While it loads it does not listen, and there is nothing to lose.
            await self._engine.close(ENDING_S if self._is_open else 0.0)

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
