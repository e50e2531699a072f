"""Embeddings: OpenAI's route, and that of llama.cpp's server."""

import asyncio
import struct
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from math import hypot

from aiohttp import web

from scrubjay.errors import RequestError
from scrubjay.http.compat.generator import Generators, json_answer
from scrubjay.http.compat.reading import number, prompts
from scrubjay.http.params import Handler, Params
from scrubjay.prompt.client_prompts import RawPrompt
from scrubjay.protocol.messages import Vector
from scrubjay.service.events import Embed

MAX_DIMENSIONS = 1 << 20


@dataclass(frozen=True, slots=True)
class _Asked:
    """Texts, and the form of their vectors: in base64 or not, and how many of the numbers (0 for all)."""

    recipes: list[RawPrompt]
    is_base64: bool
    n_dimensions: int

    def form(self, vector: Vector) -> object:
        """One vector as the client wants it."""
        if self.n_dimensions > len(vector):
            raise RequestError(f"`dimensions`: the model's vectors have {len(vector)}.")
        if self.n_dimensions:
            length = hypot(*vector[: self.n_dimensions]) or 1.0
            vector = tuple(value / length for value in vector[: self.n_dimensions])
        return b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode() if self.is_base64 else list(vector)


class EmbeddingRoutes:
    """Handlers of the routes that make vectors of texts."""

    def __init__(self, models: Generators) -> None:
        self._models = models

    def routes(self) -> Mapping[tuple[str, str], Handler]:
        return {
            ("POST", "/v1/embeddings"): self.openai,
            ("POST", "/embeddings"): self.openai,
            ("POST", "/embedding"): self.llama_cpp,
        }

    async def openai(self, request: web.Request) -> web.Response:
        """The vectors of `input`."""
        asked, model, vectors, n_tokens = await self._made(request)
        data = [
            {"object": "embedding", "index": index, "embedding": asked.form(vector)}
            for index, vector in enumerate(vectors)
        ]
        usage = {"prompt_tokens": n_tokens, "total_tokens": n_tokens}
        return json_answer({"object": "list", "data": data, "model": model, "usage": usage})

    async def llama_cpp(self, request: web.Request) -> web.Response:
        """The vectors of `content`, each in an array as if it were one of several."""
        asked, _, vectors, _ = await self._made(request)
        return json_answer(
            [{"index": index, "embedding": [asked.form(vector)]} for index, vector in enumerate(vectors)]
        )

    async def _made(self, request: web.Request) -> tuple[_Asked, str, list[Vector], int]:
        """What was asked, the model's name, the vectors, and how many tokens the texts have."""
        generator, asked = await self._models.read(request, _read, "embed")
        vectors: dict[int, Vector] = {}
        events = [
            Embed(recipe, partial(vectors.__setitem__, index), generator.tenant)
            for index, recipe in enumerate(asked.recipes)
        ]
        for event in events:
            generator.model.post(event)
        try:
            made = await asyncio.gather(*(event.reply for event in events))
        finally:
            for event in events:
                event.reply.cancel()
        n_tokens = sum(completion.reuse.prompt for completion in made)
        return asked, generator.model.name, [vectors[index] for index in range(len(events))], n_tokens


def _read(params: Params) -> _Asked:
    name = "content" if params.has("content") else "input"
    form = params.text("encoding_format", "float")
    if form not in ("float", "base64"):
        raise RequestError("`encoding_format` must be one of float, base64.")
    n_dimensions = int(number(params, "dimensions", 0, 0, MAX_DIMENSIONS))
    return _Asked([RawPrompt(parts) for parts in prompts(params, name)], form == "base64", n_dimensions)
