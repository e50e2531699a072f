"""Every error Scrubjay raises, on one page.

ScrubjayError               one sentence: what happened, and what to do
├── UsageError              a flag, key or argument is wrong: exit status 2
├── RequestError            a request cannot be served as sent: an HTTP status of 4xx or 5xx
├── DaemonError             the daemon cannot be started, reached or stopped: exit status 1
└── EngineError             the engine process or llama.cpp refused or failed
    ├── ModelRefused        the file is not a model that llama.cpp can run
    ├── PromptRefused       the prompt is empty, too long, or holds an unknown token
    ├── IntegrityError      the bookkeeping of a context is wrong; nothing that it holds may be used
    ├── EngineDied          the engine process ended while it was needed
    └── RemoteFailed        the server of a remote model cannot be reached, refuses, or breaks off
"""

from typing import Literal


class ScrubjayError(Exception):
    """Base of all errors with a message meant for the user."""


class UsageError(ScrubjayError):
    """A flag, configuration key or argument is wrong."""


class RequestError(ScrubjayError):
    """A request cannot be served as it was sent.

    Args:
        message: what is wrong and what to do, one sentence.
        status: HTTP status code of the answer.
        kind: a word for programs, where the status alone does not say it ("superseded", "cancelled").
    """

    def __init__(self, message: str, status: int = 400, kind: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind


class DaemonError(ScrubjayError):
    """The daemon cannot be started, reached or stopped."""


class EngineError(ScrubjayError):
    """The engine process or llama.cpp refused or failed."""


class ModelRefused(EngineError):
    """The file is not a model that llama.cpp can run."""


class PromptRefused(EngineError):
    """The prompt is empty, too long for the context, or holds a token outside the vocabulary."""


class IntegrityError(EngineError):
    """What a context, or the pool of checkpoints, says of itself is wrong; nothing that it holds may be used."""


class EngineDied(EngineError):
    """The engine process ended while it was needed."""


class RemoteFailed(EngineError):
    """The server of a remote model cannot be reached, refuses, or breaks off.

    Args:
        message: what is wrong and what to do, one sentence.
        kind: "down" if nothing else can be had of it either, until it answers again; "final" if trying again changes
            nothing, because the user has to; "missing" if it has no such route; "request" if the request is at fault; ""
            for anything else.
    """

    def __init__(self, message: str, kind: Literal["", "down", "final", "missing", "request"] = "") -> None:
        super().__init__(message)
        self.kind = kind
