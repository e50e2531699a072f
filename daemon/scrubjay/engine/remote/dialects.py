"""What servers of two kinds want to hear, and what they say: OpenAI's completions, and those of llama.cpp's server. Pure.

Prompts are arrays of tokens in both, so what is cached is what was meant.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from scrubjay.protocol.messages import Run, Sampling, StopReason

Json = dict[str, Any]
Software = Literal["llama.cpp", "scrubjay", "openai", "sglang"]


@dataclass(frozen=True, slots=True)
class Served:
    """What a server has said of the model that it serves; 0 and "" for what it has not said.

    Args:
        name: the name that requests give it.
        n_ctx: tokens that a prompt and its answer may have together.
        path: of the model's file, on the server's machine.
        n_slots: how many contexts it has.
        warm_priority: what says that nobody waits for a request, where those that somebody waits for have 0; 0 if nothing does.
    """

    name: str
    software: Software
    n_ctx: int
    path: str = ""
    n_vocab: int = 0
    n_ctx_train: int = 0
    n_params: int = 0
    size: int = 0
    n_slots: int = 0
    warm_priority: int = 0


@dataclass(frozen=True, slots=True)
class Sender:
    """Who asks: what brings requests of a project to the machine that has its prompts cached.

    Args:
        session: the same for all requests of a project, and of nobody else.
        salt: the same for all who may share what is cached; "" for everybody.
    """

    session: str
    salt: str = ""


@dataclass(frozen=True, slots=True)
class Heard:
    """What an event of a stream says.

    Args:
        text: how the text goes on, by `tokens` or, where the server does not name them, by `n_tokens` tokens.
        logprob: the logarithm of the probability of its tokens, if that was asked for.
        n_cached: how many tokens of the prompt were cached, None if the event does not say.
        n_read: how many of them are read, those included; None if it does not say.
        end: why the text ends here; None if it goes on.
        n_generated: how many tokens the whole text has, None if it does not say.
    """

    text: str = ""
    tokens: tuple[int, ...] = ()
    n_tokens: int = 0
    logprob: float = 0.0
    n_cached: int | None = None
    n_read: int | None = None
    end: StopReason | None = None
    stop_word: str = ""
    n_generated: int | None = None


class Dialect(Protocol):
    """How completions are asked for.

    Attributes:
        path: where, below the address.
        writes_typed: whether a text can be made to begin with what was typed, see `Sampling.typed`.
    """

    path: str
    writes_typed: bool

    def body(self, run: Run, served: Served, sender: Sender) -> Json:
        """The request for `run`. One that only warms asks for as little text as the server allows."""

    def hear(self, event: Json) -> Heard:
        """What `event` says.

        Raises:
            LookupError, TypeError, ValueError: it is none of this dialect's.
        """


class OpenAiDialect:
    """vLLM, SGLang, and others that take tokens as a prompt."""

    path = "/completions"
    writes_typed = False

    def body(self, run: Run, served: Served, sender: Sender) -> Json:
        s = run.sampling or Sampling(max_tokens=1)
        body: Json = {
            "model": served.name,
            "prompt": run.tokens.tolist(),
            "add_special_tokens": False,
            "max_tokens": max(s.max_tokens, 1),
            "stream": True,
            "stream_options": {"include_usage": True},
            "return_token_ids": True,
            "temperature": s.temperature,
            "top_k": s.top_k or -1,
            "top_p": s.top_p,
            "min_p": s.min_p,
            "repetition_penalty": s.repeat_penalty,
            "frequency_penalty": s.frequency_penalty,
            "presence_penalty": s.presence_penalty,
            "seed": s.seed,
            "ignore_eos": s.ignore_end,
            "session_id": sender.session,
        }
        if served.warm_priority:
            # SGLang puts requests without one behind all others.
            body["priority"] = served.warm_priority if run.sampling is None else 0
        is_sglang = served.software == "sglang"
        optional: Json = {
            "stop": list(s.stop),
            "stop_token_ids": list(s.stop_tokens),
            "logit_bias": {str(token): max(-100.0, min(100.0, bias)) for token, bias in s.logit_bias},
            "logprobs": 1 if s.with_confidence else None,
            "cache_salt": _salt(run, sender),
            "ebnf": s.grammar if is_sglang else None,
            "structured_outputs": {"grammar": s.grammar} if s.grammar and not is_sglang else None,
            "response_format": _schema_format(s.json_schema) if s.json_schema else None,
        }
        return body | {name: value for name, value in optional.items() if value}

    def hear(self, event: Json) -> Heard:
        n_cached, n_generated = _usage(event.get("usage"))
        choices = event["choices"]
        if not choices:
            return Heard(n_cached=n_cached, n_generated=n_generated)
        choice = choices[0]
        tokens = tuple(map(int, choice.get("token_ids") or ()))
        text = _text(choice.get("text") or "")
        logprobs = _logprobs_of_choice(choice)
        end, stop_word = _finish(choice)
        return Heard(
            text,
            tokens,
            # SGLang names no tokens, and may send several at once.
            len(tokens) or len(logprobs) or int(bool(text)),
            sum(logprobs),
            n_cached,
            end=end,
            stop_word=stop_word,
            n_generated=n_generated,
        )


class LlamaDialect:
    """llama.cpp's server, and Scrubjay."""

    path = "/completion"
    writes_typed = True

    def body(self, run: Run, served: Served, sender: Sender) -> Json:
        s = run.sampling or Sampling(max_tokens=0)
        is_scrubjay = served.software == "scrubjay"
        body: Json = {
            "prompt": run.tokens.tolist(),
            "n_predict": s.max_tokens,
            "stream": True,
            # There is no way to tell it whose what it has cached is.
            "cache_prompt": not run.cold and not run.group,
            "cold": run.cold or bool(run.group),
            "return_progress": True,
            "timings_per_token": True,
            "temperature": s.temperature,
            "top_k": s.top_k,
            "top_p": s.top_p,
            "min_p": s.min_p,
            "seed": s.seed,
            "repeat_penalty": s.repeat_penalty,
            "repeat_last_n": s.penalty_last_n,
            "frequency_penalty": s.frequency_penalty,
            "presence_penalty": s.presence_penalty,
            "ignore_eos": s.ignore_end,
            "t_max_predict_ms": s.max_ms,
            "session_id": sender.session,
            # A Scrubjay would lay out anew what is laid out already.
            "anchor": False,
        }
        optional: Json = {
            "stop": list(s.stop),
            "stop_token_ids": list(s.stop_tokens),
            "logit_bias": [[token, bias] for token, bias in s.logit_bias],
            "grammar": s.grammar,
            "json_schema": json.loads(s.json_schema) if s.json_schema else None,
            "samplers": ["penalties", "top_k", "top_p", "min_p", "temperature", "infill"] if s.infill else None,
            "n_probs": 1 if s.with_confidence and not is_scrubjay else None,
        }
        if is_scrubjay:
            optional["prediction"] = s.prediction
        if s.typed and is_scrubjay:
            optional["typed"] = s.typed
        elif s.typed:
            # As many tokens as it has characters at most, and they do not count.
            optional |= {"grammar": typed_grammar(s.typed), "n_predict": s.max_tokens + len(s.typed)}
        return body | {name: value for name, value in optional.items() if value}

    def hear(self, event: Json) -> Heard:
        progress, timings = event.get("prompt_progress") or {}, event.get("timings") or {}
        # An event of progress names a token, too, which is none.
        tokens = () if progress else tuple(map(int, event.get("tokens") or ()))
        text = _text(event["content"])
        n_cached = timings.get("cache_n", progress.get("cache"))
        is_last = event["stop"] is True
        return Heard(
            text,
            tokens,
            0 if is_last else len(tokens) or int(bool(text)),
            _logprob_of_event(event),
            None if n_cached is None else int(n_cached),
            int(progress["processed"]) if progress else None,
            _END_REASONS.get(event.get("stop_type", ""), "none") if is_last else None,
            str(event.get("stopping_word") or "") if is_last else "",
            int(event.get("tokens_predicted") or 0) if is_last else None,
        )


DIALECTS: Mapping[str, Dialect] = {"openai": OpenAiDialect(), "llama": LlamaDialect()}
_END_REASONS: Mapping[str, StopReason] = {"eos": "end", "word": "stop", "limit": "length"}


def typed_grammar(typed: str) -> str:
    """What makes a text begin with `typed`, in tokens of the model's choice, and go on in any way: GBNF."""
    escaped = typed.translate({ord(c): f"\\{c}" for c in '\\"'} | {10: "\\n", 13: "\\r", 9: "\\t"})
    return f'root ::= "{escaped}" .*'


def _salt(run: Run, sender: Sender) -> str:
    """One that nobody else has makes a request cold."""
    return f"cold-{sender.session}-{run.job}" if run.cold else sender.salt


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value


def _usage(usage: Json | None) -> tuple[int | None, int | None]:
    """Tokens that were cached and that were generated, None where that is not said."""
    if not usage:
        return None, None
    # Where nothing was cached, some servers leave the details out.
    details = usage.get("prompt_tokens_details") or {}
    n_cached = details.get("cached_tokens")
    return None if n_cached is None else int(n_cached), int(usage.get("completion_tokens") or 0)


def _finish(choice: Json) -> tuple[StopReason | None, str]:
    reason, word = choice.get("finish_reason"), choice.get("stop_reason", choice.get("matched_stop"))
    # One that was given up by the server is not whole.
    if reason in (None, "abort"):
        return None, ""
    if reason == "length":
        return "length", ""
    return ("stop", word) if isinstance(word, str) else ("end", "")


def _logprobs_of_choice(choice: Json) -> list[float]:
    found = (choice.get("logprobs") or {}).get("token_logprobs") or ()
    return [float(logprob or 0.0) for logprob in found]


def _logprob_of_event(event: Json) -> float:
    return sum(float(token["logprob"]) for token in event.get("completion_probabilities") or ())


def _schema_format(schema: str) -> Json:
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": json.loads(schema)}}
