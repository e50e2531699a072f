"""Next edits that a model makes: asked for where nothing is to be repeated, dropped when the text is another one by then."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

from scrubjay.completion.finish import AsWritten
from scrubjay.completion.requests import Completion
from scrubjay.errors import RequestError, ScrubjayError
from scrubjay.nextedit.formats import MAX_TOKENS, EditFormat, EditPrompt, Scene, asked, read
from scrubjay.nextedit.known_formats import format_for
from scrubjay.nextedit.next_edit import Moment, NextEdit
from scrubjay.nextedit.region import Region, Window, window_at
from scrubjay.prompt.marked import MarkedPrompt
from scrubjay.protocol.messages import Sampling
from scrubjay.service.ask import Ask
from scrubjay.service.fair_queue import Priority
from scrubjay.service.models import Models
from scrubjay.service.served_model import ServedModel
from scrubjay.workspace.context_rules import NO_CONTEXT_RULES
from scrubjay.workspace.document import Document
from scrubjay.workspace.project import Project

logger = logging.getLogger(__name__)

MAX_REGIONS = 100
"""Of so many documents it is known which lines the model was shown last."""
Then = Callable[[NextEdit | str | ScrubjayError], None]
"""Takes the edit; the name of what kept it back, "" if the model has none to make; or what went wrong."""


@dataclass(frozen=True, slots=True)
class _Question:
    form: EditFormat
    prompt: EditPrompt
    document: Document
    text: str
    window: Window


class ModelEdits:
    """Asks the model that is for next edits, if there is one.

    Args:
        models: those of the daemon; the one with the purpose "edit" is asked.
    """

    def __init__(self, models: Models) -> None:
        self._models = models
        self._regions: dict[str, Region] = {}
        self._model = next((model for model in models if "edit" in model.settings.purposes), None)
        self._form = _format_of(self._model) if self._model else None
        if self._model and not self._form:
            logger.warning(
                "The model %s is for next edits, but its name says no format that is known; call its table sweep, sweep-v2, "
                "zeta-2 or zeta-2.1.",
                self._model.settings.name or self._model.settings.engine.model,
            )

    @property
    def is_there(self) -> bool:
        """Whether there is one that can be asked."""
        return self._form is not None

    def ask(
        self, project: Project, document: Document, moment: Moment, client: str, then: Then
    ) -> "asyncio.Future[Completion] | None":
        """Have `then` called with what the model makes of the moment; None if there is nothing to ask it.

        The reply that is returned may be cancelled.
        """
        question = self._question(project, document, moment)
        if self._model is None or question is None:
            return None
        reply: asyncio.Future[Completion] = asyncio.get_running_loop().create_future()
        reply.add_done_callback(lambda done: _answered(done, question, project, then))
        self._model.require_serving()
        self._model.submit(_ask(question, project, client), reply)
        return reply

    def _question(self, project: Project, document: Document, moment: Moment) -> _Question | None:
        moment = _allowed(moment, project, document)
        text = next((text for text in moment.texts if text.key == document.key), None)
        if self._model is None or self._form is None or text is None:
            return None
        cursor = project.cursor
        offset = cursor[1] if cursor and cursor[0] == document.key else document.last_edit
        region, window = window_at(
            text.text, min(offset, len(text.text)), self._form.size, self._regions.get(document.key)
        )
        self._remember(document.key, region)
        info = self._model.supervisor.info
        n_tokens = info.n_ctx if info else MAX_TOKENS
        label = lambda key: project.label(project.documents[key])  # noqa: E731
        prompt = asked(self._form, Scene(moment, text, window, label, n_tokens))
        return _Question(self._form, prompt, document, text.text, window) if prompt else None

    def _remember(self, key: str, region: Region) -> None:
        self._regions.pop(key, None)
        self._regions[key] = region
        for old in [*self._regions][:-MAX_REGIONS]:
            del self._regions[old]


def _allowed(moment: Moment, project: Project, document: Document) -> Moment:
    """What of `moment` the project's rules let a model see."""
    if project.rules is NO_CONTEXT_RULES:
        return moment
    shown = {key for key, other in project.documents.items() if key == document.key or project.may_show(other)}
    return replace(
        moment,
        edits=[edit for edit in moment.edits if edit.key in shown],
        texts=[text for text in moment.texts if text.key in shown],
    )


def _format_of(model: ServedModel) -> EditFormat | None:
    source = model.settings.engine.model
    return format_for(model.settings.name, source.replace("\\", "/").rsplit("/", 1)[-1], source)


def _ask(question: _Question, project: Project, client: str) -> Ask:
    prompt, document = question.prompt, question.document
    return Ask(
        recipe=MarkedPrompt(prompt.text, question.form.markers),
        finish=AsWritten(),
        # Most of the region is written again as it is.
        sampling=Sampling(
            max_tokens=prompt.max_tokens,
            stop=question.form.stop,
            prediction=question.window.inside.removeprefix(prompt.begun),
        ),
        # After completions of the same model.
        priority=Priority.SPECULATIVE,
        supersedes=("next edit", client, project.root),
        uri=document.uri,
        version=document.version,
    )


def _answered(done: "asyncio.Future[Completion]", question: _Question, project: Project, then: Then) -> None:
    if done.cancelled():
        then("stale")
    elif error := done.exception():
        if not isinstance(error, ScrubjayError):
            raise error
        then("stale" if isinstance(error, RequestError) and error.kind == "superseded" else error)
    else:
        then(_outcome(done.result(), question, project))


def _outcome(completion: Completion, question: _Question, project: Project) -> NextEdit | str:
    key = question.document.key
    now = project.documents.get(key)
    if now is None or now.text is not question.text:
        return "stale"
    item = next(iter(completion.items), None)
    if item is None or item.stop_reason not in ("end", "stop"):
        return "unfinished"
    return read(question.form, question.prompt.begun + item.text, key, question.window) or ""
