"""Two models in one daemon, as llama.vim and gptel use them at the same time: which answers, and what each reuses."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from scrubjay.http.app import serving
from scrubjay.service.service import Service
from scrubjay.service.settings import ModelSettings, ServiceSettings
from tests.http.compat.test_recorded import recorded
from tests.support.api import BASE, Api, connected
from tests.support.gguf_models import tiny_model
from tests.support.service import engine_settings, until_state

Json = dict[str, Any]
FIM, CHAT = "scrubjay-test-deltanet", "talk"
LONG = "You are a careful programmer. " * 30


@asynccontextmanager
async def two_models(socket: Path) -> AsyncIterator[tuple[Service, Api]]:
    """A daemon with a hybrid that completes code and a dense model to talk with, which is not loaded yet."""
    others = (ModelSettings(engine_settings(tiny_model("dense")), CHAT, ("chat",)),)
    service = Service(ServiceSettings(engine_settings(tiny_model("deltanet")), warm=False, rules=False, others=others))
    service.start()
    try:
        async with serving(service, socket), connected(socket) as api:
            await until_state(service, "ready")
            yield service, api
    finally:
        await service.close()


def gptel(turns: int) -> Json:
    """What gptel sends for the next turn of a conversation that grows."""
    said = [{"role": "system", "content": LONG}]
    for turn in range(turns):
        said += [{"role": "user", "content": f"Question {turn}?"}, {"role": "assistant", "content": f"Answer {turn}."}]
    body = {"model": "any", "messages": [*said, {"role": "user", "content": f"Question {turns}?"}]}
    return {**body, "stream": False, "temperature": 0.0, "max_tokens": 4}


@pytest.mark.slow
async def test_llama_vim_and_gptel_in_turns_each_reuse_their_own_context(tmp_path: Path) -> None:
    infills = [one["body"] for one in recorded("llama_vim") if one["path"] == "/infill" and one["body"]["n_predict"]]
    async with two_models(tmp_path / "s") as (service, api):
        for turn, body in enumerate(infills):
            # All that it answers is wanted here, however long it takes.
            asked = {**body, "response_fields": None, "t_max_prompt_ms": 0, "t_max_predict_ms": 0, "n_predict": 4}
            status, filled = await api.post("/infill", asked)
            assert status == 200, filled
            assert filled["model"] == FIM
            status, said = await api.post("/v1/chat/completions", gptel(turn))
            assert status == 200, said
            assert said["model"] == CHAT
            if turn:
                # What the template says of the last answer is new, and what was asked since.
                assert said["reuse"]["processed"] < 64 < said["reuse"]["common"]
                again = (await api.post("/infill", asked))[1]
                assert again["reuse"]["processed"] <= 64
        assert [len(model.status.contexts) for model in service.models if model.status] == [1, 1]
        report = (await api.get("/api/status"))[1]
        assert [(model["name"], model["state"]) for model in report["models"]] == [(FIM, "ready"), (CHAT, "ready")]
        assert report["rss"]["engine"] == sum(model["rss"] for model in report["models"])
        requests = (await api.get("/api/requests"))[1]["requests"]
        assert {request["model"] for request in requests} == {FIM, CHAT}


@pytest.mark.slow
async def test_the_model_of_a_request_is_the_one_that_it_names(tmp_path: Path) -> None:
    async with two_models(tmp_path / "s") as (_, api):
        status, models = await api.get("/v1/models")
        assert (status, [model["id"] for model in models["data"]]) == (200, [FIM, CHAT])
        assert [model["status"]["value"] for model in models["data"]] == ["loaded", "unloaded"]
        bodies = {"/v1/completions": {"prompt": "def f("}, "/completion": {"prompt": "def f("}}
        bodies["/v1/chat/completions"] = gptel(0)
        for route, body in bodies.items():
            for name, meant in ((CHAT, CHAT), ("chat", CHAT), ("tal", CHAT), ("complete", FIM), (FIM, FIM)):
                status, answer = await api.post(route, {**body, "model": name, "max_tokens": 1})
                assert (status, answer.get("model")) == (200, meant), (route, name)
            by_habit = CHAT if "chat" in route else FIM
            for habit in ("gpt-4o", "qwen2.5-coder:7b", "", None, 7):
                status, answer = await api.post(route, {**body, "model": habit, "max_tokens": 1})
                assert (status, answer.get("model")) == (200, by_habit), (route, habit)
        assert (await api.get(f"/props?model={CHAT}"))[1]["model_alias"] == CHAT
        assert (await api.get("/props"))[1]["model_alias"] == FIM
        assert (await api.get(f"/slots?model={CHAT}"))[0] == 200
        status, models = await api.get("/v1/models")
        assert [model["status"]["value"] for model in models["data"]] == ["loaded", "loaded"]


@pytest.mark.slow
async def test_metrics_tell_models_apart(tmp_path: Path) -> None:
    async with two_models(tmp_path / "s") as (_, api):
        await api.post("/v1/chat/completions", gptel(0))
        async with api.http.get(f"{BASE}/metrics") as response:
            text = await response.text()
        for name in (FIM, CHAT):
            assert f'scrubjay_model_ready{{model="{name}"}} 1.0' in text


@pytest.mark.slow
async def test_the_first_conversation_waits_for_its_model(tmp_path: Path) -> None:
    """It is not told to come again, as clients are while the daemon starts; nor is one that comes meanwhile."""
    async with two_models(tmp_path / "s") as (_, api):
        answers = await asyncio.gather(*(api.post("/v1/chat/completions", gptel(turns)) for turns in range(2)))
        assert [status for status, _ in answers] == [200, 200]
