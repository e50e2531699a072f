"""What can happen to documents and files. Clients' events are made in the event loop: their replies are futures of it."""

import asyncio
from dataclasses import dataclass, field
from typing import TypeVar

from scrubjay.workspace.context_rules import NO_CONTEXT_RULES, ContextRules
from scrubjay.workspace.project import File
from scrubjay.workspace.text import Change, Position, PositionEncoding

T = TypeVar("T")


# --- from clients ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class OpenDocument:
    """See `Projects.open`; `root` None looks for it. The reply is the version."""

    uri: str
    text: str
    language: str = ""
    version: int = 0
    root: str | None = None
    owner: str = ""
    reply: "asyncio.Future[int]" = field(default_factory=asyncio.Future)


@dataclass(frozen=True, slots=True, eq=False)
class ChangeDocument:
    """See `Projects.change`. The reply is the version."""

    uri: str
    version: int
    changes: tuple[Change, ...]
    encoding: PositionEncoding = "utf-16"
    base_version: int | None = None
    owner: str = ""
    reply: "asyncio.Future[int]" = field(default_factory=asyncio.Future)


@dataclass(frozen=True, slots=True, eq=False)
class CloseDocument:
    uri: str
    owner: str = ""
    reply: "asyncio.Future[None]" = field(default_factory=asyncio.Future)


@dataclass(frozen=True, slots=True, eq=False)
class SaveDocument:
    uri: str
    owner: str = ""
    reply: "asyncio.Future[None]" = field(default_factory=asyncio.Future)


@dataclass(frozen=True, slots=True, eq=False)
class FocusDocument:
    """The user is in this document, at `position` if it is known."""

    uri: str
    position: Position | None = None
    encoding: PositionEncoding = "utf-16"
    owner: str = ""
    reply: "asyncio.Future[None]" = field(default_factory=asyncio.Future)


@dataclass(frozen=True, slots=True, eq=False)
class CloseOwner:
    """A session has ended: close what it had open."""

    owner: str
    reply: "asyncio.Future[None]" = field(default_factory=asyncio.Future)


@dataclass(frozen=True, slots=True)
class FilesChanged:
    """What is now known to be on disk below `root`, the most recently edited file last.

    It comes once for every batch of changes, and a first time when the root is watched. `rules` are what the project itself says,
    and `diff` is what the branch has changed, if that is wanted.
    """

    root: str
    files: tuple[File, ...]
    is_first: bool
    rules: ContextRules = NO_CONTEXT_RULES
    diff: str = ""


@dataclass(frozen=True, slots=True)
class StagedFound:
    """What is about to be committed, as a diff, while somebody writes the message: `key` names that document."""

    root: str
    key: str
    diff: str


WorkspaceEvent = (
    OpenDocument
    | ChangeDocument
    | CloseDocument
    | SaveDocument
    | FocusDocument
    | CloseOwner
    | FilesChanged
    | StagedFound
)
"""What `Workspace.absorb` takes."""


def answer(reply: "asyncio.Future[T]", value: T) -> None:
    """Set `reply`, unless its handler has gone away."""
    if not reply.done():
        reply.set_result(value)
