"""What seven people who type feel of an eighth who reads 8,000 tokens again and again.

    python -m tests.benchmarks.keys [--model FILE] [--seconds N] [--prefill TOKENS]

A daemon with eight keys and a real model. Each of the seven has a prompt of 1,000 tokens, to which he adds a few with each
request, and asks for 12 tokens more, at the pace of somebody who types; first without the eighth, then with it. What is
printed is how long their requests waited for the model (`queue_ms`), how long they took in all, and what was processed.
"""

import argparse
import asyncio
import random
import statistics
import sys
from collections.abc import Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import aiohttp
import numpy as np

from scrubjay.http.app import serving
from scrubjay.http.guard import Address
from scrubjay.key_tables import KeyTable, digest_of
from scrubjay.protocol.messages import EngineSettings
from scrubjay.service.service import Service
from scrubjay.service.settings import ServiceSettings
from tests.support.engine_rig import random_tokens
from tests.support.gguf_models import true_shape
from tests.support.service import until_state

N_TYPISTS = 7
PAUSE_S = 0.6
"""Between two requests of one who types, on average."""
PROMPT, TYPED, WRITTEN = 1000, 4, 12
NAMES = [*(f"typist-{number}" for number in range(N_TYPISTS)), "reader"]


@dataclass
class Waits:
    """Milliseconds: what the typists' requests waited for the model, and took in all; and tokens processed for their prompts."""

    queue: list[float] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)
    processed: list[float] = field(default_factory=list)
    n_read: int = 0


class Typist:
    """One who types: what his prompt is by now."""

    def __init__(self, name: str, seed: int) -> None:
        self.name = name
        self.chance, self.numbers = random.Random(seed), np.random.default_rng(seed)
        self.tokens: list[int] = random_tokens(self.numbers, PROMPT).tolist()


class Bench:
    """Asks a box."""

    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        self._url, self._http = url, http

    async def ask(self, name: str, tokens: list[int], n: int) -> dict[str, Any]:
        body = {"prompt": tokens, "n_predict": n, "ignore_eos": True, "cache_prompt": True}
        headers = {"Authorization": f"Bearer {name}"}
        async with self._http.post(f"{self._url}/completion", json=body, headers=headers) as response:
            answer = await response.json()
            assert response.status == 200, answer
            return dict(answer)

    async def type(self, typist: Typist, until: float, waits: Waits) -> None:
        """Ask again and again, with a few more tokens each time."""
        while perf_counter() < until:
            await asyncio.sleep(typist.chance.expovariate(1 / PAUSE_S))
            typist.tokens += random_tokens(typist.numbers, TYPED).tolist()
            begun = perf_counter()
            answer = await self.ask(typist.name, typist.tokens, WRITTEN)
            waits.whole.append((perf_counter() - begun) * 1e3)
            waits.queue.append(answer["timings"]["queue_ms"])
            waits.processed.append(answer["reuse"]["processed"])

    async def read(self, n_tokens: int, until: float, waits: Waits) -> None:
        """Send another long prompt as soon as the last one is done."""
        numbers = np.random.default_rng(99)
        while perf_counter() < until:
            await self.ask("reader", random_tokens(numbers, n_tokens).tolist(), 8)
            waits.n_read += 1

    async def run(self, typists: list[Typist], seconds: float, n_prefill: int) -> Waits:
        waits, until = Waits(), perf_counter() + seconds
        typing = [self.type(typist, until, waits) for typist in typists]
        await asyncio.gather(*typing, *([self.read(n_prefill, until, waits)] if n_prefill else []))
        return waits


@asynccontextmanager
async def a_box(model: Path, n_ctx: int) -> Any:
    tables = tuple(KeyTable(name, digest_of(name), group=name) for name in NAMES)
    with TemporaryDirectory() as folder:
        service = Service(ServiceSettings(EngineSettings(str(model), n_ctx=n_ctx), warm=False))
        service.start()
        try:
            async with (
                serving(service, Path(folder) / "s", Address("127.0.0.1", 0, keys=tables)) as listeners,
                aiohttp.ClientSession() as http,
            ):
                await until_state(service, "ready")
                yield Bench(listeners.urls[0], http)
        finally:
            await service.close()


def share(values: Sequence[float], part: float) -> float:
    return sorted(values)[min(int(part * len(values)), len(values) - 1)]


def report(alone: Waits, beside: Waits) -> list[str]:
    lines = [f"{'':<26}{'requests':>9}{'median':>9}{'95 %':>9}{'most':>9}   ms"]
    for title, waits in (("seven type", alone), ("and an eighth reads", beside)):
        for what, values in (("wait", waits.queue), ("in all", waits.whole), ("tokens", waits.processed)):
            row = (statistics.median(values), share(values, 0.95), max(values))
            lines.append(f"{f'{title}, {what}':<26}{len(values):>9}" + "".join(f"{value:>9.1f}" for value in row))
    added = share(beside.queue, 0.95) - share(alone.queue, 0.95)
    return [*lines, f"Added wait, 95 %: {added:.1f} ms; the eighth had {beside.n_read} long prompts read."]


async def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--model", type=Path)
    parser.add_argument("--seconds", type=float, default=40.0)
    parser.add_argument("--prefill", type=int, default=8000)
    arguments = parser.parse_args()
    model = arguments.model.resolve() if arguments.model else true_shape("deltanet")
    async with a_box(model, arguments.prefill + 1024) as bench:
        typists = [Typist(name, seed) for seed, name in enumerate(NAMES[:-1])]
        for typist in typists:
            await bench.ask(typist.name, typist.tokens, 1)
        alone = await bench.run(typists, arguments.seconds, 0)
        beside = await bench.run(typists, arguments.seconds, arguments.prefill)
    print("\n".join(report(alone, beside)), file=sys.stdout)


if __name__ == "__main__":
    asyncio.run(main())
