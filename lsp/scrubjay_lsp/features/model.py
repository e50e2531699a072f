"""The model that the editor's settings name: told where the daemon has another one, used at once where the setting changes."""

import asyncio
import logging
from functools import partial

from lsprotocol import types

from scrubjay.errors import ScrubjayError
from scrubjay_lsp.daemon import has_other_model, restart_daemon
from scrubjay_lsp.daemon_connection import in_thread
from scrubjay_lsp.server import ScrubjayServer

logger = logging.getLogger(__name__)


def register(server: ScrubjayServer) -> None:
    """Look at the model of each daemon that is reached. Another editor may have started it: it is not ended for that."""
    looking: set[asyncio.Task[None]] = set()

    def connection_changed() -> None:
        if server.daemon.state == "connected" and server.settings.model:
            task = asyncio.get_running_loop().create_task(_compare(server))
            looking.add(task)
            task.add_done_callback(looking.discard)

    server.on_connection_change.append(connection_changed)


async def use_model(server: ScrubjayServer, before: str) -> None:
    """The settings have changed; the model was `before`. The user wants the new one: start the daemon again with it."""
    model = server.settings.model
    if server.daemon.state == "failed":
        server.daemon.restart()  # what was wrong may be mended
    if model == before or not model or not server.daemon.is_connected:
        return
    if await _is_other(server, model):
        server.say(f"the daemon is being restarted with {model}.", types.MessageType.Info)
        await restart(server)


async def restart(server: ScrubjayServer) -> None:
    """End the daemon, whoever else uses it, and start it again; what is wrong is said."""
    try:
        await in_thread(partial(restart_daemon, server.daemon.path, server.settings.model))
    except (ScrubjayError, OSError) as error:
        server.say(str(error), types.MessageType.Error)
    server.daemon.restart()


async def _compare(server: ScrubjayServer) -> None:
    model = server.settings.model
    if await _is_other(server, model):
        server.say(f"the daemon runs with another model than the setting, {model}; restart the daemon to use that.")


async def _is_other(server: ScrubjayServer, model: str) -> bool:
    try:
        status = await server.daemon.submit("status", {})
        return await in_thread(partial(has_other_model, status, model))
    except ScrubjayError as error:  # it is gone again, or the setting is no name of a model: the next start says so
        logger.info("The daemon's model is not known: %s", error)
        return False
