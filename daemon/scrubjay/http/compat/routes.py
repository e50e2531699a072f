"""All routes that other servers have, and which dialect is meant where two have the same."""

from time import time

from aiohttp import web

from scrubjay.http.compat.generator import Generator
from scrubjay.http.compat.llama_cpp import LlamaCppRoutes, is_native
from scrubjay.http.compat.openai import OpenAiRoutes
from scrubjay.http.compat.tabby import TabbyRoutes
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

    async def completions(request: web.Request) -> web.StreamResponse:
        """llama.cpp's server, and OpenAI's without its `/v1`."""
        params = await generator.params(request)
        complete = llama_cpp.complete if is_native(params) else openai.complete
        return await complete(request, params)

    async def v1_completions(request: web.Request) -> web.StreamResponse:
        """OpenAI's and Tabby's."""
        params = await generator.params(request)
        return await (tabby.completion(params) if params.has("segments") else openai.complete(request, params))

    shared = {("POST", "/completions"): completions, ("POST", "/v1/completions"): v1_completions}
    handlers = {**llama_cpp.routes(), **openai.routes(), **tabby.routes(), **shared}
    # `web.get` answers HEAD as well.
    return [
        web.get(path, handler) if method == "GET" else web.post(path, handler)
        for (method, path), handler in handlers.items()
    ]
