"""Speeds while other programs want the processors: fixed numbers of threads against the engine's own choice.

    python -m tests.benchmarks.busy MODEL [--rounds N] [--busy K...]

Beside K processes that do nothing but loop, engines with each fixed number of threads and one that chooses take turns: each
processes a prompt that it has not seen, and generates. A round's ratio is that of the engine that chooses to the better of the
others, so what else the machine does meanwhile is the same for both sides, more or less. Then prompts are brought in unasked
beside two of them for each processor, and how much processor time they get is compared with what they get alone.
"""

import argparse
import asyncio
import inspect
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from time import perf_counter

import numpy as np
import psutil
from rich.console import Console
from rich.table import Table

from scrubjay.protocol.messages import EngineSettings, Run, Sampling
from scrubjay.tokens import Tokens, as_tokens
from tests.benchmarks.contestants import Ours, n_cores, settle

N_PROMPT = 256
N_GENERATED = 24
N_CTX = 2048
ADAPTIVE = 0
COUNTING = "while True: pass"


@contextmanager
def busy(n: int) -> Iterator[list[psutil.Process]]:
    """So many processes that want a processor each."""
    made = [subprocess.Popen([sys.executable, "-S", "-c", COUNTING]) for _ in range(n)]
    try:
        yield [psutil.Process(process.pid) for process in made]
    finally:
        for process in made:
            process.kill()
            process.wait()


def some_prompt(seed: int, n_vocab: int) -> Tokens:
    return as_tokens(np.random.default_rng(seed).integers(0, n_vocab, N_PROMPT))


class Bench:
    """One engine for each number of threads; `ADAPTIVE` chooses."""

    def __init__(self, model: Path) -> None:
        self._settings = {
            n: EngineSettings(str(model), N_CTX, n_threads=n) for n in (*range(1, n_cores() + 1), ADAPTIVE)
        }
        self.engines: dict[int, Ours] = {}
        self._n_prompts = 0

    async def start(self, stack: AsyncExitStack) -> None:
        for n, settings in self._settings.items():
            self.engines[n] = await Ours.start(settings)
            stack.push_async_callback(self.engines[n].close)

    def prompt(self) -> Tokens:
        """One that nobody has seen."""
        self._n_prompts += 1
        info = self.engines[ADAPTIVE].info
        return some_prompt(self._n_prompts, info.n_vocab if info else 1)

    async def speeds(self, n_threads: int) -> tuple[float, float]:
        """Tokens per second of a prefill and of a generation."""
        sampling = Sampling(N_GENERATED, ignore_end=True)
        await settle()
        cost, done, _ = await self.engines[n_threads].generate(self.prompt(), sampling, "/busy")
        return cost.processed / cost.prefill_ms * 1e3, done.n_generated / done.generate_ms * 1e3


async def measure_speeds(bench: Bench, n_busy: int, n_rounds: int) -> dict[int, list[tuple[float, float]]]:
    """By the number of threads, the speeds of each round."""
    found: dict[int, list[tuple[float, float]]] = {n: [] for n in bench.engines}
    with busy(n_busy):
        for number in range(n_rounds):
            # Each in every place of the order, and each once for nothing: what it had to get used to is not what is measured.
            order = [*bench.engines][number % len(found) :] + [*bench.engines][: number % len(found)]
            for n in order:
                if not number:
                    await bench.speeds(n)
                found[n].append(await bench.speeds(n))
    return found


def show_speeds(found: dict[int, list[tuple[float, float]]], n_busy: int, console: Console) -> None:
    fixed = [n for n in found if n != ADAPTIVE]
    names = [f"{n} thread{'s' * (n > 1)}" for n in fixed]
    table = Table("tokens/s", *names, "adaptive", "of the best", title=f"{n_busy} busy processes")
    for index, name in enumerate(("prefill", "generation")):
        medians = {n: float(np.median([speeds[index] for speeds in rounds])) for n, rounds in found.items()}
        best = max(fixed, key=lambda n: medians[n])
        ratios = [ours[index] / other[index] for ours, other in zip(found[ADAPTIVE], found[best], strict=True)]
        table.add_row(name, *(f"{medians[n]:.1f}" for n in (*fixed, ADAPTIVE)), f"{np.median(ratios):.2f}")
    console.print(table)


async def share_of_others(bench: Bench, seconds: float, is_unasked: bool | None) -> float:
    """Processor time, of what there is, that two busy processes for each processor get while prompts are brought in, or none."""
    n_cpus = n_cores()
    engine = bench.engines[ADAPTIVE]
    with busy(2 * n_cpus) as others:
        await asyncio.sleep(0.5)  # until they are there
        before, begun = sum(sum(other.cpu_times()[:2]) for other in others), perf_counter()
        while perf_counter() - begun < seconds:
            if is_unasked is None:
                await asyncio.sleep(seconds)
            else:
                await engine.run(Run(0, "/busy", bench.prompt(), is_unasked=is_unasked))
        elapsed = perf_counter() - begun
        return (sum(sum(other.cpu_times()[:2]) for other in others) - before) / elapsed / n_cpus


async def measure(model: Path, n_rounds: int, numbers: list[int]) -> None:
    console = Console()
    async with AsyncExitStack() as stack:
        bench = Bench(model)
        await bench.start(stack)
        for n_busy in numbers:
            show_speeds(await measure_speeds(bench, n_busy, n_rounds), n_busy, console)
        table = Table("beside them", "their share of the processors", title=f"{2 * n_cores()} busy processes")
        for name, is_unasked in (("nothing", None), ("a prompt, asked for", False), ("a prompt, unasked", True)):
            table.add_row(name, f"{await share_of_others(bench, 5.0, is_unasked):.2f}")
        console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=inspect.getdoc(sys.modules[__name__]))
    parser.add_argument("model", type=Path, help="a GGUF file")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--busy", type=int, nargs="+", default=[0, 1, 2, 4], help="numbers of busy processes")
    flags = parser.parse_args()
    asyncio.run(measure(flags.model, flags.rounds, flags.busy))


if __name__ == "__main__":
    main()
