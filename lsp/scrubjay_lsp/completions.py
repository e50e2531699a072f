"""Completions asked of the daemon: one request at a time for each document and purpose, never an outdated answer."""

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import uuid4

from scrubjay.errors import RequestError, ScrubjayError
from scrubjay.positions import Position, n_units
from scrubjay_lsp.daemon_connection import DaemonConnection
from scrubjay_lsp.daemon_reply import Json, Reply, Stale, refuse
from scrubjay_lsp.documents import Documents, OpenDocument, as_json
from scrubjay_lsp.notebooks import Notebooks
from scrubjay_lsp.suggestions import Suggestion, Suggestions

logger = logging.getLogger(__name__)

Purpose = Literal["inline", "menu"]
Ending = Literal["items", "nothing", "stale", "cancelled", "failed"]
"""How a request ends. `stale`: the document changed or a newer request came; `nothing`: the daemon had no text."""


@dataclass(frozen=True, slots=True)
class CompletionQuery:
    """Up to `n` texts for `position`; the daemon gives up after `max_prompt_ms`, unless that is 0.

    `can_replace`: the editor can replace text right of the position by them.
    """

    purpose: Purpose
    uri: str
    position: Position
    invoked: bool
    n: int
    max_prompt_ms: int
    max_tokens: int
    can_replace: bool = False


@dataclass(slots=True)
class Completions:
    """The requests that wait for an answer, and how those before them ended.

    Args:
        on_ready: called when a request that got no text because the model was not warm would get one now, with the URI,
            version and position of the request.
        name: of this editor, by which the daemon knows which request supersedes which.
    """

    daemon: DaemonConnection
    documents: Documents
    notebooks: Notebooks
    on_ready: Callable[[str, int, Position], None]
    suggestions: Suggestions = field(default_factory=Suggestions)
    name: str = field(default_factory=lambda: uuid4().hex)
    endings: Counter[Ending] = field(default_factory=Counter)
    _open: dict[tuple[str, Purpose], Reply] = field(default_factory=dict)
    _warming: dict[str, Reply] = field(default_factory=dict)

    async def request(self, query: CompletionQuery) -> list[Suggestion]:
        """The answer, empty if there is none. Cancelling it tells the daemon to stop."""
        ending: Ending = "cancelled"
        try:
            suggestions = await self._answer(query)
            ending = "items" if suggestions else "nothing"
        except Stale:
            ending, suggestions = "stale", []
        except ScrubjayError as error:
            ending, suggestions = _ending(error), []
            logger.log(logging.WARNING if ending == "failed" else logging.INFO, "No completion: %s", error)
        finally:
            self.endings[ending] += 1
        return suggestions

    def invalidate(self, uri: str) -> None:
        """The document has changed: nobody wants the answers to requests about it."""
        for key in [key for key in self._open if key[0] == uri]:
            refuse(self._open[key], Stale())
        if warming := self._warming.pop(uri, None):
            warming.cancel()

    @property
    def n_open(self) -> int:
        """Number of requests that wait for an answer."""
        return len(self._open)

    async def _answer(self, query: CompletionQuery) -> list[Suggestion]:
        uri, position = self.notebooks.locate(query.uri, query.position)
        document = self.documents.find(uri)
        if document is None:
            return []
        try:
            answer = await self._submit(query, document, position)
        except RequestError as error:
            if not _is_out_of_step(error):
                raise
            # The daemon's text is another than ours: it gets ours, and the request once more.
            self.documents.send_again(document)
            answer = await self._submit(query, document, position)
        if answer.get("reuse", {}).get("state") == "warming":
            self._warm(query, document, position)
        rest = document.lines.after(position, self.documents.encoding)
        suggestions = list(self._suggestions(query, document.version, rest, answer))
        self.suggestions.given(suggestions)
        return suggestions

    def _suggestions(self, query: CompletionQuery, version: int, rest: str, answer: Json) -> Iterator[Suggestion]:
        """The texts of `answer` that would change something, each once; `rest` is what follows on the line."""
        texts = {item["text"]: rest[: item.get("n_replaced", 0)] for item in answer.get("items", [])}
        for text, replaced in texts.items():
            if text.strip() and text != replaced:
                n_replaced = n_units(replaced, self.documents.encoding)
                about = (_detail(answer), n_replaced, answer.get("request", 0))
                yield self.suggestions.make(query.uri, version, query.position, text, *about)

    async def _submit(self, query: CompletionQuery, document: OpenDocument, position: Position) -> Json:
        key = (document.uri, query.purpose)
        if older := self._open.pop(key, None):
            refuse(older, Stale())
        reply = self.daemon.submit("complete", self._params(query, document, position))
        self._open[key] = reply
        try:
            answer: Json = await reply
        finally:
            if self._open.get(key) is reply:
                del self._open[key]
        return answer

    def _params(self, query: CompletionQuery, document: OpenDocument, position: Position) -> Json:
        params: dict[str, Any] = {
            **self._where(document, position),
            "version": document.version,
            "n": query.n,
            "trigger": "invoked" if query.invoked else "automatic",
            "client": f"{self.name}-{query.purpose}",
            "can_replace": query.can_replace,
        }
        limits = {"max_tokens": query.max_tokens, "t_max_prompt_ms": query.max_prompt_ms}
        return params | {name: limit for name, limit in limits.items() if limit}

    def _where(self, document: OpenDocument, position: Position) -> Json:
        where = {"uri": document.uri, "position": as_json(position)}
        return {**where, "position_encoding": self.documents.encoding}

    def _warm(self, query: CompletionQuery, document: OpenDocument, position: Position) -> None:
        """Have the prompt prefilled, and tell when a request would get an answer."""
        if older := self._warming.pop(document.uri, None):
            older.cancel()
        reply = self._warming[document.uri] = self.daemon.submit("warm", self._where(document, position))

        def warmed(reply: Reply) -> None:
            if self._warming.get(document.uri) is reply:
                del self._warming[document.uri]
            if not reply.cancelled() and reply.exception() is None:
                version = self.notebooks.version_of(query.uri)
                self.on_ready(query.uri, document.version if version is None else version, query.position)

        reply.add_done_callback(warmed)


def _is_out_of_step(error: RequestError) -> bool:
    return error.status in (404, 409) and error.kind not in ("superseded", "cancelled")


def _ending(error: ScrubjayError) -> Ending:
    return "stale" if isinstance(error, RequestError) and error.kind in ("superseded", "cancelled") else "failed"


def _detail(answer: Json) -> str:
    """What the answer cost, for those who want to know."""
    timings, model = answer.get("timings", {}), answer.get("model", "")
    ms = sum(timings.get(name) or 0 for name in ("prompt_ms", "predicted_ms", "own_ms", "queue_ms"))
    return f"{model} · {ms:.0f} ms" if model else f"{ms:.0f} ms"
