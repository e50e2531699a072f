"""The engine of a remote model: what an engine process does, another server does.

It keeps no contexts, checkpoints or records here: what can be reused is the server's to know. It opens by asking what the server
has, and again whenever the server was lost.
"""

import asyncio
import getpass
import hashlib
import logging
import platform
import tempfile
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

from scrubjay.engine.interface import Deliver, Engine, EngineGone
from scrubjay.engine.remote.address import RemoteAddress, parse_remote, read_key
from scrubjay.engine.remote.dialects import DIALECTS, Sender, Served
from scrubjay.engine.remote.job import RemoteJob
from scrubjay.engine.remote.probe import PrefixCache, probe
from scrubjay.engine.remote.questions import ask_served
from scrubjay.engine.remote.sent import SentPrompts, raw_key
from scrubjay.engine.remote.vocabulary import find_vocabulary
from scrubjay.engine.remote.wire import Wire
from scrubjay.errors import RemoteFailed, ScrubjayError
from scrubjay.protocol.contexts import EngineStatus
from scrubjay.protocol.messages import Done, EngineSettings, Failed, LoadFailed, ModelInfo, Opened, Run, Stopped
from scrubjay.protocol.records import Forgotten

logger = logging.getLogger(__name__)

MIN_PAUSE_S = 0.5
MAX_PAUSE_S = 10.0
"""Between attempts to reach a server, which grow further apart."""
REMOTE = "remote"
"""The memory class of what another server remembers."""


@dataclass(frozen=True, slots=True)
class _Opening:
    """What was found when the engine was opened first; what is `served` must still be so when it is opened again."""

    served: Served
    vocabulary: Path
    cache: PrefixCache


class RemoteEngine(Engine):
    """A model that another server runs. Use `start`."""

    def __init__(self, settings: EngineSettings, address: RemoteAddress, deliver: Deliver) -> None:
        self._settings = settings
        self._address = address
        self._deliver = deliver
        self._dialect = DIALECTS[address.dialect]
        self._sent = SentPrompts()
        self._folder = tempfile.TemporaryDirectory(prefix="scrubjay-remote-")
        self._wire: Wire | None = None
        self._opening: _Opening | None = None
        self._job: asyncio.Task[None] | None = None
        self._told = ""
        self._end: asyncio.Task[None] | None = None
        self._life = asyncio.create_task(self._live())

    @classmethod
    async def start(cls, settings: EngineSettings, deliver: Deliver) -> "RemoteEngine":
        """Begin to ask the server what it has.

        Raises:
            UsageError: the model's name is no address.
        """
        address = parse_remote(settings.model)
        if address.is_readable:
            logger.warning("What is sent to %s can be read by others on the way; https:// would hide it.", address.url)
        return cls(settings, address, deliver)

    @property
    def pid(self) -> int | None:
        """No process of this machine."""
        return None

    @property
    def is_stopped(self) -> bool:
        return False

    def run(self, run: Run) -> None:
        """Have the server do a job."""
        self._job = asyncio.create_task(self._do(run), name=f"{run.job}")
        self._job.add_done_callback(partial(self._ended, run))

    def _ended(self, run: Run, job: "asyncio.Task[None]") -> None:
        """A task that is stopped before its first step never has a say."""
        if job.cancelled():
            self._deliver(Stopped(run.job, 0, len(run.tokens)))

    def stop(self, job: int, goes_on: bool = False) -> None:  # noqa: ARG002
        """Close the connection: what the server has done so far, it has cached."""
        if self._job and self._job.get_name() == f"{job}":
            self._job.cancel()

    def end_early(self, job: int) -> None:
        """The same: the server generates until it hears of it."""
        self.stop(job)

    def ask_status(self) -> None:
        """Which prompts the server was sent; nothing is known of its memory."""
        unknown: dict[str, Any] = {field.name: 0 for field in fields(EngineStatus)}
        self._deliver(EngineStatus(**unknown | {"contexts": self._sent.contexts(), "records": None}))

    def forget(self, root: str) -> None:
        """Nothing is kept here, and what is cached there goes when it is not used."""
        self._sent.forget(root)
        self._deliver(Forgotten())

    async def close(self, _deadline_s: float = 5.0) -> None:
        """Leave the server alone. May be called twice."""
        self._end = self._end or asyncio.create_task(self._leave())
        await asyncio.wait([self._end])

    async def _leave(self) -> None:
        tasks = [task for task in (self._job, self._life) if task]
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        if self._wire:
            await self._wire.close()
        self._folder.cleanup()
        self._deliver(EngineGone(f"The server of the remote model, {self._address.url}, was left."))

    # --- the server ---------------------------------------------------------------------------------------------------

    async def _live(self) -> None:
        """Open; whenever the server was lost, open again."""
        pause = MIN_PAUSE_S
        while True:
            try:
                info = await self._opened()
            except RemoteFailed as error:
                self._tell(error)
                self._deliver(LoadFailed(str(error), is_final=error.kind == "final"))
                if error.kind == "final":
                    return
            except Exception as error:
                logger.exception("A mistake with a remote model.")
                self._deliver(LoadFailed(f"Scrubjay made a mistake: {error!r}; see the daemon's log."))
                return
            else:
                logger.info("The server of the remote model, %s, serves %s.", self._address.url, info.name)
                self._told = ""
                self._deliver(Opened(info))
                return
            # Nothing but `close` ends the pause early, by ending this task.
            await asyncio.wait([asyncio.get_running_loop().create_future()], timeout=pause)
            pause = min(2 * pause, MAX_PAUSE_S)

    def _tell(self, error: RemoteFailed) -> None:
        """Log what is wrong, once."""
        if str(error) != self._told:
            logger.warning("%s", error)
        self._told = str(error)

    async def _opened(self) -> ModelInfo:
        """What the server has; the same as before, if it was lost.

        Raises:
            RemoteFailed: it cannot be used.
        """
        wire = await self._new_wire()
        served = await ask_served(wire, self._address)
        if self._opening is None:
            self._opening = await self._first_opening(wire, served)
        before = self._opening.served
        if (served.name, served.n_vocab) != (before.name, before.n_vocab):
            raise RemoteFailed(
                f"The server of the remote model, {self._address.url}, serves {served.name!r} now, not {before.name!r}; "
                "`scrubjay restart` takes it.",
                "final",
            )
        return self._info(self._opening)

    async def _first_opening(self, wire: Wire, served: Served) -> _Opening:
        folder, named = Path(self._folder.name), self._settings.tokenizer
        vocabulary, n_tokens = await find_vocabulary(wire, self._address, served, named, folder)
        cache = await probe(wire, served, n_tokens) if self._address.dialect == "openai" else PrefixCache()
        return _Opening(replace(served, warm_priority=cache.warm_priority), vocabulary, cache)

    async def _new_wire(self) -> Wire:
        """Connections to the server with the key as it is now."""
        try:
            key = read_key(self._settings.remote_key_file)
        except ScrubjayError as error:
            raise RemoteFailed(str(error), "down") from error
        if self._wire:
            await self._wire.close()
        self._wire = Wire(self._address, key)
        return self._wire

    def _info(self, opening: _Opening) -> ModelInfo:
        served = opening.served
        n_ctx = min(served.n_ctx, self._settings.n_ctx) if self._settings.n_ctx else served.n_ctx
        return ModelInfo(
            path=str(opening.vocabulary),
            name=served.name,
            architecture=served.software,
            memory_class=REMOTE,
            n_ctx=n_ctx,
            n_ctx_train=served.n_ctx_train,
            n_vocab=served.n_vocab,
            n_swa=0,
            size=served.size,
            n_params=served.n_params,
            state_size=0,
            interval=opening.cache.block,
            n_ubatch=0,
            checkpoint_budget=0,
            max_contexts=served.n_slots,
            prefill_speed=opening.cache.speed,
            generation_speed=0.0,
            load_ms=0.0,
            warm_up_ms=0.0,
            cold_ratio=0.0,
            device=self._address.url,
            writes_typed=self._dialect.writes_typed,
        )

    def _is_lost(self) -> None:
        """The server has to be opened again."""
        self._sent.forget("")
        if self._life.done() and self._end is None:
            self._life = asyncio.create_task(self._live())

    # --- jobs ---------------------------------------------------------------------------------------------------------

    async def _do(self, run: Run) -> None:
        """Do a job; whatever happens, exactly one final answer comes of it."""
        key = "" if run.cold else run.context or raw_key(run.group)
        job = RemoteJob(run, 0 if run.cold else self._sent.common(run.tokens, run.group), key, self._deliver)
        try:
            done = await self._done(job, run, key)
        except asyncio.CancelledError:
            if key and job.n_read:
                self._sent.add(key, run.tokens[: job.n_read])
            self._deliver(Stopped(run.job, job.n_read, len(run.tokens)))
        except RemoteFailed as error:
            self._fail(run, error)
        except Exception as error:
            logger.exception("A mistake with a remote model.")
            self._deliver(Failed(run.job, f"Scrubjay made a mistake: {error!r}; see the daemon's log.", "engine"))
        else:
            self._deliver(done)

    async def _done(self, job: RemoteJob, run: Run, key: str) -> Done:
        if self._wire is None or self._opening is None:
            raise RemoteFailed(f"The server of the remote model, {self._address.url}, is not there yet.", "down")
        done = await job.do(self._wire, self._dialect, self._opening.served, self._sender(run))
        if key:
            self._sent.add(key, run.tokens)
        return done

    def _fail(self, run: Run, error: RemoteFailed) -> None:
        is_lost = error.kind in ("down", "missing", "final")
        if is_lost:
            self._tell(error)
            # First, so that no other job is begun.
            self._deliver(LoadFailed(str(error), is_final=False))
        self._deliver(Failed(run.job, str(error), "request" if error.kind == "request" else "engine"))
        if is_lost:
            self._is_lost()

    def _sender(self, run: Run) -> Sender:
        session = session_name(run.context or raw_key(run.group) if run.group else run.context)
        return Sender(session, session if run.group else "")


def session_name(context: str) -> str:
    """What stands for a project of this user on this machine, or for a group, and tells nobody which it is."""
    user = ""
    with suppress(OSError, KeyError, ImportError):
        user = getpass.getuser()
    return hashlib.sha256("\0".join((platform.node(), user, context)).encode()).hexdigest()[:24]
