"""A service whose model another server runs."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from aiohttp import web
from aiohttp.test_utils import unused_port

from scrubjay.completion.requests import Completion
from scrubjay.errors import EngineError
from scrubjay.process.lifecycle import stop_daemon
from scrubjay.protocol.messages import EngineSettings, Sampling
from scrubjay.service.events import Complete, RequestStatus
from scrubjay.service.service import Service
from scrubjay.service.settings import ServiceSettings
from scrubjay.service.status import StatusReport
from scrubjay.tokens import as_tokens
from scrubjay.workspace.events import ChangeDocument
from scrubjay.workspace.text import Change, Position
from tests.support.gguf_models import tiny_model
from tests.support.remote import events_of, scripted
from tests.support.service import complete, completion, open_document, source, until_state, warm
from tests.support.shared_daemon import a_daemon

URI = "file:///project/a.py"


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Another Scrubjay on a model that is a hybrid."""
    folder = tmp_path_factory.mktemp("box")
    daemon = a_daemon(folder / "s", model=str(tiny_model("deltanet")), http="127.0.0.1:0", interval="64", store="off")
    yield f"remote+llama:{daemon.client.get('status')['config']['http'][0]}"
    stop_daemon(daemon.path)


@asynccontextmanager
async def remote_service(model: str) -> AsyncIterator[Service]:
    service = Service(ServiceSettings(EngineSettings(model), warm=False, layout="anchored", rules=False))
    service.start()
    try:
        yield service
        service.dispatcher.scheduler.check_integrity()
    finally:
        await service.close()


async def type_in(service: Service, text: str, line: int, version: int) -> Position:
    """Type `text` at the end of what was typed in that line, and where the cursor is then."""
    at = Position(line, len(text) - 1)
    event = ChangeDocument(URI, version, (Change(text[-1], at, at),))
    service.post(event)
    await event.reply
    return Position(line, len(text))


async def asked(service: Service, position: Position, cold: bool = False) -> Completion:
    how = Sampling(max_tokens=4, ignore_end=True)
    request = replace(completion(URI).request, position=position, cold=cold, sampling=how)
    service.post(event := Complete(request))
    return await event.reply


@pytest.mark.slow
async def test_typing_costs_what_is_typed_and_warm_answers_are_the_cold_ones(box: str) -> None:
    async with remote_service(box) as service:
        await until_state(service, "ready")
        await open_document(service, URI, source(60) + "\n")
        first = await asked(service, Position(60, 0))
        assert first.reuse.reason == "cold"
        line = "total = function_0_3(1, 2)"
        for n in range(1, len(line) + 1):
            warm_answer = await asked(service, await type_in(service, line[:n], 60, n + 1))
            assert warm_answer.reuse.processed <= 8
            assert warm_answer.timings.prompt_n == warm_answer.reuse.processed
        cold = await asked(service, Position(60, len(line)), cold=True)
        assert cold.reuse.processed == cold.reuse.prompt
        assert cold.items == warm_answer.items


@pytest.mark.slow
async def test_a_warm_project_answers_at_once_and_the_status_says_where(box: str) -> None:
    async with remote_service(box) as service:
        await until_state(service, "ready")
        await open_document(service, URI, source(40))
        assert (await warm(service)).reuse.reason == "cold"
        answer = await complete(service, URI, 0)
        assert answer.reuse.processed < answer.reuse.prompt // 2
        service.post(event := RequestStatus())
        await event.reply
        report = StatusReport(service).status()
        assert report["model"]["device"] == box.removeprefix("remote+llama:")
        assert report["model"]["memory_class"] == "remote"
        assert [context["key"] for context in report["contexts"]] == ["/project"]


async def test_who_asks_while_nobody_is_there_is_told_and_asks_again_later() -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        last = b'{"content":"","stop":true,"stop_type":"eos","tokens_predicted":1}'
        return await events_of(request, b'{"content":"x","tokens":[5],"stop":false}', last)

    async with scripted(tiny_model("dense"), answer) as server, remote_service(server.address) as service:
        await until_state(service, "ready")
        await open_document(service, URI, source(10))
        assert (await complete(service, URI)).items[0].text == "x"
        await server.stop()
        for _ in range(2):
            with pytest.raises(EngineError, match="cannot be reached"):
                await complete(service, URI, 1)
        await server.start()
        await until_state(service, "ready")
        assert (await complete(service, URI, 1)).items[0].text == "x"


async def test_a_server_that_was_never_there_is_told() -> None:
    async with remote_service(f"remote:http://127.0.0.1:{unused_port()}/v1") as service:
        await open_document(service, URI, source(10))
        with pytest.raises(EngineError, match="cannot be reached"):
            await complete(service, URI)


async def test_a_model_that_cannot_be_made_to_write_what_was_typed_gets_prompts_to_the_cursor() -> None:
    async with scripted(tiny_model("dense"), events_of) as server:
        prompts: list[list[int]] = []

        async def completions(request: web.Request) -> web.StreamResponse:
            body = await request.json()
            if not body.get("stream"):
                return web.json_response({"choices": [], "usage": {}})
            prompts.append(body["prompt"])
            last = b'{"choices":[{"text":"x","finish_reason":"stop"}]}'
            return await events_of(request, last, b"[DONE]")

        await server.stop()
        server.more = (web.post("/v1/completions", completions),)
        await server.start()
        settings = EngineSettings(f"remote:http://127.0.0.1:{server.port}/v1", tokenizer=str(tiny_model("dense")))
        service = Service(ServiceSettings(settings, warm=False, rules=False))
        service.start()
        try:
            await until_state(service, "ready")
            await open_document(service, URI, "value = func\n")
            assert (await asked(service, Position(0, 12))).items[0].text == "x"
            text = await service.models.first.use_vocabulary(
                lambda kit: kit.vocabulary.detokenize(as_tokens(prompts[0])), 0
            )
        finally:
            await service.close()
        assert text.rstrip().endswith("value = func")
