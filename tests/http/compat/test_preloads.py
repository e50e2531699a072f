"""Preloads whose connection is closed, and the real request that follows from another connection."""

import asyncio
import random
from pathlib import Path

import pytest

from scrubjay.notifications import Subscription
from tests.support.api import Answer, Api, Json, running_api
from tests.support.gguf_models import tiny_model
from tests.support.service import is_progress, source

INTERVAL = 64
N_TIMES = 200


async def some_progress(news: Subscription, n_events: int) -> None:
    """Wait until a prompt has come on that many times."""
    async for event in news:
        n_events -= is_progress(event)
        if n_events <= 0:
            return


async def after_killed_preload(
    api: Api, news: Subscription, preload: Json, n_events: int, body: Json, is_late: bool
) -> Answer:
    """The answer to `body`, sent when the connection of `preload` is closed; if that `is_late`, just before.

    It is closed when the preload has come on so far, unless it is answered before. Each has a connection of its own.
    """
    before = asyncio.create_task(api.post("/completion", preload))
    progress = asyncio.create_task(some_progress(news, n_events))
    await asyncio.wait([before, progress], return_when=asyncio.FIRST_COMPLETED)
    if is_late:
        real = asyncio.create_task(api.post("/completion", body))
    for task in (before, progress):
        task.cancel()
    await asyncio.wait([before, progress])
    return await (real if is_late else api.post("/completion", body))


@pytest.mark.slow
async def test_preloads_killed_at_any_time_lose_nothing(tmp_path: Path) -> None:
    rng, prompt = random.Random(0), source(80)
    body = {"prompt": prompt, "n_predict": 3, "temperature": 0}
    async with running_api(tiny_model("deltanet"), tmp_path / "s") as (service, api):
        _, right = await api.post("/completion", body)
        news = service.broadcaster.subscribe()
        for number in range(N_TIMES):
            place = rng.randrange(len(prompt))
            edited = f"{prompt[:place]}# {number}\n{prompt[place:]}"
            preload = {**body, "prompt": edited, "n_predict": rng.choice((0, 1, 50))}
            is_late = rng.random() < 0.5
            status, answer = await after_killed_preload(api, news, preload, rng.randrange(1, 4), body, is_late)
            assert (status, answer["content"]) == (200, right["content"])
            _, rest = await api.post("/tokenize", {"content": prompt[place:]})
            # Two more: the edit may have changed how the text just before it falls into tokens.
            assert answer["reuse"]["processed"] <= len(rest["tokens"]) + INTERVAL + 2
