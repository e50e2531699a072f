"""Preloads whose connection is closed, and the real request that follows from another connection."""

import asyncio
import random
from pathlib import Path
from typing import Any

from scrubjay.feed import Subscription
from tests.apis import Api, running_api
from tests.gguf_models import tiny_model
from tests.services import is_progress, source

INTERVAL = 64
N_TIMES = 200


async def some_progress(news: Subscription, n_events: int) -> None:
    """Wait until a prompt has come on that many times."""
    async for event in news:
        n_events -= is_progress(event)
        if n_events <= 0:
            return


async def killed_preload(api: Api, news: Subscription, body: dict[str, Any], n_events: int) -> None:
    """Send a request, and close its connection once it has come on so far, if it is not answered before."""
    preload = asyncio.create_task(api.post("/completion", body))
    progress = asyncio.create_task(some_progress(news, n_events))
    await asyncio.wait([preload, progress], return_when=asyncio.FIRST_COMPLETED)
    for task in (preload, progress):
        task.cancel()
    await asyncio.wait([preload, progress])


async def test_preloads_killed_at_any_time_lose_nothing(tmp_path: Path) -> None:
    rng, prompt = random.Random(0), source(80)
    body = {"prompt": prompt, "n_predict": 3, "temperature": 0}
    async with running_api(tiny_model("deltanet"), tmp_path / "s") as (service, api):
        _, right = await api.post("/completion", body)
        news = service.feed.subscribe()
        for number in range(N_TIMES):
            place = rng.randrange(len(prompt))
            edited = f"{prompt[:place]}# {number}\n{prompt[place:]}"
            preload = {**body, "prompt": edited, "n_predict": rng.choice((0, 1, 50))}
            await killed_preload(api, news, preload, rng.randrange(1, 4))
            status, answer = await api.post("/completion", body)
            assert (status, answer["content"]) == (200, right["content"])
            _, rest = await api.post("/tokenize", {"content": prompt[place:]})
            # Two more: the edit may have changed how the text just before it falls into tokens.
            assert answer["reuse"]["processed"] <= len(rest["tokens"]) + INTERVAL + 2
