"""Several models in one daemon: which one is meant, each with its own contexts, all within one budget of memory."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from scrubjay.completion.requests import Completion, RawRequest
from scrubjay.errors import EngineError, RequestError
from scrubjay.model_tables import Purpose
from scrubjay.prompt.client_prompts import RawPrompt
from scrubjay.protocol.messages import Sampling
from scrubjay.service.events import ForgetRoot, Generate, OpenModel, RequestStatus
from scrubjay.service.memory_budget import Memory, MemoryBudget, memory_of
from scrubjay.service.served_model import ServedModel
from scrubjay.service.service import Service
from scrubjay.service.settings import ModelSettings, ServiceSettings
from tests.support.gguf_models import tiny_model
from tests.support.service import complete, engine_settings, open_document, source, until, until_state

URI = "file:///project/a.py"
TEXT = source(60, seed=7)


@asynccontextmanager
async def running_models(
    *others: ModelSettings, folder: Path | None = None, memory_budget: int = 0
) -> AsyncIterator[Service]:
    """A service whose first model is a hybrid, and that has `others`; records are kept in `folder`."""
    store = str(folder / "records") if folder else ""
    engine = replace(engine_settings(tiny_model("deltanet")), store=store)
    more = tuple(replace(other, engine=replace(other.engine, store=store)) for other in others)
    settings = ServiceSettings(engine, warm=False, layout="plain", rules=False, others=more)
    service = Service(replace(settings, memory_budget=memory_budget))
    service.start()
    try:
        yield service
        for model in service.models:
            model.dispatcher.scheduler.check_integrity()
    finally:
        await service.close()


def other(name: str, kind: str = "dense", *purposes: Purpose, idle_unload_s: float = 0.0) -> ModelSettings:
    engine = engine_settings(tiny_model(kind))
    return ModelSettings(engine, name, purposes or ("chat",), layout="plain", idle_unload_s=idle_unload_s)


async def generate(model: ServedModel, text: str) -> Completion:
    event = Generate(RawRequest(RawPrompt((text,)), sampling=Sampling(max_tokens=4)))
    model.post(event)
    return await event.reply


async def status_of(service: Service) -> Sequence[ServedModel]:
    event = RequestStatus()
    service.post(event)
    await event.reply
    return list(service.models)


async def until_model(service: Service, model: ServedModel, state: str) -> None:
    """Wait until `model`, which has a name by now, is in that state."""
    news = service.broadcaster.subscribe({"model"})
    news.put({"type": "model", "name": model.name, **model.state()})
    await until(news, lambda event: (event["name"], event["state"]) == (model.name, state))
    service.broadcaster.unsubscribe(news)


async def test_a_name_or_a_purpose_or_a_beginning_says_which_model_is_meant() -> None:
    async with running_models(
        other("qwen2.5-talk"), other("qwen2.5-edit", "dense", "edit"), other("vectors", "dense", "embed")
    ) as service:
        await until_state(service, "ready")
        first, talk, edit, vectors = service.models
        choose = service.models.choose
        assert choose("complete") is choose("complete", "gpt-4o") is choose("edit", "complete") is first
        assert choose("chat") is choose("chat", "qwen2.5-coder") is choose("complete", "qwen2.5-talk") is talk
        assert choose("complete", "QWEN2.5-Edit") is choose("chat", "edit") is choose("edit") is edit
        assert choose("complete", "qwen") is talk, "the first of those that begin so"
        assert choose("chat", first.name) is choose("chat", first.name[:12]) is first
        assert (
            choose("embed") is choose("embed", "text-embedding-3-small") is choose("embed", "qwen2.5-talk") is vectors
        )
        assert choose("complete", "vectors") is first, "it cannot do that"
        assert first.name == "scrubjay-test-deltanet"


async def test_one_model_is_meant_by_everything() -> None:
    async with running_models() as service:
        for name in ("", "gpt-4o", "chat", "scrubjay"):
            assert (
                service.models.choose("chat", name) is service.models.choose("complete", name) is service.models.first
            )
        with pytest.raises(RequestError, match="No model here has the purpose 'embed'"):
            service.models.choose("embed", "text-embedding-3-small")


@pytest.mark.slow
async def test_each_model_reuses_its_own_contexts_however_they_take_turns() -> None:
    async with running_models(other("talk")) as service:
        talk = service.models.choose("chat")
        assert talk.supervisor.state == "unloaded", "it is loaded when it is asked for"
        await open_document(service, URI, source(120))
        cold = await complete(service, URI, line=100)
        said = await generate(talk, TEXT)
        assert cold.reuse.processed == cold.reuse.prompt
        assert said.reuse.processed == said.reuse.prompt
        assert said.model == "talk"
        for number in range(1, 4):
            again, more = await asyncio.gather(
                complete(service, URI, line=100, n=1 + number), generate(talk, TEXT + "\n" * number)
            )
            assert again.reuse.processed <= 64
            assert more.reuse.processed <= number + 1
        assert {record.model for record in service.models.logs.of("")} == {"talk", "scrubjay-test-deltanet"}
        assert service.models.first.supervisor.pid != talk.supervisor.pid


@pytest.mark.slow
async def test_events_and_log_lines_say_which_model(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "scrubjay.service.request_news")
    async with running_models(other("talk")) as service:
        news = service.broadcaster.subscribe()
        await open_document(service, URI, source(20))
        await complete(service, URI)
        told = await until(news, lambda event: event["type"] == "completion")
        assert told["model"] == "scrubjay-test-deltanet"
        await generate(service.models.choose("chat"), TEXT)
        told = await until(news, lambda event: event["type"] == "completion")
        assert told["model"] == "talk"
    lines = [record.getMessage() for record in caplog.records]
    assert any("; model talk" in line for line in lines)


@pytest.mark.slow
async def test_the_unloading_of_one_touches_no_other(tmp_path: Path) -> None:
    async with running_models(other("talk", idle_unload_s=0.3), folder=tmp_path) as service:
        talk = service.models.choose("chat")
        await open_document(service, URI, source(120))
        await complete(service, URI, line=100)
        said = await generate(talk, TEXT)
        pid = service.supervisor.pid
        await until_model(service, talk, "unloaded")
        assert service.supervisor.state == "ready"
        assert service.supervisor.pid == pid
        assert (await complete(service, URI, line=100, n=2)).reuse.processed <= 64
        again = await generate(talk, TEXT)
        assert again.items == said.items
        assert again.reuse.processed <= 33, "what it held came from records"
        assert talk.supervisor.n_restarts == service.supervisor.n_restarts == 0


@pytest.mark.slow
async def test_the_model_used_least_recently_makes_room(tmp_path: Path) -> None:
    async with running_models(other("talk"), other("edits", "dense_plain", "edit"), folder=tmp_path) as service:
        first, talk, edits = service.models
        await open_document(service, URI, source(120))
        before = await complete(service, URI, line=100)
        await generate(talk, TEXT)
        await status_of(service)
        sizes = [model.status.rss for model in (first, talk) if model.status]
        assert len(sizes) == 2
        # Room for two, and for what they may grow by.
        service.models.memory.budget = memory_of(talk).main + memory_of(edits).main + min(sizes) // 2
        said = await generate(edits, TEXT)
        assert said.items
        await until_model(service, first, "unloaded")
        assert (talk.supervisor.state, edits.supervisor.state) == ("ready", "ready")
        await require_within_budget(service)
        # It comes back with what it held, and the one that was used least recently goes.
        service.models.memory.budget = sum(sizes) + min(sizes) // 2
        again = await complete(service, URI, line=100)
        assert again.items == before.items
        assert again.reuse.processed <= 64
        await until_model(service, talk, "unloaded")
        assert edits.supervisor.state == "ready"
        await require_within_budget(service)


def test_the_memory_of_gpus_has_a_limit_of_its_own() -> None:
    taken = Memory(4, 7) + Memory(1, 2) - Memory(0, 1)
    assert taken == Memory(5, 8)
    assert taken.fits(Memory(5, 8))
    assert not taken.fits(Memory(4, 8))
    assert not taken.fits(Memory(5, 7))
    assert Memory(5, 1 << 50).fits(MemoryBudget([], 5).limit), "no engine has found a GPU"
    assert not Memory(6, 0).fits(MemoryBudget([], 5).limit)


async def require_within_budget(service: Service) -> None:
    """What the engines that are loaded say that they take is no more than they may."""
    models = [model for model in await status_of(service) if model.supervisor.is_ready]
    assert sum(model.status.rss for model in models if model.status) <= service.models.memory.budget


@pytest.mark.slow
async def test_a_model_that_works_is_waited_for(tmp_path: Path) -> None:
    """With no room for two, each is answered in turn."""
    async with running_models(other("talk"), folder=tmp_path, memory_budget=1) as service:
        talk = service.models.choose("chat")
        await open_document(service, URI, source(120))
        answers = await asyncio.gather(
            complete(service, URI, line=100, max_tokens=64),
            generate(talk, TEXT),
            complete(service, URI, line=60),
            generate(talk, TEXT + "x"),
        )
        assert all(answer.items for answer in answers)
        loaded = [model for model in service.models if model.supervisor.is_ready]
        assert len(loaded) <= 1


@pytest.mark.slow
async def test_a_model_that_cannot_be_loaded_fails_alone(tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF" + bytes(100))
    settings = replace(other("talk"), engine=engine_settings(broken))
    async with running_models(settings) as service:
        talk = service.models.choose("chat")
        event = OpenModel()
        talk.post(event)
        with pytest.raises(EngineError, match="broken"):
            await event.reply
        with pytest.raises(EngineError, match="broken"):
            await generate(talk, TEXT)
        await open_document(service, URI, source(20))
        assert (await complete(service, URI)).items


@pytest.mark.slow
async def test_what_is_forgotten_is_forgotten_by_all(tmp_path: Path) -> None:
    async with running_models(other("talk"), folder=tmp_path) as service:
        await open_document(service, URI, source(120))
        await complete(service, URI, line=100)
        await generate(service.models.choose("chat"), TEXT)
        event = ForgetRoot()
        service.post(event)
        await event.reply
        assert (await complete(service, URI, line=100, n=2)).reuse.processed > 500
        again = await generate(service.models.choose("chat"), TEXT)
        assert again.reuse.processed == again.reuse.prompt
