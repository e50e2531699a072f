"""Engine processes that are killed at any moment: what they leave on disk is whole, and the next one's answers are right."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest

from scrubjay.engine.client import EngineClient
from scrubjay.engine.interface import EngineGone
from scrubjay.protocol.messages import Done, EngineSettings, Opened, Piece, PrefillCost, PrefillDone, Run, Sampling
from scrubjay.tokens import Tokens, as_tokens
from tests.support.engine_rig import random_tokens
from tests.support.gguf_models import tiny_model

MIB = 1 << 20
N_ROUNDS = int(os.environ.get("SCRUBJAY_KILLS", "6"))
"""The long form: 200."""
MAX_S = 0.4
"""Until when a process is killed: as long as it takes to process the prompt, and to write it."""
CLEAR_MARGIN = 0.05
"""Between the logits of the two best tokens: noise does not turn these around."""


class Engine:
    """A process, and what it says."""

    def __init__(self) -> None:
        self.said: asyncio.Queue[object] = asyncio.Queue()
        self.client: EngineClient

    async def until(self, kind: type) -> list[object]:
        """What is said up to the next message of that kind, or the end."""
        heard: list[object] = []
        while not heard or not isinstance(heard[-1], kind | EngineGone):
            heard.append(await self.said.get())
        return heard

    async def first_token(self, job: int, tokens: Tokens, cold: bool) -> tuple[str, float, PrefillCost] | None:
        """The first token after `tokens`, and by how much it won; None if the process is gone."""
        sampling = Sampling(max_tokens=2, ignore_end=True, with_margins=True)
        self.client.run(Run(job, "" if cold else "/p", tokens, sampling=sampling, cold=cold))
        heard = await self.until(Done)
        if isinstance(heard[-1], EngineGone):
            return None
        pieces = [message for message in heard if isinstance(message, Piece)]
        (cost,) = [message.cost for message in heard if isinstance(message, PrefillDone)]
        return "".join(piece.text for piece in pieces), min(m for piece in pieces for m in piece.margins), cost


@asynccontextmanager
async def engine(kind: str, folder: Path) -> AsyncIterator[Engine]:
    settings = EngineSettings(
        str(tiny_model(kind)),
        n_ctx=1024,
        n_threads=1,
        interval=64,
        eager_load=False,
        checkpoint_budget=16 * MIB,
        store=str(folder),
        store_budget=2 * MIB,
    )
    one = Engine()
    one.client = await EngineClient.start(settings, one.said.put_nowait)
    try:
        heard = await one.until(Opened)
        assert isinstance(heard[-1], Opened), heard[-1]
        yield one
    finally:
        await one.client.close()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["deltanet", "dense", "swa"])
async def test_killed_at_any_moment_nothing_wrong_is_left(kind: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(N_ROUNDS)
    folder, prompt, n_reused = tmp_path / "records", random_tokens(rng, 700), 0
    for number in range(N_ROUNDS):
        at = int(rng.integers(300, 690))
        prompt = as_tokens(np.concatenate([prompt[:at], random_tokens(rng, 5), prompt[at + 5 :]]))
        async with engine(kind, folder) as one:
            if number % 2:
                asyncio.get_running_loop().call_later(rng.random() * MAX_S, _kill, one.client.pid)
                await one.first_token(1, prompt, cold=False)
                continue
            warm, cold = await one.first_token(1, prompt, cold=False), await one.first_token(2, prompt, cold=True)
            assert warm
            assert cold
            assert warm[0] == cold[0] or min(warm[1], cold[1]) < CLEAR_MARGIN
            n_reused += warm[2].prompt - warm[2].processed
            closing = asyncio.create_task(one.client.close())
            asyncio.get_running_loop().call_later(rng.random() * MAX_S, _kill, one.client.pid)
            await closing
    assert n_reused > 0 or N_ROUNDS < 6


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
