"""Answers clients that ask what is to be edited next."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import count
from typing import Any

from scrubjay.errors import RequestError, ScrubjayError
from scrubjay.nextedit.next_edit import Moment, NextEdit, OpenText
from scrubjay.nextedit.quiet import is_typing_at
from scrubjay.nextedit.suggestions import Suggested, Suggestion, Suggestions
from scrubjay.service.events import AskNextEdit, NextEditAnswer, NextEditOutcome, PlacedEdit
from scrubjay.service.model_edits import ModelEdits
from scrubjay.workspace.document import Document
from scrubjay.workspace.events import answer
from scrubjay.workspace.project import Project
from scrubjay.workspace.projects import Projects

MAX_TEXTS = 20
MAX_CHARACTERS = 1 << 20
"""How much is looked at in all, the document just edited apart: a question is to take milliseconds."""


class NextEdits:
    """The next edits of each project.

    Args:
        model: asked where nothing is to be repeated.
        clock: that of the edits, in seconds.
    """

    def __init__(self, projects: Projects, model: ModelEdits, clock: Callable[[], float]) -> None:
        self._projects = projects
        self._model = model
        self._clock = clock
        self._numbers = count(1)
        self._suggestions: dict[str, Suggestions] = {}

    @property
    def handlers(self) -> Mapping[type, Callable[[Any], None]]:
        return {AskNextEdit: self._ask, NextEditOutcome: self._learn}

    def _ask(self, event: AskNextEdit) -> None:
        project, document = self._projects.find(event.uri, event.owner)
        if event.version not in (None, document.version):
            raise RequestError(
                f"{event.uri} is at version {document.version}, not {event.version}; send its changes first.", 409
            )
        suggestions, moment = self._of(project), self._moment(project, document)
        found = suggestions.suggest(moment)
        asked = None
        if not found.suggested and not found.quiet and self._model.is_there:
            if is_typing_at(moment):
                found = Suggestion(None, ("typing",))
            else:
                go_on = partial(self._on_made, event, project, document, moment)
                asked = self._model.ask(project, document, moment, event.owner, go_on)
        if asked is None:
            self._answer(event, project, document, found)
        else:
            event.reply.add_done_callback(lambda reply: asked.cancel() if reply.cancelled() else None)

    def _on_made(
        self,
        event: AskNextEdit,
        project: Project,
        document: Document,
        moment: Moment,
        made: NextEdit | str | ScrubjayError,
    ) -> None:
        """The model has made an edit, or none."""
        if isinstance(made, NextEdit):
            self._answer(event, project, document, self._of(project).consider(moment, [made]))
        elif isinstance(made, str):
            self._answer(event, project, document, Suggestion(None, (made,) if made else ()))
        elif not event.reply.done():
            event.reply.set_exception(made)

    def _answer(self, event: AskNextEdit, project: Project, document: Document, found: Suggestion) -> None:
        edit = _placed(project, found.suggested, event, self._of(project)) if found.suggested else None
        answer(event.reply, NextEditAnswer(edit, found.quiet, document.version))

    def _of(self, project: Project) -> Suggestions:
        """What was suggested in `project`; what was in projects that are known no more is forgotten."""
        if project.root not in self._suggestions:
            roots = {known.root for known in self._projects}
            self._suggestions = {root: known for root, known in self._suggestions.items() if root in roots}
        return self._suggestions.setdefault(project.root, Suggestions(self._numbers))

    def _moment(self, project: Project, document: Document) -> Moment:
        history = project.history
        edits = history.current()
        return Moment(
            edits=edits,
            texts=[*_texts(project, document, edits[-1].key)] if edits else [],
            taken_back=history.taken_back,
            now_s=self._clock(),
        )

    def _learn(self, event: NextEditOutcome) -> None:
        for suggestions in self._suggestions.values():
            if event.outcome == "shown":
                suggestions.shown(event.number)
            else:
                suggestions.ended(event.number, event.outcome == "accepted")
        answer(event.reply, None)


def _texts(project: Project, document: Document, edited: str) -> Iterator[OpenText]:
    """The document just edited, that of the user, and the other open ones, the most recently edited first."""
    others = [other for other in reversed(project.by_recency()) if other.is_open]
    chosen = {key: project.documents[key] for key in (edited, document.key) if project.is_open(key)}
    chosen |= {other.key: other for other in others if other.key not in chosen}
    n_characters = 0
    for number, other in enumerate(chosen.values()):
        n_characters += len(other.text) if number else 0
        if (number == 0 and other.key != edited) or number == MAX_TEXTS or n_characters > MAX_CHARACTERS:
            return
        yield OpenText(other.key, other.path or other.uri, other.text)


def _placed(project: Project, suggested: Suggested, event: AskNextEdit, suggestions: Suggestions) -> PlacedEdit:
    """A next edit at its positions, as its document's client counts them."""
    proposal = suggested.proposal
    document = project.documents[proposal.key]
    return PlacedEdit(
        id=suggested.number,
        uri=document.uri,
        version=document.version,
        start=document.position_at(proposal.start, event.encoding),
        end=document.position_at(proposal.end, event.encoding),
        old=proposal.old,
        text=proposal.new,
        kind=proposal.kind,
        confidence=round(suggestions.experience.confidence(proposal.kind), 3),
    )
