"""The routes of llama.cpp's server and of OpenAI that tell about the model, and those that tokenise."""

import os
from collections.abc import Awaitable, Callable
from platform import machine, processor, system
from time import time
from typing import Any

from aiohttp import web

from scrubjay import __version__
from scrubjay.errors import RequestError
from scrubjay.http.compat import requests
from scrubjay.http.compat.routes import require_model
from scrubjay.http.compat.shapes import Server, settings
from scrubjay.http.errors import dump
from scrubjay.http.metrics import metrics_text
from scrubjay.http.params import Params, read_params
from scrubjay.prompt.raw import raw_tokens
from scrubjay.prompt.recipe import PromptTools
from scrubjay.protocol.messages import ModelInfo, Sampling
from scrubjay.service.events import RequestStatus
from scrubjay.service.service import Service
from scrubjay.service.status import StatusReport
from scrubjay.tokens import as_tokens

Json = dict[str, Any]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_EMBEDDINGS = ("/v1/embeddings", "/embeddings", "/embedding")


class InfoRoutes:
    """Handlers that generate nothing."""

    def __init__(self, service: Service, reporter: StatusReport) -> None:
        self._service = service
        self._reporter = reporter
        self._created = int(time())

    def routes(self) -> list[web.RouteDef]:
        gets: dict[str, Handler] = {
            "/health": self.health,
            "/v1/health": self.health,
            "/models": self.models,
            "/v1/models": self.models,
            "/props": self.props,
            "/slots": self.slots,
            "/metrics": self.metrics,
            "/v1beta/server_setting": self.tabby_settings,
        }
        posts: dict[str, Handler] = {
            "/v1/health": self.health,
            "/tokenize": self.tokenize,
            "/detokenize": self.detokenize,
            "/apply-template": self.apply_template,
            "/v1/events": self.tabby_events,
            **dict.fromkeys(_EMBEDDINGS, self.embeddings),
        }
        return [
            *(web.get(path, handler) for path, handler in gets.items()),
            *(web.post(path, handler) for path, handler in posts.items()),
        ]

    # --- the model ----------------------------------------------------------------------------------------------------

    async def health(self, _: web.Request) -> web.Response:
        """For clients of llama.cpp, and of Tabby, who want to know the machine."""
        require_model(self._service)
        return _json(
            {
                "status": "ok",
                "model": self._info.name,
                "device": "cpu",
                "arch": machine(),
                "cpu_info": processor() or machine(),
                "cpu_count": os.cpu_count() or 1,
                "cuda_devices": [],
                "version": {
                    "build_date": "",
                    "build_timestamp": "",
                    "git_sha": "",
                    "git_describe": f"scrubjay {__version__}",
                },
            }
        )

    async def models(self, _: web.Request) -> web.Response:
        info = self._service.supervisor.info
        data = [self._model(info)] if info else []
        return _json({"object": "list", "data": data, "models": [{"name": item["id"], **item} for item in data]})

    async def props(self, _: web.Request) -> web.Response:
        require_model(self._service)
        info = self._info
        template = await self._service.use_vocabulary(lambda kit: kit.vocabulary.chat_template, 0)
        defaults = settings(Sampling(max_tokens=-1, temperature=0.8), Server(info.name, info.n_ctx))
        return _json(
            {
                "default_generation_settings": {"n_ctx": info.n_ctx, "params": defaults},
                "total_slots": max(info.max_contexts, 1),
                "model_path": info.path,
                "model_alias": info.name,
                "chat_template": template,
                "modalities": {"vision": False, "audio": False},
                "build_info": f"scrubjay {__version__} on {system()}",
                "is_sleeping": False,
            }
        )

    async def slots(self, _: web.Request) -> web.Response:
        """The contexts, for diagnosis."""
        require_model(self._service)
        report = await self._report()
        is_busy = report["queue"]["running"] is not None
        return _json(
            [
                {"id": number, "n_ctx": self._info.n_ctx, "is_processing": is_busy and number == 0, **context}
                for number, context in enumerate(report["contexts"])
            ]
        )

    async def metrics(self, _: web.Request) -> web.Response:
        text = metrics_text(await self._report())
        return web.Response(text=text, content_type="text/plain", charset="utf-8")

    async def embeddings(self, _: web.Request) -> web.Response:
        raise RequestError(
            "Embeddings are not served: the model is one for completion. Run another server for them.",
            501,
            "not_supported_error",
        )

    # --- tokens -------------------------------------------------------------------------------------------------------

    async def tokenize(self, request: web.Request) -> web.Response:
        params = await self._params(request)
        parts = requests.prompts(params, "content")[0]
        adds, parses = params.flag("add_special", default=False), params.flag("parse_special", default=True)
        with_pieces = params.flag("with_pieces", default=False)

        def work(kit: PromptTools) -> list[Any]:
            plain = not parses and len(parts) == 1 and isinstance(parts[0], str)
            tokens = kit.token_cache(str(parts[0])) if plain else raw_tokens(parts, kit.vocabulary, adds)
            numbers = tokens.tolist()
            return [_piece(kit, number) for number in numbers] if with_pieces else numbers

        return _json({"tokens": await self._service.use_vocabulary(work, _size(parts))})

    async def detokenize(self, request: web.Request) -> web.Response:
        params = await self._params(request)
        parts = requests.prompts(params, "tokens")[0] if params.values.get("tokens") else ()
        if not all(isinstance(part, int) for part in parts):
            raise RequestError("`tokens` must be an array of tokens.")

        def work(kit: PromptTools) -> str:
            return kit.vocabulary.detokenize(raw_tokens(parts, kit.vocabulary, add_special=False))

        return _json({"content": await self._service.use_vocabulary(work, len(parts))})

    async def apply_template(self, request: web.Request) -> web.Response:
        prompt = requests.chat_prompt(await self._params(request))
        text = await self._service.use_vocabulary(lambda kit: prompt.text(kit.vocabulary), prompt.n_characters)
        return _json({"prompt": text})

    # --- Tabby --------------------------------------------------------------------------------------------------------

    async def tabby_settings(self, _: web.Request) -> web.Response:
        return _json({"disable_client_side_telemetry": True})

    async def tabby_events(self, _: web.Request) -> web.Response:
        """What was shown and accepted is told to nobody."""
        return _json({})

    # --- helpers ------------------------------------------------------------------------------------------------------

    @property
    def _info(self) -> ModelInfo:
        if self._service.supervisor.info is None:
            raise RequestError("Loading model", 503)
        return self._service.supervisor.info

    async def _params(self, request: web.Request) -> Params:
        require_model(self._service)
        return await read_params(request)

    async def _report(self) -> Json:
        event = RequestStatus()
        self._service.post(event)
        await event.reply
        return self._reporter.status()

    def _model(self, info: ModelInfo) -> Json:
        sizes = {name: getattr(info, name) for name in ("n_vocab", "n_ctx_train", "n_ctx", "n_params", "size")}
        is_ready = self._service.supervisor.is_ready
        return {
            "id": info.name,
            "object": "model",
            "created": self._created,
            "owned_by": "llamacpp",
            "aliases": [],
            "tags": [],
            "meta": sizes,
            "status": {"value": "loaded" if is_ready else self._service.supervisor.state},
        }


def _json(body: object) -> web.Response:
    return web.json_response(body, dumps=dump)


def _size(parts: tuple[str | int, ...]) -> int:
    return sum(len(part) for part in parts if isinstance(part, str))


def _piece(kit: PromptTools, token: int) -> Json:
    return {"id": token, "piece": kit.vocabulary.detokenize(as_tokens([token]))}
