"""Commands: status, context, prompt, warm, accept, reject, restart."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from lsprotocol import types

from scrubjay.errors import ScrubjayError
from scrubjay.positions import Position, end_of
from scrubjay.uris import canonical_path, notebook_of, path_of
from scrubjay_lsp.daemon_reply import Json
from scrubjay_lsp.documents import as_json
from scrubjay_lsp.features.model import restart as restart_daemon
from scrubjay_lsp.items import ACCEPT
from scrubjay_lsp.server import ScrubjayServer


def register(server: ScrubjayServer) -> None:
    """Commands take their arguments by position; missing ones mean what the user is looking at."""

    @server.command("scrubjay.status")
    async def status(*_arguments: Any) -> Json:
        """What the daemon says of itself (null if there is none), and what this server has done."""
        return {"daemon": await _daemon_status(server), "lsp": _own_status(server)}

    @server.command("scrubjay.context")
    async def context(*arguments: Any) -> Json | None:
        """What the model has of the project of the document with that URI; null if there is nothing yet."""
        return await _context(server, arguments[0] if arguments else None)

    @server.command("scrubjay.prompt")
    async def prompt(*arguments: Any) -> Json:
        """The prompt for a document's URI and position as the model gets it, part by part; nothing is processed."""
        uri, position = (*arguments, None, None)[:2]
        params = {"position": {"line": 0, "character": 0}, **_warm_params(server, uri, position)}
        try:
            result: Json = await server.daemon.submit("prompt", params)
        except ScrubjayError as error:
            return {"error": str(error)}
        return result

    @server.command("scrubjay.warm")
    async def warm(*arguments: Any) -> Json:
        """Prefill for a document's URI and position; the answer comes when that is done."""
        uri, position = (*arguments, None, None)[:2]
        try:
            result: Json = await server.daemon.submit("warm", _warm_params(server, uri, position))
        except ScrubjayError as error:
            return {"error": str(error)}
        return result

    @server.command(ACCEPT)
    async def accept(*arguments: Any) -> None:
        """The user took the suggestion with that number: the next one will be asked for at its end.

        With a length, only so much of it was taken.
        """
        number, length = (*arguments, None, None)[:2]
        if type(length) is int:
            server.completions.suggestions.accepted_in_part(number, length)
            return
        suggestion = server.completions.suggestions.accepted(number)
        if suggestion is None or not server.daemon.is_connected:
            return
        end = end_of(suggestion.position, suggestion.text, server.documents.encoding)
        document = server.documents.find(server.notebooks.locate(suggestion.uri, end)[0])
        if document and document.version > suggestion.version:
            server.daemon.submit("warm", _warm_params(server, suggestion.uri, as_json(end)))

    @server.command("scrubjay.reject")
    async def reject(*arguments: Any) -> None:
        """The user did not want the suggestion with that number."""
        server.completions.suggestions.rejected(arguments[0] if arguments else None)

    @server.command("scrubjay.restart")
    async def restart(*_arguments: Any) -> None:
        """Stop the daemon, whoever else uses it, and start it again; documents are sent once more."""
        server.say("the daemon is being restarted.", types.MessageType.Info)
        await restart_daemon(server)


async def _daemon_status(server: ScrubjayServer) -> Json | None:
    if not server.daemon.is_connected:
        return None
    try:
        status: Json = await server.daemon.submit("status", {})
    except ScrubjayError:
        return None
    return status


async def _context(server: ScrubjayServer, uri: Any) -> Json | None:
    """That of the innermost project around the document, else of the only project."""
    status = await _daemon_status(server)
    roots = [project["root"] for project in status["projects"]] if status else []
    path = _path(uri if isinstance(uri, str) else server.documents.latest or "")
    around = [root for root in roots if path and Path(path).is_relative_to(root)]
    root = max(around, key=len) if around else roots[0] if len(roots) == 1 else None
    try:
        return await server.daemon.get("context", root=root) if root else None
    except ScrubjayError as error:
        return {"error": str(error)}


def _path(uri: str) -> str | None:
    """The file of the document `uri`; that of its notebook if it is a cell."""
    notebook = notebook_of(uri)
    path = notebook[0] if notebook else path_of(uri)
    return canonical_path(path) if path else None


def _own_status(server: ScrubjayServer) -> Json:
    return {
        "link": server.daemon.state,
        "message": server.daemon.message,
        "socket": server.daemon.path,
        "documents": len(server.documents),
        "resent": server.documents.n_resent,
        "open": server.completions.n_open,
        "endings": dict(server.completions.endings),
        "suggestions": asdict(server.completions.suggestions.counts),
    }


def _warm_params(server: ScrubjayServer, uri: Any, position: Any) -> Json:
    """The document asked for, else the one that was last opened or changed, wherever the daemon thinks the user is."""
    if not isinstance(uri, str):
        uri = server.documents.latest
    if uri is None:
        return {}
    match position:
        case {"line": int(line), "character": int(character)}:
            uri, place = server.notebooks.locate(uri, Position(line, character))
            return {"uri": uri, "position": as_json(place), "position_encoding": server.documents.encoding}
    return {"uri": server.notebooks.locate(uri, Position(0, 0))[0]}
