"""Tells the daemon what became of completions, which counts whether they help, on this machine and for this user only."""

from typing import Any

from lsprotocol import types

from scrubjay_lsp.server import ScrubjayServer

TELLING = ("scrubjay.el", "copilot.el")
"""Clients that tell what they show and what is accepted in part, as Copilot's do, by their names in `editorPluginInfo`.

Of others it is supposed that they show what they get: most cannot tell.
"""


def register(server: ScrubjayServer) -> None:
    """Watch what is said of suggestions."""
    suggestions = server.completions.suggestions

    def tell(request: int, outcome: str) -> None:
        if server.daemon.is_connected:
            told = {"request": request, "outcome": outcome, "tells": suggestions.are_told}
            server.daemon.submit("complete/outcome", told)

    def began(params: types.InitializeParams) -> None:
        suggestions.are_told = _name(params.initialization_options) in TELLING

    suggestions.tell = tell
    server.on_initialize.append(began)
    # Another daemon has other requests under these numbers.
    server.on_connection_change.append(suggestions.forget_requests)


def _name(options: Any) -> str:
    plugin = options.get("editorPluginInfo") if isinstance(options, dict) else None
    return str(plugin.get("name")) if isinstance(plugin, dict) else ""
