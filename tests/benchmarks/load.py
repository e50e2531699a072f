"""Nobody's input keeps others waiting: how long the daemon's loop takes for one step under load, and a key for its answer.

    python -m tests.benchmarks.load [--seconds N]

A whole daemon runs in this process, with a tiny model in an engine process. Clients in a process of their own send documents,
changes and requests of every size up to the limits, ten at a time; one of them types. Each step of the event loop is timed, and
each key from its change to the daemon's answer to it.
"""

import argparse
import asyncio
import json
import random
import signal
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic, perf_counter, thread_time
from typing import Any

import aiohttp
import numpy as np
from rich.console import Console
from rich.table import Table

from scrubjay.config import read_config
from scrubjay.process.run import run_daemon
from tests.support.api import BASE
from tests.support.gguf_models import tiny_model
from tests.support.service import source

FLAGS = {"threads": "1", "interval": "64", "ctx": "8192", "eager_load": "false"}
N_CLIENTS = 9
"""Beside the one that types."""
MAX_STEP_MS = 20.0
MAX_WAIT_MS = 50.0
KEYS_PER_S = 8
MAX_CHARACTERS = 4 << 20
MAX_CHANGES = 5_000
Json = dict[str, Any]
Post = Callable[[str, Json], Awaitable[int]]


# --- the daemon's side -----------------------------------------------------------------------------------------------


@dataclass
class Steps:
    """How long the steps of the event loop took: on the clock, and of the processor, which other programs do not change."""

    ms: list[float] = field(default_factory=list)
    processor_ms: list[float] = field(default_factory=list)
    longest: list[tuple[float, float, str]] = field(default_factory=list)
    """The longest ones, of the processor and on the clock, and what was run."""

    def note(self, ms: float, processor_ms: float, what: str) -> None:
        self.ms.append(ms)
        self.processor_ms.append(processor_ms)
        if processor_ms > MAX_STEP_MS / 4:
            self.longest = sorted([*self.longest, (processor_ms, ms, what)], reverse=True)[:12]


@contextmanager
def timed_steps() -> Iterator[Steps]:
    """Times each callback of event loops that run meanwhile."""
    steps, run = Steps(), asyncio.Handle._run  # the one place where every step passes

    def timed(handle: asyncio.Handle) -> None:
        what, began, processor = described(handle), perf_counter(), thread_time()
        run(handle)
        steps.note((perf_counter() - began) * 1e3, (thread_time() - processor) * 1e3, what)

    asyncio.Handle._run = timed  # type: ignore[method-assign, assignment]
    try:
        yield steps
    finally:
        asyncio.Handle._run = run  # type: ignore[method-assign]


def described(handle: asyncio.Handle) -> str:
    """Where the task of `handle` goes on, or what it calls."""
    callback = handle._callback  # type: ignore[attr-defined]
    task = getattr(callback, "__self__", None)
    if not isinstance(task, asyncio.Task):
        return getattr(callback, "__qualname__", repr(callback))
    names: list[str] = []
    coroutine: Any = task.get_coro()
    while coroutine is not None and (code := getattr(coroutine, "cr_code", None)):
        names.append(code.co_qualname)
        coroutine = coroutine.cr_await
    return " > ".join(names[-3:])


async def serve(seconds: float) -> tuple[Steps, Json]:
    """Steps of the loop while clients send, and what the clients report."""
    with tempfile.TemporaryDirectory() as folder:
        config = read_config(
            {**FLAGS, "model": str(tiny_model("deltanet")), "socket": f"{folder}/s", "data_dir": folder}
        )
        listening = asyncio.Event()
        daemon = asyncio.create_task(run_daemon(config, listening.set))
        await listening.wait()
        with timed_steps() as steps:
            command = (
                sys.executable,
                "-m",
                "tests.benchmarks.load",
                "--socket",
                f"{folder}/s",
                "--seconds",
                str(seconds),
            )
            clients = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
            output, _ = await clients.communicate()
        signal.raise_signal(signal.SIGTERM)
        await daemon
    report: Json = json.loads(output)
    return steps, report


# --- the clients' side -----------------------------------------------------------------------------------------------


def any_size(chance: random.Random, most: int) -> int:
    """Small ones as often as large ones of ten times the size."""
    return int(10 ** chance.uniform(1, np.log10(most)))


def words(chance: random.Random, n_characters: int) -> str:
    kind = chance.randrange(4)
    if kind == 0:
        return "x" * n_characters
    text = " ".join(f"word{chance.randrange(1000)}" for _ in range(min(n_characters // 8 + 1, 20_000)))
    whole = (text + ("\n" if kind == 1 else " ")) * (n_characters // len(text) + 1)
    return whole[:n_characters]


async def disturb(post: Post, chance: random.Random, number: int, until: float, answers: dict[str, int]) -> None:
    """Send whatever comes to mind, one request after the other."""
    uri, version = f"file:///other{number}/a.py", 0
    while monotonic() < until:
        version += 1
        path, body = any_request(chance, uri, version)
        status = await post(path, body)
        answers[f"{path} {status}"] = answers.get(f"{path} {status}", 0) + 1


def any_request(chance: random.Random, uri: str, version: int) -> tuple[str, Json]:
    text, at = words(chance, any_size(chance, MAX_CHARACTERS)), {"line": 0, "character": 0}
    change = {"range": {"start": at, "end": at}, "text": "y"}
    few = {"max_tokens": 2, "n_predict": 2}
    return chance.choice(
        (
            ("/api/documents/open", {"uri": uri, "text": text, "version": version, "root": uri.rpartition("/")[0][7:]}),
            (
                "/api/documents/change",
                {"uri": uri, "version": version, "changes": [change] * any_size(chance, MAX_CHANGES)},
            ),
            ("/api/documents/change", {"uri": uri, "version": version, "changes": [change | {"text": text}]}),
            ("/api/complete", {"uri": uri, "position": at, **few}),
            ("/api/documents/close", {"uri": uri}),
            ("/completion", {"prompt": text, **few}),
            ("/v1/completions", {"prompt": [text[:50]] * any_size(chance, 20_000), **few}),
            (
                "/v1/chat/completions",
                {"messages": [{"role": "user", "content": text[:99]}] * any_size(chance, 5_000), **few},
            ),
            ("/infill", {"input_prefix": text, "input_suffix": text[:1000], **few}),
            (
                "/infill",
                {"input_prefix": "x = ", "input_suffix": text, "input_extra": [{"text": text[:5000]}] * 20, **few},
            ),
            ("/tokenize", {"content": text}),
            ("/apply-template", {"messages": [{"role": "user", "content": text}]}),
        )
    )


async def type_keys(post: Post, until: float) -> list[float]:
    """Type into a document of a project of its own; how long each change took to be answered, in milliseconds."""
    uri, waits = "file:///mine/a.py", []
    await post("/api/documents/open", {"uri": uri, "text": source(2_000), "version": 0, "root": "/mine"})
    for version in range(1, 1_000_000):
        at = {"line": 500, "character": version - 1}
        body = {"uri": uri, "version": version, "changes": [{"range": {"start": at, "end": at}, "text": "k"}]}
        began = perf_counter()
        await post("/api/documents/change", body)
        waits.append((perf_counter() - began) * 1e3)
        if monotonic() > until:
            break
        await asyncio.sleep(max(0.0, 1 / KEYS_PER_S - (perf_counter() - began)))  # the pace of a person is the load
    return waits


async def send(socket: str, seconds: float) -> Json:
    """Be all clients; what they have seen."""
    answers: dict[str, int] = {}
    connector = aiohttp.UnixConnector(socket, limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(None)) as http:

        async def post(path: str, body: Json) -> int:
            data = await asyncio.to_thread(json.dumps, body)
            async with http.post(
                BASE + path, data=data.encode(), headers={"Content-Type": "application/json"}
            ) as response:
                await response.read()
                return response.status

        until = monotonic() + seconds
        others = [disturb(post, random.Random(n), n, until, answers) for n in range(N_CLIENTS)]
        waits, *_ = await asyncio.gather(type_keys(post, until), *others)
    return {"waits": waits, "answers": answers}


# --- the report ------------------------------------------------------------------------------------------------------


def show(steps: Steps, report: Json, console: Console) -> None:
    table = Table("", "number", "median ms", "99th %", "longest", "bound", title="Nobody's input keeps others waiting")
    rows = (
        ("steps of the loop", steps.ms, MAX_STEP_MS),
        ("of the processor", steps.processor_ms, MAX_STEP_MS),
        ("keys", report["waits"], MAX_WAIT_MS),
    )
    for name, ms, bound in rows:
        parts = (f"{np.percentile(ms, share):.2f}" for share in (50, 99, 100))
        table.add_row(name, str(len(ms)), *parts, f"{bound:.0f}")
    console.print(table)
    for processor_ms, ms, what in steps.longest:
        console.print(f"{processor_ms:.1f} ms ({ms:.1f} on the clock)  {what}", markup=False, highlight=False)
    console.print(
        "answers: " + ", ".join(f"{name}: {n}" for name, n in sorted(report["answers"].items())), highlight=False
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=120.0, help="how long to send")
    parser.add_argument("--socket", default="", help=argparse.SUPPRESS)  # of the daemon, for the process of the clients
    arguments = parser.parse_args()
    if arguments.socket:
        sys.stdout.write(json.dumps(asyncio.run(send(arguments.socket, arguments.seconds))))
    else:
        show(*asyncio.run(serve(arguments.seconds)), Console())


if __name__ == "__main__":
    main()
