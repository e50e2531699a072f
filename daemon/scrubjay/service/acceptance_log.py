"""Whether completions help: how many were shown, accepted, typed by hand, kept. Counted here, and told to nobody else."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from scrubjay.completion.acceptance import AcceptanceTable, Counts, Json
from scrubjay.completion.kept_texts import KeptTexts
from scrubjay.completion.proposals import MAX_REMEMBERED, Proposals
from scrubjay.completion.requests import Completion, CompletionRequest
from scrubjay.errors import RequestError
from scrubjay.prompt.view import ProjectView
from scrubjay.service.events import CompletionOutcome, ForgetRoot
from scrubjay.workspace.document import Document
from scrubjay.workspace.events import CloseOwner, SaveDocument, answer
from scrubjay.workspace.projects import Projects
from scrubjay.workspace.text import Replacement


@dataclass(frozen=True, slots=True)
class _Answer:
    """Texts that a client was given for a place, and may show."""

    counts: Counts
    uri: str
    owner: str
    version: int
    offset: int
    texts: tuple[str, ...]


class AcceptanceLog:
    """Counts what becomes of completions. What it does at a key does not grow with the document.

    Args:
        projects: their documents are watched from now on.
        table: the counts so far.
        clock: seconds, from any start.

    Attributes:
        on_change: called when something was counted, with None; or when a root was forgotten, with that.
    """

    def __init__(self, projects: Projects, table: AcceptanceTable, clock: Callable[[], float]) -> None:
        self.table = table
        self._projects = projects
        self._clock = clock
        self._kept = KeptTexts()
        self._proposals = Proposals(self._kept)
        # By the numbers of their requests, the oldest first.
        self._answers: dict[int, _Answer] = {}
        self.on_change: Callable[[str | None], None] = lambda _: None
        projects.on_change = self._changed

    @property
    def handlers(self) -> Mapping[type, Callable[[Any], None]]:
        return {CompletionOutcome: self._told}

    def watching(self, handlers: Mapping[type, Callable[[Any], None]]) -> dict[type, Callable[[Any], None]]:
        """`handlers` that also let it know what it has to know."""

        def saved(event: SaveDocument) -> None:
            handlers[SaveDocument](event)
            self._kept.saved(self._projects.document(event.uri, event.owner), self._clock())
            self.on_change(None)

        def closed(event: CloseOwner) -> None:
            handlers[CloseOwner](event)
            self._proposals.close(event.owner)

        def forgotten(event: ForgetRoot) -> None:
            self.forget(event.root)
            handlers[ForgetRoot](event)

        return {**handlers, SaveDocument: saved, CloseOwner: closed, ForgetRoot: forgotten}

    def answered(self, view: ProjectView, request: CompletionRequest, completion: Completion) -> None:
        """A client is given `completion` for the place of `view`."""
        if request.cold or completion.reuse.state != "ready":
            return
        document, timings, reuse = view.document, completion.timings, completion.reuse
        counts = self.table.at(view.project.root, document.language)
        ms = timings.prompt_ms + timings.predicted_ms + timings.own_ms + timings.queue_ms
        counts.answered(ms, reuse.prompt - reuse.processed)
        if completion.request and completion.items:
            texts = tuple(item.text for item in completion.items)
            place = (document.uri, request.owner, document.version, view.offset)
            self._answers[completion.request] = _Answer(counts, *place, texts)
            if len(self._answers) > MAX_REMEMBERED:
                del self._answers[next(iter(self._answers))]
        self.on_change(None)

    def rows(self) -> list[Json]:
        """What there is to tell of each project and language."""
        self._kept.look(self._clock())
        return [{"root": root, "language": language, **asdict(counts)} for root, language, counts in self.table]

    def forget(self, root: str) -> None:
        """Count nothing any more of the project at `root` and of those inside of it, or with "" of any."""
        forgotten = self.table.of(root)
        self.table.forget(root)
        for counts in forgotten:
            self._proposals.forget(counts)
            self._kept.forget(counts)
            self._answers = {n: known for n, known in self._answers.items() if known.counts is not counts}
        self.on_change(root)

    def close(self) -> None:
        """Nothing more is going to happen: what is pending was not wanted."""
        self._proposals.close_all()
        self._kept.look(self._clock())

    def _told(self, event: CompletionOutcome) -> None:
        if event.outcome == "shown":
            self._show(event.number, event.tells)
        else:
            self._proposals.told(event.number, event.outcome, self._clock())
        self.on_change(None)
        answer(event.reply, None)

    def _show(self, number: int, tells: bool) -> None:
        if (known := self._answers.pop(number, None)) is None:
            return
        try:
            document = self._projects.document(known.uri, known.owner)
        except RequestError:
            return  # it has been closed since
        if document.version == known.version:
            self._proposals.show(number, known.owner, known.counts, document, known.offset, known.texts, tells)

    def _changed(self, document: Document, changes: Sequence[Replacement]) -> None:
        if changes:
            self._proposals.changed(document, changes, self._clock())
