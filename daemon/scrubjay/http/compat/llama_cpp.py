"""llama.cpp's server: its routes, what its clients send, and its answers."""

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from platform import system

from aiohttp import web

from scrubjay import __version__
from scrubjay.completion.requests import Completion, Item
from scrubjay.errors import RequestError
from scrubjay.http.compat.answers import NOTHING, Server, choice_json, chosen, timings
from scrubjay.http.compat.generator import (
    Generator,
    Generators,
    Json,
    dump_text,
    json_answer,
    send_events,
    send_parts,
    without_text,
)
from scrubjay.http.compat.messages import chat_prompt
from scrubjay.http.compat.reading import (
    INFILL_TOKENS,
    MAX_PROBABILITIES,
    CompatRequest,
    extras,
    generation,
    number,
    prompts,
    raw_prompts,
)
from scrubjay.http.errors import dump
from scrubjay.http.keys import tenant_of
from scrubjay.http.metrics import metrics_text
from scrubjay.http.params import Handler, Params
from scrubjay.prompt.client_prompts import RawPrompt, raw_tokens
from scrubjay.prompt.infill import InfillPrompt, split_at_line
from scrubjay.prompt.recipe import PromptTools
from scrubjay.protocol.messages import GeneratedToken, Sampling
from scrubjay.service.events import RequestStatus
from scrubjay.service.status import StatusReport
from scrubjay.service.tenants import Tenant

N_SUGGESTIONS = 64
N_TAIL = 256
"""How many characters before the cursor tell two places apart."""
N_SLICE = 4096
_STOP_TYPES = {"end": "eos", "stop": "word", "length": "limit", "time": "limit", "none": "none"}
_NATIVE = ("n_predict", "cache_prompt", "id_slot", "samplers", "t_max_predict_ms", "response_fields", "n_probs")


def is_native(params: Params) -> bool:
    """Whether a body for a route that OpenAI has, too, is llama.cpp's."""
    return any(params.has(name) for name in _NATIVE)


class LlamaCppRoutes:
    """Handlers of llama.cpp's own routes.

    Args:
        anchor: whether infill prompts are laid out around an anchor where the client does not say it.
    """

    def __init__(self, models: Generators, reporter: StatusReport, anchor: bool) -> None:
        self._models = models
        self._reporter = reporter
        self._anchor = anchor
        # By whose they are.
        self._suggested: dict[str, deque[str]] = {}

    def routes(self) -> Mapping[tuple[str, str], Handler]:
        return {
            ("POST", "/infill"): self.infill,
            ("POST", "/completion"): self.completion,
            ("POST", "/tokenize"): self.tokenize,
            ("POST", "/detokenize"): self.detokenize,
            ("POST", "/apply-template"): self.apply_template,
            ("GET", "/props"): self.props,
            ("GET", "/vocabulary"): self.vocabulary,
            ("GET", "/slots"): self.slots,
            ("GET", "/metrics"): self.metrics,
        }

    # --- what generates -----------------------------------------------------------------------------------------------

    async def infill(self, request: web.Request) -> web.StreamResponse:
        """Fill in between `input_prefix` and `input_suffix`; what `prompt` says comes before the cursor."""
        generator, read = await self._models.read(request, lambda params: _infill(params, self._anchor))
        asked = await generator.prepared(read)
        recipe = asked.request.recipe
        if not isinstance(recipe, InfillPrompt) or asked.stream:
            return await _answer(request, generator, asked)
        before = recipe.prefix + recipe.middle
        suggested = self._suggested.setdefault(generator.tenant.group, deque(maxlen=N_SUGGESTIONS))
        if _place(before) in suggested:
            # The client looks ahead, as if the last suggestion were accepted: it has a use for one answer only.
            asked = replace(asked, requests=(replace(asked.request, n=1),))
        completion = await generator.generated(asked.request)
        suggested.extend(_place(before + item.text) for item in completion.items if item.text.strip())
        return _whole([completion], asked, generator.server)

    async def completion(self, request: web.Request) -> web.StreamResponse:
        """Go on from `prompt`."""
        return await self.complete(request, *await self._models.read(request, self.read))

    def read(self, params: Params) -> CompatRequest:
        """What a body for `completion` asks for."""
        return _completion(params, self._anchor)

    async def complete(self, request: web.Request, generator: Generator, asked: CompatRequest) -> web.StreamResponse:
        """`completion`, of a body that has been read."""
        return await _answer(request, generator, await generator.prepared(asked))

    # --- tokens -------------------------------------------------------------------------------------------------------

    async def tokenize(self, request: web.Request) -> web.StreamResponse:
        """The tokens of `content`, as numbers or, `with_pieces`, with what they stand for."""
        generator, asked = await self._models.read(request, _tokenize, None)

        def work(tools: PromptTools) -> list[bytes]:
            tokens = raw_tokens(asked.prompt.parts, tools.vocabulary, asked.add_special, asked.parse_special)
            # Written here, a slice at a time: of a long text there are millions.
            slices = (tokens[start : start + N_SLICE].tolist() for start in range(0, len(tokens), N_SLICE))
            written = [
                dump([_piece(tools, n) for n in numbers] if asked.with_pieces else numbers)[1:-1].encode()
                for numbers in slices
            ]
            return [b'{"tokens":[', *(b"," * (number > 0) + each for number, each in enumerate(written)), b"]}"]

        return await send_parts(request, await generator.model.use_vocabulary(work, asked.prompt.n_characters))

    async def detokenize(self, request: web.Request) -> web.StreamResponse:
        """The text of `tokens`."""
        generator, parts = await self._models.read(request, _tokens, None)

        def work(tools: PromptTools) -> bytes:
            return dump_text(tools.vocabulary.detokenize(raw_tokens(parts, tools.vocabulary, add_special=False)))

        content = await generator.model.use_vocabulary(work, len(parts))
        return await send_parts(request, [b'{"content":', content, b"}"])

    async def apply_template(self, request: web.Request) -> web.StreamResponse:
        """The prompt of `messages` as text."""
        generator, prompt = await self._models.read(request, chat_prompt, "chat")
        n_characters = len(await request.read())
        text = await generator.model.use_vocabulary(
            lambda tools: dump_text(prompt.text(tools.vocabulary)), n_characters
        )
        return await send_parts(request, [b'{"prompt":', text, b"}"])

    # --- the server ---------------------------------------------------------------------------------------------------

    async def props(self, request: web.Request) -> web.Response:
        """The model and the defaults; `?model=NAME` is another one's."""
        generator = await self._named(request)
        info = generator.info
        template = await generator.model.use_vocabulary(lambda tools: tools.vocabulary.chat_template, 0)
        defaults = settings(Sampling(max_tokens=-1, temperature=0.8), generator.server)
        return json_answer(
            {
                "default_generation_settings": {"n_ctx": info.n_ctx, "params": defaults},
                "total_slots": max(info.max_contexts, 1),
                "model_path": info.path,
                "model_alias": generator.model.name,
                "chat_template": template,
                "modalities": {"vision": False, "audio": False},
                "build_info": f"scrubjay {__version__} on {system()}",
                "is_sleeping": False,
            }
        )

    async def vocabulary(self, request: web.Request) -> web.Response:
        """The model's vocabulary, a GGUF file without weights: for daemons elsewhere; `?model=NAME` is another model's."""
        from scrubjay.llama.vocabulary_file import vocabulary_file

        generator = await self._named(request)
        data = await asyncio.to_thread(vocabulary_file, Path(generator.info.path))
        return web.Response(body=data, content_type="application/octet-stream")

    async def slots(self, request: web.Request) -> web.Response:
        """The contexts, for diagnosis; `?model=NAME` are another model's."""
        generator = await self._named(request)
        reports, n_ctx = (await self._report(tenant_of(request)))["models"], generator.info.n_ctx
        report = next(each for other, each in zip(self._models, reports, strict=True) if other.model is generator.model)
        is_busy = report["queue"]["running"] is not None
        return json_answer(
            [
                {"id": index, "n_ctx": n_ctx, "is_processing": is_busy and index == 0, **context}
                for index, context in enumerate(report["contexts"])
            ]
        )

    async def _named(self, request: web.Request) -> Generator:
        generator = self._models.of(None, request.query.get("model", ""))
        generator.require_model()
        await generator.open()
        return generator

    async def metrics(self, request: web.Request) -> web.Response:
        """Counters, in Prometheus's form."""
        return web.Response(
            text=metrics_text(await self._report(tenant_of(request))), content_type="text/plain", charset="utf-8"
        )

    async def _report(self, tenant: Tenant) -> Json:
        event = RequestStatus()
        self._models.of().model.post(event)
        await event.reply
        return self._reporter.status(tenant)


# --- whole and streamed answers ---------------------------------------------------------------------------------------


async def _answer(request: web.Request, generator: Generator, asked: CompatRequest) -> web.StreamResponse:
    server = generator.server
    if not asked.stream:
        return _whole(await generator.all_generated(asked), asked, server)

    def last(completion: Completion) -> list[Json]:
        return answers(without_text(completion), asked, server)

    stream = generator.stream(asked)
    return await send_events(request, stream, (), lambda text: [chosen(_event(text), asked.fields)], last, b"")


def _whole(completions: list[Completion], asked: CompatRequest, server: Server) -> web.Response:
    """One object, or an array where there is something to choose from."""
    found = [answer for completion in completions for answer in answers(completion, asked, server)]
    return json_answer(found if len(found) > 1 else found[0])


# --- what clients send -----------------------------------------------------------------------------------------------


def _completion(params: Params, anchor: bool) -> CompatRequest:
    """`prompt`, perhaps with a `suffix`."""
    n_probs = _n_probs(params)
    if params.has("suffix"):
        # At the end of a file it is empty, and what is wanted is the same.
        suffix = params.text("suffix")
        prefix, middle = split_at_line(params.text("prompt", ""))
        infill = InfillPrompt(prefix, suffix, middle, (), params.flag("anchor", default=anchor))
        return generation(params, [infill], INFILL_TOKENS, n_probs)
    return generation(params, raw_prompts(params, anchor), n_probs=n_probs)


def _infill(params: Params, anchor: bool) -> CompatRequest:
    recipe = InfillPrompt(
        params.text("input_prefix", ""),
        params.text("input_suffix", ""),
        params.text("prompt", ""),
        extras(params, "input_extra"),
        params.flag("anchor", default=anchor),
    )
    return generation(params, [recipe], INFILL_TOKENS, _n_probs(params))


@dataclass(frozen=True, slots=True)
class _Tokenize:
    prompt: RawPrompt
    add_special: bool
    parse_special: bool
    with_pieces: bool


def _tokenize(params: Params) -> _Tokenize:
    return _Tokenize(
        RawPrompt(prompts(params, "content")[0]),
        params.flag("add_special", default=False),
        params.flag("parse_special", default=True),
        params.flag("with_pieces", default=False),
    )


def _tokens(params: Params) -> tuple[str | int, ...]:
    parts = prompts(params, "tokens")[0] if params.values.get("tokens") else ()
    if not all(isinstance(part, int) for part in parts):
        raise RequestError("`tokens` must be an array of tokens.")
    return parts


def _n_probs(params: Params) -> int:
    if params.flag("post_sampling_probs", default=False):
        raise RequestError("`post_sampling_probs` is not served; `n_probs` gives the model's own probabilities.")
    n = int(number(params, "n_probs", 0, 0, MAX_PROBABILITIES))
    return n if n > 0 else -1


def _place(before: str) -> str:
    """What tells a place in a text from others."""
    return before.rstrip()[-N_TAIL:]


# --- what they get ---------------------------------------------------------------------------------------------------


def answers(completion: Completion, asked: CompatRequest, server: Server) -> list[Json]:
    """One object for each alternative, at least one; without the fields that the client does not want."""
    items = completion.items or (NOTHING,)
    return [
        chosen(_whole_answer(completion, item, index, asked, server), asked.fields) for index, item in enumerate(items)
    ]


def settings(sampling: Sampling, server: Server) -> Json:
    """`generation_settings`."""
    s = sampling
    return {
        "n_ctx": server.n_ctx,
        "n_predict": s.max_tokens,
        "seed": s.seed,
        "temperature": s.temperature,
        "top_k": s.top_k,
        "top_p": s.top_p,
        "min_p": s.min_p,
        "repeat_penalty": s.repeat_penalty,
        "repeat_last_n": min(s.penalty_last_n, server.n_ctx),
        "frequency_penalty": s.frequency_penalty,
        "presence_penalty": s.presence_penalty,
        "stop": list(s.stop),
        "grammar": s.grammar,
        "n_probs": max(s.n_probs, 0),
    }


def _event(text: str) -> Json:
    """One event of a stream."""
    return {"index": 0, "content": text, "tokens": [], "stop": False, "id_slot": 0}


def _whole_answer(completion: Completion, item: Item, index: int, asked: CompatRequest, server: Server) -> Json:
    how = asked.sampling
    probabilities = {"completion_probabilities": list(map(_probability, item.tokens))} if how.n_probs > 0 else {}
    return {
        "index": index,
        "content": item.text,
        "tokens": [token.choice.id for token in item.tokens] if how.with_tokens else [],
        "id_slot": 0,
        "stop": True,
        "model": server.model,
        "tokens_predicted": item.n_tokens,
        "tokens_evaluated": completion.reuse.prompt,
        "generation_settings": settings(how, server),
        "prompt": "",
        "has_new_line": "\n" in item.text,
        "truncated": False,
        "stop_type": _STOP_TYPES.get(item.stop_reason, "none"),
        "stopping_word": item.stop_word,
        "tokens_cached": completion.reuse.prompt + item.n_tokens,
        **probabilities,
        "timings": timings(completion),
        "reuse": asdict(completion.reuse),
        "request": completion.request,
    }


def _probability(token: GeneratedToken) -> Json:
    top = [{"id": choice.id, **choice_json(choice)} for choice in token.top]
    return {"id": token.choice.id, **choice_json(token.choice), "top_logprobs": top}


def _piece(tools: PromptTools, token: int) -> Json:
    """A token and its text; its bytes, where they are no text by themselves."""
    data = tools.vocabulary.piece(token)
    try:
        return {"id": token, "piece": data.decode()}
    except UnicodeDecodeError:
        return {"id": token, "piece": list(data)}
