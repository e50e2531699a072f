"""Two servers behind a router: what a user has had read is asked of the server that has read it, from the second request on."""

from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio

from scrubjay.protocol.messages import Done, Failed, Run, Sampling
from scrubjay.tokens import as_tokens
from tests.support.gguf_models import tiny_model
from tests.support.llama_server import is_there, llama_server
from tests.support.remote import opened_engine, until
from tests.support.router import real_router, small_router, vllm_router

USERS = ("/anna", "/bob", "/carl")
N_FIRST, N_TYPED = 600, 10


@pytest_asyncio.fixture
async def workers() -> AsyncIterator[tuple[str, str]]:
    if not is_there():
        pytest.skip("llama-server is not here: `make bench-peer` builds it")
    with llama_server(tiny_model("dense")) as (_, first), llama_server(tiny_model("dense")) as (_, second):
        for worker in (first, second):
            async with opened_engine(f"remote+llama:{worker}"):
                pass  # its model is loaded
        yield first, second


async def processed(model: str, seed: int, n_rounds: int = 3) -> list[list[int]]:
    """What each user's prompt costs in each round; it grows by `N_TYPED` from one to the next."""
    chance, costs = np.random.default_rng(seed), list[list[int]]()
    prompts = {user: chance.integers(300, 700, N_FIRST).tolist() for user in USERS}
    async with opened_engine(model, tokenizer=str(tiny_model("dense"))) as (engine, events):
        for number in range(n_rounds):
            costs.append([])
            for user, prompt in prompts.items():
                engine.run(Run(number, user, as_tokens(prompt), sampling=Sampling(max_tokens=1)))
                *_, end = await until(events, Done, Failed)
                assert isinstance(end, Done), end
                assert end.cost
                costs[-1].append(end.cost.processed)
                prompt += chance.integers(300, 700, N_TYPED).tolist()
    return costs


FIRST, LATER = [N_FIRST] * len(USERS), [N_TYPED] * len(USERS)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "path"), [("remote", "/v1"), ("remote+llama", "")])
async def test_a_router_that_knows_sessions_finds_who_has_read_it(
    kind: str, path: str, workers: tuple[str, str]
) -> None:
    async with small_router(workers) as (url, sent):
        assert await processed(f"{kind}:{url}{path}", len(kind)) == [FIRST, LATER, LATER]
    assert set(sent) == set(workers), "each has users"


@pytest.mark.slow
async def test_without_sessions_all_is_read_by_each(workers: tuple[str, str]) -> None:
    async with small_router(workers, knows_sessions=False) as (url, _):
        whole = [N_FIRST + N_TYPED] * len(USERS)
        assert await processed(f"remote+llama:{url}", 1) == [FIRST, whole, [2 * N_TYPED] * len(USERS)]


@pytest.mark.slow
@pytest.mark.skipif(not vllm_router(), reason="vllm-router is not installed")
@pytest.mark.parametrize("policy", ["consistent_hash", "cache_aware"])
async def test_vllm_router_finds_who_has_read_it(policy: str, workers: tuple[str, str], tmp_path: Path) -> None:
    async with real_router(workers, policy, tmp_path / "log") as url:
        assert await processed(f"remote:{url}/v1", len(policy)) == [FIRST, LATER, LATER]
