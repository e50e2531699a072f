"""Clients of llama.cpp that send chunks of other files with each request, and announce new ones: a key never waits for them."""

import asyncio
from pathlib import Path

import pytest

from tests.support.api import Api, Json, running_api
from tests.support.gguf_models import tiny_model
from tests.support.service import is_progress, source, until

INTERVAL = 64
BEFORE, AFTER = source(80), "\n" + source(20, seed=2)


def chunks(n: int) -> list[Json]:
    return [{"filename": f"{number}.py", "text": source(20, seed=10 + number)} for number in range(n)]


async def key(api: Api, typed: str, n_chunks: int) -> Json:
    """What a key has cost."""
    body = {
        "input_prefix": BEFORE,
        "input_suffix": AFTER,
        "prompt": typed,
        "input_extra": chunks(n_chunks),
        "n_predict": 2,
    }
    status, answer = await api.post("/infill", body)
    assert status == 200
    reuse: Json = answer["reuse"]
    return reuse


async def announce(api: Api, n_chunks: int) -> None:
    """As llama.vim does when it has new chunks."""
    nothing = {"input_prefix": "", "input_suffix": "", "prompt": "", "n_predict": 0, "t_max_prompt_ms": 1}
    status, _ = await api.post("/infill", {**nothing, "input_extra": chunks(n_chunks)})
    assert status == 200


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["deltanet", "dense"])
async def test_new_chunks_cost_no_key_anything(tmp_path: Path, kind: str) -> None:
    async with running_api(tiny_model(kind), tmp_path / "s") as (service, api):
        first = await key(api, "    x", 2)
        assert first["processed"] > 1000
        news = service.broadcaster.subscribe()
        reading = asyncio.create_task(announce(api, 3))
        await until(news, is_progress)
        typing = await key(api, "    xy", 3)
        assert typing["prompt"] <= first["prompt"] + 4, "the chunks from before"
        assert typing["processed"] <= INTERVAL + 4
        await reading
        after = await key(api, "    xyz", 3)
        assert after["prompt"] > typing["prompt"] + 100, "the new chunk is there"
        assert after["processed"] <= INTERVAL + 4
