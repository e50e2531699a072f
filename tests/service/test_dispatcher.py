"""A mistake with one request ends that request: the others have their turn."""

import threading
from dataclasses import dataclass, field

import pytest

from scrubjay.completion.requests import CompletionRequest, RawRequest
from scrubjay.errors import RequestError
from scrubjay.prompt.client_prompts import RawPrompt
from scrubjay.prompt.limits import Limits
from scrubjay.prompt.recipe import PromptTools
from scrubjay.prompt.segments import Prompt
from scrubjay.protocol.messages import Sampling
from scrubjay.service.events import Complete, Generate
from scrubjay.service.prompt_builder import PromptBuilder
from scrubjay.service.service import Service
from scrubjay.tokenizer.token_cache import Preparation, TokenCache
from tests.support.gguf_models import tiny_model
from tests.support.growth import calls_of
from tests.support.prompts import making
from tests.support.service import complete, completion, model, open_document, running_service, source, until_state

URI = "file:///project/a.py"


@dataclass(frozen=True, slots=True)
class Broken(RawPrompt):
    """A recipe with a mistake in it, here or when it is asked how much there is to do."""

    is_asked: bool = False

    def preparations(self, tools: PromptTools, /) -> list[Preparation] | None:
        if self.is_asked:
            raise KeyError("no such text")
        return RawPrompt.preparations(self, tools)

    def make(self, tools: PromptTools) -> Prompt:  # noqa: ARG002
        raise KeyError("no such text")


async def generate(service: Service, recipe: RawPrompt) -> None:
    event = Generate(RawRequest(recipe, sampling=Sampling(max_tokens=2)))
    service.post(event)
    await event.reply


@pytest.mark.slow
@pytest.mark.parametrize("is_asked", [False, True])
@pytest.mark.parametrize("length", [10, 20_000], ids=["at once", "in the thread"])
async def test_a_prompt_that_cannot_be_made_blocks_nothing(is_asked: bool, length: int) -> None:
    async with running_service(model()) as service:
        await open_document(service, URI, source())
        await until_state(service, "ready")
        with pytest.raises(RequestError, match="no such text"):
            await generate(service, Broken(("x" * length,), is_asked=is_asked))
        assert (await complete(service, URI)).items
        assert service.dispatcher.is_idle


async def test_a_mistake_while_a_text_is_written_blocks_nothing() -> None:
    def fail(_: str) -> None:
        raise KeyError("nobody listens")

    async with running_service(model()) as service:
        await open_document(service, URI, source())
        broken = Complete(completion(URI, max_tokens=40).request, fail)
        service.post(broken)
        with pytest.raises(RequestError, match="nobody listens"):
            await broken.reply
        assert (await complete(service, URI)).items
        assert service.dispatcher.is_idle


async def test_a_mistake_before_the_engine_is_ready_blocks_nothing() -> None:
    async with running_service(model()) as service:
        await open_document(service, URI, source())
        broken = Generate(RawRequest(Broken(("x",)), sampling=Sampling(max_tokens=2)))
        service.post(broken)
        assert (await complete(service, URI)).items
        with pytest.raises(RequestError, match="no such text"):
            await broken.reply


@dataclass(frozen=True, slots=True)
class Slow(RawPrompt):
    """A recipe that waits, and notes which threads touch it."""

    go_on: threading.Event = field(default_factory=threading.Event)
    threads: list[int] = field(default_factory=list)
    caches: list[TokenCache] = field(default_factory=list)

    def make(self, tools: PromptTools) -> Prompt:
        self.threads.append(threading.get_ident())
        self.caches.append(tools.token_cache)
        self.go_on.wait()
        return RawPrompt.make(self, tools)


async def test_a_long_prompt_keeps_no_short_one_waiting_and_shares_nothing_with_it() -> None:
    builder = PromptBuilder()
    await builder.open(tiny_model("dense"), "test")
    limits = Limits(65536, 512)
    slow, middling, quick = Slow(("x" * 100_000,)), Slow(("x" * 20_000,)), Slow(("y",))
    middling.go_on.set()
    quick.go_on.set()
    first = making(builder, slow, limits)
    await making(builder, middling, limits)
    assert making(builder, quick, limits).done()
    assert not first.done()
    slow.go_on.set()
    with pytest.raises(RequestError, match="tokens and the context holds"):
        await first
    assert quick.threads == [threading.get_ident()]
    assert len({*quick.threads, *slow.threads, *middling.threads}) == 3
    assert len({id(cache) for cache in (*quick.caches, *slow.caches, *middling.caches)}) == 3
    await builder.close()


@pytest.mark.slow
async def test_what_is_streamed_is_what_is_answered() -> None:
    async with running_service(model(), rules=True) as service:
        await open_document(service, URI, source())
        for line in range(6):
            texts: list[str] = []
            asked: CompletionRequest = completion(URI, line * 2 + 1, max_tokens=20).request
            event = Complete(asked, texts.append)
            service.post(event)
            answer = await event.reply
            if answer.reuse.reason != "cached":
                assert "".join(texts) == (answer.items[0].text if answer.items else "")


@pytest.mark.slow
async def test_a_request_costs_the_same_however_many_wait() -> None:
    """Everything that is done while the model loads and thousands of requests are queued."""
    async with running_service(model()) as service:
        events = [raw_request(n) for n in range(3_000)]
        few = calls_of(lambda: service.post(events[0]))
        for event in events[1:-1]:
            service.post(event)
        assert calls_of(lambda: service.post(events[-1])) <= few
        for event in events:
            event.reply.cancel()


def raw_request(number: int) -> Generate:
    return Generate(RawRequest(RawPrompt((f"x{number}",)), sampling=Sampling(max_tokens=2)))


@pytest.mark.slow
async def test_thousands_of_requests_that_waited_for_the_model_let_a_key_go_first() -> None:
    async with running_service(model()) as service:
        await open_document(service, URI, source())
        events = [raw_request(n) for n in range(2_000)]
        for event in events:
            service.post(event)
        await until_state(service, "ready")
        assert (await complete(service, URI)).items
        assert sum(event.reply.done() for event in events) < len(events) // 2
        for event in events:
            event.reply.cancel()


@pytest.mark.slow
async def test_a_huge_prompt_of_another_client_keeps_no_key_waiting() -> None:
    async with running_service(model()) as service:
        await open_document(service, URI, source())
        assert (await complete(service, URI)).items
        huge = Generate(RawRequest(RawPrompt(("of a million characters " * 50_000,)), sampling=Sampling(max_tokens=2)))
        service.post(huge)
        assert (await complete(service, URI, 3)).items
        assert not huge.reply.done()
        with pytest.raises(RequestError, match="the context holds"):
            await huge.reply
