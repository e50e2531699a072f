"""What clients of llama.cpp's server and of OpenAI send, read leniently: from a body to a `RawRequest`.

Unknown fields, unknown models and any slot are welcome; numbers out of range are brought into it; null is as good as absent.
Only what cannot be understood is refused.
"""

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from scrubjay.completion.requests import RawRequest
from scrubjay.errors import RequestError
from scrubjay.http.compat.chat_reply import CALL, END_THINK, PLAIN, THINK, Form
from scrubjay.http.params import Params
from scrubjay.prompt.chat import ChatPrompt
from scrubjay.prompt.infill import Extra, InfillPrompt, split_at_line
from scrubjay.prompt.raw import RawPrompt
from scrubjay.prompt.recipe import PromptRecipe
from scrubjay.protocol.messages import Sampling

UNLIMITED = 2**31 - 1
MAX_ALTERNATIVES = 8
INFILL_TOKENS = 128
"""What a client that fills in gets, if it does not say how much it wants."""
_ANYTHING = 1e300
_LIMITS = ("n_predict", "max_completion_tokens", "max_tokens")
_NATIVE = ("n_predict", "cache_prompt", "id_slot", "samplers", "t_max_predict_ms", "response_fields")


@dataclass(frozen=True, slots=True)
class CompatRequest:
    """What a client wants, and in which form.

    Args:
        requests: one for each prompt; only completions may have several.
        fields: of the answer, what alone the client wants to see; None for everything.
        reply: what to look for in what a model writes as the assistant.
    """

    requests: tuple[RawRequest, ...]
    stream: bool = False
    fields: tuple[str, ...] | None = None
    include_usage: bool = False
    reply: Form = PLAIN

    @property
    def request(self) -> RawRequest:
        return self.requests[0]


def is_native(params: Params) -> bool:
    """Whether a body for a route that both dialects have is llama.cpp's."""
    return any(params.has(name) for name in _NATIVE)


# --- one for each sort of request ------------------------------------------------------------------------------------


def completion(params: Params, anchor: bool) -> CompatRequest:
    """`prompt`, perhaps with a `suffix`."""
    if params.has("suffix") and (suffix := params.text("suffix")):
        prefix, middle = split_at_line(params.text("prompt", ""))
        infill = InfillPrompt(prefix, suffix, middle, (), params.flag("anchor", default=anchor))
        return _ask(params, [infill], INFILL_TOKENS)
    return _ask(params, [RawPrompt(parts) for parts in prompts(params)])


def infill(params: Params, anchor: bool) -> CompatRequest:
    """llama.cpp's `/infill`."""
    recipe = InfillPrompt(
        params.text("input_prefix", ""),
        params.text("input_suffix", ""),
        params.text("prompt", ""),
        _extras(params, "input_extra"),
        params.flag("anchor", default=anchor),
    )
    return _ask(params, [recipe], INFILL_TOKENS)


def segments(params: Params, anchor: bool) -> CompatRequest:
    """What Tabby's agents send."""
    parts = params.nested("segments")
    lists = ("declarations", "relevant_snippets_from_changed_files", "relevant_snippets_from_recently_opened_files")
    extras = [extra for name in lists for extra in _extras(parts, name)]
    prefix, middle = split_at_line(parts.text("prefix", ""))
    recipe = InfillPrompt(prefix, parts.text("suffix", ""), middle, tuple(extras), anchor)
    return _ask(params, [recipe], INFILL_TOKENS)


def chat(params: Params, text: str) -> CompatRequest:
    """`messages`, of which the model's template has made `text`.

    Who has to call a tool is made to: the prompt ends within the call, and a grammar lets only calls of these tools pass.
    """
    has_thoughts = params.text("reasoning_format", "auto") != "none"
    thinks = text.rstrip().endswith(THINK)
    if not (tools := _forced_tools(params)):
        ask = _ask(params, [RawPrompt((text,))])
        has_calls = params.has("tools") and params.values.get("tool_choice") != "none"
        return replace(ask, reply=Form(has_thoughts, has_calls, "thought" if thinks and has_thoughts else "said"))
    end = f"{END_THINK}\n\n" if thinks else ""
    ask = _ask(params, [RawPrompt((f"{text}{end}{CALL}\n",))])
    how = ask.request.sampling
    if how.grammar or how.json_schema:
        raise RequestError("Send a grammar or a JSON schema, or have a tool called, not both.")
    how = replace(how, json_schema=json.dumps({"anyOf": [_call_schema(tool) for tool in tools]}))
    return replace(ask, requests=(replace(ask.request, sampling=how),), reply=Form(has_thoughts, True, "call"))


def chat_prompt(params: Params) -> ChatPrompt:
    """The prompt of `messages`; what the last one says as the assistant is the beginning of the answer."""
    messages = [_message(item) for item in params.items("messages")]
    if not messages:
        raise RequestError("`messages` is empty; send at least one message.")
    prefill = ""
    if messages[-1]["role"] == "assistant" and not messages[-1].get("tool_calls"):
        prefill = str(messages.pop()["content"])
    tools = tuple(item.values for item in params.items("tools")) if params.has("tools") else None
    options = params.nested("chat_template_kwargs").values if params.has("chat_template_kwargs") else {}
    options = {key: value for key, value in options.items() if key.isidentifier()}
    return ChatPrompt(tuple(messages), tools, options, params.flag("add_generation_prompt", default=True), prefill)


def prompts(params: Params, name: str = "prompt") -> list[tuple[str | int, ...]]:
    """A text, an array of tokens and texts that make one prompt, or an array of such prompts.

    Raises:
        RequestError: it is none of these.
    """
    value = params.values.get(name)
    if value is None:
        raise RequestError(f"`{name}` is missing.")
    if isinstance(value, list) and value and all(isinstance(item, str | list) for item in value):
        return [_parts(item, name) for item in value]
    return [_parts(value, name)]


# --- how to generate -------------------------------------------------------------------------------------------------


def sampling(params: Params, max_tokens: int) -> Sampling:
    """llama.cpp's and OpenAI's fields, with the defaults of llama.cpp's server."""
    schema, grammar = _schema(params), params.text("grammar", "")
    if schema and grammar:
        raise RequestError("Send `grammar` or a JSON schema, not both.")
    samplers = _samplers(params)
    temperature = _number(params, "temperature", 0.8, 0, 100)
    if samplers is not None and "temperature" not in samplers and temperature > 0:
        temperature = 1.0
    return Sampling(
        max_tokens=_limit(params, max_tokens),
        temperature=temperature,
        top_k=int(_number(params, "top_k", 40, 0, 2**31 - 1)) if _has(samplers, "top_k") else 0,
        top_p=_number(params, "top_p", 0.95, 0, 1) if _has(samplers, "top_p") else 1.0,
        min_p=_number(params, "min_p", 0.05, 0, 1) if _has(samplers, "min_p") else 0.0,
        seed=_seed(params),
        repeat_penalty=_number(params, "repeat_penalty", 1.0, 0.01, 100),
        frequency_penalty=_number(params, "frequency_penalty", 0.0, -100, 100),
        presence_penalty=_number(params, "presence_penalty", 0.0, -100, 100),
        penalty_last_n=int(_number(params, "repeat_last_n", 64, 0, 2**20)),
        grammar=grammar,
        json_schema=schema,
        logit_bias=_biases(params),
        infill=samplers is not None and "infill" in samplers,
        stop=params.texts("stop"),
        max_ms=int(_number(params, "t_max_predict_ms", 0, 0, 1e9)),
        ignore_end=params.flag("ignore_eos", default=False),
    )


def _ask(params: Params, recipes: Sequence[PromptRecipe], max_tokens: int = UNLIMITED) -> CompatRequest:
    how = sampling(params, max_tokens)
    count = _number(params, "n_cmpl" if params.has("n_cmpl") else "n", 1, 1, MAX_ALTERNATIVES)
    n = int(count) if how.max_tokens > 1 else 1
    n_indent = int(_number(params, "n_indent", 0, 0, 2**20))
    patience = _number(params, "t_max_prompt_ms", 0, 0, 1e9)
    # Who generates nothing has no answer to be quick with: it is the prompt that is wanted.
    t_max_prompt_ms = patience if patience > 0 and how.max_tokens > 0 else None
    options = params.nested("stream_options") if params.has("stream_options") else Params({})
    fields = params.values.get("response_fields")
    return CompatRequest(
        tuple(RawRequest(recipe, n, how, t_max_prompt_ms, n_indent) for recipe in recipes),
        params.flag("stream", default=False),
        tuple(map(str, fields)) if isinstance(fields, list) else None,
        options.flag("include_usage", default=False),
    )


def _limit(params: Params, default: int) -> int:
    given = next((name for name in _LIMITS if params.has(name)), None)
    n = int(_number(params, given, -1, -1, UNLIMITED)) if given else -1
    return default if n < 0 else n


def _number(params: Params, name: str, default: float, low: float, high: float) -> float:
    return max(low, min(high, params.number(name, default, low=-_ANYTHING, high=_ANYTHING)))


def _seed(params: Params) -> int:
    seed = int(_number(params, "seed", -1, -1, 2**53))
    return secrets.randbits(31) if seed < 0 else seed


def _samplers(params: Params) -> tuple[str, ...] | None:
    value = params.values.get("samplers")
    return tuple(map(str, value)) if isinstance(value, list) else None


def _has(samplers: Sequence[str] | None, name: str) -> bool:
    return samplers is None or name in samplers


def _schema(params: Params) -> str:
    """The JSON schema that the answer must follow, as text; "" for none."""
    if params.has("json_schema"):
        return json.dumps(params.values["json_schema"])
    if not params.has("response_format"):
        return ""
    form = params.nested("response_format")
    kind = form.text("type", "text")
    if kind == "text":
        return ""
    if kind not in ("json_object", "json_schema"):
        raise RequestError("`response_format.type` must be one of text, json_object, json_schema.")
    inner = form.nested("json_schema") if form.has("json_schema") else form
    return json.dumps(inner.values.get("schema") or {"type": "object"})


def _biases(params: Params) -> tuple[tuple[int, float], ...]:
    """`{token: bias}` or `[[token, bias], ...]`; a bias of false forbids the token."""
    value = params.values.get("logit_bias")
    pairs: list[Any] = list(value.items()) if isinstance(value, dict) else list(value or [])
    try:
        return tuple((int(token), -1e9 if bias is False else float(bias)) for token, bias in pairs)
    except (TypeError, ValueError, OverflowError) as error:
        raise RequestError("`logit_bias` must map tokens to numbers.") from error


# --- parts of bodies -------------------------------------------------------------------------------------------------


def _forced_tools(params: Params) -> list[Params]:
    """The functions of which the model must call one, as `tool_choice` says; none if it is free to."""
    choice = params.values.get("tool_choice")
    if choice not in ("required", "any") and not isinstance(choice, dict):
        return []
    tools = [tool.nested("function") for tool in params.items("tools")]
    if isinstance(choice, dict):
        name = Params(choice, "tool_choice.").nested("function").text("name")
        tools = [tool for tool in tools if tool.text("name") == name]
    if not tools:
        raise RequestError("`tool_choice` wants a tool called that `tools` does not have.")
    return tools


def _call_schema(tool: Params) -> dict[str, Any]:
    arguments = tool.nested("parameters").values if tool.has("parameters") else {"type": "object"}
    properties = {"name": {"const": tool.text("name")}, "arguments": arguments}
    return {"type": "object", "properties": properties, "required": list(properties)}


def _parts(value: object, name: str) -> tuple[str | int, ...]:
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, list) or not all(
        isinstance(item, str | int) and not isinstance(item, bool) for item in items
    ):
        raise RequestError(f"`{name}` must be a string, or an array of tokens and strings.")
    return tuple(items)


def _extras(params: Params, name: str) -> tuple[Extra, ...]:
    if not params.has(name):
        return ()
    return tuple(
        Extra(item.text("filename", item.text("filepath", "tmp")), item.text("text", item.text("body", "")))
        for item in params.items(name)
    )


def _message(item: Params) -> dict[str, Any]:
    """A message as templates want it: its content is text, and what tools are called with are objects."""
    message = {**item.values, "role": item.text("role"), "content": _content(item)}
    if item.has("tool_calls"):
        message["tool_calls"] = [_tool_call(call.values) for call in item.items("tool_calls")]
    return message


def _content(item: Params) -> str:
    if not isinstance(item.values.get("content"), list):
        return item.text("content", "")
    parts = item.items("content")
    if any(part.text("type", "text") not in ("text", "input_text") for part in parts):
        raise RequestError("Only text is understood here; leave images, files and sounds out of `content`.")
    return "\n".join(part.text("text", "") for part in parts)


def _tool_call(call: dict[str, Any]) -> dict[str, Any]:
    function = call.get("function")
    if not isinstance(function, dict) or not isinstance(function.get("arguments"), str):
        return call
    try:
        arguments = json.loads(function["arguments"])
    except ValueError:
        return call
    return {**call, "function": {**function, "arguments": arguments}}
