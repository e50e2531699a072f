"""Whether a daemon stays as large as it was: mixed work for a long time, and its sizes now and then.

    python -m tests.benchmarks.endurance [--minutes N] [--kind KIND]

A real daemon on a tiny model: keys and jumps in files of two projects, chats, pauses in which it writes, idle unloads, and an
engine that is killed now and then. Prints the memory, descriptors and threads of both processes, and the size of the records.
Fails if the second half of the time needs clearly more than the quarter before, or the records more than their budget.
"""

import argparse
import asyncio
import signal
from collections.abc import Iterator
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

import numpy as np
import psutil

from scrubjay.errors import ScrubjayError
from tests.support.api import Json
from tests.support.daemon_process import Daemon, running_daemon
from tests.support.engine_rig import MIB
from tests.support.gguf_models import tiny_model
from tests.support.service import source

STORE_MIB = 16
N_FILES = 3
N_LINES = 100
ROUND_S = 12.0
"""A pause in each round is long enough for all to be written."""
UNLOAD_EVERY, KILL_EVERY = 9, 5
"""Rounds. An idle unload takes a minute."""
GROWTH, SLACK = 1.1, {"memory": 16, "descriptors": 6, "threads": 4}
"""What the second half may need more than the part before: a tenth, or a little."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """At one moment; memory in MiB. The engine's are 0 while there is none."""

    minute: float
    daemon_memory: float
    engine_memory: float
    daemon_descriptors: int
    engine_descriptors: int
    daemon_threads: int
    engine_threads: int
    store: float

    def __str__(self) -> str:
        return "".join(f"{value:>20.1f}" if isinstance(value, float) else f"{value:>20}" for value in astuple(self))


def sizes(daemon: Daemon, begun: float, folder: Path) -> Sizes:
    mine = psutil.Process(daemon.process.pid)
    try:
        engine = daemon.engine()
        its = (engine.memory_info().rss / MIB, engine.num_fds(), engine.num_threads())
    except (ValueError, psutil.Error):
        its = (0.0, 0, 0)
    store = sum(path.stat().st_size for path in folder.glob("*.record")) / MIB
    minute = (monotonic() - begun) / 60
    memory, descriptors, threads = mine.memory_info().rss / MIB, mine.num_fds(), mine.num_threads()
    return Sizes(minute, memory, its[0], descriptors, its[1], threads, its[2], store)


class Person:
    """Works in two projects; what is typed replaces what was typed before, so that files stay as long as they are."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._rng = np.random.default_rng(0)
        self._lines = {
            f"/project_{project}/{number}.py": source(N_LINES, 10 * project + number).splitlines()
            for project in range(2)
            for number in range(N_FILES)
        }
        self._version = 0
        self.n_answers = 0

    async def work(self) -> None:
        """A few keys at each of a few places."""
        for _ in range(4):
            path = list(self._lines)[int(self._rng.integers(len(self._lines)))]
            line = int(self._rng.integers(N_LINES))
            for key in range(3):
                await self._type(path, line, key)
        text = f"What is {self._rng.integers(1000)}? " * 40
        await self._ask("/v1/chat/completions", {"messages": [{"role": "user", "content": text}], "max_tokens": 8})

    async def _type(self, path: str, line: int, key: int) -> None:
        self._lines[path][line] = f"value = {'x' * key}{self._version}"
        self._version += 1
        text = "\n".join(self._lines[path]) + "\n"
        await self._daemon.api.open(f"file://{path}", text, path.rpartition("/")[0], self._version)
        place = {"line": line, "character": 0}
        await self._ask("/api/complete", {"uri": f"file://{path}", "position": place, "max_tokens": 8})

    async def _ask(self, path: str, body: Json) -> None:
        status, answer = await self._daemon.api.post(path, body)
        # An engine that was killed takes the request with it that it was working on.
        if status == 200:
            self.n_answers += 1
        elif status < 500:
            raise ScrubjayError(f"{path} answers {status}: {answer}")


async def measure(kind: str, minutes: float) -> tuple[list[Sizes], int]:
    """Sizes after each round, and how many requests were answered."""
    taken = []
    with TemporaryDirectory(prefix="scrubjay-") as name:
        folder = Path(name)
        options = ("--threads=1", "--interval=64", f"--store={STORE_MIB}MiB", "--idle-unload=1")
        async with running_daemon(tiny_model(kind), folder / "daemon.sock", 4096, options) as daemon:
            await daemon.ready()
            person, begun, number = Person(daemon), monotonic(), 0
            while monotonic() - begun < 60 * minutes:
                number += 1
                if number % UNLOAD_EVERY == 0:
                    await daemon.api.until("state", state="unloaded")
                await person.work()
                if number % KILL_EVERY == 0:
                    daemon.engine().kill()
                    await daemon.api.until("state", state="loading")
                    await daemon.ready()
                    await person.work()
                await asyncio.sleep(ROUND_S)
                taken.append(sizes(daemon, begun, folder / "records"))
                print(taken[-1], flush=True)
            daemon.process.send_signal(signal.SIGTERM)
            await daemon.process.wait()
    return taken, person.n_answers


def faults(taken: list[Sizes]) -> Iterator[str]:
    """What has grown from the second quarter to the second half; sentences."""
    before, after = taken[len(taken) // 4 : len(taken) // 2], taken[len(taken) // 2 :]
    for field in fields(Sizes)[1:-1]:
        old, new = (max(getattr(one, field.name) for one in part) for part in (before, after))
        if new > max(old * GROWTH, old + SLACK[field.name.partition("_")[2]]):
            yield f"{field.name} grew from {old:.0f} to {new:.0f}."
    if max(one.store for one in taken) > STORE_MIB:
        yield "The records take more than their budget."


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--kind", default="deltanet")
    chosen = parser.parse_args(arguments)
    print("".join(f"{field.name:>20}" for field in fields(Sizes)))
    taken, n_answers = asyncio.run(measure(chosen.kind, chosen.minutes))
    found = list(faults(taken)) if len(taken) >= 4 else ["Too short to say anything."]
    print(f"{n_answers} answers.", *(found or ["Nothing has grown."]), sep="\n")
    return int(bool(found))


if __name__ == "__main__":
    raise SystemExit(main())
