"""The next completion ahead of need: once one is shown, the one that would be asked for when it has been accepted.

What comes of it is kept among the completions that are known, where a client finds it that really gets there.
"""

import copy
from collections.abc import Callable
from dataclasses import replace

from scrubjay.completion.requests import Item
from scrubjay.completion.rules import CompletionRules
from scrubjay.prompt.view import ProjectView
from scrubjay.service.active_request import ActiveRequest
from scrubjay.service.dispatcher import Dispatcher
from scrubjay.service.events import CompletionShown
from scrubjay.service.scheduler import Priority
from scrubjay.workspace.project import Project


class Speculator:
    """Submits completions ahead of need, one for each project, and ends those that an edit has made pointless.

    Args:
        is_wanted: asked when one would be submitted.
    """

    def __init__(self, dispatcher: Dispatcher, is_wanted: Callable[[], bool]) -> None:
        self._dispatcher = dispatcher
        self._is_wanted = is_wanted
        # By the root of the project: what the user sees, and has not gone on from by typing.
        self._seen: dict[str, CompletionShown] = {}

    def shown(self, event: CompletionShown) -> None:
        """A client was given completions; the user sees the first of them."""
        if event.flight.asked and event.items:
            self._seen[event.flight.root] = event

    def settled(self, project: Project) -> None:
        """The project has been left alone: its user looks at what is shown."""
        event = self._seen.pop(project.root, None)
        request = event.flight.asked if event else None
        if event is None or request is None or not self._is_wanted():
            return
        view = _ahead(event.flight.view, event.items[0])
        if not _leads_to(project, view) or any(_is_same(other.view, view) for other in self._flights(project)):
            return
        question = replace(request, n=1, trigger="automatic", version=None, t_max_prompt_ms=None)
        rules = CompletionRules.of(question, view.document, view.offset)
        ahead = ActiveRequest(("ahead", project.root), view, question, is_automatic=True, rules=rules)
        self._dispatcher.accept(ahead, Priority.SPECULATIVE)

    def touched(self, project: Project) -> None:
        """Something happened in the project."""
        for flight in self._flights(project):
            if not _leads_to(project, flight.view):
                self._dispatcher.cancel(flight)

    def _flights(self, project: Project) -> list[ActiveRequest]:
        return [flight for flight in self._dispatcher if flight.is_ahead and flight.root == project.root]


def _ahead(view: ProjectView, item: Item) -> ProjectView:
    """The place behind `item`, once it has been accepted at the place of `view`."""
    document = copy.copy(view.document)
    document.content = document.content.replaced(view.offset, view.offset + item.n_replaced, item.text)
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
