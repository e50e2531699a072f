"""Answers in the shapes of llama.cpp's server and of OpenAI."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from secrets import token_hex
from time import time
from typing import Any

from scrubjay.completion.requests import Completion, Item
from scrubjay.http.compat.chat_reply import PLAIN, Form, Part, ReplyReader, ToolCall, read_reply
from scrubjay.http.compat.requests import CompatRequest
from scrubjay.protocol.messages import Sampling

Json = dict[str, Any]
_STOP_TYPES = {"end": "eos", "stop": "word", "length": "limit", "time": "limit", "none": "none"}
_NOTHING = Item("", "none", 0)


@dataclass(frozen=True, slots=True)
class Server:
    """What answers say of the server."""

    model: str
    n_ctx: int


# --- llama.cpp -------------------------------------------------------------------------------------------------------


def llama_answers(completion: Completion, ask: CompatRequest, server: Server) -> list[Json]:
    """One object for each alternative, at least one; without the fields that the client does not want."""
    items = completion.items or (_NOTHING,)
    return [chosen(_llama_answer(completion, item, index, ask, server), ask) for index, item in enumerate(items)]


def llama_piece(text: str) -> Json:
    """One event of a stream."""
    return {"index": 0, "content": text, "tokens": [], "stop": False, "id_slot": 0}


def _llama_answer(completion: Completion, item: Item, index: int, ask: CompatRequest, server: Server) -> Json:
    return {
        "index": index,
        "content": item.text,
        "tokens": [],
        "id_slot": 0,
        "stop": True,
        "model": server.model,
        "tokens_predicted": item.n_tokens,
        "tokens_evaluated": completion.reuse.prompt,
        "generation_settings": settings(ask.request.sampling, server),
        "prompt": "",
        "has_new_line": "\n" in item.text,
        "truncated": False,
        "stop_type": _STOP_TYPES[item.stop_reason],
        "stopping_word": item.stop_word,
        "tokens_cached": completion.reuse.prompt + item.n_tokens,
        "timings": timings(completion),
        "reuse": asdict(completion.reuse),
    }


def chosen(answer: Json, ask: CompatRequest) -> Json:
    """The fields that the client wants, flattened: `timings/prompt_n` is a key. Unknown ones are left out."""
    if ask.fields is None:
        return answer
    found = {field: _at(answer, field.split("/")) for field in ask.fields}
    return {field: value for field, value in found.items() if value is not None}


def _at(value: Any, path: Sequence[str]) -> Any:
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


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
        "frequency_penalty": s.frequency_penalty,
        "presence_penalty": s.presence_penalty,
        "stop": list(s.stop),
        "grammar": s.grammar,
    }


def timings(completion: Completion) -> Json:
    """Numbers of tokens and milliseconds, as llama.cpp's server names them; never a division by nothing."""
    t, reuse = completion.timings, completion.reuse
    return {
        "cache_n": max(reuse.prompt - reuse.processed, 0) if reuse.state == "ready" else 0,
        "prompt_n": t.prompt_n,
        "prompt_ms": round(t.prompt_ms, 3),
        "prompt_per_token_ms": _ratio(t.prompt_ms, t.prompt_n),
        "prompt_per_second": _ratio(t.prompt_n * 1e3, t.prompt_ms),
        "predicted_n": t.predicted_n,
        "predicted_ms": round(t.predicted_ms, 3),
        "predicted_per_token_ms": _ratio(t.predicted_ms, t.predicted_n),
        "predicted_per_second": _ratio(t.predicted_n * 1e3, t.predicted_ms),
        # Not llama.cpp's: how long the request has waited for the model.
        "queue_ms": round(t.queue_ms, 3),
    }


def _ratio(value: float, of: float) -> float:
    return round(value / of, 3) if of > 0 else 0.0


# --- OpenAI ----------------------------------------------------------------------------------------------------------


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

    def answer(self, completions: Sequence[Completion]) -> Json:
        """The whole answer to all prompts."""
        items = [item for completion in completions for item in completion.items or (_NOTHING,)]
        choices = [self.choice(index, item) for index, item in enumerate(items)]
        return {**self._head(), "choices": choices, **self.closing(completions[0])}

    def chunk(self, index: int, delta: Json, text: str = "", finish: str | None = None) -> Json:
        """An event of a stream."""
        body = {"text": text} if self.form == "text" else {"delta": delta}
        choice = {**body, "index": index, "finish_reason": finish, "logprobs": None}
        return {**self._head(streams=True), "choices": [choice]}

    def usage(self, completion: Completion) -> Json:
        """The event that has no choices."""
        return {**self._head(streams=True), "choices": [], **self.closing(completion)}

    def closing(self, completion: Completion) -> Json:
        """What the request has cost."""
        reuse, n_generated = completion.reuse, sum(item.n_tokens for item in completion.items)
        n_cached = max(reuse.prompt - reuse.processed, 0) if reuse.state == "ready" else 0
        usage = {
            "prompt_tokens": reuse.prompt,
            "completion_tokens": n_generated,
            "total_tokens": reuse.prompt + n_generated,
            "prompt_tokens_details": {"cached_tokens": n_cached},
        }
        return {"usage": usage, "timings": timings(completion), "reuse": asdict(reuse)}

    def choice(self, index: int, item: Item) -> Json:
        """One alternative, whole."""
        if self.form == "text":
            return {"text": item.text, "index": index, "finish_reason": _finish(item), "logprobs": None}
        reply = read_reply(item.text, self.reply)
        message: Json = {"role": "assistant", "content": reply.said if reply.said or not reply.calls else None}
        if reply.thought:
            message["reasoning_content"] = reply.thought
        if reply.calls:
            message["tool_calls"] = [_called(call) for call in reply.calls]
        finish = _finish(item, n_calls=len(reply.calls))
        return {"message": message, "index": index, "finish_reason": finish, "logprobs": None}

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

    def __init__(self, answers: OpenAi) -> None:
        self._answers = answers
        self._reader = ReplyReader(answers.reply)
        self._n_calls = 0

    def first(self) -> list[Json]:
        return [self._answers.chunk(0, {"role": "assistant", "content": ""})] if self._answers.form == "chat" else []

    def piece(self, text: str) -> list[Json]:
        if self._answers.form == "text":
            return [self._answers.chunk(0, {}, text)]
        return self._parts(self._reader.feed(text))

    def last(self, completion: Completion, include_usage: bool) -> list[Json]:
        """The rest of the text, the other alternatives, why each came to its end, and the usage.

        Who does not ask for the usage finds it in the last event that there is.
        """
        first, *others = completion.items or (_NOTHING,)
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
    return "length" if item.stop_reason == "length" else "stop"


def tabby_answer(completions: Sequence[Completion]) -> Json:
    """What Tabby's agents read."""
    items = [item for completion in completions for item in completion.items]
    choices = [{"index": index, "text": item.text} for index, item in enumerate(items)]
    return {"id": f"cmpl-{token_hex(12)}", "choices": choices}
