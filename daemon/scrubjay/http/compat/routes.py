"""All routes that other servers have, and which dialect is meant where two have the same."""

from functools import partial
from time import time

from aiohttp import web

from scrubjay.http.compat.generator import Generator
from scrubjay.http.compat.llama_cpp import LlamaCppRoutes, is_native
from scrubjay.http.compat.openai import OpenAiRoutes
from scrubjay.http.compat.tabby import TabbyRoutes
from scrubjay.http.params import Handler, Params
from scrubjay.service.service import Service
from scrubjay.service.status import StatusReport


def compat_routes(service: Service, reporter: StatusReport, anchor: bool = True) -> list[web.RouteDef]:
    """The routes over `service`.

    Args:
        anchor: whether infill prompts are laid out around an anchor where the client does not say it.
    """
    generator = Generator(service)
    llama_cpp = LlamaCppRoutes(generator, reporter, anchor)
    openai = OpenAiRoutes(generator, anchor, created=int(time()))
    tabby = TabbyRoutes(generator, anchor)

    def read(params: Params) -> Handler:
        if is_native(params):
            return partial(llama_cpp.complete, asked=llama_cpp.read(params))
        return partial(openai.complete, asked=openai.read(params))

    def read_v1(params: Params) -> Handler:
        if params.has("segments"):
            return partial(tabby.complete, asked=tabby.read(params))
        return partial(openai.complete, asked=openai.read(params))

    async def completions(request: web.Request) -> web.StreamResponse:
        """llama.cpp's server, and OpenAI's without its `/v1`."""
        return await (await generator.read(request, read))(request)

    async def v1_completions(request: web.Request) -> web.StreamResponse:
        """OpenAI's and Tabby's."""
        return await (await generator.read(request, read_v1))(request)

    shared = {("POST", "/completions"): completions, ("POST", "/v1/completions"): v1_completions}
    handlers = {**llama_cpp.routes(), **openai.routes(), **tabby.routes(), **shared}
    # `web.get` answers HEAD as well.
    return [
        web.get(path, handler) if method == "GET" else web.post(path, handler)
        for (method, path), handler in handlers.items()
    ]
