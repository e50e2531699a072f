"""The connection to the daemon: made, made again after it was lost, and the daemon started when it is needed.

The editor never waits for it. While there is no session, requests are kept; documents are not, because each new
session begins with their full texts.
"""

import asyncio
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeVar

from scrubjay.errors import DaemonError, ScrubjayError
from scrubjay_lsp.daemon_reply import Json, Reply, refuse

if TYPE_CHECKING:
    from scrubjay_lsp.session import Session


logger = logging.getLogger(__name__)

LOOK_AGAIN_S = 1.0
"""How long after a failure the daemon's socket is looked at again."""
START_AGAIN_S = 30.0
"""How long after a failed start the next one may be tried, unless the user asks for it."""

State = Literal["connecting", "starting", "connected", "failed"]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Listeners:
    """What is called when something happens; none of them may raise.

    Args:
        connected: a session has begun; what this submits comes before all requests that were kept.
        event: the daemon has pushed an event.
        trouble: there is no daemon, and why, in one sentence.
        changed: `DaemonConnection.state` has changed.
    """

    connected: Callable[[], None]
    event: Callable[[Json], None]
    trouble: Callable[[str], None]
    changed: Callable[[], None]


class DaemonConnection:
    """At most one session with the daemon at a time."""

    def __init__(self, listeners: Listeners) -> None:
        self.path = ""
        """Of the daemon's socket."""
        self._start: Callable[[], object] | None = None
        self._listeners = listeners
        self._session: Session | None = None
        self._kept: list[tuple[str, Json, Reply]] = []
        self._wanted = asyncio.Event()
        self._start_again_at = 0.0
        self._has_given_up = False
        self._runner: asyncio.Task[None] | None = None
        self.state: State = "connecting"
        self.message = ""

    def open(self, path: str, start: Callable[[], object] | None) -> None:
        """Begin; a second time does nothing.

        Args:
            path: of the daemon's socket.
            start: starts the daemon, or finds it started by somebody else; blocks. None: never start it.
        """
        if self._runner is None:
            self.path, self._start = path, start
            self._wanted.set()
            self._runner = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """End the session, and with it what this editor has open in the daemon."""
        if self._session:
            await self._session.close()
        if self._runner:
            self._runner.cancel()
            await asyncio.wait([self._runner])

    @property
    def is_connected(self) -> bool:
        """Whether messages reach the daemon now."""
        return self._session is not None

    def submit(self, method: str, params: Json) -> Reply:
        """Send a request, at once or as soon as there is a daemon."""
        reply: Reply = asyncio.get_running_loop().create_future()
        if self._session:
            self._session.submit(method, params, reply)
        elif self._has_given_up:
            refuse(reply, DaemonError(self.message))
        else:
            self._kept = [kept for kept in self._kept if not kept[2].done()]
            self._kept.append((method, params, reply))
            self._wanted.set()
        return reply

    async def get(self, route: str, **query: str) -> Json | None:
        """The answer to `GET /api/<route>`; None if there is no daemon, or it knows nothing of that name."""
        return await self._session.get(route, query) if self._session else None

    def give_up(self, reason: ScrubjayError) -> None:
        """There will never be a daemon, and `reason` says why."""
        self._has_given_up = True
        self._fail(reason)

    def restart(self) -> None:
        """The user has asked for a new attempt: do not wait."""
        self._start_again_at = 0.0
        self._wanted.set()

    async def _run(self) -> None:
        """Connect again and again. Nothing ends this but `close`: requests that are kept must get an answer."""
        while True:
            try:
                await self._serve_session()
            except DaemonError as error:
                await self._do_without(error)
            except Exception as error:  # a fault of ours, or of the machine: the next attempt may do better
                logger.exception("The connection to the daemon failed")
                self._fail(_sentence(error))
                await self._wait_until_wanted()

    async def _serve_session(self) -> None:
        """Connect, and carry messages until the session ends.

        Raises:
            DaemonError: no daemon listens.
        """
        # The import takes a fifth of a second, and the editor is waiting for its first answers meanwhile.
        session_module = await in_thread(_import_session)
        self._session = await session_module.open(self.path, self._listeners.event)
        try:
            # A daemon that somebody stops is not started again before somebody needs it.
            self._wanted.clear()
            self._become("connected")
            self._listeners.connected()
            self._send_kept()
            await self._session.run()
        finally:
            self._session = None
        self._become("connecting")

    async def _do_without(self, error: DaemonError) -> None:
        """Start the daemon if somebody wants it; else wait until somebody does, or for it to come by itself."""
        now = asyncio.get_running_loop().time()
        if self._wanted.is_set() and now >= self._start_again_at:
            self._wanted.clear()
            if await self._started(error):
                return
        elif self._wanted.is_set():
            self._wanted.clear()
            self._refuse_kept(DaemonError(self.message))
        await self._wait_until_wanted()

    async def _wait_until_wanted(self) -> None:
        """Return when somebody wants the daemon, and after a moment anyway."""
        try:
            await asyncio.wait_for(self._wanted.wait(), LOOK_AGAIN_S)
        except TimeoutError:
            return

    async def _started(self, error: DaemonError) -> bool:
        """Start the daemon; on failure say why and let nobody wait."""
        self._become("starting")
        failure: Exception = error
        if self._start:
            try:
                await in_thread(self._start)
            except Exception as caught:  # a full disk, say, or a file that cannot be read: no reason to end
                failure = caught
            else:
                return True
        self._start_again_at = asyncio.get_running_loop().time() + START_AGAIN_S
        self._fail(_sentence(failure))
        return False

    def _fail(self, reason: ScrubjayError) -> None:
        self._become("failed", str(reason))
        self._listeners.trouble(str(reason))
        self._refuse_kept(reason)

    def _send_kept(self) -> None:
        kept, self._kept = self._kept, []
        for method, params, reply in kept:
            if self._session and not reply.done():
                self._session.submit(method, params, reply)

    def _refuse_kept(self, error: ScrubjayError) -> None:
        kept, self._kept = self._kept, []
        for _, _, reply in kept:
            refuse(reply, error)

    def _become(self, state: State, message: str = "") -> None:
        logger.info("The connection to the daemon is %s. %s", state, message)
        self.state, self.message = state, message
        self._listeners.changed()


async def in_thread(work: Callable[[], T]) -> T:
    """Do `work` in a thread that does not keep the process alive; a cancelled wait leaves it running."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def finish(result: T | None, error: BaseException | None) -> None:
        if future.cancelled():
            return
        if error:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        try:
            outcome: tuple[T | None, BaseException | None] = (work(), None)
        except Exception as error:  # it is raised where the result is awaited
            outcome = (None, error)
        if not loop.is_closed():
            loop.call_soon_threadsafe(finish, *outcome)

    threading.Thread(target=run, daemon=True).start()
    return await future


def _sentence(error: Exception) -> ScrubjayError:
    """`error`, or an error that says in one sentence what happened."""
    if isinstance(error, ScrubjayError):
        return error
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return DaemonError(f"The daemon cannot be reached or started: {reason or type(error).__name__}.")


def _import_session() -> "type[Session]":
    from scrubjay_lsp.session import Session

    return Session
