"""What the daemon needs of an engine, and the client of the engine process."""

from functools import partial

from scrubjay.engine.client import EngineClient
from scrubjay.engine.interface import Deliver, Engine, EngineEvent, EngineFactory, EngineGone
from scrubjay.protocol.messages import EngineSettings

__all__ = ["Deliver", "Engine", "EngineClient", "EngineEvent", "EngineFactory", "EngineGone", "factory_for"]


def factory_for(settings: EngineSettings) -> EngineFactory:
    """What starts engines for the model that `settings` name."""
    return partial(EngineClient.start, settings)
