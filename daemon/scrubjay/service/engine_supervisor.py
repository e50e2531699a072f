"""Keeps an engine running: starts it, says how far it is, and starts it again when it dies."""

import asyncio
import logging
from pathlib import Path
from typing import Literal

from scrubjay.engine.client import EngineClient
from scrubjay.engine.interface import EngineGone
from scrubjay.errors import ScrubjayError
from scrubjay.prompt.fim import FimTemplate
from scrubjay.protocol.messages import EngineSettings, EngineStatus, LoadProgress, ModelInfo, Run
from scrubjay.service.events import EngineDue, Post, VocabularyOpened, VocabularyRefused
from scrubjay.service.prompt_builder import PromptBuilder

logger = logging.getLogger(__name__)

State = Literal["loading", "ready", "failed", "unloaded"]

MAX_FAILED_LOADS = 3
"""So many times a model that was opened before may fail to load again; a model that never was gets one chance."""
MAX_PAUSE_S = 30.0
ENDING_S = 5.0


class EngineSupervisor:
    """The engine as the daemon sees it, one process after the other. Events go to `post`; the service hands them back.

    Attributes:
        state: "ready" when the engine has the model and the vocabulary is open here.
        message: why the state is "failed", or what happened before this loading.
        progress: how far the loading is.
        info: about the model, once it was opened.
        status: what the engine said last.
    """

    def __init__(self, settings: EngineSettings, maker: PromptBuilder, post: Post) -> None:
        self._settings = settings
        self._maker = maker
        self._post = post
        self._client: EngineClient | None = None
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._n_deaths = self._n_failed_loads = 0
        self._has_opened = self._is_open = self._is_closing = False
        self.state: State = "unloaded"
        self.message = ""
        self.progress: LoadProgress | None = None
        self.info: ModelInfo | None = None
        self.status: EngineStatus | None = None
        self.n_restarts = 0

    @property
    def is_ready(self) -> bool:
        return self.state == "ready"

    @property
    def pid(self) -> int | None:
        """Process id of the engine, None while there is none."""
        return self._client.pid if self._client else None

    def start(self) -> None:
        """Start an engine process."""
        self.state, self.progress = "loading", None
        self._task = asyncio.create_task(self._start())

    def run(self, run: Run) -> None:
        """Give the engine a job; only when it is ready and free."""
        if self._client:
            self._client.run(run)

    def stop(self, job: int) -> None:
        """Ask the engine to end `job`."""
        if self._client:
            self._client.stop(job)

    def end_early(self, job: int) -> None:
        """Ask the engine to end `job` after the decode that runs, so that all that is decoded stays in its context."""
        if self._client:
            self._client.end_early(job)

    def ask_status(self) -> bool:
        """Ask the engine for its status; whether there is one to ask."""
        if self._client and self.is_ready:
            self._client.ask_status()
            return True
        return False

    def loading(self, progress: LoadProgress) -> None:
        self.progress = progress

    def opened(self, info: ModelInfo) -> None:
        """The engine has accepted the model: now it may be opened here."""
        self.info, self._n_failed_loads = info, 0
        self._has_opened = self._is_open = True
        if self._maker.template:
            self.vocabulary_opened(self._maker.template)
        else:
            self._task = asyncio.create_task(self._open_vocabulary(info))

    def vocabulary_opened(self, _template: FimTemplate) -> None:
        """Everything is there, unless the engine has died meanwhile."""
        if self._is_open:
            self.state, self.message, self.progress = "ready", "", None

    def refused(self, message: str) -> None:
        """The model cannot be used; that will not change by trying again."""
        self.state, self.message, self.progress = "failed", message, None
        if self._client:
            self._task = asyncio.create_task(self._client.close())

    def did_well(self) -> None:
        """A job is done: whatever killed earlier engines does not kill this one."""
        self._n_deaths = 0

    def gone(self, reason: str) -> None:
        """The engine process has ended: start it again, after a pause that grows with each death; or give up."""
        self._client = self.status = None
        self._is_open = False
        if self.state == "failed" or self._is_closing:
            return
        logger.warning("%s", reason)
        if self.state == "loading" and not self._may_load_again():
            self.refused(f"The model {self._settings.model} could not be loaded. {reason}")
            return
        self.state, self.message, self.progress = "loading", f"{reason} It is being started again.", None
        pause = min(0.5 * 2.0 ** (self._n_deaths - 1), MAX_PAUSE_S) if self._n_deaths else 0.0
        self._n_deaths += 1
        self.n_restarts += 1
        self._timer = asyncio.get_running_loop().call_later(pause, self._post, EngineDue())

    async def close(self) -> None:
        """End the engine process."""
        self._is_closing = True
        if self._timer:
            self._timer.cancel()
        if self._task:
            await asyncio.wait([self._task])
        if self._client:
            # While it loads it does not listen, and there is nothing to lose.
            await self._client.close(ENDING_S if self._is_open else 0.0)

    def _may_load_again(self) -> bool:
        self._n_failed_loads += 1
        return self._has_opened and self._n_failed_loads < MAX_FAILED_LOADS

    async def _start(self) -> None:
        try:
            self._client = await EngineClient.start(self._settings, self._post)
        except OSError as error:
            self._post(EngineGone(f"The engine process could not be started: {error.strerror}."))
        else:
            self._post(LoadProgress("start", 0.0))

    async def _open_vocabulary(self, info: ModelInfo) -> None:
        try:
            template = await self._maker.open(Path(info.path), info.name)
        except ScrubjayError as error:
            self._post(VocabularyRefused(str(error)))
        else:
            self._post(VocabularyOpened(template))
