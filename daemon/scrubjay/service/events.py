"""Everything that can wake the daemon: what clients ask, what the engine says, and what clocks and threads bring.

What a client asks carries the future that its handler awaits; the service sets it, once. A handler that goes away cancels it.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from scrubjay.completion.proposals import Told
from scrubjay.completion.requests import Completion, CompletionRequest, RawRequest
from scrubjay.engine.interface import EngineEvent
from scrubjay.errors import ScrubjayError
from scrubjay.prompt.client_prompts import RawPrompt
from scrubjay.prompt.segments import Prompt, ShownPart
from scrubjay.protocol.messages import Vector
from scrubjay.protocol.records import Forgotten
from scrubjay.service.active_request import ActiveRequest
from scrubjay.service.tenants import OWNER, Tenant
from scrubjay.workspace.events import (
    ChangeDocument,
    CloseDocument,
    CloseOwner,
    FilesChanged,
    FocusDocument,
    OpenDocument,
    SaveDocument,
    StagedFound,
)
from scrubjay.workspace.project import Tail
from scrubjay.workspace.text import Position, PositionEncoding


@dataclass(frozen=True, slots=True, eq=False)
class Complete:
    """`on_text` is called with each piece of the first alternative as it is generated."""

    request: CompletionRequest
    on_text: Callable[[str], None] | None = None
    reply: "asyncio.Future[Completion]" = field(default_factory=asyncio.Future)


@dataclass(frozen=True, slots=True, eq=False)
class Generate:
    """A completion of a prompt that the client brings, `tenant`'s; `on_text` as for `Complete`."""

    request: RawRequest
    on_text: Callable[[str], None] | None = None
    tenant: Tenant = OWNER
    reply: "asyncio.Future[Completion]" = field(default_factory=asyncio.Future)


@dataclass(frozen=True, slots=True, eq=False)
class Embed:
    """`on_vector` is called with the vector of a text; the model must be one that makes them. The reply says what it cost."""

    recipe: RawPrompt
    on_vector: Callable[[Vector], None]
    tenant: Tenant = OWNER
    reply: "asyncio.Future[Completion]" = field(default_factory=asyncio.Future)


@dataclass(frozen=True, slots=True, eq=False)
class OpenModel:
    """Load a model if it is not; the reply comes when its vocabulary is open."""

    reply: "asyncio.Future[None]" = field(default_factory=asyncio.Future)


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
    reply: "asyncio.Future[Completion]" = field(default_factory=asyncio.Future)


@dataclass(frozen=True, slots=True)
class ShownPrompt:
    """A prompt, and what is wrong with the project's own rules for it, "" if nothing is."""

    parts: tuple[ShownPart, ...]
    problem: str


@dataclass(frozen=True, slots=True, eq=False)
class ShowPrompt:
    """Make the prompt for `position` of `uri` as after a pause there, and have nothing of it processed."""

    uri: str
    position: Position
    encoding: PositionEncoding = "utf-16"
    owner: str = ""
    reply: "asyncio.Future[ShownPrompt]" = field(default_factory=asyncio.Future)


@dataclass(frozen=True, slots=True)
class PlacedEdit:
    """A next edit: `text` in the place of `old`, which is from `start` to `end` of version `version` of `uri`."""

    id: int
    uri: str
    version: int
    start: Position
    end: Position
    old: str
    text: str
    kind: str
    confidence: float


@dataclass(frozen=True, slots=True)
class NextEditAnswer:
    """At most one next edit; `quiet` names the rules that kept others back. `version` is of the document asked about."""

    edit: PlacedEdit | None
    quiet: tuple[str, ...]
    version: int


@dataclass(frozen=True, slots=True, eq=False)
class AskNextEdit:
    """What is to be edited next, for a user who is in `uri`."""

    uri: str
    encoding: PositionEncoding = "utf-16"
    version: int | None = None
    owner: str = ""
    reply: "asyncio.Future[NextEditAnswer]" = field(default_factory=asyncio.Future)


Outcome = Literal["shown", "accepted", "rejected"]


@dataclass(frozen=True, slots=True, eq=False)
class NextEditOutcome:
    """What has become of the next edit with that number."""

    number: int
    outcome: Outcome
    reply: "asyncio.Future[None]" = field(default_factory=asyncio.Future)


@dataclass(frozen=True, slots=True, eq=False)
class CompletionOutcome:
    """What a client knows to have become of the completions that answered the request of that number.

    With `tells`, it is one that also tells of all that is accepted.
    """

    number: int
    outcome: Told
    tells: bool = False
    reply: "asyncio.Future[None]" = field(default_factory=asyncio.Future)


@dataclass(frozen=True, slots=True, eq=False)
class AddTail:
    """See `Project.add_tail`."""

    root: str
    tail: Tail
    reply: "asyncio.Future[None]" = field(default_factory=asyncio.Future)


@dataclass(frozen=True, slots=True, eq=False)
class RequestStatus:
    """Get the status of the engines that have the time; the reply comes when `ServedModel.status` is as new as can be."""

    reply: "asyncio.Future[None]" = field(default_factory=asyncio.Future)


@dataclass(frozen=True, slots=True, eq=False)
class Pause:
    """Do only what clients ask for, until it is said again with `paused` false; the reply is `paused`."""

    paused: bool
    reply: "asyncio.Future[bool]" = field(default_factory=asyncio.Future)


@dataclass(frozen=True, slots=True, eq=False)
class ForgetRoot:
    """Hold nothing of the project at `root`, or with "" nothing at all, neither on disk nor in the engine's memory.

    The reply says what was removed; if there is no engine, nothing was.
    """

    root: str = ""
    reply: "asyncio.Future[Forgotten]" = field(default_factory=asyncio.Future)


@dataclass(frozen=True, slots=True, eq=False)
class Drain:
    """Take no more requests, drop what nobody waits for; the reply comes when the others are answered."""

    reply: "asyncio.Future[None]" = field(default_factory=asyncio.Future)


@dataclass(frozen=True, slots=True, eq=False)
class ClientGone:
    """The client of `request` went away, or no longer wants it."""

    request: ActiveRequest


# --- from clocks and threads -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class PromptDeadline:
    """The client of `request` waits no longer for its prompt to be processed."""

    request: ActiveRequest


@dataclass(frozen=True, slots=True)
class ProjectIdle:
    """Nothing has happened in the project at `root` for a while."""

    root: str


@dataclass(frozen=True, slots=True)
class ProjectWarm:
    """The project at `root` has been warmed; `has_read_ahead`: so was what is likely to come next."""

    root: str
    has_read_ahead: bool


@dataclass(frozen=True, slots=True, eq=False)
class PromptMade:
    """A thread has made the prompt of `request`, or says why not."""

    request: ActiveRequest
    made: Prompt | ScrubjayError


@dataclass(frozen=True, slots=True)
class PromptsDue:
    """More requests have waited for the engine to be ready: it is time to make their prompts."""


@dataclass(frozen=True, slots=True)
class StatusDue:
    """The engine has done something: it is time to ask for its status."""


@dataclass(frozen=True, slots=True)
class VocabularyOpened:
    """The model's vocabulary is open here too."""


@dataclass(frozen=True, slots=True)
class VocabularyRefused:
    """The engine has accepted the model, but its vocabulary cannot be opened here."""

    message: str


@dataclass(frozen=True, slots=True)
class EngineHalted:
    """The engine process has been stopped, as `message` says, repeatedly while that is so; empty when it goes on."""

    message: str


@dataclass(frozen=True, slots=True)
class UnloadDue:
    """Nothing was asked of the model for as long as it is kept."""


@dataclass(frozen=True, slots=True)
class EngineDue:
    """It is time to start the engine again."""


ClientEvent = (
    OpenDocument
    | ChangeDocument
    | CloseDocument
    | SaveDocument
    | FocusDocument
    | CloseOwner
    | Complete
    | Generate
    | Embed
    | OpenModel
    | Warm
    | AddTail
    | ShowPrompt
    | AskNextEdit
    | NextEditOutcome
    | CompletionOutcome
    | Pause
    | RequestStatus
    | ForgetRoot
    | Drain
)
InternalEvent = (
    ClientGone
    | PromptDeadline
    | ProjectIdle
    | ProjectWarm
    | FilesChanged
    | StagedFound
    | PromptMade
    | PromptsDue
    | StatusDue
    | VocabularyOpened
    | VocabularyRefused
    | EngineHalted
    | EngineDue
    | UnloadDue
)
Event = ClientEvent | InternalEvent | EngineEvent
Post = Callable[[Event], None]
