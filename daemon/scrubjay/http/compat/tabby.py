"""Tabby: the routes of its server that its agents need."""

import os
from collections.abc import Mapping, Sequence
from platform import machine, processor
from secrets import token_hex

from aiohttp import web

from scrubjay import __version__
from scrubjay.completion.requests import Completion
from scrubjay.http.compat.generator import Generator, Generators, Json, json_answer
from scrubjay.http.compat.reading import INFILL_TOKENS, CompatRequest, extras, generation
from scrubjay.http.params import Handler, Params
from scrubjay.prompt.infill import InfillPrompt, split_at_line

_EXTRAS = ("declarations", "relevant_snippets_from_changed_files", "relevant_snippets_from_recently_opened_files")


class TabbyRoutes:
    """Handlers of Tabby's routes; `/v1/completions` is OpenAI's, unless there are `segments`."""

    def __init__(self, models: Generators, anchor: bool) -> None:
        self._models = models
        self._anchor = anchor

    def routes(self) -> Mapping[tuple[str, str], Handler]:
        return {
            # llama.cpp's server answers here as well, with the first of the fields.
            ("GET", "/health"): self.health,
            ("GET", "/v1/health"): self.health,
            ("POST", "/v1/health"): self.health,
            ("GET", "/v1beta/server_setting"): self.server_setting,
            ("POST", "/v1/events"): self.events,
        }

    def read(self, params: Params) -> CompatRequest:
        """What a body with `segments` asks for."""
        return _segments(params, self._anchor)

    async def complete(self, _: web.Request, generator: Generator, asked: CompatRequest) -> web.Response:
        """Fill in between the segments."""
        return json_answer(_answer(await generator.all_generated(await generator.prepared(asked))))

    async def health(self, _: web.Request) -> web.Response:
        """That there is a model, and the machine."""
        generator = self._models.of()
        generator.require_model()
        info = generator.info
        return json_answer(
            {
                "status": "ok",
                "model": generator.model.name,
                "device": info.device,
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

    async def server_setting(self, _: web.Request) -> web.Response:
        return json_answer({"disable_client_side_telemetry": True})

    async def events(self, _: web.Request) -> web.Response:
        """What was shown and accepted is told to nobody."""
        return json_answer({})


def _segments(params: Params, anchor: bool) -> CompatRequest:
    parts = params.nested("segments")
    others = tuple(extra for name in _EXTRAS for extra in extras(parts, name))
    prefix, middle = split_at_line(parts.text("prefix", ""))
    recipe = InfillPrompt(prefix, parts.text("suffix", ""), middle, others, anchor)
    return generation(params, [recipe], INFILL_TOKENS)


def _answer(completions: Sequence[Completion]) -> Json:
    items = [item for completion in completions for item in completion.items]
    choices = [{"index": index, "text": item.text} for index, item in enumerate(items)]
    return {"id": f"cmpl-{token_hex(12)}", "choices": choices}
