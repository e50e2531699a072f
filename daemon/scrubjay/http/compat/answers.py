"""What answers of every dialect have: numbers about the request, and the fields that the client wants."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from scrubjay.completion.requests import Completion, Item
from scrubjay.protocol.messages import TokenChoice

Json = dict[str, Any]
NOTHING = Item("", "none", 0)


@dataclass(frozen=True, slots=True)
class Server:
    """What answers say of the server."""

    model: str
    n_ctx: int


def chosen(answer: Json, fields: Iterable[str] | None) -> Json:
    """The fields that the client wants, flattened: `timings/prompt_n` is a key. Unknown ones are left out; None for all."""
    if fields is None:
        return answer
    found = {field: _at(answer, field.split("/")) for field in fields}
    return {field: value for field, value in found.items() if value is not None}


def _at(value: Any, path: Sequence[str]) -> Any:
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def timings(completion: Completion) -> Json:
    """Numbers of tokens and milliseconds, as llama.cpp's server names them; never a division by nothing."""
    t = completion.timings
    return {
        "cache_n": n_cached(completion),
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
        # As llama.cpp has it, only where there were drafts.
        **({"draft_n": t.draft_n, "draft_n_accepted": t.draft_n_accepted} if t.draft_n else {}),
    }


def n_cached(completion: Completion) -> int:
    """Tokens of the prompt that did not have to be processed."""
    reuse = completion.reuse
    return max(reuse.prompt - reuse.processed, 0) if reuse.state == "ready" else 0


def choice_json(choice: TokenChoice) -> Json:
    """A token and how likely it was, as both llama.cpp and OpenAI have it."""
    text = choice.data.decode(errors="replace")
    return {"token": text, "bytes": list(choice.data), "logprob": choice.logprob}


def _ratio(value: float, of: float) -> float:
    return round(value / of, 3) if of > 0 else 0.0
