"""Everything that can wake the daemon: what clients ask, what the engine says, and what clocks and threads bring.

What a client asks carries the future that its handler awaits; the service sets it, once. A handler that goes away cancels it.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from scrubjay.documents import Change, Position, PositionEncoding
from scrubjay.engine.client import FromProcess
from scrubjay.errors import ScrubjayError
from scrubjay.fim import FimTemplate
from scrubjay.projects import File, Tail
from scrubjay.prompt import Prompt
from scrubjay.raw import RawRequest
from scrubjay.requests import Completion, CompletionRequest, Item

if TYPE_CHECKING:
    from scrubjay.in_flight import InFlight

T = TypeVar("T")


def _future() -> "asyncio.Future[None]":
    return asyncio.get_running_loop().create_future()


def _version() -> "asyncio.Future[int]":
    return asyncio.get_running_loop().create_future()


def _completion() -> "asyncio.Future[Completion]":
    return asyncio.get_running_loop().create_future()


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
    reply: "asyncio.Future[int]" = field(default_factory=_version)


@dataclass(frozen=True, slots=True, eq=False)
class ChangeDocument:
    """See `Projects.change`. The reply is the version."""

    uri: str
    version: int
    changes: tuple[Change, ...]
    encoding: PositionEncoding = "utf-16"
    base_version: int | None = None
    owner: str = ""
    reply: "asyncio.Future[int]" = field(default_factory=_version)


@dataclass(frozen=True, slots=True, eq=False)
class CloseDocument:
    uri: str
    owner: str = ""
    reply: "asyncio.Future[None]" = field(default_factory=_future)


@dataclass(frozen=True, slots=True, eq=False)
class SaveDocument:
    uri: str
    owner: str = ""
    reply: "asyncio.Future[None]" = field(default_factory=_future)


@dataclass(frozen=True, slots=True, eq=False)
class FocusDocument:
    """The user is in this document, at `position` if it is known."""

    uri: str
    position: Position | None = None
    encoding: PositionEncoding = "utf-16"
    owner: str = ""
    reply: "asyncio.Future[None]" = field(default_factory=_future)


@dataclass(frozen=True, slots=True, eq=False)
class CloseOwner:
    """A session has ended: close what it had open."""

    owner: str
    reply: "asyncio.Future[None]" = field(default_factory=_future)


@dataclass(frozen=True, slots=True, eq=False)
class Complete:
    """`on_text` is called with each piece of the first alternative as it is generated."""

    request: CompletionRequest
    on_text: Callable[[str], None] | None = None
    reply: "asyncio.Future[Completion]" = field(default_factory=_completion)


@dataclass(frozen=True, slots=True, eq=False)
class Generate:
    """A completion of a prompt that the client brings; `on_text` as for `Complete`."""

    request: RawRequest
    on_text: Callable[[str], None] | None = None
    reply: "asyncio.Future[Completion]" = field(default_factory=_completion)


@dataclass(frozen=True, slots=True, eq=False)
class Warm:
    """Bring the prompt of a place into its context: of `uri` at `position`, else of the focus of the project at `root`.

    The reply comes when it is there, or at once if `wait` is false.
    """

    root: str | None = None
    uri: str | None = None
    position: Position | None = None
    encoding: PositionEncoding = "utf-16"
    owner: str = ""
    wait: bool = True
    reply: "asyncio.Future[Completion]" = field(default_factory=_completion)


@dataclass(frozen=True, slots=True, eq=False)
class AddTail:
    """See `Project.add_tail`."""

    root: str
    tail: Tail
    reply: "asyncio.Future[None]" = field(default_factory=_future)


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """Get the engine's status, if it has the time; the reply comes when `Keeper.status` is as new as can be."""

    reply: "asyncio.Future[None]" = field(default_factory=_future)


@dataclass(frozen=True, slots=True, eq=False)
class Drain:
    """Take no more requests, drop what nobody waits for; the reply comes when the others are answered."""

    reply: "asyncio.Future[None]" = field(default_factory=_future)


@dataclass(frozen=True, slots=True, eq=False)
class Abandoned:
    """The client of `flight` went away, or no longer wants it."""

    flight: "InFlight"


# --- from the daemon itself ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """A client was given completions, perhaps none, the best one first."""

    flight: "InFlight"
    items: tuple[Item, ...]


# --- from clocks and threads -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Overdue:
    """The client of `flight` waits no longer for its prompt to be processed."""

    flight: "InFlight"


@dataclass(frozen=True, slots=True)
class Settled:
    """Nothing has happened in the project at `root` for a while."""

    root: str


@dataclass(frozen=True, slots=True)
class FilesChanged:
    """What is now known to be on disk below `root`, the most recently edited file last.

    It comes once for every batch of changes, and a first time when the root is watched.
    """

    root: str
    files: tuple[File, ...]
    is_first: bool


@dataclass(frozen=True, slots=True, eq=False)
class PromptMade:
    flight: "InFlight"
    prompt: Prompt


@dataclass(frozen=True, slots=True, eq=False)
class PromptFailed:
    flight: "InFlight"
    error: ScrubjayError


@dataclass(frozen=True, slots=True)
class VocabularyOpened:
    template: FimTemplate


@dataclass(frozen=True, slots=True)
class VocabularyRefused:
    message: str


@dataclass(frozen=True, slots=True)
class EngineDue:
    """It is time to start the engine again."""


Asked = (
    OpenDocument
    | ChangeDocument
    | CloseDocument
    | SaveDocument
    | FocusDocument
    | CloseOwner
    | Complete
    | Generate
    | Warm
    | AddTail
    | Look
    | Drain
)
Brought = (
    Abandoned
    | Shown
    | Overdue
    | Settled
    | FilesChanged
    | PromptMade
    | PromptFailed
    | VocabularyOpened
    | VocabularyRefused
    | EngineDue
)
Event = Asked | Brought | FromProcess
Post = Callable[[Event], None]


def answer(reply: "asyncio.Future[T]", value: T) -> None:
    """Set `reply`, unless its handler has gone away."""
    if not reply.done():
        reply.set_result(value)
