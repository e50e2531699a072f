"""What handlers of every dialect do: read a request, have the service generate, send the answer whole or as events."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from aiohttp import web

from scrubjay.completion.requests import Completion, RawRequest
from scrubjay.errors import EngineError, RequestError, ScrubjayError
from scrubjay.http.compat.answers import Server
from scrubjay.http.compat.reading import CompatRequest
from scrubjay.http.errors import dump, error_body
from scrubjay.http.keys import tenant_of
from scrubjay.http.params import Params, read_params
from scrubjay.model_tables import Purpose
from scrubjay.prompt.client_prompts import raw_tokens
from scrubjay.prompt.recipe import PromptTools
from scrubjay.protocol.messages import ModelInfo
from scrubjay.service.events import Generate, OpenModel
from scrubjay.service.served_model import ServedModel
from scrubjay.service.service import Service
from scrubjay.service.tenants import OWNER, Tenant

Json = dict[str, Any]
Events = Iterable[Json]
V = TypeVar("V")
N_SLICE = 1 << 16
"""Characters of a long text that are written at a time."""
_HEADERS = {"Content-Type": "text/event-stream", "Cache-Control": "no-store"}


class Generators:
    """The models of a service, as routes choose among them."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def __iter__(self) -> Iterator["Generator"]:
        return map(Generator, self._service.models)

    def of(self, purpose: Purpose | None = "complete", name: str = "") -> "Generator":
        """See `Models.choose`."""
        return Generator(self._service.models.choose(purpose, name))

    async def read(
        self, request: web.Request, read: Callable[[Params], V], purpose: Purpose | None = "complete"
    ) -> tuple["Generator", V]:
        """The model that `request` means, loaded, and what `read` makes of its fields; see `read_params`.

        Raises:
            RequestError: as `read`; or there is no model for it, or not yet.
            EngineError: the model cannot be loaded.
        """
        if len(self._service.models) == 1:
            # Nothing that it says could change what is asked.
            self.of(purpose).require_model()
        name, value = await read_params(request, lambda params: (_model_name(params), read(params)))
        generator = Generator(self._service.models.choose(purpose, name), tenant_of(request))
        generator.require_model()
        await generator.open()
        return generator, value


class Generator:
    """One model, as the routes that generate use it for `tenant`."""

    def __init__(self, model: ServedModel, tenant: Tenant = OWNER) -> None:
        self.model = model
        self.tenant = tenant

    @property
    def info(self) -> ModelInfo:
        """Raises:
        RequestError: 503, the model was never loaded.
        """
        if self.model.supervisor.info is None:
            raise RequestError("Loading model", 503)
        return self.model.supervisor.info

    @property
    def server(self) -> Server:
        info = self.model.supervisor.info
        return Server(self.model.name, info.n_ctx if info else 0)

    def require_model(self) -> None:
        """Raises an error that becomes a 503 unless there is a model, or one that is loaded because somebody wants it."""
        supervisor = self.model.supervisor
        if supervisor.state == "failed":
            raise EngineError(supervisor.message)
        if supervisor.state == "loading" and not supervisor.is_woken:
            raise RequestError("Loading model", 503)

    async def open(self) -> None:
        """Have the model loaded if its vocabulary is not known yet.

        Raises:
            EngineError: it cannot be loaded.
        """
        if self.model.fim_order is None:
            event = OpenModel()
            self.model.post(event)
            await event.reply

    async def prepared(self, asked: CompatRequest) -> CompatRequest:
        """The request with everything in it that only the vocabulary can tell."""
        if not asked.biases and not asked.sampling.logit_bias:
            return asked
        n_characters = sum(len(text) for text, _ in asked.biases)
        return await self.model.use_vocabulary(asked.resolved, n_characters)

    async def text_of(self, parts: tuple[str | int, ...]) -> str:
        """The prompt that those texts and tokens are, as text."""

        def work(tools: PromptTools) -> str:
            if all(isinstance(part, str) for part in parts):
                return "".join(map(str, parts))
            vocabulary = tools.vocabulary
            # Refuses what is no token, before llama.cpp is asked about it.
            raw_tokens([part for part in parts if not isinstance(part, str)], vocabulary, add_special=False)
            pieces = [part.encode() if isinstance(part, str) else vocabulary.piece(part) for part in parts]
            return b"".join(pieces).decode(errors="replace")

        return await self.model.use_vocabulary(work, len(parts))

    async def generated(self, request: RawRequest) -> Completion:
        """Raises:
        ScrubjayError: the service's sentence.
        """
        event = Generate(request, tenant=self.tenant)
        self.model.post(event)
        return await event.reply

    async def all_generated(self, asked: CompatRequest) -> list[Completion]:
        return await asyncio.gather(*(self.generated(request) for request in asked.requests))

    def stream(self, asked: CompatRequest) -> "GenerationStream":
        """Raises:
        RequestError: there are several prompts.
        """
        if len(asked.requests) > 1:
            raise RequestError("Only one prompt can be streamed; send the others by themselves.")
        return GenerationStream(self.model, asked.request, self.tenant)


class GenerationStream:
    """One request whose texts are taken as they come; closing it ends the request."""

    def __init__(self, model: ServedModel, request: RawRequest, tenant: Tenant) -> None:
        self._texts: asyncio.Queue[str | None] = asyncio.Queue()
        event = Generate(request, self._texts.put_nowait, tenant)
        self.reply = event.reply
        self.reply.add_done_callback(lambda _: self._texts.put_nowait(None))
        model.post(event)

    async def texts(self) -> AsyncIterator[str]:
        """What is generated, until the reply is there."""
        while (text := await self._texts.get()) is not None:
            yield text


async def send_events(
    request: web.Request,
    stream: GenerationStream,
    first: Events,
    piece: Callable[[str], Events],
    last: Callable[[Completion], Events],
    end: bytes,
) -> web.StreamResponse:
    """Answer `request` with events, each sent at once: no comments between, some clients end at them.

    Raises:
        ScrubjayError: the request failed before anything was sent.
    """
    texts = stream.texts()
    response = web.StreamResponse(headers=_HEADERS)
    try:
        text = await anext(texts, None)
        if text is None:
            # Nothing is sent yet, so an error can still be an HTTP status.
            await stream.reply
        await response.prepare(request)
        await _write(response, [*first, *(piece(text) if text is not None else [])])
        async for text in texts:
            await _write(response, piece(text))
        await _write(response, await _closing(stream.reply, last))
        await response.write(end)
    finally:
        stream.reply.cancel()
    return response


async def _closing(reply: "asyncio.Future[Completion]", last: Callable[[Completion], Events]) -> Events:
    try:
        return last(await reply)
    except ScrubjayError as error:
        # Tabby ends at an event without these two keys.
        return [{**error_body(error)[1], "content": "", "stop": True}]


async def _write(response: web.StreamResponse, events: Events) -> None:
    for event in events:
        await response.write(b"data: " + dump(event).encode() + b"\n\n")


def without_text(completion: Completion) -> Completion:
    """For the end of a stream, when the text has been sent."""
    first = completion.items[:1]
    return replace(completion, items=tuple(replace(item, text="") for item in first))


def _model_name(params: Params) -> str:
    name = params.values.get("model")
    return name if isinstance(name, str) else ""


def json_answer(body: object) -> web.Response:
    return web.json_response(body, dumps=dump)


def dump_text(text: str) -> bytes:
    """A JSON string, written a slice at a time: in a thread, others have their turn between slices."""
    slices = (text[start : start + N_SLICE] for start in range(0, len(text), N_SLICE))
    return b'"' + b"".join(dump(each)[1:-1].encode() for each in slices) + b'"'


async def send_parts(request: web.Request, parts: Sequence[bytes]) -> web.StreamResponse:
    """Answer with JSON that may be long, a part at a time, as fast as the client reads."""
    response = web.StreamResponse(headers={"Content-Type": "application/json; charset=utf-8"})
    response.content_length = sum(map(len, parts))
    await response.prepare(request)
    for part in parts:
        # To hand over megabytes in one step would copy them while everybody waits.
        for start in range(0, len(part), N_SLICE):
            await response.write(part[start : start + N_SLICE])
    await response.write_eof()
    return response
