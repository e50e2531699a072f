"""The next completion ahead of need: once one is shown, the one that would be asked for when it has been accepted.

What comes of it is kept among the completions that are known, where a client finds it that really gets there.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from scrubjay.completion.history import CompletionHistory
from scrubjay.completion.requests import CompletionRequest, Item
from scrubjay.completion.rules import CompletionRules, Unasked
from scrubjay.prompt.document import DocumentRecipe
from scrubjay.prompt.view import ProjectView
from scrubjay.service.active_request import ActiveRequest
from scrubjay.service.ask import Ask
from scrubjay.service.dispatcher import Dispatcher
from scrubjay.service.fair_queue import Priority
from scrubjay.workspace.project import Project

MAX_NEEDED = 256
"""Tokens; a completion ahead of need is not worth a longer prefill."""


class _Shown(NamedTuple):
    """What the user sees, and has not gone on from by typing."""

    view: ProjectView
    request: CompletionRequest
    item: Item


class _Ahead(NamedTuple):
    """A completion ahead of need, and the place that it is for."""

    request: ActiveRequest
    view: ProjectView


class Speculator:
    """Submits completions ahead of need, one for each project, and ends those that an edit has made pointless.

    Args:
        history: where their answers are kept.
        is_allowed: asked when one would be submitted.
        unasked: what is shown for which nobody asked.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        history: CompletionHistory,
        is_allowed: Callable[[], bool],
        unasked: Unasked,
    ) -> None:
        self._dispatcher = dispatcher
        self._history = history
        self._is_allowed = is_allowed
        self._unasked = unasked
        # Both by the root of the project.
        self._shown: dict[str, _Shown] = {}
        self._ahead: dict[str, _Ahead] = {}

    def on_shown(self, view: ProjectView, request: CompletionRequest, items: tuple[Item, ...]) -> None:
        """A client was given `items` for the place of `view`; the user sees the first of them."""
        if items and request.rules and not request.cold:
            self._shown[view.project.root] = _Shown(view, request, items[0])

    def on_idle(self, project: Project) -> None:
        """The project has been left alone: its user looks at what is shown."""
        shown = self._shown.pop(project.root, None)
        if shown is None or not self._is_allowed():
            return
        view = _accepted(shown.view, shown.item)
        if _leads_to(project, view) and not self._is_under_way(view):
            request = ActiveRequest(self._ask(shown.request, view))
            self._ahead[project.root] = _Ahead(request, view)
            self._dispatcher.accept(request)

    def touched(self, project: Project) -> None:
        """Something happened in the project."""
        ahead = self._ahead.get(project.root)
        if ahead and not _leads_to(project, ahead.view):
            self._dispatcher.cancel(ahead.request)
            del self._ahead[project.root]

    def forget(self, root: str) -> None:
        """The project at `root` is closed."""
        self._shown.pop(root, None)
        self._ahead.pop(root, None)

    def _ask(self, request: CompletionRequest, view: ProjectView) -> Ask:
        question = replace(request, n=1, trigger="automatic", version=None, t_max_prompt_ms=None)
        return Ask(
            DocumentRecipe(view, is_speculative=True),
            CompletionRules.of(question, view.document, view.offset, self._unasked),
            question.sampling,
            priority=Priority.SPECULATIVE,
            supersedes=("ahead", view.project.root),
            context=view.project.root,
            is_unasked=True,
            max_needed=MAX_NEEDED,
            memory=self._history.at(question, view.project, view.document, view.offset),
            uri=view.document.uri,
            version=view.document.version,
            view=view,
            event="ahead",
        )

    def _is_under_way(self, view: ProjectView) -> bool:
        ahead = self._ahead.get(view.project.root)
        return ahead is not None and _is_same(ahead.view, view) and any(ahead.request is r for r in self._dispatcher)


def _accepted(view: ProjectView, item: Item) -> ProjectView:
    """The place after `item`, once it has been accepted at the place of `view`."""
    document = view.document.replaced(view.offset, view.offset + item.n_replaced, item.text)
    documents = {**view.project.documents, document.key: document}
    return ProjectView(replace(view.project, documents=documents), document, view.offset + len(item.text))


def _leads_to(project: Project, goal: ProjectView) -> bool:
    """Whether nothing but typing is missing in the project for it to be as in `goal`."""
    key, text = goal.document.key, goal.document.text
    if project.documents.keys() != goal.project.documents.keys():
        return False
    others = (
        (other.text, goal.project.documents[name].text) for name, other in project.documents.items() if name != key
    )
    now, rest = project.documents[key].text, text[goal.offset :]
    is_on_the_way = now.endswith(rest) and text.startswith(now[: len(now) - len(rest)])
    return is_on_the_way and all(a is b or a == b for a, b in others)


def _is_same(a: ProjectView, b: ProjectView) -> bool:
    return (a.document.key, a.offset, a.document.text) == (b.document.key, b.offset, b.document.text)
