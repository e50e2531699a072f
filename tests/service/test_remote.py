"""A service whose model another server runs."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import unused_port

from scrubjay.completion.requests import Completion
from scrubjay.errors import EngineError
from scrubjay.process.lifecycle import stop_daemon
from scrubjay.protocol.messages import EngineSettings, Sampling
from scrubjay.service.events import Complete, RequestStatus
from scrubjay.service.service import Service
from scrubjay.service.settings import ModelSettings, ServiceSettings
from scrubjay.service.status import StatusReport
from scrubjay.tokens import as_tokens
from scrubjay.workspace.events import ChangeDocument
from scrubjay.workspace.text import Change, Position
from tests.support.api import connected, next_prefill
from tests.support.gguf_models import tiny_model
from tests.support.remote import events_of, scripted
from tests.support.service import (
    LONG,
    complete,
    completion,
    engine_settings,
    open_document,
    open_long_project,
    source,
    until_state,
    warm,
)
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


# --- while it is away, a model on this machine answers ----------------------------------------------------------------


@asynccontextmanager
async def with_one_here(remote: str, **more: object) -> AsyncIterator[Service]:
    """A service whose first model another server runs; the second one, for the same purpose, runs here."""
    here = ModelSettings(engine_settings(tiny_model("dense")), "here", ("complete", "chat"))
    settings = ServiceSettings(EngineSettings(remote, **more), warm=False, rules=False, others=(here,))  # type: ignore[arg-type]
    service = Service(settings)
    service.start()
    try:
        yield service
        for model in service.models:
            model.dispatcher.scheduler.check_integrity()
    finally:
        await service.close()


@pytest.mark.slow
async def test_a_model_here_answers_until_the_server_is_there_again(tmp_path: Path) -> None:
    port = unused_port()
    flags = {"model": str(tiny_model("deltanet")), "http": f"127.0.0.1:{port}", "store": "off"}
    box = a_daemon(tmp_path / "s", **flags)
    try:
        async with with_one_here(f"remote+llama:http://127.0.0.1:{port}") as service:
            await until_state(service, "ready")
            await open_document(service, URI, source(60))
            there = (await complete(service, URI, 20)).model
            assert there != "here"
            assert service.models.choose("chat").name == "here", "it is the one for chats anyway"
            box.kill()
            for line in (20, 21):
                answer = await complete(service, URI, line)
                assert (answer.model, len(answer.items)) == ("here", 1)
            assert service.models.choose("complete", there).name == "here"
            service.post(cold := completion(URI, 21, cold=True))
            assert (await cold.reply).items == answer.items
            box = a_daemon(tmp_path / "s", **flags)
            await until_state(service, "ready")
            assert (await complete(service, URI, 20)).model == there
    finally:
        stop_daemon(box.path)


@pytest.mark.slow
async def test_what_was_asked_of_a_server_that_dies_or_hangs_is_answered_here(tmp_path: Path) -> None:
    for number, signal_ in enumerate((signal.SIGKILL, signal.SIGSTOP)):
        box = a_daemon(
            tmp_path / f"s{number}", model=str(tiny_model("deltanet")), http="127.0.0.1:0", store="off", ctx=str(LONG)
        )
        status = box.client.get("status")
        try:
            async with with_one_here(f"remote+llama:{status['config']['http'][0]}") as service:
                await until_state(service, "ready")
                last = await open_long_project(service)
                texts: list[str] = []
                event = completion(last, 5)
                streamed = Complete(event.request, texts.append, event.reply)
                async with connected(box.path) as api, api.events() as events:
                    service.post(streamed)
                    await next_prefill(events)
                os.kill(status["pid"], signal_)
                answer = await streamed.reply
                assert answer.model == "here"
                assert answer.items[0].text == "".join(texts)
        finally:
            with suppress(ProcessLookupError):
                os.kill(status["pid"], signal.SIGKILL)
            stop_daemon(box.path)


async def test_a_text_of_which_the_client_has_a_part_is_not_written_anew_here() -> None:
    begun = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        response = await events_of(request, b'{"content":"value ","tokens":[5],"stop":false}')
        begun.set()
        await asyncio.get_running_loop().create_future()
        return response

    async with scripted(tiny_model("dense"), answer) as server, with_one_here(server.address) as service:
        await until_state(service, "ready")
        await open_document(service, URI, source(10))
        texts: asyncio.Queue[str] = asyncio.Queue()
        event = completion(URI, 5)
        service.post(streamed := Complete(event.request, texts.put_nowait, event.reply))
        await begun.wait()
        assert await texts.get() == "value "
        await server.stop()
        with pytest.raises(EngineError):
            await streamed.reply
        assert (await complete(service, URI, 5)).model == "here"


async def test_a_server_that_was_never_there_has_one_here_in_its_place() -> None:
    async with with_one_here(f"remote:http://127.0.0.1:{unused_port()}/v1") as service:
        await open_document(service, URI, source(10))
        assert (await complete(service, URI)).model == "here"
        assert (await warm(service)).model == "here"
