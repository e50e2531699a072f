"""A project as it was at one moment, and a place in it."""

from dataclasses import dataclass

from scrubjay.workspace.document import Document
from scrubjay.workspace.project import Project


@dataclass(frozen=True, slots=True)
class ProjectView:
    """A project as it was at one moment, and a place in one of its documents."""

    project: Project
    document: Document
    offset: int

    @classmethod
    def of(cls, project: Project, document: Document, offset: int) -> "ProjectView":
        """The project now; later changes do not show in it."""
        shown = document.snapshot()
        now = project.snapshot()
        now.documents[document.key] = shown
        now.recency.setdefault(document.key, 0)
        return cls(now, shown, offset)


NO_PROJECT = ProjectView(Project(""), Document("", "", 0, "", None), 0)
"""The place of prompts that belong to no project."""
