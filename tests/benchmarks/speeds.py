"""Speeds of prefill and generation against llama-server at its best settings, on the clock and in processor time.

    python -m tests.benchmarks.speeds MODEL [--tokens N...] [--rounds N]

One llama-server for each of `-fa on` and `off` with each of `-ub 128` and `512`, and our engine as it comes, take turns: each
processes a prompt that it has not seen, then generates after it. Needs `make bench-peer`. A round's ratio is that to the server
that is the best in the median, so that what else the machine does is the same for both sides, more or less.
"""

import argparse
import asyncio
import inspect
import sys
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Protocol

import numpy as np
import psutil
from rich.console import Console
from rich.table import Table

from scrubjay.llama.vocabulary import Vocabulary
from scrubjay.protocol.messages import EngineSettings, Sampling
from scrubjay.tokens import Tokens, as_tokens
from tests.benchmarks.contestants import Ours, Server, n_cores, settle

N_GENERATED = 64
OURS = "scrubjay"
KINDS = ("prefill", "generation")


@dataclass(frozen=True, slots=True)
class Speed:
    """Milliseconds for one token: on the clock, and of processors."""

    ms: float
    cpu_ms: float


class Contestant(Protocol):
    """Something that processes a prompt and generates after it, in a process of its own."""

    pid: int

    async def take(self, prompt: Tokens, n_generated: int) -> tuple[float, int, float]:
        """Milliseconds of the prefill, how many tokens were processed, and milliseconds of the generation."""


class OursHere:
    """Our engine."""

    def __init__(self, engine: Ours) -> None:
        self._engine = engine
        self.pid = engine.pid

    async def take(self, prompt: Tokens, n_generated: int) -> tuple[float, int, float]:
        sampling = Sampling(n_generated, ignore_end=True)
        cost, done, _ = await self._engine.generate(prompt, sampling, "/speeds")
        return cost.prefill_ms, cost.processed, done.generate_ms


class ServerHere:
    """A llama-server."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.pid = server.pid

    async def take(self, prompt: Tokens, n_generated: int) -> tuple[float, int, float]:
        wanted = {"prompt": prompt.tolist(), "n_predict": n_generated, "ignore_eos": True}
        timings = await self._server.timings(wanted)
        return timings["prompt_ms"], timings["prompt_n"], timings["predicted_ms"]


def cpu_ms(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system) * 1e3


async def speeds_of(contestant: Contestant, prompt: Tokens) -> tuple[Speed, Speed]:
    """Of a prefill of `prompt`, which it has not seen, and of a generation after it."""
    await settle()
    before = cpu_ms(contestant.pid)
    ms, n, _ = await contestant.take(prompt, 1)
    between = cpu_ms(contestant.pid)
    # The same prompt again costs one token of it.
    _, _, generate_ms = await contestant.take(prompt, N_GENERATED + 1)
    after = cpu_ms(contestant.pid)
    return Speed(ms / n, (between - before) / n), Speed(generate_ms / N_GENERATED, (after - between) / N_GENERATED)


async def contestants(model: Path, n_ctx: int, stack: AsyncExitStack) -> dict[str, Contestant]:
    ours = await Ours.start(EngineSettings(str(model), n_ctx))
    stack.push_async_callback(ours.close)
    found: dict[str, Contestant] = {OURS: OursHere(ours)}
    common = ("-c", str(n_ctx), "-t", str(n_cores()), "-tb", str(n_cores()), "-np", "1", "--swa-full")
    for attention, n_ubatch in product(("on", "off"), ("128", "512")):
        name = f"-fa {attention} -ub {n_ubatch}"
        server = Server(name, model, (*common, "-fa", attention, "-ub", n_ubatch), {})
        stack.push_async_callback(server.close)
        await server.ready()
        found[name] = ServerHere(server)
    return found


async def measure(model: Path, lengths: list[int], n_rounds: int) -> None:
    console = Console()
    vocabulary = Vocabulary.open(model)
    n_vocab = vocabulary.n_tokens
    vocabulary.close()
    async with AsyncExitStack() as stack:
        found = await contestants(model, max(lengths) + 2 * N_GENERATED, stack)
        names, rng = list(found), np.random.default_rng(0)
        for length in lengths:
            rounds: dict[str, list[tuple[Speed, Speed]]] = {name: [] for name in names}
            for number in range(n_rounds):
                for name in (*names[number % len(names) :], *names[: number % len(names)]):
                    prompt = as_tokens(rng.integers(0, n_vocab, length))
                    rounds[name].append(await speeds_of(found[name], prompt))
            show(rounds, length, console)


def show(rounds: dict[str, list[tuple[Speed, Speed]]], length: int, console: Console) -> None:
    columns = [f"{kind}, {what}" for kind in KINDS for what in ("tokens/s", "CPU ms a token")]
    table = Table("", *columns, title=f"{length} tokens")
    for name, found in rounds.items():
        cells = []
        for index in range(len(KINDS)):
            cells.append(f"{1e3 / _median(found, index, 'ms'):.1f}")
            cells.append(f"{_median(found, index, 'cpu_ms'):.2f}")
        table.add_row(name, *cells)
    table.add_row(
        "ours of the best", *(_ratio(rounds, i, what) for i in range(len(KINDS)) for what in ("ms", "cpu_ms"))
    )
    console.print(table)


def _median(found: list[tuple[Speed, Speed]], index: int, what: str) -> float:
    return float(np.median([getattr(pair[index], what) for pair in found]))


def _ratio(rounds: dict[str, list[tuple[Speed, Speed]]], index: int, what: str) -> str:
    """How fast ours is, where the best of the others is 1."""
    best = min((name for name in rounds if name != OURS), key=lambda name: _median(rounds[name], index, what))
    pairs = zip(rounds[best], rounds[OURS], strict=True)
    return f"{np.median([getattr(its[index], what) / getattr(mine[index], what) for its, mine in pairs]):.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=inspect.getdoc(sys.modules[__name__]))
    parser.add_argument("model", type=Path, help="a GGUF file")
    parser.add_argument("--tokens", type=int, nargs="+", default=[500, 2000, 4000], help="lengths of prompts")
    parser.add_argument("--rounds", type=int, default=5)
    flags = parser.parse_args()
    asyncio.run(measure(flags.model, flags.tokens, flags.rounds))


if __name__ == "__main__":
    main()
