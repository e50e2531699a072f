"""From a client's fields to an event of the service, and from its reply to JSON: the same for routes and sessions."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from scrubjay.completion.postprocess import RULES
from scrubjay.completion.requests import Completion, CompletionRequest, Item, Trigger
from scrubjay.errors import RequestError
from scrubjay.http.params import Params
from scrubjay.protocol.messages import Sampling
from scrubjay.service.events import AddTail, Complete, RequestStatus, Warm
from scrubjay.workspace.events import ChangeDocument, CloseDocument, FocusDocument, OpenDocument, SaveDocument
from scrubjay.workspace.project import Tail

Json = dict[str, Any]
Call = (
    OpenDocument
    | ChangeDocument
    | CloseDocument
    | SaveDocument
    | FocusDocument
    | Complete
    | Warm
    | AddTail
    | RequestStatus
)
Make = Callable[[Params, str], Call]
Render = Callable[[Any], Json]
Method = tuple[Make, Render]
"""How an event is made of a client's fields (and whose they are), and its reply becomes JSON."""

_TRIGGERS: tuple[Trigger, ...] = ("automatic", "invoked")
MAX_ALTERNATIVES = 16
_DEFAULT = Sampling()
_OPTIONAL = ("pieces", "stop_word", "n_replaced", "tokens")
"""Fields of an item that are left out where they say nothing."""


def open_document(params: Params, owner: str = "") -> OpenDocument:
    return OpenDocument(
        uri=_uri(params),
        text=params.text("text"),
        language=params.text("language", ""),
        version=params.integer("version", 0, low=-(2**31)),
        root=params.optional_text("root"),
        owner=_owner(params, owner),
    )


def change_document(params: Params, owner: str = "") -> ChangeDocument:
    return ChangeDocument(
        uri=_uri(params),
        version=params.integer("version", low=-(2**31)),
        changes=params.changes(),
        encoding=params.encoding(),
        base_version=params.optional_integer("base_version"),
        owner=_owner(params, owner),
    )


def close_document(params: Params, owner: str = "") -> CloseDocument:
    return CloseDocument(_uri(params), _owner(params, owner))


def save_document(params: Params, owner: str = "") -> SaveDocument:
    return SaveDocument(_uri(params), _owner(params, owner))


def focus_document(params: Params, owner: str = "") -> FocusDocument:
    position = params.optional_position("position")
    return FocusDocument(_uri(params), position, params.encoding(), _owner(params, owner))


def complete(params: Params, owner: str = "") -> Complete:
    return Complete(
        CompletionRequest(
            uri=_uri(params),
            position=params.position("position"),
            encoding=params.encoding(),
            version=params.optional_integer("version"),
            n=params.integer("n", 1, low=1, high=MAX_ALTERNATIVES),
            sampling=sampling(params),
            trigger=params.choice("trigger", _TRIGGERS, "automatic"),
            t_max_prompt_ms=params.optional_number("t_max_prompt_ms"),
            client=params.text("client", owner),
            owner=_owner(params, owner),
            cold=params.flag("cold", default=False),
            rules=params.flag("rules", default=True),
            rules_off=_rules(params.texts("rules_off")),
            can_replace=params.flag("can_replace", default=False),
        )
    )


def sampling(params: Params) -> Sampling:
    """How to generate, as a client says it."""
    return Sampling(
        max_tokens=params.integer("max_tokens", _DEFAULT.max_tokens, high=2**31),
        temperature=params.number("temperature", _DEFAULT.temperature, high=100),
        top_k=params.integer("top_k", _DEFAULT.top_k, high=2**31 - 1),
        top_p=params.number("top_p", _DEFAULT.top_p, high=1),
        min_p=params.number("min_p", _DEFAULT.min_p, high=1),
        seed=params.integer("seed", _DEFAULT.seed, low=-(2**53)),
        stop=params.texts("stop"),
        max_ms=round(params.number("t_max_predict_ms", 0)),
        with_margins=params.flag("margins", default=False),
    )


def warm(params: Params, owner: str = "") -> Warm:
    return Warm(
        root=params.optional_text("root"),
        uri=params.optional_text("uri"),
        position=params.optional_position("position"),
        encoding=params.encoding(),
        owner=_owner(params, owner),
        wait=params.flag("wait", default=True),
    )


def tail(params: Params, _: str = "") -> AddTail:
    shown = Tail(params.text("name"), params.text("text"), params.flag("once", default=True))
    return AddTail(params.text("root"), shown)


def version_json(version: int) -> Json:
    return {"version": version}


def nothing_json(_: None) -> Json:
    return {}


def completion_json(completion: Completion) -> Json:
    """What `/api/complete` answers."""
    return {
        "items": [_item_json(item) for item in completion.items],
        "timings": timings_json(completion),
        "reuse": asdict(completion.reuse),
        "version": completion.version,
        "model": completion.model,
        **({"debounce_ms": completion.debounce_ms} if completion.debounce_ms else {}),
        **({"discarded": completion.discarded} if completion.discarded else {}),
    }


def _item_json(item: Item) -> Json:
    return {key: value for key, value in asdict(item).items() if key not in _OPTIONAL or value}


def warm_json(completion: Completion) -> Json:
    """What `/api/warm` answers."""
    return {"timings": timings_json(completion), "reuse": asdict(completion.reuse)}


def timings_json(completion: Completion) -> Json:
    return {key: round(value, 3) for key, value in asdict(completion.timings).items()}


def _rules(names: tuple[str, ...]) -> tuple[str, ...]:
    if unknown := set(names) - RULES:
        raise RequestError(f"{min(unknown)!r} is no completion rule; these are: {', '.join(sorted(RULES))}.")
    return names


def _uri(params: Params) -> str:
    return params.text("uri")


def _owner(params: Params, owner: str) -> str:
    # What a session has open is the session's, whatever it says.
    return owner or params.text("owner", "")


METHODS: Mapping[str, Method] = {
    "documents/open": (open_document, version_json),
    "documents/change": (change_document, version_json),
    "documents/close": (close_document, nothing_json),
    "documents/save": (save_document, nothing_json),
    "documents/focus": (focus_document, nothing_json),
    "complete": (complete, completion_json),
    "warm": (warm, warm_json),
    "tail": (tail, nothing_json),
}
"""What sessions call by these names and routes as `/api/NAME`."""
