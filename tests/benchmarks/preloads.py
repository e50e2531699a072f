"""How soon a real request has the model when a preload is killed by closing its connection.

    python -m tests.benchmarks.preloads [KIND ...]     (kinds of tests.support.gguf_models.true_shape; default: deltanet)

A daemon as users have it, on a model of true shape with random weights. The real request comes from another connection, in
every other trial just before the preload's is closed. Times are printed, never asserted.
"""

import asyncio
import statistics
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.support.api import Json, connected, next_prefill
from tests.support.daemon_process import running_daemon
from tests.support.gguf_models import true_shape
from tests.support.service import source

N_CTX = 9216
N_TRIALS = 16


async def waits_after_preloads(kind: str) -> list[float]:
    """Milliseconds that real requests wait for the model."""
    text = source(500)
    real: Json = {"prompt": source(30), "n_predict": 2, "temperature": 0}
    waits: list[float] = []
    with TemporaryDirectory() as folder:
        socket = Path(folder) / "s"
        options = ("--interval=256", "--no-warm")
        async with running_daemon(true_shape(kind), socket, N_CTX, options) as daemon, connected(socket) as other:
            await daemon.ready()
            await daemon.api.post("/completion", real)
            for trial in range(N_TRIALS):
                async with daemon.api.events() as events:
                    preload = asyncio.create_task(other.post("/completion", {"prompt": text, "n_predict": 0}))
                    await next_prefill(events)
                await asyncio.sleep(0.05 + 0.07 * trial)  # anywhere inside a decode
                if trial % 2:
                    preload.cancel()
                answering = asyncio.create_task(daemon.api.post("/completion", real))
                await asyncio.sleep(0)
                preload.cancel()
                _, answer = await answering
                waits.append(answer["timings"]["queue_ms"])
    return waits


if __name__ == "__main__":
    for kind in sys.argv[1:] or ["deltanet"]:
        waits = asyncio.run(waits_after_preloads(kind))
        print(f"{kind}: a real request's wait ms: median {statistics.median(waits):.1f}, worst {max(waits):.1f}")
