"""A project as it was at one moment, and a place in it."""

from dataclasses import dataclass, field

from scrubjay.prompt.windows import resume_at
from scrubjay.workspace.document import Document
from scrubjay.workspace.project import Project


@dataclass(frozen=True, slots=True)
class ProjectView:
    """A project as it was at one moment, and a place in one of its documents.

    Attributes:
        start: where the model goes on; see `resume_at`.
    """

    project: Project
    document: Document
    offset: int
    start: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "start", resume_at(self.document, self.offset))

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
