"""The request log as JSON, with the reason for what each request cost in words. For when somebody asks."""

from dataclasses import asdict, replace
from itertools import islice
from typing import Any
from weakref import WeakKeyDictionary

from scrubjay.completion.requests import Reuse
from scrubjay.errors import RequestError
from scrubjay.service.prompt_change import Piece, Words, compare
from scrubjay.service.request_log import Change, RequestRecord
from scrubjay.service.service import Service

Json = dict[str, Any]


class RequestReport:
    """Reads the log of `service`; remembers the words of what has ended, because a page that is open asks again and again."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._known: WeakKeyDictionary[RequestRecord, Json] = WeakKeyDictionary()
        # By model and token.
        self._pieces: dict[tuple[str, int], bytes] = {}

    async def requests(self, n: int, group: str = "") -> list[Json]:
        """The last `n` requests of `group` as `GET /api/requests` has them, the newest first."""
        records = [*islice(self._service.models.logs.of(group), n)]
        unknown = [record for record in records if record not in self._known]
        made: dict[RequestRecord, Json] = {}
        for name in {record.model for record in unknown}:
            of_model = [record for record in unknown if record.model == name]
            made.update(zip(of_model, await self._make(name, of_model), strict=True))
        self._known.update((record, report) for record, report in made.items() if record.is_over)
        return [made[record] if record in made else self._known[record] for record in records]

    async def _make(self, name: str, records: list[RequestRecord]) -> list[Json]:
        models = self._service.models
        model = next((model for model in models if model.name == name), models.first)
        try:
            return await model.use_vocabulary(lambda tools: self._reports(name, records, tools.vocabulary.piece), 0)
        except RequestError:
            # There is no vocabulary: of changes, only their places can be told.
            return [request_json(record, lambda _: b"") for record in records]

    def _reports(self, name: str, records: list[RequestRecord], piece: Piece) -> list[Json]:
        """In a thread: so that no key has to wait for it."""

        def known_piece(token: int) -> bytes:
            if (known := self._pieces.get((name, token))) is None:
                known = self._pieces[name, token] = piece(token)
            return known

        return [request_json(record, known_piece) for record in records]


def request_json(record: RequestRecord, piece: Piece) -> Json:
    """What `GET /api/requests` says of one request; `piece`: the bytes of a token."""
    about = record.about
    if about is None:
        raise ValueError("the request is not in the log")
    words = _words(record, piece)
    timings = {key: round(value, 3) for key, value in asdict(record.timings).items()} if record.timings else None
    return {
        "number": record.number,
        "at": record.at,
        "kind": about.kind,
        "model": record.model,
        "root": about.root,
        "uri": about.uri,
        "outcome": record.outcome,
        "reuse": asdict(Reuse.of(record.cost)) if record.cost else None,
        "first_token_ms": round(record.first_token_ms, 3),
        "timings": timings,
        "n_items": record.n_items,
        "why": words.text,
        "segment": words.segment._asdict() if words.segment else None,
        "line": words.line,
        "was": words.was,
        "now": words.now,
    }


def _words(record: RequestRecord, piece: Piece) -> Words:
    before_run = {
        "cached": "The text was known already; the model was not asked.",
        "superseded": "A newer request took its place.",
        "cancelled": "It was no longer wanted.",
        "failed": record.error or "It failed.",
    }
    if record.cost is None:
        return Words(before_run.get(record.outcome, "Its prompt is not processed yet."))
    return _cost_words(record, piece)


def _cost_words(record: RequestRecord, piece: Piece) -> Words:
    change, about, cost = record.change, record.about, record.cost
    if cost is None or about is None or change is None:
        return Words("What changed is no longer known.")
    if about.is_cold or cost.reason == "repaired":
        return Words(
            "It was asked for without any reuse, as a reference."
            if about.is_cold
            else "What was held could not be used, so the prompt was processed from its start."
        )
    if change.before is None:
        return Words(_first(about.kind, cost.common, cost.prompt))
    if change.loss:
        return Words(_lost(change, cost.common, cost.prompt))
    words = compare(change, about.place, about.kind == "warm", piece)
    if cost.reason == "paged":
        return replace(words, text=f"The prompt came back to text that was held before. {words.text}")
    return words


def _first(kind: str, n_common: int, n_prompt: int) -> str:
    raw, other = (
        "Nothing that is held begins like this prompt",
        "This is the project's first prompt since the daemon started",
    )
    return f"{raw if kind == 'raw' else other}{_of(n_common, n_prompt, 'were held already')}."


def _lost(change: Change, n_common: int, n_prompt: int) -> str:
    what = {"restart": "The model was restarted", "eviction": "What was held had made room for other prompts"}
    return f"{what[change.loss]}{_of(n_common, n_prompt, 'came from records')}."


def _of(n_common: int, n_prompt: int, what: str) -> str:
    return f"; {n_common:,} of {n_prompt:,} tokens {what}" if n_common else ""
