"""OpenAI: the routes of its server, what its clients send, and its answers, whole and streamed."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import accumulate
from secrets import token_hex
from time import time

from aiohttp import web

from scrubjay.completion.requests import Completion, Item
from scrubjay.errors import RequestError
from scrubjay.http.compat.answers import NOTHING, Json, Server, choice_json, chosen, n_cached, timings
from scrubjay.http.compat.chat_reply import PLAIN, Form, Part, ReplyReader, ToolCall, read_reply
from scrubjay.http.compat.generator import Generator, Generators, json_answer, send_events
from scrubjay.http.compat.messages import chat, chat_prompt
from scrubjay.http.compat.reading import (
    INFILL_TOKENS,
    MAX_PROBABILITIES,
    CompatRequest,
    generation,
    number,
    prompts,
    raw_prompts,
)
from scrubjay.http.params import Handler, Params
from scrubjay.nextedit.region import BYTES_PER_TOKEN
from scrubjay.nextedit.zed import Anchored, ZedRegions, read_prompt
from scrubjay.prompt.chat import ChatPrompt
from scrubjay.prompt.client_prompts import RawPrompt
from scrubjay.prompt.infill import InfillPrompt, split_at_line
from scrubjay.protocol.messages import GeneratedToken
from scrubjay.service.served_model import ServedModel

Asked = tuple[CompatRequest, list[tuple[str | int, ...]]]
"""A request, and the prompts that its answer repeats."""
DONE = b"data: [DONE]\n\n"


class OpenAiRoutes:
    """Handlers of OpenAI's routes, also without their `/v1`.

    Args:
        anchor: whether prompts with a suffix are laid out around an anchor where the client does not say it.
        created: when the model is said to have been made, in seconds.
    """

    def __init__(self, models: Generators, anchor: bool, created: int) -> None:
        self._models = models
        self._anchor = anchor
        self._created = created
        self._zed = ZedRegions()

    def routes(self) -> Mapping[tuple[str, str], Handler]:
        posts = {
            "/v1/fim/completions": self.fill_in,
            "/fim/completions": self.fill_in,
            "/v1/chat/completions": self.chat,
            "/chat/completions": self.chat,
        }
        gets = {"/v1/models": self.models, "/models": self.models}
        return {("POST", path): handler for path, handler in posts.items()} | {
            ("GET", path): handler for path, handler in gets.items()
        }

    def read(self, params: Params) -> Asked:
        """What a body for `complete` asks for."""
        return _completion(params, self._anchor)

    async def complete(self, request: web.Request, generator: Generator, asked: Asked) -> web.StreamResponse:
        """Go on from `prompt`, before `suffix` if there is one."""
        return await self._complete(request, generator, asked, "text")

    async def fill_in(self, request: web.Request) -> web.StreamResponse:
        """The same, answered as a message, as Mistral has it."""
        generator, asked = await self._models.read(request, self.read)
        return await self._complete(request, generator, asked, "fim")

    async def chat(self, request: web.Request) -> web.StreamResponse:
        """Answer `messages`."""
        generator, (prompt, asked_after) = await self._models.read(request, _chat, "chat")
        # The template is applied first: what it ends with says what the reply begins with.
        text = await generator.model.use_vocabulary(
            lambda tools: prompt.text(tools.vocabulary), len(await request.read())
        )
        asked = await generator.prepared(asked_after(text))
        return await _answer(request, generator, asked, OpenAi("chat", generator.server, asked.reply))

    async def models(self, _: web.Request) -> web.Response:
        """All models that have a name by now."""
        data = [self._model(generator.model) for generator in self._models if generator.model.name]
        return json_answer({"object": "list", "data": data, "models": [{"name": item["id"], **item} for item in data]})

    async def _complete(self, request: web.Request, generator: Generator, read: Asked, form: str) -> web.StreamResponse:
        asked, echoed = await generator.prepared(read[0]), read[1]
        asked = replace(asked, echoes=tuple([await generator.text_of(parts) for parts in echoed]))
        asked, zed = self._anchored(asked, generator.tenant.group)
        return await _answer(request, generator, asked, OpenAi(form, generator.server, asked.reply), zed)

    def _anchored(self, asked: CompatRequest, group: str) -> tuple[CompatRequest, Anchored | None]:
        """The request, and if it is Zed's for a model of next edits, how that is laid out."""
        recipe, how = asked.request.recipe, asked.sampling
        if asked.stream or len(asked.requests) > 1 or not isinstance(recipe, RawPrompt) or not recipe.anchor:
            return asked, None
        sent = read_prompt("".join(map(str, recipe.parts))) if set(map(type, recipe.parts)) == {str} else None
        if sent is None:
            return asked, None
        zed = self._zed.anchored(sent, group)
        how = replace(how, max_tokens=how.max_tokens + zed.n_more // BYTES_PER_TOKEN)
        request = replace(asked.request, recipe=RawPrompt((zed.shown.text,)), sampling=how)
        return replace(asked, requests=(request,)), zed

    def _model(self, model: ServedModel) -> Json:
        info, engine = model.supervisor.info, model.supervisor
        sizes = ("n_vocab", "n_ctx_train", "n_ctx", "n_params", "size")
        return {
            "id": model.name,
            "object": "model",
            "created": self._created,
            "owned_by": "llamacpp",
            "aliases": [info.name] if info and info.name != model.name else [],
            "tags": list(model.settings.purposes),
            "meta": {name: getattr(info, name) for name in sizes} if info else None,
            "status": {"value": "loaded" if engine.is_ready else engine.state},
        }


async def _answer(
    request: web.Request,
    generator: Generator,
    asked: CompatRequest,
    answers: "OpenAi",
    zed: Anchored | None = None,
) -> web.StreamResponse:
    if not asked.stream:
        made = await generator.all_generated(asked)
        answer = answers.answer([_for_zed(each, zed) for each in made] if zed else made, asked)
        return json_answer(chosen(answer, asked.fields))
    events = OpenAiStream(answers, "".join(asked.echoes))
    last = partial(events.last, include_usage=asked.include_usage)
    return await send_events(request, generator.stream(asked), events.first(), events.piece, last, DONE)


def _for_zed(completion: Completion, zed: Anchored) -> Completion:
    items = (
        replace(item, text=zed.answer(item.text)) if item.stop_reason in ("end", "stop") else item
        for item in completion.items
    )
    return replace(completion, items=tuple(items))


# --- what clients send -----------------------------------------------------------------------------------------------


def _completion(params: Params, anchor: bool) -> Asked:
    """`prompt`, perhaps with a `suffix`; and the prompts that the answer is to repeat."""
    asked = _request(params, anchor)
    if not params.flag("echo", default=False):
        return asked, []
    if asked.sampling.n_probs >= 0:
        raise RequestError(
            "The probabilities of the prompt's own tokens are not known; leave `echo` or `logprobs` out."
        )
    return asked, prompts(params)


def _request(params: Params, anchor: bool) -> CompatRequest:
    n_probs = int(number(params, "logprobs", -1, -1, MAX_PROBABILITIES))
    if params.has("suffix"):
        # At the end of a file it is empty, and what is wanted is the same.
        suffix = params.text("suffix")
        prefix, middle = split_at_line(params.text("prompt", ""))
        recipe = InfillPrompt(prefix, suffix, middle, (), params.flag("anchor", default=anchor))
        return generation(params, [recipe], INFILL_TOKENS, n_probs)
    return generation(params, raw_prompts(params, anchor), n_probs=n_probs)


def _chat(params: Params) -> tuple[ChatPrompt, Callable[[str], CompatRequest]]:
    return chat_prompt(params), chat(params, _chat_n_probs(params))


def _chat_n_probs(params: Params) -> int:
    n = int(number(params, "top_logprobs", 0, 0, MAX_PROBABILITIES))
    if not params.flag("logprobs", default=False):
        if n:
            raise RequestError("`top_logprobs` needs `logprobs: true`.")
        return -1
    return n


# --- what they get ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OpenAi:
    """Answers to one request.

    Args:
        form: "text" for completions; "chat" for messages; "fim" for completions that come as messages.
        reply: what to look for in messages.
    """

    form: str
    server: Server
    reply: Form = PLAIN
    id: str = field(default_factory=lambda: token_hex(12))
    created: int = field(default_factory=lambda: int(time()))

    def answer(self, completions: Sequence[Completion], asked: CompatRequest) -> Json:
        """The whole answer to all prompts."""
        echoes = asked.echoes or ("",) * len(completions)
        items = [
            replace(item, text=echo + item.text)
            for completion, echo in zip(completions, echoes, strict=True)
            for item in completion.items or (NOTHING,)
        ]
        with_probabilities = asked.sampling.n_probs >= 0
        choices = [self.choice(index, item, with_probabilities) for index, item in enumerate(items)]
        return {**self._head(), "choices": choices, **self.closing(*completions)}

    def chunk(self, index: int, delta: Json, text: str = "", finish: str | None = None) -> Json:
        """An event of a stream."""
        body = {"text": text} if self.form == "text" else {"delta": delta}
        choice = {**body, "index": index, "finish_reason": finish, "logprobs": None}
        return {**self._head(streams=True), "choices": [choice]}

    def usage(self, completion: Completion) -> Json:
        """The event that has no choices."""
        return {**self._head(streams=True), "choices": [], **self.closing(completion)}

    def closing(self, *completions: Completion) -> Json:
        """What the request has cost: tokens of all prompts, times of the first."""
        n_prompt = sum(completion.reuse.prompt for completion in completions)
        n_generated = sum(item.n_tokens for completion in completions for item in completion.items)
        accepted = sum(completion.timings.draft_n_accepted for completion in completions)
        rejected = sum(completion.timings.draft_n for completion in completions) - accepted
        usage = {
            "prompt_tokens": n_prompt,
            "completion_tokens": n_generated,
            "total_tokens": n_prompt + n_generated,
            "prompt_tokens_details": {"cached_tokens": sum(map(n_cached, completions))},
            "completion_tokens_details": {
                "accepted_prediction_tokens": accepted,
                "rejected_prediction_tokens": rejected,
            },
        }
        first = completions[0]
        return {"usage": usage, "timings": timings(first), "reuse": asdict(first.reuse), "request": first.request}

    def choice(self, index: int, item: Item, with_probabilities: bool = False) -> Json:
        """One alternative, whole."""
        if self.form == "text":
            probabilities = _text_logprobs(item.tokens) if with_probabilities else None
            return {"text": item.text, "index": index, "finish_reason": _finish(item), "logprobs": probabilities}
        reply = read_reply(item.text, self.reply)
        message: Json = {"role": "assistant", "content": reply.said if reply.said or not reply.calls else None}
        if reply.thought:
            message["reasoning_content"] = reply.thought
        if reply.calls:
            message["tool_calls"] = [_called(call) for call in reply.calls]
        finish = _finish(item, n_calls=len(reply.calls))
        probabilities = (
            {"content": list(map(_chat_logprob, item.tokens)), "refusal": None} if with_probabilities else None
        )
        return {"message": message, "index": index, "finish_reason": finish, "logprobs": probabilities}

    def _head(self, streams: bool = False) -> Json:
        kind = "text_completion" if self.form == "text" else f"chat.completion{'.chunk' if streams else ''}"
        prefix = "cmpl" if self.form == "text" else "chatcmpl"
        return {
            "id": f"{prefix}-{self.id}",
            "object": kind,
            "created": self.created,
            "model": self.server.model,
            "system_fingerprint": "scrubjay",
        }


class OpenAiStream:
    """One answer as the events of a stream: `first`, `piece` for each piece of text, `last`."""

    def __init__(self, answers: OpenAi, echo: str = "") -> None:
        self._answers = answers
        self._echo = echo
        self._reader = ReplyReader(answers.reply)
        self._n_calls = 0

    def first(self) -> list[Json]:
        """What comes before the text."""
        if self._answers.form == "chat":
            return [self._answers.chunk(0, {"role": "assistant", "content": ""})]
        return self.piece(self._echo) if self._echo else []

    def piece(self, text: str) -> list[Json]:
        if self._answers.form == "text":
            return [self._answers.chunk(0, {}, text)]
        return self._parts(self._reader.feed(text))

    def last(self, completion: Completion, include_usage: bool) -> list[Json]:
        """The rest of the text, the other alternatives, why each came to its end, and the usage.

        Where the usage is not asked for, it is in the last event that there is.
        """
        first, *others = completion.items or (NOTHING,)
        rest = self._parts(self._reader.finish())
        ends = [self._answers.chunk(0, {}, "", _finish(first, self._n_calls))]
        for index, item in enumerate(others, start=1):
            choice = self._answers.choice(index, item)
            ends.append(self._answers.chunk(index, _delta(choice), item.text))
            ends.append(self._answers.chunk(index, {}, "", choice["finish_reason"]))
        closing = self._answers.closing(completion)
        if include_usage:
            return [*rest, *ends, self._answers.usage(completion)]
        return [*rest, *ends[:-1], {**ends[-1], **closing}]

    def _parts(self, parts: Iterable[Part]) -> list[Json]:
        return [self._answers.chunk(0, self._part(part)) for part in parts]

    def _part(self, part: Part) -> Json:
        if part.call:
            self._n_calls += 1
            return {"tool_calls": [{"index": self._n_calls - 1, **_called(part.call)}]}
        return {"reasoning_content" if part.is_thought else "content": part.text}


def _called(call: ToolCall) -> Json:
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": f"call_{token_hex(12)}", "type": "function", "function": function}


def _delta(choice: Json) -> Json:
    """A whole message as one event has it."""
    message = dict(choice.get("message", {}))
    if calls := message.pop("tool_calls", None):
        message["tool_calls"] = [{"index": index, **call} for index, call in enumerate(calls)]
    return message


def _finish(item: Item, n_calls: int = 0) -> str:
    if n_calls:
        return "tool_calls"
    return "stop" if item.stop_reason in ("end", "stop") else "length"


def _chat_logprob(token: GeneratedToken) -> Json:
    return {**choice_json(token.choice), "top_logprobs": list(map(choice_json, token.top))}


def _text_logprobs(tokens: Sequence[GeneratedToken]) -> Json:
    """The older form: a list for each kind of number."""
    texts = [token.choice.data.decode(errors="replace") for token in tokens]
    return {
        "tokens": texts,
        "token_logprobs": [token.choice.logprob for token in tokens],
        "top_logprobs": [
            {choice.data.decode(errors="replace"): choice.logprob for choice in token.top} for token in tokens
        ],
        "text_offset": list(accumulate(map(len, texts[:-1]), initial=0)) if texts else [],
    }
