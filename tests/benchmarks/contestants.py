"""The contestants: Scrubjay's engine, llama-server twice, llama-cpp-python's own class; the physical limit is in `limit`.

All of them load the same file, with the same number of threads, and are asked for one token: the time until it is there is the
time to the first token. Only one of them works at a time.
"""

import asyncio
import os
import socket
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any, Protocol

import aiohttp
import llama_cpp
import psutil

from scrubjay.cli.demo.outcome import Pieces
from scrubjay.engine.client import EngineClient
from scrubjay.engine.interface import EngineGone
from scrubjay.protocol.contexts import EngineStatus
from scrubjay.protocol.messages import (
    Done,
    EngineSettings,
    Failed,
    LoadFailed,
    ModelInfo,
    Opened,
    Piece,
    PrefillDone,
    PrefillProgress,
    Run,
    Sampling,
    Stopped,
)
from scrubjay.tokens import Tokens
from tests.benchmarks.peer import program

N_CHECKED = 8
"""So many tokens of each warm answer are compared with the cold one."""
PATIENCE_S = 60.0


class BenchmarkFailed(Exception):
    """A contestant did not do what it was asked to; the sentence says which and what."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Milliseconds to the first token, and the tokens processed for it; `needed`, and the length of the whole `prompt`,
    where the contestant knows them."""

    ms: float
    processed: int
    needed: int = 0
    restore_ms: float = 0.0
    checkpoint_ms: float = 0.0
    prompt: int = 0


class Contestant(Protocol):
    """Something that goes on from a prompt, and may reuse what it did for the prompts before."""

    name: str

    async def ask(self, prompt: Tokens) -> Answer:
        """One token after `prompt`."""

    async def close(self) -> None: ...

    def rss(self) -> int:
        """Bytes of memory that it has."""


class Ours:
    """An engine process, spoken to as the daemon does."""

    name = "scrubjay"

    def __init__(self) -> None:
        self._arrived: asyncio.Queue[object] = asyncio.Queue()
        self._client: EngineClient | None = None
        self._job = 0
        self._context = "/0"
        self.info: ModelInfo | None = None

    @classmethod
    async def start(cls, settings: EngineSettings) -> "Ours":
        """One whose model is loaded."""
        made = cls()
        made._client = await EngineClient.start(settings, made._arrived.put_nowait)
        opened = (await made._until(Opened))[-1]
        assert isinstance(opened, Opened)
        made.info = opened.info
        return made

    def begin_anew(self) -> None:
        """Forget where edits were: go on in another context."""
        self._context = f"/{self._job}"

    async def ask(self, prompt: Tokens, context: str = "") -> Answer:
        begun = perf_counter()
        cost, _, _ = await self.generate(prompt, Sampling(max_tokens=1, ignore_end=True), context)
        ms = (perf_counter() - begun) * 1e3
        return Answer(ms, cost.processed, cost.needed, cost.restore_ms, cost.checkpoint_ms, cost.prompt)

    async def answers(self, prompt: Tokens, context: str = "", n_new: int = 0) -> tuple[Pieces, Pieces]:
        """The answer from the warm context and the one from nothing; the last `n_new` tokens were processed for it."""
        sampling = Sampling(max_tokens=N_CHECKED, ignore_end=True, with_margins=True)
        _, _, warm = await self.generate(prompt, sampling, context)
        # Plain attention goes on anywhere, and the same tokens in other decodes give other bits.
        cuts = (
            tuple(len(prompt) - n for n in (n_new, 1) if n) if self.info and self.info.memory_class == "dense" else ()
        )
        _, _, cold = await self.generate(prompt, sampling, context, cuts, cold=True)
        return warm, cold

    async def generate(
        self, prompt: Tokens, sampling: Sampling, context: str = "", cuts: tuple[int, ...] = (), cold: bool = False
    ) -> tuple[Any, Done, Pieces]:
        """What the prompt cost, how the generation ended, and what was generated."""
        got = await self.run(Run(0, context or self._context, prompt, cuts, sampling=sampling, cold=cold))
        (cost,) = (event.cost for event in got if isinstance(event, PrefillDone))
        pieces = [(event.text, list(event.margins)) for event in got if isinstance(event, Piece)]
        done = got[-1]
        assert isinstance(done, Done)
        return cost, done, pieces

    async def run(self, run: Run) -> list[object]:
        """All that the engine says about `run`, which gets a number of its own."""
        self._job += 1
        self._started().run(replace(run, job=self._job))
        return await self._until(Done)

    async def cancelled_preload(self, prompt: Tokens) -> None:
        """Begin to process `prompt` ahead of need, and stop as soon as a part of it is done."""
        self._job += 1
        self._started().run(Run(self._job, self._context, prompt))
        await self._until(PrefillProgress)
        self._started().stop(self._job)
        await self._until(Stopped, Done)

    async def status(self) -> EngineStatus:
        self._started().ask_status()
        status = (await self._until(EngineStatus))[-1]
        assert isinstance(status, EngineStatus)
        return status

    async def close(self) -> None:
        await self._started().close()

    @property
    def pid(self) -> int:
        return self._started().pid

    def rss(self) -> int:
        return int(psutil.Process(self.pid).memory_info().rss)

    def _started(self) -> EngineClient:
        assert self._client
        return self._client

    async def _until(self, *kinds: type) -> list[object]:
        """All events up to one of these kinds.

        Raises:
            BenchmarkFailed: the engine refused, failed or ended instead.
        """
        got: list[object] = []
        while not (got and isinstance(got[-1], kinds)):
            got.append(await self._arrived.get())
            if isinstance(got[-1], LoadFailed | Failed | EngineGone):
                raise BenchmarkFailed(f"Scrubjay's engine said: {got[-1]}")
        return got


class Server:
    """llama-server.

    Args:
        extra: fields of each request beside the prompt.
    """

    def __init__(self, name: str, model: Path, flags: Sequence[str], extra: dict[str, object]) -> None:
        path = program("llama-server")
        if path is None:
            raise BenchmarkFailed("llama-server has not been built; run `make bench-peer`.")
        self.name = name
        self._extra = extra
        with socket.socket() as probe_socket:
            probe_socket.bind(("127.0.0.1", 0))
            port = probe_socket.getsockname()[1]
        self._base = f"http://127.0.0.1:{port}"
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  # open as long as the server runs
        command = (str(path), "-m", str(model), "--host", "127.0.0.1", "--port", str(port), *flags)
        self._process = subprocess.Popen(command, stdout=self._log, stderr=subprocess.STDOUT)
        self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None))

    async def ready(self) -> None:
        """Wait until the model is loaded.

        Raises:
            BenchmarkFailed: it ended, or took longer than a minute.
        """
        given_up = perf_counter() + PATIENCE_S
        while perf_counter() < given_up and self._process.poll() is None:
            with suppress(aiohttp.ClientConnectionError):
                async with self._http.get(f"{self._base}/health") as response:
                    if response.status == 200:
                        return
            await asyncio.sleep(0.1)  # it tells nobody when it is there
        raise BenchmarkFailed(f"{self.name} did not start: {self._last_words()}")

    async def ask(self, prompt: Tokens) -> Answer:
        return await self.post("/completion", {"prompt": prompt.tolist(), **self._extra})

    async def post(self, path: str, body: dict[str, object]) -> Answer:
        """One token from `path`."""
        begun = perf_counter()
        answer = await self._posted(path, body)
        ms = (perf_counter() - begun) * 1e3
        return Answer(ms, answer["timings"]["prompt_n"], prompt=answer["tokens_evaluated"])

    async def timings(self, body: dict[str, object]) -> dict[str, Any]:
        """What it says of the times of a completion."""
        return dict((await self._posted("/completion", body))["timings"])

    async def _posted(self, path: str, body: dict[str, object]) -> dict[str, Any]:
        common = {"n_predict": 1, "temperature": 0.0, "cache_prompt": True, "samplers": ["temperature"]}
        async with self._http.post(self._base + path, json={**common, **body}) as response:
            answer: dict[str, Any] = await response.json()
        if response.status != 200:
            raise BenchmarkFailed(f"{self.name} answered {response.status}: {answer}")
        return answer

    async def close(self) -> None:
        await self._http.close()
        self._process.terminate()
        self._process.wait()
        self._log.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    def rss(self) -> int:
        return int(psutil.Process(self.pid).memory_info().rss)

    def _last_words(self) -> str:
        self._log.seek(0)
        return self._log.read().decode(errors="replace")[-500:]


class HighLevel:
    """llama-cpp-python's class `Llama`, as its users have it."""

    name = "Llama"

    def __init__(self, model: Path, n_ctx: int, n_threads: int) -> None:
        self._before = psutil.Process().memory_info().rss
        self._llama = llama_cpp.Llama(
            str(model), n_ctx=n_ctx, n_threads=n_threads, n_threads_batch=n_threads, flash_attn=True, verbose=False
        )

    async def ask(self, prompt: Tokens) -> Answer:
        begun = perf_counter()
        next(iter(self._llama.generate(prompt.tolist(), temp=0.0)))
        ms = (perf_counter() - begun) * 1e3
        return Answer(ms, 0)  # it does not say

    async def close(self) -> None:
        self._llama.close()

    def rss(self) -> int:
        return int(psutil.Process().memory_info().rss) - self._before


def default_server(model: Path, n_ctx: int, n_threads: int) -> Server:
    """llama-server as it comes."""
    return Server("server", model, _common(n_ctx, n_threads), {})


def tuned_server(
    model: Path, n_ctx: int, n_threads: int, interval: int, line_ends: Sequence[str], flash_attention: bool = True
) -> Server:
    """llama-server at its strongest: one slot, and a checkpoint every `interval` tokens, at the end of a line."""
    name, attention = ("tuned", "on") if flash_attention else ("tuned, no fa", "off")
    flags = ("-np", "1", "-fa", attention, "-ctxcp", "128", "-cms", str(interval), "--swa-full")
    delimiters = [{"role": "user", "delimiter": text} for text in line_ends]
    return Server(name, model, (*_common(n_ctx, n_threads), *flags), {"id_slot": 0, "message_delimiters": delimiters})


def _common(n_ctx: int, n_threads: int) -> tuple[str, ...]:
    return ("-c", str(n_ctx), "-t", str(n_threads), "-tb", str(n_threads))


def n_cores() -> int:
    return psutil.cpu_count(logical=False) or os.cpu_count() or 1


async def settle() -> None:
    """Wait until the one that worked last has stopped looking for more to do: threads spin for a moment."""
    for _ in range(10):
        psutil.cpu_percent()
        await asyncio.sleep(0.15)
        if psutil.cpu_percent() < 25:
            return
