"""How soon a prefill gives the model away, and what a busy daemon costs the engine.

    python -m tests.benchmarks.preemption [KIND ...]     (kinds of tests.support.gguf_models.true_shape; default: deltanet)

Real engine processes on models of true shape with random weights. Speeds are printed, never asserted; that the interrupted
prefill gives the same bits as an undisturbed one is.
"""

import asyncio
import os
import statistics
import sys
import threading
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from scrubjay.engine.client import EngineClient
from scrubjay.protocol.messages import (
    Done,
    EngineSettings,
    LoadFailed,
    Opened,
    Piece,
    PrefillProgress,
    Run,
    Sampling,
    Stopped,
)
from scrubjay.workspace.watcher import NICENESS
from tests.benchmarks.contestants import n_cores
from tests.support.api import connected, next_prefill
from tests.support.daemon_process import running_daemon
from tests.support.engine_rig import random_tokens
from tests.support.gguf_models import true_shape
from tests.support.service import source

N_TOKENS = 8192
N_TRIALS = 8
GENERATED = 32


class Bench:
    """An engine process and the messages that came from it, with the times of their arrival (seconds)."""

    def __init__(self) -> None:
        self.arrived: asyncio.Queue[tuple[float, object]] = asyncio.Queue()
        self.client: EngineClient | None = None

    async def open(self, model: Path, n_threads: int = 0) -> None:
        settings = EngineSettings(str(model), n_ctx=N_TOKENS + 1024, interval=256, n_threads=n_threads)
        self.client = await EngineClient.start(
            settings, lambda event: self.arrived.put_nowait((time.perf_counter(), event))
        )
        await self.until(Opened, LoadFailed)

    async def until(self, *kinds: type) -> tuple[float, list[object]]:
        got: list[object] = []
        while True:
            at, event = await self.arrived.get()
            got.append(event)
            if isinstance(event, kinds):
                return at, got

    async def time_to_the_model(self) -> tuple[list[float], bool]:
        """Milliseconds from asking a prefill to stop until the engine is free, and whether the rest came out bit-equal."""
        assert self.client
        tokens, job, waits = random_tokens(np.random.default_rng(0), N_TOKENS), 0, []
        for trial in range(N_TRIALS):
            job += 1
            self.client.run(Run(job, "/warm", tokens))
            await self.until(PrefillProgress)
            await asyncio.sleep(0.05 + 0.1 * trial)  # anywhere inside a decode
            asked = time.perf_counter()
            self.client.stop(job)
            at, _ = await self.until(Stopped, Done)
            waits.append((at - asked) * 1e3)
        sampling = Sampling(max_tokens=8, ignore_end=True, with_margins=True)
        answers = []
        for is_cold in (False, True):
            job += 1
            self.client.run(Run(job, "/warm", tokens, sampling=sampling, cold=is_cold))
            _, got = await self.until(Done)
            answers.append([(piece.text, piece.margins) for piece in got if isinstance(piece, Piece)])
        return waits, answers[0] == answers[1]

    async def generation_speed(self, job: int) -> float:
        assert self.client
        sampling = Sampling(max_tokens=GENERATED, ignore_end=True)
        self.client.run(Run(job, "/speed", random_tokens(np.random.default_rng(1), 64), sampling=sampling))
        _, got = await self.until(Done)
        (done,) = (event for event in got if isinstance(event, Done))
        return done.n_generated / done.generate_ms * 1e3


class BusyThread:
    """A Python thread of the daemon that never rests.

    Args:
        niceness: how far it stands back; the daemon's thread that reads files does so by `watcher.NICENESS`.
    """

    def __init__(self, niceness: int) -> None:
        self._niceness = niceness

    def __enter__(self) -> None:
        self._stop = False
        self._thread = threading.Thread(target=self._spin)
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop = True
        self._thread.join()

    def _spin(self) -> None:
        if self._niceness:
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), self._niceness)
        while not self._stop:
            sum(range(1000))


async def two_clients(kind: str) -> list[float]:
    """Milliseconds that a client's completions wait for the model while another client warms a long project."""
    small = "file:///small/a.py"
    waits: list[float] = []
    with TemporaryDirectory() as folder:
        socket = Path(folder) / "s"
        options = ("--interval=256", "--no-warm")
        async with (
            running_daemon(true_shape(kind), socket, N_TOKENS + 1024, options) as daemon,
            connected(socket) as other,
        ):
            await daemon.ready()
            for number in range(8):
                await daemon.api.open(f"file:///project/file_{number}.py", source(100, seed=number), "/project")
            await other.open(small, source(4), root="/small")
            await other.complete(small, max_tokens=1)
            async with daemon.api.events() as events:
                warming = asyncio.create_task(daemon.api.post("/api/warm", {"root": "/project"}))
                while len(waits) < 2 * N_TRIALS and not warming.done():
                    await next_prefill(events)
                    await asyncio.sleep(0.1 + 0.1 * len(waits))  # anywhere inside a decode
                    _, answer = await other.complete(small, max_tokens=1)
                    waits.append(answer["timings"]["queue_ms"])
            await warming
    return waits


async def measure(kind: str) -> None:
    bench = Bench()
    await bench.open(true_shape(kind))
    waits, is_equal = await bench.time_to_the_model()
    print(
        f"{kind}: free after ms: median {statistics.median(waits):.1f}, worst {max(waits):.1f}; bit-equal: {is_equal}"
    )
    if not is_equal:
        raise SystemExit(f"{kind}: the interrupted prefill did not give the bits of an undisturbed one")
    queued = await two_clients(kind)
    print(f"{kind}: a second client's wait ms: median {statistics.median(queued):.1f}, worst {max(queued):.1f}")
    assert bench.client
    await bench.client.close()
    for n_threads, niceness in ((1, 0), (n_cores(), 0), (n_cores(), NICENESS)):
        await beside_a_busy_thread(kind, n_threads, niceness)


async def beside_a_busy_thread(kind: str, n_threads: int, niceness: int) -> None:
    """Print what a busy thread of the daemon takes from generation with `n_threads` threads.

    With a thread on each core and one more that wants as much of a core, the most that can be had is 2 / 3 on two cores: a decode
    is as slow as the slowest of its threads.
    """
    bench = Bench()
    await bench.open(true_shape(kind), n_threads)
    alone, beside = [], []
    for pair in range(3):
        alone.append(await bench.generation_speed(100 + 2 * pair))
        with BusyThread(niceness):
            beside.append(await bench.generation_speed(101 + 2 * pair))
    quiet, busy = statistics.median(alone), statistics.median(beside)
    where = f"{n_threads} threads, a busy one at nice {niceness}"
    print(f"{kind}: {where}: {quiet:.1f} tokens/s alone, {busy:.1f} beside it: {busy / quiet:.2f}")
    assert bench.client
    await bench.client.close()


if __name__ == "__main__":
    for kind in sys.argv[1:] or ["deltanet"]:
        asyncio.run(measure(kind))
