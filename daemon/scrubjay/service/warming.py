"""Warming unasked: when a project has been left alone for a moment, its prompt is brought into its context.

After that what is likely to come next is read ahead: the place in the other file that was edited last. It is kept as a
branch, and the context goes back to where the user is.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from scrubjay.completion.finish import AsWritten
from scrubjay.completion.requests import Completion
from scrubjay.prompt.document import DocumentRecipe
from scrubjay.prompt.view import ProjectView
from scrubjay.service.active_request import ActiveRequest
from scrubjay.service.ask import Ask
from scrubjay.service.dispatcher import Dispatcher
from scrubjay.service.events import Post, ProjectIdle, ProjectWarm
from scrubjay.service.fair_queue import Priority
from scrubjay.workspace.document import Document
from scrubjay.workspace.project import Project
from scrubjay.workspace.projects import Projects


def warm_ask(
    view: ProjectView,
    is_unasked: bool = False,
    on_prompt: Callable[[], None] | None = None,
    on_answer: Callable[[Completion], None] | None = None,
) -> Ask:
    """The prompt for the place of `view`, and nothing generated."""
    root, document = view.project.root, view.document
    return Ask(
        DocumentRecipe(view, is_idle=True),
        AsWritten(),
        supersedes=("warm", root),
        context=root,
        is_unasked=is_unasked,
        uri=document.uri,
        version=document.version,
        view=view,
        on_prompt=on_prompt,
        on_answer=on_answer,
    )


def other_place(project: Project, current: Document) -> tuple[Document, int] | None:
    """Where the user is likely to go next: to the end of the last edit of the other open file that was edited last."""
    edited = [other for other in project.by_recency() if other.is_open and other.last_edit and other.key != current.key]
    return (edited[-1], min(edited[-1].last_edit, len(edited[-1].text))) if edited else None


class Warmer:
    """Notices what happens in projects, and warms them at low priority.

    Args:
        delay_ms: how long a project must be left alone.
        is_allowed: asked when the time has come.
        can_go_back: whether the engine can go back to what it held, so that reading ahead takes nothing away.

    Attributes:
        is_paused: the user wants nothing to be done unasked.
    """

    def __init__(
        self,
        projects: Projects,
        dispatcher: Dispatcher,
        post: Post,
        delay_ms: float,
        is_allowed: Callable[[], bool],
        can_go_back: Callable[[], bool],
    ) -> None:
        self._projects = projects
        self._dispatcher = dispatcher
        self._post = post
        self._delay_s = delay_ms / 1e3
        self._is_allowed = is_allowed
        self._can_go_back = can_go_back
        self._timers: dict[str, asyncio.TimerHandle] = {}
        # Roots of projects that were left alone and not warmed.
        self._due: set[str] = set()
        self.is_paused = False

    def touched(self, project: Project) -> None:
        """Something happened in the project: the time begins again."""
        if old := self._timers.pop(project.root, None):
            old.cancel()
        timer = asyncio.get_running_loop().call_later(self._delay_s, self._post, ProjectIdle(project.root))
        self._timers[project.root] = timer

    def on_idle(self, project: Project) -> None:
        """The project has been left alone: warm it where the user is, if anything is open there."""
        root = project.root
        self._timers.pop(root, None)
        if (focus := project.focus) and self._is_allowed():
            view = ProjectView.of(project, focus.document, focus.offset)
            ask = warm_ask(view, True, partial(self.laid_out, root), self._then(root, has_read_ahead=False))
            self._dispatcher.accept(ActiveRequest(ask))
        else:
            self._due.add(root)

    def on_warm(self, project: Project, has_read_ahead: bool) -> None:
        """The project is warm where the user is: read ahead, or, when that is done, go back there."""
        focus = project.focus if self._is_allowed() and project.root not in self._timers else None
        if focus and has_read_ahead:
            view = ProjectView.of(project, focus.document, focus.offset)
            self._dispatcher.accept(ActiveRequest(warm_ask(view, True)))
        elif focus and self._can_go_back() and (place := other_place(project, focus.document)):
            view = ProjectView.of(project, *place)
            ask = warm_ask(view, True, None, self._then(project.root, has_read_ahead=True))
            recipe = DocumentRecipe(view)  # as for a key
            self._dispatcher.accept(ActiveRequest(replace(ask, recipe=recipe, priority=Priority.AHEAD)))

    def _then(self, root: str, has_read_ahead: bool) -> Callable[[Completion], None]:
        return lambda _: self._post(ProjectWarm(root, has_read_ahead))

    def is_due(self, root: str) -> bool:
        """Whether the project was left alone, not warmed, and had no prompt since.

        Then the next prompt has to do what the warming would have done: nothing else reorders what has changed.
        """
        return root in self._due

    def laid_out(self, root: str) -> None:
        """The project has a prompt for which what has changed was reordered."""
        self._due.discard(root)

    def all_touched(self) -> None:
        """The engine is new: every project has to be warmed, once it is known what is on disk."""
        for project in self._projects:
            self.touched(project)

    def forget(self, root: str) -> None:
        """The project at `root` is closed."""
        self._due.discard(root)
        if timer := self._timers.pop(root, None):
            timer.cancel()

    def close(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
