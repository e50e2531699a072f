"""What the daemon needs of an engine; the client of the engine process; models that other servers run."""

from functools import partial

from scrubjay.engine.client import EngineClient
from scrubjay.engine.interface import Deliver, Engine, EngineEvent, EngineFactory, EngineGone
from scrubjay.engine.remote.address import is_remote
from scrubjay.protocol.messages import EngineSettings

__all__ = ["Deliver", "Engine", "EngineClient", "EngineEvent", "EngineFactory", "EngineGone", "factory_for"]


def factory_for(settings: EngineSettings) -> EngineFactory:
    """What starts engines for the model that `settings` name: another server's, or a process of this machine."""
    if is_remote(settings.model):
        # It brings a client for HTTP, which few need and which would take its time at each command.
        from scrubjay.engine.remote.engine import RemoteEngine

        return partial(RemoteEngine.start, settings)
    return partial(EngineClient.start, settings)
