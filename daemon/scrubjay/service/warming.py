"""Warming unasked: when a project has been left alone for a moment, its prompt is brought into its context."""

import asyncio
from collections.abc import Callable

from scrubjay.prompt.view import ProjectView
from scrubjay.service.active_request import ActiveRequest
from scrubjay.service.dispatcher import Dispatcher
from scrubjay.service.events import Post, ProjectIdle
from scrubjay.service.scheduler import Priority
from scrubjay.workspace.project import Project
from scrubjay.workspace.projects import Projects


class Warmer:
    """Notices what happens in projects, and submits warmings at low priority.

    Args:
        delay_ms: how long a project must be left alone.
        is_wanted: asked when the time has come.
    """

    def __init__(
        self, projects: Projects, dispatcher: Dispatcher, post: Post, delay_ms: float, is_wanted: Callable[[], bool]
    ) -> None:
        self._projects = projects
        self._dispatcher = dispatcher
        self._post = post
        self._delay_s = delay_ms / 1e3
        self._is_wanted = is_wanted
        self._timers: dict[str, asyncio.TimerHandle] = {}
        # Roots of projects that were left alone and not warmed.
        self._rested: set[str] = set()

    def touched(self, project: Project) -> None:
        """Something happened in the project: the time begins anew."""
        if old := self._timers.pop(project.root, None):
            old.cancel()
        timer = asyncio.get_running_loop().call_later(self._delay_s, self._post, ProjectIdle(project.root))
        self._timers[project.root] = timer

    def settled(self, project: Project) -> None:
        """The project has been left alone: warm it where the user is, if anything is open there."""
        self._timers.pop(project.root, None)
        if (focus := project.focus) and self._is_wanted():
            view = ProjectView.of(project, focus.document, focus.offset)
            self._dispatcher.accept(
                ActiveRequest(("warm", project.root), view, is_automatic=True, is_idle=True), Priority.WARM
            )
        else:
            self._rested.add(project.root)

    def has_rested(self, project: Project) -> bool:
        """Whether the project was left alone, not warmed, and had no prompt since.

        Then the next prompt has to do what the warming would have done: nobody else lays out anew what has changed.
        """
        return project.root in self._rested

    def prompt_made(self, flight: ActiveRequest) -> None:
        """There is a prompt for `flight`."""
        if flight.is_idle:
            self._rested.discard(flight.root)

    def all_settled(self) -> None:
        """The engine is new: every project has to be warmed, once it is known what lies on disk."""
        for project in self._projects:
            self.touched(project)

    def close(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
