"""Documents that clients have open, the projects they belong to, and the other files of these on disk."""

from scrubjay.workspace.document import Document
from scrubjay.workspace.events import (
    ChangeDocument,
    CloseDocument,
    CloseOwner,
    FilesChanged,
    FocusDocument,
    OpenDocument,
    SaveDocument,
    WorkspaceEvent,
)
from scrubjay.workspace.project import File, Focus, Project, Tail
from scrubjay.workspace.projects import Projects
from scrubjay.workspace.text import Change, Position, PositionEncoding
from scrubjay.workspace.workspace import Absorbed, Workspace

__all__ = [
    "Absorbed",
    "Change",
    "ChangeDocument",
    "CloseDocument",
    "CloseOwner",
    "Document",
    "File",
    "FilesChanged",
    "Focus",
    "FocusDocument",
    "OpenDocument",
    "Position",
    "PositionEncoding",
    "Project",
    "Projects",
    "SaveDocument",
    "Tail",
    "Workspace",
    "WorkspaceEvent",
]
