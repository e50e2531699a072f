"""What clients ask of the model that completes code: completions at a cursor, and warm projects."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from scrubjay.completion.finish import AsWritten
from scrubjay.completion.history import CompletionHistory
from scrubjay.completion.requests import Completion, CompletionRequest
from scrubjay.completion.rules import CompletionRules
from scrubjay.errors import RequestError, ScrubjayError
from scrubjay.prompt.document import DocumentRecipe
from scrubjay.prompt.view import ProjectView
from scrubjay.service.active_request import ActiveRequest
from scrubjay.service.ask import Ask
from scrubjay.service.events import Complete, ShownPrompt, ShowPrompt, Warm
from scrubjay.service.fair_queue import Priority
from scrubjay.service.models import Models
from scrubjay.service.prompt_builder import Made
from scrubjay.service.served_model import ServedModel
from scrubjay.service.settings import ServiceSettings
from scrubjay.service.warming import Warmer, warm_ask
from scrubjay.workspace.document import Document
from scrubjay.workspace.events import answer
from scrubjay.workspace.project import Project
from scrubjay.workspace.projects import Projects

OnShown = Callable[[ProjectView, CompletionRequest, Completion], None]


class ClientRequests:
    """Makes an `Ask` of each event in which a client wants something for a project.

    Args:
        models: the first one completes code.
        on_shown: told of what a client is given for a cursor.
    """

    def __init__(
        self,
        settings: ServiceSettings,
        projects: Projects,
        models: Models,
        history: CompletionHistory,
        warmer: Warmer,
        on_shown: OnShown,
    ) -> None:
        self._settings = settings
        self._projects = projects
        self._models = models
        self._history = history
        self._warmer = warmer
        self._on_shown = on_shown

    @property
    def _model(self) -> ServedModel:
        """The one that completes code now."""
        first = self._models.first
        return first if first.supervisor.state != "failed" else self._models.at_hand(first)

    @property
    def handlers(self) -> Mapping[type, Callable[[Any], None]]:
        return {Complete: self._complete, Warm: self._warm, ShowPrompt: self._show}

    def _complete(self, event: Complete) -> None:
        request = event.request
        project, document = self._find(request)
        view = ProjectView.of(project, document, document.content.offset_at(request.position, request.encoding))
        place = (view.project, view.document, view.offset)
        cursor, root = project.cursor, project.root
        if not request.cold:
            self._projects.focus_at(project, document, view.offset, request.owner)
        is_idle = self._warmer.is_due(root)
        deleted = project.history.deleted()
        has_rules = request.rules and self._settings.rules
        ask = Ask(
            recipe=DocumentRecipe(view, is_idle=is_idle, is_awaited=True),
            finish=CompletionRules.of(request, *place[1:], self._settings.unasked) if has_rules else AsWritten(),
            sampling=replace(request.sampling, expected=deleted) if deleted else request.sampling,
            n=request.n,
            priority=Priority.COMPLETION if cursor and cursor[0] != view.document.key else Priority.FOCUS,
            supersedes=(request.client, view.document.key) if request.client else None,
            context=root,
            deadline_ms=request.t_max_prompt_ms,
            cold=request.cold,
            memory=self._history.at(request, *place) if has_rules and not request.cold else None,
            uri=view.document.uri,
            version=view.document.version,
            view=view,
            event="completion",
            on_prompt=partial(self._warmer.laid_out, root) if is_idle else None,
            on_answer=partial(self._on_shown, view, request),
        )
        self._model.submit(ask, event.reply, event.on_text)

    def _warm(self, event: Warm) -> None:
        if event.uri is not None:
            self._projects.focus(event.uri, event.position, event.encoding, event.owner)
            project = self._projects.project_of(event.uri, event.owner)
        elif event.root is not None:
            project = self._projects.by_root(event.root)
        else:
            raise RequestError("Say what to warm: `root`, or `uri` and `position`.")
        if (focus := project.focus) is None:
            raise RequestError(f"Nothing is open in {project.root}; open one of its documents first.", 404)
        ask = warm_ask(ProjectView.of(project, focus.document, focus.offset))
        if event.wait:
            self._model.submit(ask, event.reply)
        else:
            request = ActiveRequest(ask)
            answer(event.reply, self._model.dispatcher.still_warming(request))
            self._model.dispatcher.accept(request)

    def _show(self, event: ShowPrompt) -> None:
        project, document = self._projects.find(event.uri, event.owner)
        view = ProjectView.of(project, document, document.content.offset_at(event.position, event.encoding))
        model = self._model
        builder, info = model.builder, model.supervisor.info
        if builder.fim_template is None or info is None:
            raise RequestError("Loading model", 503)
        limits = model.dispatcher.residency.limits(info, 0, is_idle=True)

        def give(made: Made) -> None:
            if isinstance(made, ScrubjayError):
                if not event.reply.done():
                    event.reply.set_exception(made)
                return
            # Special tokens have no text but their names, and a thread finds them.
            parts = builder.use(lambda tools: tools.shown(made), len(made.tokens), limits)
            parts.add_done_callback(lambda done: answer(event.reply, ShownPrompt(done.result(), project.rules.problem)))

        recipe = DocumentRecipe(view, is_idle=True, is_speculative=True)
        if (at_once := builder.make(recipe, limits, give)) is not None:
            give(at_once)

    def _find(self, request: CompletionRequest) -> tuple[Project, Document]:
        """The document that `request` is about, as its client sees it."""
        project, document = self._projects.find(request.uri, request.owner)
        if request.version not in (None, document.version):
            raise RequestError(
                f"{request.uri} is at version {document.version}, not {request.version}; send its changes first.", 409
            )
        return project, document
