"""All routes that other servers have, and which dialect is meant where two have the same."""

from collections.abc import Awaitable, Callable
from functools import partial
from time import time

from aiohttp import web

from scrubjay.http.compat.embeddings import EmbeddingRoutes
from scrubjay.http.compat.generator import Generator, Generators
from scrubjay.http.compat.llama_cpp import LlamaCppRoutes, is_native
from scrubjay.http.compat.openai import OpenAiRoutes
from scrubjay.http.compat.tabby import TabbyRoutes
from scrubjay.http.params import Params
from scrubjay.service.service import Service
from scrubjay.service.status import StatusReport

Complete = Callable[[web.Request, Generator], Awaitable[web.StreamResponse]]


def compat_routes(service: Service, reporter: StatusReport, anchor: bool = True) -> list[web.RouteDef]:
    """The routes over `service`.

    Args:
        anchor: whether infill prompts are laid out around an anchor where the client does not say it.
    """
    models = Generators(service)
    llama_cpp = LlamaCppRoutes(models, reporter, anchor)
    openai = OpenAiRoutes(models, anchor, created=int(time()))
    tabby = TabbyRoutes(models, anchor)
    embeddings = EmbeddingRoutes(models)

    def read(params: Params) -> Complete:
        if is_native(params):
            return partial(llama_cpp.complete, asked=llama_cpp.read(params))
        return partial(openai.complete, asked=openai.read(params))

    def read_v1(params: Params) -> Complete:
        if params.has("segments"):
            return partial(tabby.complete, asked=tabby.read(params))
        return partial(openai.complete, asked=openai.read(params))

    async def completions(request: web.Request) -> web.StreamResponse:
        """llama.cpp's server, and OpenAI's without its `/v1`."""
        generator, complete = await models.read(request, read)
        return await complete(request, generator)

    async def v1_completions(request: web.Request) -> web.StreamResponse:
        """OpenAI's and Tabby's."""
        generator, complete = await models.read(request, read_v1)
        return await complete(request, generator)

    shared = {("POST", "/completions"): completions, ("POST", "/v1/completions"): v1_completions}
    handlers = {**llama_cpp.routes(), **openai.routes(), **tabby.routes(), **embeddings.routes(), **shared}
    # `web.get` answers HEAD as well.
    return [
        web.get(path, handler) if method == "GET" else web.post(path, handler)
        for (method, path), handler in handlers.items()
    ]
