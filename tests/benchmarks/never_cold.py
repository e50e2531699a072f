"""What the first completion costs after a restart, in order or by force, and after edits made while nothing ran.

    python -m tests.benchmarks.never_cold [--kind KIND] [--tokens N] [--tiny] [--interval N] [--peer [LLAMA_SERVER]]

A real daemon on a model of true shape with random weights (`--tiny`: the small one of the tests). Prints a table; fails if a
first completion processes more than was promised. Times are printed only: from the model being loaded until the answer is there.

With `--peer`, llama-server is asked for the same, the program that is named or else the one of the tests: it saves its slot after
the first prompt, and a new process restores it before each of the others.
"""

import argparse
import asyncio
import json
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import numpy as np

from tests.support.api import next_event
from tests.support.daemon_process import Daemon, running_daemon
from tests.support.engine_rig import random_tokens
from tests.support.gguf_models import tiny_model, true_shape
from tests.support.llama_server import llama_server, which

EDITS = (0.25, 0.5, 0.9)
EDITED = (11, 12, 13)


@dataclass(frozen=True, slots=True)
class Row:
    """What one prompt cost: tokens, and milliseconds since the model was loaded."""

    name: str
    processed: int
    allowed: int
    elapsed_ms: float
    loaded_ms: float

    def __str__(self) -> str:
        return f"{self.name:<44}{self.processed:>8}{self.allowed:>9}{self.elapsed_ms:>10.0f}{self.loaded_ms:>10.0f}"


@dataclass(frozen=True, slots=True)
class Asked:
    """One prompt of the plan: how many tokens any cache must process, and how the daemon ends after it."""

    name: str
    tokens: list[int]
    needed: int
    end: str


def plan(n_tokens: int) -> list[Asked]:
    tokens = [int(token) for token in random_tokens(np.random.default_rng(0), n_tokens)]
    asked = [
        Asked("cold", tokens, n_tokens, "stop"),
        Asked("after stop and start", tokens, 0, "kill"),
        Asked("after kill -9", tokens, 0, "stop"),
    ]
    for share in EDITS:
        at = int(share * n_tokens)
        edited = [*tokens[:at], *EDITED, *tokens[at + len(EDITED) :]]
        asked.append(Asked(f"edited at {share:.0%} while it was down", edited, n_tokens - at, "stop"))
    return asked


async def complete(daemon: Daemon, tokens: list[int]) -> int:
    """Ask for one token after `tokens`; how many of them were processed."""
    body = {"prompt": tokens, "n_predict": 1, "temperature": 0, "ignore_eos": True}
    status, answer = await daemon.api.post("/completion", body)
    assert status == 200, answer
    n_processed: int = answer["timings"]["prompt_n"]
    return n_processed


async def until_saved(daemon: Daemon) -> None:
    """Wait until the engine says that all is on disk."""
    async with daemon.api.events() as events:
        _, report = await daemon.api.get("/api/status")
        if not report["records"]["is_saved"]:
            await next_event(events, "records", is_saved=True)


async def life(
    folder: Path, model: Path, options: tuple[str, ...], n_ctx: int, tokens: list[int], end: str
) -> tuple[int, int, float, float]:
    """One daemon: what `tokens` cost first, the interval, and how long loading and answering took; it ends as `end` says."""
    begun = time.perf_counter()
    async with running_daemon(model, folder / "daemon.sock", n_ctx, options) as daemon:
        await daemon.ready()
        loaded = time.perf_counter()
        n_processed = await complete(daemon, tokens)
        answered = time.perf_counter()
        _, report = await daemon.api.get("/api/status")
        await until_saved(daemon)
        if end == "kill":
            daemon.engine().kill()
            daemon.process.kill()
        else:
            daemon.process.send_signal(signal.SIGTERM)
        await daemon.process.wait()
    return n_processed, report["model"]["interval"], (answered - loaded) * 1e3, (loaded - begun) * 1e3


async def measure(model: Path, n_tokens: int, interval: int, store: str) -> list[Row]:
    """All rows, for prompts of `n_tokens`."""
    options = (
        f"--interval={interval}" if interval else "--interval=auto",
        "--no-warm",
        "--no-rules",
        f"--store={store}",
    )
    rows = []
    with TemporaryDirectory(prefix="scrubjay-") as name:
        folder, n_ctx = Path(name), n_tokens + 1024
        for asked in plan(n_tokens):
            n, interval, elapsed, loaded = await life(folder, model, options, n_ctx, asked.tokens, asked.end)
            allowed = asked.needed + (interval if asked.needed < n_tokens else 0)
            rows.append(Row(asked.name, n, allowed, elapsed, loaded))
    return rows


def post(url: str, body: dict[str, Any]) -> dict[str, Any]:
    """Ask llama-server, once its model is loaded."""
    while True:
        try:
            with urlopen(Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})) as answer:
                read: dict[str, Any] = json.load(answer)
                return read
        except HTTPError as error:
            if error.code != 503:
                raise
            time.sleep(0.05)


def measure_peer(model: Path, n_tokens: int, server: Path | None) -> list[int]:
    """What llama-server processes for the prompts of the plan."""
    counts: list[int] = []
    with TemporaryDirectory(prefix="scrubjay-") as name:
        for asked in plan(n_tokens):
            with llama_server(model, n_tokens + 1024, Path(name), server) as (_, url):
                if counts:
                    post(f"{url}/slots/0?action=restore", {"filename": "slot"})
                body = {"prompt": asked.tokens, "n_predict": 1, "temperature": 0, "cache_prompt": True, "id_slot": 0}
                counts.append(int(post(f"{url}/completion", body)["timings"]["prompt_n"]))
                if len(counts) == 1:
                    post(f"{url}/slots/0?action=save", {"filename": "slot"})
    return counts


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kind", default="deltanet")
    parser.add_argument("--tokens", type=int, default=8192)
    parser.add_argument("--interval", type=int, default=0)
    parser.add_argument("--store", default="4GiB")
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--peer", nargs="?", const=Path(), type=Path, metavar="LLAMA_SERVER")
    chosen = parser.parse_args(arguments)
    model = tiny_model(chosen.kind) if chosen.tiny else true_shape(chosen.kind)
    rows = asyncio.run(measure(model, chosen.tokens, chosen.interval, chosen.store))
    print(f"{chosen.kind}, {chosen.tokens} tokens\n{'':<44}{'tokens':>8}{'allowed':>9}{'ms':>10}{'loading':>10}")
    print(*rows, sep="\n")
    if chosen.peer is not None:
        server = chosen.peer if chosen.peer.name else None
        counts = measure_peer(model, chosen.tokens, server)
        print(f"\nThe same with {server or which()}, its slot saved and restored\n{'':<44}{'tokens':>8}{'ours':>9}")
        print(*(f"{row.name:<44}{n:>8}{row.processed:>9}" for row, n in zip(rows, counts, strict=True)), sep="\n")
    return int(any(row.processed > row.allowed for row in rows))


if __name__ == "__main__":
    raise SystemExit(main())
