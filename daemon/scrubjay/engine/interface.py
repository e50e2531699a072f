"""What an engine tells the daemon besides messages."""

from collections.abc import Callable
from dataclasses import dataclass

from scrubjay.protocol.messages import FromEngine


@dataclass(frozen=True, slots=True)
class EngineGone:
    """The engine process has ended; `reason` is a sentence that says how."""

    reason: str


FromProcess = FromEngine | EngineGone
Deliver = Callable[[FromProcess], None]
