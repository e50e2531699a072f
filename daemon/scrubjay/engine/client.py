"""The daemon's side of the engine process: start it, talk to it in frames, notice its end and say why.

Used from one event loop. Nothing here waits for the engine but `close`.
"""

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Mapping
from typing import Any

import psutil

from scrubjay.abort_byte import AbortByte
from scrubjay.engine.interface import Deliver, Engine, EngineGone
from scrubjay.isolation import python_command, safe_environment
from scrubjay.protocol.codec import Decoder, encode
from scrubjay.protocol.messages import AskStatus, Close, EngineSettings, Open, Run, Stop, ToEngine
from scrubjay.protocol.records import Forget

logger = logging.getLogger(__name__)

MAX_LOG_TAIL_BYTES = 8192
"""Of the engine's log, for the sentence about its end."""
SEND_BUFFER_BYTES = 1 << 20
MODEL_THREAD_SPINS = "3000000"
"""How often a thread of the model looks for the others before it sleeps, where OpenMP is GNU's: about 0.2 s. Beside a busy
thread of low priority that keeps 0.95 of the speed, the default 0.6; without a limit they would spin after the last token."""
NON_TEMPORAL_COPIES = "glibc.cpu.x86_non_temporal_threshold=0x80000"
"""Larger copies bypass the processor's caches, where the C library is GNU's, on x86: a saved state is not read again soon. One
of 20 MB is saved in 1.9 ms instead of 2.8, and restored in 2.1 instead of 3.5; at this size the speed of decodes is the same."""
HUGE_PAGES = "glibc.malloc.hugetlb=1"
"""Weights and caches are in pages of 2 MiB, where Linux and GNU's C library have them: all weights are read for each token, and
in pages of 4 KiB that is 10 to 20 % slower, depending on where in memory they happen to be."""
MAX_ENDING_S = 2.0
"""How long an engine that has closed its socket may take to end, and its log to be read."""


class EngineClient(Engine):
    """An engine in a process of its own, `python -m scrubjay.worker`. Use `start`."""

    def __init__(self, process: asyncio.subprocess.Process, wire: "_Wire", abort: AbortByte, deliver: Deliver) -> None:
        self._process = process
        self._wire = wire
        self._abort = abort
        self._deliver = deliver
        self._log_tail = b""
        self._last_run: Run | None = None
        self._watcher = asyncio.create_task(self._watch())

    @classmethod
    async def start(cls, settings: EngineSettings, deliver: Deliver) -> "EngineClient":
        """Start an engine process and have it open the model.

        Raises:
            OSError: the system refuses to start a process.
        """
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        # A prompt of 32k tokens leaves in one piece, if the system allows it.
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        _, wire = await loop.create_unix_connection(lambda: _Wire(deliver), sock=ours)
        abort = AbortByte.create()
        try:
            process = await _spawn(theirs.fileno(), abort)
        except BaseException:  # also where the start is cancelled
            wire.close()
            abort.unlink()
            raise
        finally:
            theirs.close()
        client = cls(process, wire, abort, deliver)
        client._send(Open(settings))
        return client

    @property
    def pid(self) -> int:
        """Process id of the engine."""
        return self._process.pid

    @property
    def is_stopped(self) -> bool:
        """Whether a signal has stopped the process."""
        try:
            return bool(psutil.Process(self.pid).status() == psutil.STATUS_STOPPED)
        except psutil.Error:
            return False

    def run(self, run: Run) -> None:
        """Give the engine a job; it must be free."""
        self._wire.write(encode(run, self._last_run))
        self._last_run = run

    def stop(self, job: int, goes_on: bool = False) -> None:
        """Ask the engine to end `job`, also from inside a decode; see `Engine.stop`."""
        # The message first: an engine that the byte interrupts looks for the reason.
        self._send(Stop(job, goes_on))
        self._abort.set()

    def end_early(self, job: int) -> None:
        """Ask the engine to end `job` after the decode that runs."""
        self._send(Stop(job))

    def ask_status(self) -> None:
        """Ask for an `EngineStatus`."""
        self._send(AskStatus())

    def forget(self, root: str) -> None:
        """Ask for a `Forgotten`."""
        self._send(Forget(root))

    async def close(self, deadline_s: float = 5.0) -> None:
        """End the process: in good order until the deadline, then by force. May be called twice."""
        self._send(Close())
        self._abort.set()
        await asyncio.wait([self._watcher], timeout=deadline_s)
        self._kill()
        await self._watcher

    def _send(self, message: ToEngine) -> None:
        """Write a frame; to an engine that is gone it is lost, and `EngineGone` is on its way."""
        self._wire.write(encode(message))

    def _kill(self) -> None:
        if self._process.returncode is None:
            self._process.kill()

    async def _watch(self) -> None:
        """Wait for the end and report it after all that came before it."""
        log = asyncio.create_task(self._read_log())
        ended = asyncio.create_task(self._process.wait())
        endings: list[asyncio.Future[Any]] = [ended, self._wire.lost]
        await asyncio.wait(endings, return_when=asyncio.FIRST_COMPLETED)
        # Children of the engine (a debugger that llama.cpp starts) may hold its log and socket open: do not wait for ever.
        await asyncio.wait([*endings, log], timeout=MAX_ENDING_S)
        self._kill()
        code = await ended
        log.cancel()
        self._wire.close()
        self._abort.unlink()
        self._deliver(EngineGone(how_it_ended(code, self._log_tail.decode(errors="replace"))))

    async def _read_log(self) -> None:
        """Hand the engine's log on, and remember the end of it."""
        stream = self._process.stderr
        while stream and (data := await stream.read(1 << 16)):
            logger.info("engine %d: %s", self.pid, data.decode(errors="replace").rstrip())
            self._log_tail = (self._log_tail + data)[-MAX_LOG_TAIL_BYTES:]


class _Wire(asyncio.Protocol):
    """Frames on the socket."""

    def __init__(self, deliver: Deliver) -> None:
        self._deliver = deliver
        self._decoder = Decoder()
        self._transport: asyncio.Transport | None = None
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the engine has closed its end."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            self._transport = transport

    def data_received(self, data: bytes) -> None:
        for message in self._decoder.feed(data):
            self._deliver(message)  # type: ignore[arg-type]  # the engine sends only what engines send

    def connection_lost(self, _exc: Exception | None) -> None:
        if not self.lost.done():
            self.lost.set_result(None)

    def write(self, frame: bytes) -> None:
        if self._transport and not self._transport.is_closing():
            self._transport.write(frame)

    def close(self) -> None:
        if self._transport:
            self._transport.close()


async def _spawn(wire: int, abort: AbortByte) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *python_command("-m", "scrubjay.worker", str(wire), abort.argument),
        pass_fds=(wire, *abort.descriptors),
        # llama.cpp looks for its plug-ins in the working folder, too.
        cwd="/",
        env=environment(safe_environment()),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )


def environment(base: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment of a process that runs a model: `base`, with what the model needs unless the user chose."""
    # Without a backtrace, for which llama.cpp starts gdb: that takes seconds, and pushes the reason out of the log's end.
    chosen = {"GGML_NO_BACKTRACE": "1"}
    if "OMP_WAIT_POLICY" not in base:
        chosen["GOMP_SPINCOUNT"] = MODEL_THREAD_SPINS
    tunables = [item for item in base.get("GLIBC_TUNABLES", "").split(":") if item]
    names = {item.partition("=")[0] for item in tunables}
    tunables += (item for item in (NON_TEMPORAL_COPIES, HUGE_PAGES) if item.partition("=")[0] not in names)
    return {**chosen, **base, "GLIBC_TUNABLES": ":".join(tunables)}


def how_it_ended(code: int, log: str) -> str:
    """A sentence about the end of an engine process.

    Args:
        code: its exit status, or minus the number of the signal that killed it.
        log: the last that it wrote.
    """
    how = f"was killed by {_signal_name(-code)}" if code < 0 else f"ended with status {code}"
    why = _line_about_failure(log)
    return f"The engine process {how}: {why}" if why else f"The engine process {how}."


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _line_about_failure(log: str) -> str:
    """The last line that names a failure, else the last line."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    failures = [line for line in lines if any(word in line for word in ("GGML_ASSERT", "rror", "failed", "abort"))]
    return (failures or lines or [""])[-1][:300]
