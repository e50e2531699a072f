"""From a client's fields to an event of the service, and from its reply to JSON: the same for routes and sessions."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from typing import Any

from scrubjay.completion.postprocess import RULES
from scrubjay.completion.proposals import Told
from scrubjay.completion.requests import Completion, CompletionRequest, Item, Trigger
from scrubjay.errors import RequestError
from scrubjay.http.params import Fields, Params, changes_of, encoding_of, optional, position_of
from scrubjay.notifications import facts_of
from scrubjay.protocol.messages import Sampling
from scrubjay.protocol.records import Forgotten
from scrubjay.service.events import (
    AddTail,
    AskNextEdit,
    Complete,
    CompletionOutcome,
    ForgetRoot,
    NextEditAnswer,
    NextEditOutcome,
    Outcome,
    Pause,
    PlacedEdit,
    RequestStatus,
    ShownPrompt,
    ShowPrompt,
    Warm,
)
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
    | ShowPrompt
    | AddTail
    | AskNextEdit
    | NextEditOutcome
    | CompletionOutcome
    | Pause
    | ForgetRoot
    | RequestStatus
)
Make = Callable[[Params, str], Callable[[], Call]]
Render = Callable[[Any], Json]
Method = tuple[Make, Render]
"""How an event is made of a client's fields (and whose they are), and its reply becomes JSON.

The fields may be read in a thread; the event is then made in the event loop, to which its reply belongs.
"""

_TRIGGERS: tuple[Trigger, ...] = ("automatic", "invoked")
_OUTCOMES: tuple[Outcome, ...] = ("shown", "accepted", "rejected")
_TOLD: tuple[Told, ...] = ("shown", "accepted", "accepted_in_part", "rejected")
MAX_ALTERNATIVES = 16
_DEFAULT = Sampling()
_CHANGE: Fields = {
    "uri": Params.text,
    "version": partial(Params.integer, low=-(2**31)),
    "changes": changes_of,
    "position_encoding": encoding_of,
    "base_version": optional(Params.integer),
}
_COMPLETE: Fields = {
    "uri": Params.text,
    "position": position_of,
    "position_encoding": encoding_of,
    "version": optional(Params.integer),
    "n": partial(Params.integer, default=1, low=1, high=MAX_ALTERNATIVES),
    "trigger": partial(Params.choice, allowed=_TRIGGERS, default="automatic"),
    "t_max_prompt_ms": optional(Params.number),
    "client": optional(Params.text),
    "cold": partial(Params.flag, default=False),
    "rules": partial(Params.flag, default=True),
    "rules_off": Params.texts,
    "can_replace": partial(Params.flag, default=False),
}
_SAMPLING: Fields = {
    "max_tokens": partial(Params.integer, default=_DEFAULT.max_tokens, high=2**31),
    "temperature": partial(Params.number, default=_DEFAULT.temperature, high=100),
    "top_k": partial(Params.integer, default=_DEFAULT.top_k, high=2**31 - 1),
    "top_p": partial(Params.number, default=_DEFAULT.top_p, high=1),
    "min_p": partial(Params.number, default=_DEFAULT.min_p, high=1),
    "seed": partial(Params.integer, default=_DEFAULT.seed, low=-(2**53)),
    "stop": Params.texts,
    "t_max_predict_ms": partial(Params.number, default=0),
    "margins": partial(Params.flag, default=False),
    "prediction": partial(Params.text, default=""),
}
_OPTIONAL = ("pieces", "stop_word", "n_replaced", "tokens")
"""Fields of an item that are left out where they say nothing."""


def open_document(params: Params, owner: str = "") -> Callable[[], OpenDocument]:
    return partial(
        OpenDocument,
        uri=_uri(params),
        text=params.text("text"),
        language=params.text("language", ""),
        version=params.integer("version", 0, low=-(2**31)),
        root=optional(Params.text)(params, "root"),
        owner=_owner(params, owner),
    )


def change_document(params: Params, owner: str = "") -> Callable[[], ChangeDocument]:
    fields = params.read(_CHANGE)
    encoding = fields.pop("position_encoding")
    return partial(ChangeDocument, **fields, encoding=encoding, owner=_owner(params, owner))


def close_document(params: Params, owner: str = "") -> Callable[[], CloseDocument]:
    return partial(CloseDocument, _uri(params), _owner(params, owner))


def save_document(params: Params, owner: str = "") -> Callable[[], SaveDocument]:
    return partial(SaveDocument, _uri(params), _owner(params, owner))


def focus_document(params: Params, owner: str = "") -> Callable[[], FocusDocument]:
    position = optional(position_of)(params, "position")
    return partial(FocusDocument, _uri(params), position, encoding_of(params), _owner(params, owner))


def complete(params: Params, owner: str = "") -> Callable[[], Complete]:
    fields = params.read(_COMPLETE)
    encoding, client = fields.pop("position_encoding"), fields.pop("client")
    _check_rules(fields["rules_off"])
    return partial(
        Complete,
        CompletionRequest(
            **fields,
            encoding=encoding,
            sampling=sampling(params),
            client=owner if client is None else client,
            owner=_owner(params, owner),
        ),
    )


def sampling(params: Params) -> Sampling:
    """How to generate, as a client says it."""
    fields = params.read(_SAMPLING)
    max_ms, with_margins = round(fields.pop("t_max_predict_ms")), fields.pop("margins")
    return Sampling(**fields, max_ms=max_ms, with_margins=with_margins)


def warm(params: Params, owner: str = "") -> Callable[[], Warm]:
    return partial(
        Warm,
        root=optional(Params.text)(params, "root"),
        uri=optional(Params.text)(params, "uri"),
        position=optional(position_of)(params, "position"),
        encoding=encoding_of(params),
        owner=_owner(params, owner),
        wait=params.flag("wait", default=True),
    )


def show_prompt(params: Params, owner: str = "") -> Callable[[], ShowPrompt]:
    place = (_uri(params), position_of(params, "position"), encoding_of(params))
    return partial(ShowPrompt, *place, _owner(params, owner))


def prompt_json(shown: ShownPrompt) -> Json:
    """What `/api/prompt` answers."""
    parts = [asdict(part) for part in shown.parts]
    return {"tokens": sum(part.n_tokens for part in shown.parts), "parts": parts, "problem": shown.problem}


def tail(params: Params, _: str = "") -> Callable[[], AddTail]:
    shown = Tail(params.text("name"), params.text("text"), params.flag("once", default=True))
    return partial(AddTail, params.text("root"), shown)


def next_edit(params: Params, owner: str = "") -> Callable[[], AskNextEdit]:
    version = optional(Params.integer)(params, "version")
    return partial(AskNextEdit, _uri(params), encoding_of(params), version, _owner(params, owner))


def next_edit_outcome(params: Params, _: str = "") -> Callable[[], NextEditOutcome]:
    return partial(NextEditOutcome, params.integer("id"), params.choice("outcome", _OUTCOMES, "shown"))


def outcome(params: Params, _: str = "") -> Callable[[], CompletionOutcome]:
    told, tells = params.choice("outcome", _TOLD, "shown"), params.flag("tells", default=False)
    return partial(CompletionOutcome, params.integer("request"), told, tells)


def next_edit_json(answer: NextEditAnswer) -> Json:
    """What `/api/next-edit` answers."""
    return {"edit": answer.edit and _edit_json(answer.edit), "quiet": answer.quiet, "version": answer.version}


def _edit_json(edit: PlacedEdit) -> Json:
    fields = asdict(edit)
    place = {"start": fields.pop("start"), "end": fields.pop("end")}
    return {**fields, "range": place}


def pause(params: Params, _: str = "") -> Callable[[], Pause]:
    return partial(Pause, params.flag("paused", default=True))


def paused_json(paused: bool) -> Json:
    return {"paused": paused}


def forget(params: Params, _: str = "") -> Callable[[], ForgetRoot]:
    return partial(ForgetRoot, params.text("root", ""))


def version_json(version: int) -> Json:
    return {"version": version}


def nothing_json(_: None) -> Json:
    return {}


def completion_json(completion: Completion) -> Json:
    """What `/api/complete` answers."""
    return {
        "items": [_item_json(item) for item in completion.items],
        "timings": timings_json(completion),
        "reuse": facts_of(completion.reuse),
        **_request(completion),
        "version": completion.version,
        "model": completion.model,
        **({"debounce_ms": completion.debounce_ms} if completion.debounce_ms else {}),
        **({"discarded": completion.discarded} if completion.discarded else {}),
    }


def _item_json(item: Item) -> Json:
    return {key: value for key, value in asdict(item).items() if key not in _OPTIONAL or value}


def forgotten_json(forgotten: Forgotten) -> Json:
    """What `/api/forget` answers."""
    return {"records": forgotten.n_records, "bytes": forgotten.n_bytes, "keys": list(forgotten.keys)}


def warm_json(completion: Completion) -> Json:
    """What `/api/warm` answers."""
    return {"timings": timings_json(completion), "reuse": facts_of(completion.reuse), **_request(completion)}


def _request(completion: Completion) -> Json:
    """The number of the request, if the log has it."""
    return {"request": completion.request} if completion.request else {}


def timings_json(completion: Completion) -> Json:
    return {key: round(value, 3) for key, value in facts_of(completion.timings).items()}


def _check_rules(names: tuple[str, ...]) -> None:
    if unknown := set(names) - RULES:
        raise RequestError(f"{min(unknown)!r} is no completion rule; these are: {', '.join(sorted(RULES))}.")


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
    "complete/outcome": (outcome, nothing_json),
    "warm": (warm, warm_json),
    "prompt": (show_prompt, prompt_json),
    "tail": (tail, nothing_json),
    "next-edit": (next_edit, next_edit_json),
    "next-edit/outcome": (next_edit_outcome, nothing_json),
    "pause": (pause, paused_json),
    "forget": (forget, forgotten_json),
}
"""What sessions call by these names and routes as `/api/NAME`."""
