"""Next edits: `textDocument/copilotInlineEdit`, which Copilot's clients show, and what becomes of them."""

from typing import Any

from scrubjay.errors import ScrubjayError
from scrubjay_lsp.daemon_reply import Json
from scrubjay_lsp.server import ScrubjayServer

ACCEPT = "scrubjay.acceptEdit"
REJECT = "scrubjay.rejectEdit"


def register(server: ScrubjayServer) -> None:
    """Answer with at most one edit, in any of the editor's documents; with none unless the user has switched it on."""

    @server.feature("textDocument/copilotInlineEdit")
    async def inline_edit(params: Any) -> Json:
        return {"edits": await _edits(server, _field(params, "textDocument"))}

    @server.feature("textDocument/didShowInlineEdit")
    def did_show(params: Any) -> None:
        arguments = _field(params, "item", "command").get("arguments")
        _tell(server, arguments[0] if isinstance(arguments, list) and arguments else None, "shown")

    @server.command(ACCEPT)
    async def accept(*arguments: Any) -> None:
        """The user took the next edit with that number."""
        _tell(server, arguments[0] if arguments else None, "accepted")

    @server.command(REJECT)
    async def reject(*arguments: Any) -> None:
        """The user did not want the next edit with that number."""
        _tell(server, arguments[0] if arguments else None, "rejected")


async def _edits(server: ScrubjayServer, identifier: Json) -> list[Json]:
    document = server.documents.find(str(identifier.get("uri")))
    if document is None or not server.settings.proposes(document.language) or not server.daemon.is_connected:
        return []
    version = identifier.get("version")
    if isinstance(version, int) and version != document.version:
        return []
    question = {"uri": document.uri, "version": document.version, "position_encoding": server.documents.encoding}
    try:
        answer: Json = await server.daemon.submit("next-edit", question)
    except ScrubjayError:
        return []  # the document is out of step, or the daemon is gone: there will be another time
    edit = answer["edit"]
    return [_edit(edit)] if edit and _is_fresh(server, edit) else []


def _is_fresh(server: ScrubjayServer, edit: Json) -> bool:
    """Whether it is for a text that the editor still has."""
    document = server.documents.find(edit["uri"])
    return document is not None and document.version == edit["version"]


def _edit(edit: Json) -> Json:
    return {
        "text": edit["text"],
        "range": edit["range"],
        "textDocument": {"uri": edit["uri"], "version": edit["version"]},
        "command": {"title": "Accept", "command": ACCEPT, "arguments": [edit["id"]]},
    }


def _tell(server: ScrubjayServer, number: Any, outcome: str) -> None:
    if type(number) is int and server.daemon.is_connected:
        server.daemon.submit("next-edit/outcome", {"id": number, "outcome": outcome})


def _field(params: Any, *names: str) -> Json:
    """An object inside of `params`; empty if it is not there."""
    for name in names:
        params = params.get(name) if isinstance(params, dict) else None
    return params if isinstance(params, dict) else {}
