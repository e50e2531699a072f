"""Nobody's input keeps others waiting: how long the daemon's loop takes for one step under load, and a key for its answer.

    python -m tests.benchmarks.load [--seconds N]

A whole daemon runs in this process, with a tiny model in an engine process. In another process nine clients send documents,
changes and requests of every size up to the limits; in a third one a client types. Each step of the event loop is timed, and
each key from its change to the daemon's answer to it.
"""

import argparse
import asyncio
import json
import random
import signal
import sys
import tempfile
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, perf_counter, process_time, thread_time
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
MAX_CHARACTERS = 15 << 20
MAX_CHANGES = 5_000
Json = dict[str, Any]
Post = Callable[[str, Json], Awaitable[int]]


# --- the daemon's side -----------------------------------------------------------------------------------------------


@dataclass
class Steps:
    """How long the steps of the event loop took: on the clock, and of the processor, which other programs do not change.

    Of the processor, `own_ms` is what the loop itself has used, and `process_ms` what all threads of the daemon have: it
    includes the time that a step has waited for a thread which holds the interpreter.
    """

    ms: list[float] = field(default_factory=list)
    own_ms: list[float] = field(default_factory=list)
    process_ms: list[float] = field(default_factory=list)
    longest: list[tuple[float, float, float, str]] = field(default_factory=list)
    """The longest ones, of the process, of the loop and on the clock, and what was run."""

    def note(self, ms: float, own_ms: float, process_ms: float, what: str) -> None:
        self.ms.append(ms)
        self.own_ms.append(own_ms)
        self.process_ms.append(process_ms)
        if process_ms > MAX_STEP_MS / 4:
            self.longest = sorted([*self.longest, (process_ms, own_ms, ms, what)], reverse=True)[:12]


@contextmanager
def timed_steps() -> Iterator[Steps]:
    """Times each callback of event loops that run meanwhile."""
    steps, run = Steps(), asyncio.Handle._run  # the one place where every step passes

    def timed(handle: asyncio.Handle) -> None:
        what, began, own, process = described(handle), perf_counter(), thread_time(), process_time()
        run(handle)
        elapsed, own, process = perf_counter() - began, thread_time() - own, process_time() - process
        if elapsed > 2 * own and process > MAX_STEP_MS / 4e3:
            what = f"{what}, beside {', '.join(beside())}"
        steps.note(elapsed * 1e3, own * 1e3, process * 1e3, what)

    asyncio.Handle._run = timed  # type: ignore[method-assign, assignment]
    try:
        yield steps
    finally:
        asyncio.Handle._run = run  # type: ignore[method-assign]


def beside() -> Iterator[str]:
    """Where the other threads are that work, of which one may just have let go of the interpreter."""
    for number, frame in sys._current_frames().items():
        if number != threading.get_ident() and frame.f_code.co_name not in ("_worker", "wait", "_do_waitpid"):
            yield f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno} {frame.f_code.co_name}"


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
            clients = [
                await asyncio.create_subprocess_exec(*command, who, stdout=asyncio.subprocess.PIPE)
                for who in ("--types", "--disturbs")
            ]
            outputs = await asyncio.gather(*(client.communicate() for client in clients))
        signal.raise_signal(signal.SIGTERM)
        await daemon
    waits, answers = (json.loads(output) for output, _ in outputs)
    return steps, {"waits": waits, "answers": answers}


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
            ("/tokenize", {"content": text, "with_pieces": True}),
            ("/completion", {"prompt": list(range(any_size(chance, 300_000))), **few}),
            ("/detokenize", {"tokens": [number % 200 for number in range(any_size(chance, 300_000))]}),
            ("/completion", {"prompt": "x", "json_schema": {"enum": [text[:20]] * any_size(chance, 50_000)}, **few}),
            ("/completion", {"prompt": "x", "junk": [[]] * any_size(chance, 2_000_000)}),
            ("/completion", {"prompt": "x", "junk": [{"a": ["b"]}] * any_size(chance, 500_000)}),
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


async def send(socket: str, seconds: float, types: bool) -> list[float] | dict[str, int]:
    """Be the client that types, or all others; what they have seen."""
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
        if types:
            return await type_keys(post, until)
        await asyncio.gather(*(disturb(post, random.Random(n), n, until, answers) for n in range(N_CLIENTS)))
    return answers


# --- the report ------------------------------------------------------------------------------------------------------


def show(steps: Steps, report: Json, console: Console) -> None:
    table = Table("", "number", "median ms", "99th %", "longest", "bound", title="Nobody's input keeps others waiting")
    rows = (
        ("steps of the loop", steps.ms, MAX_STEP_MS),
        ("of the processor", steps.own_ms, MAX_STEP_MS),
        ("of the process", steps.process_ms, MAX_STEP_MS),
        ("keys", report["waits"], MAX_WAIT_MS),
    )
    for name, ms, bound in rows:
        parts = (f"{np.percentile(ms, share):.2f}" for share in (50, 99, 100))
        table.add_row(name, str(len(ms)), *parts, f"{bound:.0f}")
    console.print(table)
    for process_ms, own_ms, ms, what in steps.longest:
        console.print(
            f"{process_ms:.1f} ms (own {own_ms:.1f}, {ms:.1f} on the clock)  {what}", markup=False, highlight=False
        )
    console.print(
        "answers: " + ", ".join(f"{name}: {n}" for name, n in sorted(report["answers"].items())), highlight=False
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=120.0, help="how long to send")
    parser.add_argument("--socket", default="", help=argparse.SUPPRESS)  # of the daemon, for the process of the clients
    parser.add_argument("--types", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--disturbs", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.socket:
        sys.stdout.write(json.dumps(asyncio.run(send(arguments.socket, arguments.seconds, arguments.types))))
    else:
        show(*asyncio.run(serve(arguments.seconds)), Console())


if __name__ == "__main__":
    main()
