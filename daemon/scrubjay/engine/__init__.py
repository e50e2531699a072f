"""What the daemon needs of an engine, and the client of the engine process."""

from scrubjay.engine.client import EngineClient
from scrubjay.engine.interface import Deliver, Engine, EngineEvent, EngineFactory, EngineGone

__all__ = ["Deliver", "Engine", "EngineClient", "EngineEvent", "EngineFactory", "EngineGone"]
