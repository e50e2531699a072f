"""Asking the daemon for completions: one at a time for each document and purpose, never an answer to an old question."""

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import uuid4

from scrubjay.errors import RequestError, ScrubjayError
from scrubjay_lsp.documents import Documents, OpenDocument
from scrubjay_lsp.link import Link
from scrubjay_lsp.offers import Offer, Offers
from scrubjay_lsp.replies import Json, Reply, Stale, refuse
from scrubjay_lsp.text import Place, n_units

logger = logging.getLogger(__name__)

Purpose = Literal["inline", "menu"]
Ending = Literal["items", "nothing", "stale", "cancelled", "failed"]
"""How a request ends. `stale`: the document changed or a newer request came; `nothing`: the daemon had no text."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked for: up to `n` texts for `place`; the daemon gives up after `max_prompt_ms`, unless that is 0.

    `can_replace`: the editor can replace text right of the place by them.
    """

    purpose: Purpose
    uri: str
    place: Place
    invoked: bool
    n: int
    max_prompt_ms: int
    max_tokens: int
    can_replace: bool = False


@dataclass(slots=True)
class Asking:
    """The questions that are open, and how those before them ended.

    Args:
        on_ready: a question that was answered with nothing because the model was not warm would now be answered.
        name: of this editor, by which the daemon knows which question supersedes which.
    """

    link: Link
    documents: Documents
    offers: Offers
    on_ready: Callable[[OpenDocument, Place], None]
    name: str = field(default_factory=lambda: uuid4().hex)
    endings: Counter[Ending] = field(default_factory=Counter)
    _open: dict[tuple[str, Purpose], Reply] = field(default_factory=dict)
    _warming: dict[str, Reply] = field(default_factory=dict)

    async def ask(self, question: Question) -> list[Offer]:
        """The answer, empty if there is none. Cancelling it tells the daemon to stop."""
        ending: Ending = "cancelled"
        try:
            offers = await self._answer(question)
            ending = "items" if offers else "nothing"
        except Stale:
            ending, offers = "stale", []
        except ScrubjayError as error:
            ending, offers = _ending(error), []
            logger.log(logging.WARNING if ending == "failed" else logging.INFO, "No completion: %s", error)
        finally:
            self.endings[ending] += 1
        return offers

    def outdate(self, uri: str) -> None:
        """The document has changed: every open question about it is void."""
        for key in [key for key in self._open if key[0] == uri]:
            refuse(self._open[key], Stale())
        if warming := self._warming.pop(uri, None):
            warming.cancel()

    @property
    def n_open(self) -> int:
        """Number of questions that are waiting for an answer."""
        return len(self._open)

    async def _answer(self, question: Question) -> list[Offer]:
        document = self.documents.find(question.uri)
        if document is None:
            return []
        try:
            answer = await self._submitted(question, document)
        except RequestError as error:
            if not _is_out_of_step(error):
                raise
            # The daemon's text is another than ours: it gets ours, and the question once more.
            self.documents.send_again(document)
            answer = await self._submitted(question, document)
        if answer.get("reuse", {}).get("state") == "warming":
            self._warm(document, question.place)
        return list(self._offers(question, document, answer))

    def _offers(self, question: Question, document: OpenDocument, answer: Json) -> Iterator[Offer]:
        """The texts of `answer` that would change something, each once."""
        rest = document.lines.after(question.place, self.documents.encoding)
        texts = {item["text"]: rest[: item.get("n_replaced", 0)] for item in answer.get("items", [])}
        for text, replaced in texts.items():
            if text.strip() and text != replaced:
                n_replaced = n_units(replaced, self.documents.encoding)
                detail = _detail(answer)
                yield self.offers.make(document.uri, document.version, question.place, text, detail, n_replaced)

    async def _submitted(self, question: Question, document: OpenDocument) -> Json:
        key = (question.uri, question.purpose)
        if older := self._open.pop(key, None):
            refuse(older, Stale())
        reply = self.link.submit("complete", self._params(question, document))
        self._open[key] = reply
        try:
            answer: Json = await reply
        finally:
            if self._open.get(key) is reply:
                del self._open[key]
        return answer

    def _params(self, question: Question, document: OpenDocument) -> Json:
        params: dict[str, Any] = {
            **self._where(document, question.place),
            "version": document.version,
            "n": question.n,
            "trigger": "invoked" if question.invoked else "automatic",
            "client": f"{self.name}-{question.purpose}",
            "can_replace": question.can_replace,
        }
        limits = {"max_tokens": question.max_tokens, "t_max_prompt_ms": question.max_prompt_ms}
        return params | {name: limit for name, limit in limits.items() if limit}

    def _where(self, document: OpenDocument, place: Place) -> Json:
        position = {"line": place.line, "character": place.character}
        return {"uri": document.uri, "position": position, "position_encoding": self.documents.encoding}

    def _warm(self, document: OpenDocument, place: Place) -> None:
        """Have the prompt of a question prefilled, and tell when it would be answered."""
        if older := self._warming.pop(document.uri, None):
            older.cancel()
        reply = self._warming[document.uri] = self.link.submit("warm", self._where(document, place))

        def warmed(reply: Reply) -> None:
            if self._warming.get(document.uri) is reply:
                del self._warming[document.uri]
            if not reply.cancelled() and reply.exception() is None:
                self.on_ready(document, place)

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
