"""`scrubjay.diagnose`: why there is no ghost text here, from the document to what became of the model's text."""

from collections.abc import AsyncIterator
from typing import Any

from scrubjay.errors import ScrubjayError
from scrubjay.positions import Position
from scrubjay_lsp.daemon_reply import Json
from scrubjay_lsp.documents import as_json
from scrubjay_lsp.server import ScrubjayServer

STARTER = "Scrubjay starter"
"""The name of the model that comes with Scrubjay."""
STYLES = {
    "chat": "it has no tokens for filling in the middle and is asked by chat; completions are worse for that",
    "plain": "it has no tokens for filling in the middle and never sees what is after the cursor",
}


def register(server: ScrubjayServer) -> None:
    """Answer with findings in order; the first that is not ok is the reason."""

    @server.command("scrubjay.diagnose")
    async def diagnose(*arguments: Any) -> list[Json]:
        """Look at the document with that URI, at that position; missing ones mean what the user is looking at."""
        uri, position = (*arguments, None, None)[:2]
        uri = uri if isinstance(uri, str) else server.documents.latest
        return [finding async for finding in _findings(server, uri, position)]


def _finding(is_ok: bool, what: str, help: str) -> Json:
    return {"ok": is_ok, "what": what, "help": "" if is_ok else help}


async def _findings(server: ScrubjayServer, uri: str | None, position: Any) -> AsyncIterator[Json]:
    """A finding for each station, as far as it can be looked at."""
    settings = server.settings
    yield _finding(settings.inline.enabled, "ghost text is switched on", "the setting inline.enabled is off")
    where, place = server.notebooks.locate(uri, _position(position)) if uri else ("", Position(0, 0))
    document = server.documents.find(where) if uri else None
    yield _finding(
        document is not None,
        f"the file {uri or ''} is known to the language server",
        "open it in the editor; a text of more than 2,097,152 characters is not completed",
    )
    if document:
        language = document.language
        yield _finding(
            settings.completes(language), f"ghost text is on for {language}", "the setting languages switches it off"
        )
    link = server.daemon
    yield _finding(
        link.is_connected, f"the daemon at {link.path} answers", link.message or "`scrubjay start` says why it does not"
    )
    if link.is_connected:
        async for finding in _model_findings(server):
            yield finding
        if document and isinstance(position, dict):
            yield await _trial(server, {"uri": where, "version": document.version, "position": as_json(place)})


async def _model_findings(server: ScrubjayServer) -> AsyncIterator[Json]:
    try:
        status = await server.daemon.submit("status", {})
    except ScrubjayError as error:
        yield _finding(False, "the daemon tells its state", str(error))
        return
    model, style = status["model"] or {}, (status["fim"] or {}).get("style")
    state = status["state"]
    word = "unloaded until something is asked" if state == "unloaded" else "ready"
    if model.get("name") == STARTER:
        word += "; it is small, and a stand-in: `scrubjay model recommend` names better ones"
    yield _finding(
        state in ("ready", "unloaded"),
        f"the model {model.get('name', '')} is {word}".replace("  ", " "),
        f"it is {state}. {status['message']}".strip(),
    )
    if style:
        yield _finding(
            style == "fim",
            "the model is made for filling in the middle",
            f"{STYLES.get(style, style)}; `scrubjay model use` takes another one",
        )


async def _trial(server: ScrubjayServer, params: Json) -> Json:
    """Ask for a completion there, as typing does, and say what became of it."""
    request = {**params, "position_encoding": server.documents.encoding, "trigger": "automatic"}
    try:
        answer = await server.daemon.submit("complete", {**request, "client": f"{server.completions.name}-diagnose"})
    except ScrubjayError as error:
        return _finding(False, "the model has a text for this place", str(error))
    texts, rules = [item["text"] for item in answer["items"]], answer.get("discarded", [])
    what = f"the model has a text for this place: {texts[0]!r}" if texts else "the model has a text for this place"
    dropped = f"what it wrote is not worth showing ({', '.join(rules)})" if rules else "it has nothing to say here"
    return _finding(bool(texts), what, f"{dropped}; asking with the editor's key shows more than typing does")


def _position(position: Any) -> Position:
    match position:
        case {"line": int(line), "character": int(character)}:
            return Position(line, character)
    return Position(0, 0)
