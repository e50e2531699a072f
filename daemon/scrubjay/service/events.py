"""Everything that can wake the daemon: what clients ask, what the engine says, and what clocks and threads bring.

What a client asks carries the future that its handler awaits; the service sets it, once. A handler that goes away cancels it.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from scrubjay.completion.requests import Completion, CompletionRequest, Item, RawRequest
from scrubjay.engine.interface import EngineEvent
from scrubjay.errors import RequestError, ScrubjayError
from scrubjay.prompt.fim import FimTemplate
from scrubjay.prompt.segments import Prompt
from scrubjay.service.active_request import ActiveRequest
from scrubjay.workspace.events import (
    ChangeDocument,
    CloseDocument,
    CloseOwner,
    FilesChanged,
    FocusDocument,
    OpenDocument,
    SaveDocument,
    _future,
)
from scrubjay.workspace.project import Tail
from scrubjay.workspace.text import Position, PositionEncoding

if TYPE_CHECKING:
    from scrubjay.service.active_request import ActiveRequest


def _completion() -> "asyncio.Future[Completion]":
    return asyncio.get_running_loop().create_future()


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
class RequestStatus:
    """Get the engine's status, if it has the time; the reply comes when `Keeper.status` is as new as can be."""

    reply: "asyncio.Future[None]" = field(default_factory=_future)


@dataclass(frozen=True, slots=True, eq=False)
class Drain:
    """Take no more requests, drop what nobody waits for; the reply comes when the others are answered."""

    reply: "asyncio.Future[None]" = field(default_factory=_future)


@dataclass(frozen=True, slots=True, eq=False)
class ClientGone:
    """The client of `flight` went away, or no longer wants it."""

    flight: "ActiveRequest"


# --- from the daemon itself ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class CompletionShown:
    """A client was given completions, perhaps none, the best one first."""

    flight: "ActiveRequest"
    items: tuple[Item, ...]


# --- from clocks and threads -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class PromptDeadline:
    """The client of `flight` waits no longer for its prompt to be processed."""

    flight: "ActiveRequest"


@dataclass(frozen=True, slots=True)
class ProjectIdle:
    """Nothing has happened in the project at `root` for a while."""

    root: str


@dataclass(frozen=True, slots=True, eq=False)
class PromptMade:
    flight: "ActiveRequest"
    prompt: Prompt


@dataclass(frozen=True, slots=True, eq=False)
class PromptFailed:
    flight: "ActiveRequest"
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
    | RequestStatus
    | Drain
)
Brought = (
    ClientGone
    | CompletionShown
    | PromptDeadline
    | ProjectIdle
    | FilesChanged
    | PromptMade
    | PromptFailed
    | VocabularyOpened
    | VocabularyRefused
    | EngineDue
)
Event = Asked | Brought | EngineEvent
Post = Callable[[Event], None]

logger = logging.getLogger(__name__)


def outcome(flight: ActiveRequest, made: "asyncio.Future[Prompt]") -> PromptMade | PromptFailed:
    """What to post when the making of its prompt has come to an end."""
    if made.cancelled():
        return PromptFailed(flight, RequestError("The daemon is shutting down.", 503))
    error = made.exception()
    if error is None:
        return PromptMade(flight, made.result())
    if isinstance(error, ScrubjayError):
        return PromptFailed(flight, error)
    logger.error("A prompt could not be made.", exc_info=error)
    return PromptFailed(flight, RequestError(f"The prompt could not be made: {error!r}; see the daemon's log.", 500))
