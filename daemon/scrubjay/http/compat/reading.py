"""What every dialect has: how to generate, and prompts; read leniently, from a body to `RawRequest`s.

Unknown fields, unknown models and any slot are welcome; numbers out of range are brought into it; null counts as absent. What
cannot be understood, or cannot be given, is refused.
"""

import json
import math
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from scrubjay.completion.requests import RawRequest
from scrubjay.errors import RequestError
from scrubjay.http.compat.chat_reply import PLAIN, Form
from scrubjay.http.params import MAX_ITEMS, MAX_TEXTS, Params
from scrubjay.prompt.client_prompts import RawPrompt
from scrubjay.prompt.infill_history import Extra
from scrubjay.prompt.recipe import PromptRecipe, PromptTools
from scrubjay.protocol.messages import Sampling

UNLIMITED = 2**31 - 1
MAX_ALTERNATIVES = 8
MAX_PROMPTS = 64
"""In one request: each is a job of its own, and nobody else's should wait for all of them."""
MAX_PROBABILITIES = 100
MAX_PARTS = 1 << 18
"""Tokens and strings of a prompt: as many as the longest contexts hold."""
INFILL_TOKENS = 128
"""What a client that fills in gets, if it does not say how much it wants."""
FORBIDDEN = -1e9
_ANYTHING = 1e300
_TEXT_PARTS = {"text": "text", "input_text": "text", "output_text": "text", "refusal": "refusal"}
"""Types of parts that are text, and the field that has it."""
_LIMITS = ("n_predict", "max_completion_tokens", "max_tokens")


@dataclass(frozen=True, slots=True)
class CompatRequest:
    """What a client wants, and in which form.

    Args:
        requests: one for each prompt; only completions may have several.
        fields: of the answer, what alone the client wants to see; None for everything.
        reply: what to look for in what a model writes as the assistant.
        echoes: what comes before each answer, by prompt; empty for nothing.
        biases: texts, and what is added to the logits of their tokens; see `resolved`.
    """

    requests: tuple[RawRequest, ...]
    stream: bool = False
    fields: tuple[str, ...] | None = None
    include_usage: bool = False
    reply: Form = PLAIN
    echoes: tuple[str, ...] = ()
    biases: tuple[tuple[str, float], ...] = ()

    @property
    def request(self) -> RawRequest:
        return self.requests[0]

    @property
    def sampling(self) -> Sampling:
        return self.request.sampling

    def with_sampling(self, sampling: Sampling) -> "CompatRequest":
        """The same, generated in that manner."""
        return replace(self, requests=tuple(replace(request, sampling=sampling) for request in self.requests))

    def resolved(self, tools: PromptTools) -> "CompatRequest":
        """The same with `biases` as tokens of the vocabulary.

        Raises:
            RequestError: a number in `logit_bias` is no token.
        """
        n_tokens = tools.vocabulary.n_tokens
        for token, _ in self.sampling.logit_bias:
            if not 0 <= token < n_tokens:
                raise RequestError(f"`logit_bias`: {token} is no token; the vocabulary has {n_tokens}.")
        found = [
            (int(token), bias) for text, bias in self.biases for token in tools.vocabulary.tokenize(text, special=False)
        ]
        sampling = replace(self.sampling, logit_bias=(*self.sampling.logit_bias, *found))
        return replace(self.with_sampling(sampling), biases=())


def generation(
    params: Params, recipes: Sequence[PromptRecipe], max_tokens: int = UNLIMITED, n_probs: int = -1
) -> CompatRequest:
    """What is to be generated after `recipes`.

    Args:
        max_tokens: where the client does not say it.
        n_probs: how many of the likeliest tokens the client wants to see for each; -1 for no probabilities.
    """
    how, biases = replace(sampling(params, max_tokens), n_probs=n_probs), _text_biases(params)
    count = number(params, "n_cmpl" if params.has("n_cmpl") else "n", 1, 1, MAX_ALTERNATIVES)
    n = int(count) if how.max_tokens > 1 else 1
    n_indent = int(number(params, "n_indent", 0, 0, 2**20))
    patience = number(params, "t_max_prompt_ms", 0, 0, 1e9)
    # If nothing is to be generated, the prompt alone is wanted, and processing it must not be cut short.
    t_max_prompt_ms = patience if patience > 0 and how.max_tokens > 0 else None
    options = params.nested("stream_options") if params.has("stream_options") else Params({})
    fields = params.values.get("response_fields")
    stream = params.flag("stream", default=False)
    if stream and (n_probs >= 0 or how.with_tokens):
        raise RequestError("Probabilities and tokens come with whole answers only; leave `stream` out.")
    cold = params.flag("cold", default=False)
    return CompatRequest(
        tuple(RawRequest(recipe, n, how, t_max_prompt_ms, n_indent, cold=cold) for recipe in recipes),
        stream,
        tuple(map(str, fields[:MAX_TEXTS])) if isinstance(fields, list) else None,
        options.flag("include_usage", default=False),
        biases=biases,
    )


def sampling(params: Params, max_tokens: int) -> Sampling:
    """llama.cpp's and OpenAI's fields, with the defaults of llama.cpp's server."""
    schema, grammar = _schema(params), params.text("grammar", "")
    if schema and grammar:
        raise RequestError("Send `grammar` or a JSON schema, not both.")
    samplers = _samplers(params)
    temperature = number(params, "temperature", 0.8, 0, 100)
    if samplers is not None and "temperature" not in samplers and temperature > 0:
        temperature = 1.0
    return Sampling(
        max_tokens=_limit(params, max_tokens),
        temperature=temperature,
        top_k=int(number(params, "top_k", 40, 0, 2**31 - 1)) if _has(samplers, "top_k") else 0,
        top_p=number(params, "top_p", 0.95, 0, 1) if _has(samplers, "top_p") else 1.0,
        min_p=number(params, "min_p", 0.05, 0, 1) if _has(samplers, "min_p") else 0.0,
        seed=_seed(params),
        repeat_penalty=number(params, "repeat_penalty", 1.0, 0.01, 100),
        frequency_penalty=number(params, "frequency_penalty", 0.0, -100, 100),
        presence_penalty=number(params, "presence_penalty", 0.0, -100, 100),
        penalty_last_n=_penalty_last_n(params),
        grammar=grammar,
        json_schema=schema,
        logit_bias=tuple((token, bias) for token, bias in _biases(params) if isinstance(token, int)),
        infill=samplers is not None and "infill" in samplers,
        stop=params.texts("stop"),
        stop_tokens=_stop_tokens(params),
        typed=params.text("typed", ""),
        max_ms=int(number(params, "t_max_predict_ms", 0, 0, 1e9)),
        ignore_end=params.flag("ignore_eos", default=False),
        with_tokens=params.flag("return_tokens", default=False),
        prediction=_prediction(params),
    )


def prompts(params: Params, name: str = "prompt") -> list[tuple[str | int, ...]]:
    """A text, an array of tokens and texts that make one prompt, or an array of such prompts.

    Raises:
        RequestError: it is none of these, or there are too many.
    """
    value = params.values.get(name)
    if value is None:
        raise RequestError(f"`{name}` is missing.")
    if isinstance(value, list) and value and all(isinstance(item, str | list) for item in value):
        if len(value) > MAX_PROMPTS:
            raise RequestError(f"`{name}` has {len(value)} prompts; send at most {MAX_PROMPTS} in one request.")
        return [_parts(item, name) for item in value]
    return [_parts(value, name)]


def raw_prompts(params: Params, anchor: bool) -> list[RawPrompt]:
    anchor = params.flag("anchor", default=anchor)
    return [RawPrompt(parts, anchor) for parts in prompts(params)]


def extras(params: Params, name: str) -> tuple[Extra, ...]:
    """Other texts, as llama.cpp's and Tabby's clients send them."""
    if not params.has(name):
        return ()
    return tuple(
        Extra(item.text("filename", item.text("filepath", "tmp")), item.text("text", item.text("body", "")))
        for item in params.items(name)
    )


def number(params: Params, name: str, default: float, low: float, high: float) -> float:
    """A number, brought into its range."""
    return max(low, min(high, params.number(name, default, low=-_ANYTHING, high=_ANYTHING)))


def content_of(item: Params) -> str:
    """The text of `content`, which may come in parts."""
    if not isinstance(item.values.get("content"), list):
        return item.text("content", "")
    return "\n".join(map(_part, item.items("content")))


def _part(part: Params) -> str:
    kind = part.text("type", "text")
    if kind not in _TEXT_PARTS:
        raise RequestError(
            f"Only text is understood here, not a part of type {kind!r}; leave images, files and sounds out of `content`."
        )
    return part.text(_TEXT_PARTS[kind], "")


def _prediction(params: Params) -> str:
    """What the client thinks will be written: `{"type": "content", "content": ...}`, as OpenAI has it, or the text alone."""
    if not params.has("prediction"):
        return ""
    return (
        params.text("prediction")
        if isinstance(params.values["prediction"], str)
        else content_of(params.nested("prediction"))
    )


def _limit(params: Params, default: int) -> int:
    given = next((name for name in _LIMITS if params.has(name)), None)
    n = int(number(params, given, -1, -1, UNLIMITED)) if given else -1
    return default if n < 0 else n


def _stop_tokens(params: Params) -> tuple[int, ...]:
    value = params.values.get("stop_token_ids")
    return tuple(item for item in value[:MAX_TEXTS] if isinstance(item, int)) if isinstance(value, list) else ()


def _seed(params: Params) -> int:
    seed = int(number(params, "seed", -1, -1, 2**53))
    return secrets.randbits(31) if seed < 0 else seed


def _penalty_last_n(params: Params) -> int:
    """-1 stands for the whole context."""
    n = int(number(params, "repeat_last_n", 64, -1, 2**20))
    return 2**20 if n < 0 else n


def _samplers(params: Params) -> tuple[str, ...] | None:
    value = params.values.get("samplers")
    return tuple(map(str, value[:MAX_TEXTS])) if isinstance(value, list) else None


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


def _biases(params: Params) -> list[tuple[int | str, float]]:
    """`{token: bias}` or `[[token or text, bias], ...]`; a bias of false forbids it.

    Keys of an object are texts by their nature: digits are a token, as OpenAI has it, and anything else is a text.
    """
    value = params.values.get("logit_bias")
    if isinstance(value, dict | list) and len(value) > MAX_ITEMS:
        raise RequestError(f"`logit_bias` has {len(value)} items; send at most {MAX_ITEMS}.")
    try:
        if isinstance(value, dict):
            return [(int(key) if key.isdecimal() else key, _bias(bias)) for key, bias in value.items()]
        return [(_token(token), _bias(bias)) for token, bias in value or ()]
    except (TypeError, ValueError, OverflowError) as error:
        raise RequestError("`logit_bias` must map tokens, or texts, to numbers or false.") from error


def _token(value: Any) -> int | str:
    if not isinstance(value, int | str) or isinstance(value, bool):
        raise TypeError(value)
    return value


def _bias(value: Any) -> float:
    bias = FORBIDDEN if value is False else float(value)
    if math.isnan(bias):
        raise ValueError(value)
    return max(FORBIDDEN, min(-FORBIDDEN, bias))


def _text_biases(params: Params) -> tuple[tuple[str, float], ...]:
    return tuple((text, bias) for text, bias in _biases(params) if isinstance(text, str))


def _parts(value: object, name: str) -> tuple[str | int, ...]:
    items = [value] if isinstance(value, str) else value
    # By type, which is quick for a long array, and true is no number.
    if not isinstance(items, list) or not set(map(type, items)) <= {int, str}:
        raise RequestError(f"`{name}` must be a string, or an array of tokens and strings.")
    if len(items) > MAX_PARTS:
        raise RequestError(f"`{name}` has {len(items)} tokens and strings; send at most {MAX_PARTS}.")
    return tuple(items)
