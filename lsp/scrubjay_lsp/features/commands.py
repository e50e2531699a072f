"""Commands: status, warm, accept, reject, restart."""

from dataclasses import asdict
from typing import Any

from lsprotocol import types

from scrubjay.errors import ScrubjayError
from scrubjay_lsp.daemon import stopper
from scrubjay_lsp.items import ACCEPT
from scrubjay_lsp.link import in_thread
from scrubjay_lsp.replies import Json
from scrubjay_lsp.server import ScrubjayServer
from scrubjay_lsp.text import end_of


def register(server: ScrubjayServer) -> None:
    """Commands take their arguments by position; missing ones mean what the user is looking at."""

    @server.command("scrubjay.status")
    async def status(*_arguments: Any) -> Json:
        """What the daemon says of itself (null if there is none), and what this server has done."""
        return {"daemon": await _daemon_status(server), "lsp": _own_status(server)}

    @server.command("scrubjay.warm")
    async def warm(*arguments: Any) -> Json:
        """Prefill for a document's URI and position; the answer comes when that is done."""
        uri, position = (*arguments, None, None)[:2]
        try:
            result: Json = await server.link.submit("warm", _warm_params(server, uri, position))
        except ScrubjayError as error:
            return {"error": str(error)}
        return result

    @server.command(ACCEPT)
    async def accept(*arguments: Any) -> None:
        """The user took the offer with that number: the next one will be asked for at its end."""
        offer = server.offers.accepted(arguments[0] if arguments else None)
        document = server.documents.find(offer.uri) if offer else None
        if offer and document and document.version > offer.version and server.link.is_connected:
            place = end_of(offer.place, offer.text, server.documents.encoding)
            position = {"line": place.line, "character": place.character}
            server.link.submit("warm", _warm_params(server, offer.uri, position))

    @server.command("scrubjay.reject")
    async def reject(*arguments: Any) -> None:
        """The user did not want the offer with that number."""
        server.offers.rejected(arguments[0] if arguments else None)

    @server.command("scrubjay.restart")
    async def restart(*_arguments: Any) -> None:
        """Stop the daemon, whoever else uses it, and start it again; documents are sent anew."""
        server.say("the daemon is being restarted.", types.MessageType.Info)
        try:
            await in_thread(stopper(server.link.path))
        except ScrubjayError as error:
            server.say(str(error), types.MessageType.Error)
        server.link.restart()


async def _daemon_status(server: ScrubjayServer) -> Json | None:
    if not server.link.is_connected:
        return None
    try:
        status: Json = await server.link.submit("status", {})
    except ScrubjayError:
        return None
    return status


def _own_status(server: ScrubjayServer) -> Json:
    return {
        "link": server.link.state,
        "message": server.link.message,
        "socket": server.link.path,
        "documents": len(server.documents),
        "resent": server.documents.n_resent,
        "open": server.asking.n_open,
        "endings": dict(server.asking.endings),
        "offers": asdict(server.offers.counts),
    }


def _warm_params(server: ScrubjayServer, uri: Any, position: Any) -> Json:
    """The document asked for, else the one that was last opened or changed, wherever the daemon thinks the user is."""
    if not isinstance(uri, str):
        uri = server.documents.latest
    params: Json = {"uri": uri} if uri else {}
    if params and isinstance(position, dict):
        params |= {"position": position, "position_encoding": server.documents.encoding}
    return params
