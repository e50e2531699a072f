"""The dialect of Copilot's clients: what they tell about completions, and what they ask before they begin.

There is no account to sign in to, so every user is signed in already.
"""

from typing import Any

from scrubjay_lsp.daemon_reply import Json
from scrubjay_lsp.server import ScrubjayServer

USER = "local"


def register(server: ScrubjayServer) -> None:
    """Answer enough for copilot.el, and its like, to start and to report."""
    _tell_status(server)

    @server.feature("textDocument/didShowCompletion")
    def did_show(params: Any) -> None:
        server.completions.suggestions.shown(_number(params))

    @server.feature("textDocument/didPartiallyAcceptCompletion")
    def did_accept_in_part(params: Any) -> None:
        length = params.get("acceptedLength") if isinstance(params, dict) else None
        if type(length) is int and length > 0:
            server.completions.suggestions.accepted_in_part(_number(params), length)

    @server.feature("textDocument/didFocus")
    def did_focus(params: Any) -> None:
        document = params.get("textDocument") if isinstance(params, dict) else None
        if isinstance(document, dict) and isinstance(uri := document.get("uri"), str):
            server.documents.focus(uri)

    answers: dict[str, Any] = {
        "checkStatus": {"status": "OK", "user": USER},
        "signIn": {"status": "AlreadySignedIn", "user": USER},
        "signInInitiate": {"status": "AlreadySignedIn", "user": USER},
        "signInConfirm": {"status": "OK", "user": USER},
        "signOut": {"status": "NotSignedIn"},
        "setEditorInfo": "OK",
        "getVersion": {"version": server.version},
        "copilot/models": [{"id": "local", "modelName": "Scrubjay", "scopes": ["completion"]}],
    }
    for method, answer in answers.items():
        server.feature(method)(_always(answer))


def _tell_status(server: ScrubjayServer) -> None:
    """Copilot's clients have an icon; others would only complain about the notification."""

    def changed() -> None:
        if server.shows_status:
            server.protocol.notify("didChangeStatus", _status(server))

    server.on_connection_change.append(changed)


def _status(server: ScrubjayServer) -> Json:
    daemon = server.daemon
    kind = {"connected": "Normal", "failed": "Error"}.get(daemon.state, "Inactive")
    return {"kind": kind, "busy": daemon.state == "starting", "message": daemon.message}


def _number(params: Any) -> Any:
    """The number of the suggestion that a notification is about: the first argument of its item's command."""
    for key in ("item", "command", "arguments"):
        params = params.get(key) if isinstance(params, dict) else None
    return params[0] if isinstance(params, list) and params else None


def _always(answer: Any) -> Any:
    def handler(_params: Any) -> Any:
        return answer

    return handler
