"""The routes of llama.cpp's server, of OpenAI and of Tabby that generate."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial

from aiohttp import web

from scrubjay.completion.requests import Completion, RawRequest
from scrubjay.errors import EngineError, RequestError
from scrubjay.http.compat import requests
from scrubjay.http.compat.requests import CompatRequest
from scrubjay.http.compat.shapes import OpenAi, OpenAiStream, Server, chosen, llama_answers, llama_piece, tabby_answer
from scrubjay.http.compat.sse import GenerationStream, send_events
from scrubjay.http.errors import dump
from scrubjay.http.params import Params, read_params
from scrubjay.prompt.infill import InfillPrompt
from scrubjay.service.events import Generate
from scrubjay.service.service import Service

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
DONE = b"data: [DONE]\n\n"
N_SUGGESTIONS = 64
N_TAIL = 256
"""So many characters before the cursor tell two places apart."""


class CompatRoutes:
    """Handlers: each reads a foreign request, has the service generate, and answers in the client's own shape.

    Args:
        anchor: whether infill prompts are laid out around an anchor where the client does not say it.
    """

    def __init__(self, service: Service, anchor: bool = True) -> None:
        self._service = service
        self._anchor = anchor
        self._suggested: deque[str] = deque(maxlen=N_SUGGESTIONS)

    def routes(self) -> list[web.RouteDef]:
        handlers: dict[str, Handler] = {
            "/infill": self.infill,
            "/completion": self.completion,
            "/completions": self.either_completion,
            "/v1/completions": self.openai_completion,
            "/v1/fim/completions": partial(self._openai, "fim"),
            "/fim/completions": partial(self._openai, "fim"),
            "/v1/chat/completions": partial(self._openai, "chat"),
            "/chat/completions": partial(self._openai, "chat"),
        }
        return [web.post(path, handler) for path, handler in handlers.items()]

    # --- llama.cpp ----------------------------------------------------------------------------------------------------

    async def infill(self, request: web.Request) -> web.StreamResponse:
        params = await self._params(request)
        ask = requests.infill(params, self._anchor)
        recipe = ask.request.recipe
        if not isinstance(recipe, InfillPrompt) or ask.stream:
            return await self._llama(request, ask)
        before = recipe.prefix + recipe.middle
        if _place(before) in self._suggested:
            # The client looks ahead, as if the last suggestion were accepted: it has a use for one answer only.
            ask = replace(ask, requests=(replace(ask.request, n=1),))
        completion = await self._generated(ask.request)
        self._suggested.extend(_place(before + item.text) for item in completion.items if item.text.strip())
        return self._llama_response([completion], ask)

    async def completion(self, request: web.Request) -> web.StreamResponse:
        return await self._llama(request, requests.completion(await self._params(request), self._anchor))

    async def either_completion(self, request: web.Request) -> web.StreamResponse:
        """Both dialects have a route of this name."""
        is_native = requests.is_native(await self._params(request))
        return await (self.completion(request) if is_native else self.openai_completion(request))

    async def _llama(self, request: web.Request, ask: CompatRequest) -> web.StreamResponse:
        if not ask.stream:
            return self._llama_response(await self._all_generated(ask), ask)
        stream = self._stream(ask)
        server = self._server()

        def last(completion: Completion) -> list[dict[str, object]]:
            return llama_answers(_without_text(completion), ask, server)

        return await send_events(request, stream, (), lambda text: [chosen(llama_piece(text), ask)], last, b"")

    def _llama_response(self, completions: list[Completion], ask: CompatRequest) -> web.Response:
        """One object, or an array where there is something to choose from."""
        answers = [answer for completion in completions for answer in llama_answers(completion, ask, self._server())]
        return web.json_response(answers if len(answers) > 1 else answers[0], dumps=dump)

    # --- OpenAI, Tabby ------------------------------------------------------------------------------------------------

    async def openai_completion(self, request: web.Request) -> web.StreamResponse:
        params = await self._params(request)
        if not params.has("segments"):
            return await self._openai("text", request)
        ask = requests.segments(params, self._anchor)
        return web.json_response(tabby_answer(await self._all_generated(ask)), dumps=dump)

    async def _openai(self, form: str, request: web.Request) -> web.StreamResponse:
        params = await self._params(request)
        ask = await self._chat(params) if form == "chat" else requests.completion(params, self._anchor)
        answers = OpenAi(form, self._server(), ask.reply)
        if not ask.stream:
            answer = answers.answer(await self._all_generated(ask))
            return web.json_response(chosen(answer, ask), dumps=dump)
        events = OpenAiStream(answers)
        last = partial(events.last, include_usage=ask.include_usage)
        return await send_events(request, self._stream(ask), events.first(), events.piece, last, DONE)

    async def _chat(self, params: Params) -> CompatRequest:
        """The template is applied first: what it ends with says what the reply begins with."""
        prompt = requests.chat_prompt(params)
        text = await self._service.use_vocabulary(lambda kit: prompt.text(kit.vocabulary), prompt.n_characters)
        return requests.chat(params, text)

    # --- helpers ------------------------------------------------------------------------------------------------------

    async def _params(self, request: web.Request) -> Params:
        require_model(self._service)
        return await read_params(request)

    def _server(self) -> Server:
        info = self._service.supervisor.info
        return Server(info.name, info.n_ctx) if info else Server("", 0)

    def _stream(self, ask: CompatRequest) -> GenerationStream:
        if len(ask.requests) > 1:
            raise RequestError("Only one prompt can be streamed; send the others by themselves.")
        return GenerationStream(self._service, ask.request)

    async def _generated(self, request: RawRequest) -> Completion:
        event = Generate(request)
        self._service.post(event)
        return await event.reply

    async def _all_generated(self, ask: CompatRequest) -> list[Completion]:
        return await asyncio.gather(*(self._generated(request) for request in ask.requests))


def require_model(service: Service) -> None:
    """Raises an error that becomes a 503 unless there is a model."""
    if service.supervisor.state == "loading" or (service.fim_order is None and service.supervisor.state != "failed"):
        raise RequestError("Loading model", 503)
    if service.supervisor.state == "failed":
        raise EngineError(service.supervisor.message)


def _place(before: str) -> str:
    """What tells a place in a text from others."""
    return before.rstrip()[-N_TAIL:]


def _without_text(completion: Completion) -> Completion:
    """For the end of a stream, when the text has been sent."""
    first = completion.items[:1]
    return replace(completion, items=tuple(replace(item, text="") for item in first))
