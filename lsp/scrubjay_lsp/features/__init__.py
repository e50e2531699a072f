"""What the language server can do, a file each: without its line here, the feature is gone."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from scrubjay_lsp.features import (
    commands,
    configuration,
    copilot,
    diagnose,
    events,
    feedback,
    inline,
    menu,
    model,
    next_edits,
    notebook,
    sync,
    workspace,
)
from scrubjay_lsp.server import ScrubjayServer

if TYPE_CHECKING:
    from scrubjay_lsp.server import ScrubjayServer


FEATURES: tuple[Callable[["ScrubjayServer"], None], ...] = (
    configuration.register,
    sync.register,
    notebook.register,
    workspace.register,
    inline.register,
    menu.register,
    commands.register,
    diagnose.register,
    copilot.register,
    feedback.register,
    next_edits.register,
    events.register,
    model.register,
)


def open_server() -> ScrubjayServer:
    """A server with all features."""

    server = ScrubjayServer()
    for register in FEATURES:
        register(server)
    return server
