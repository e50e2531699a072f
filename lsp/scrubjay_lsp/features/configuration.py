"""Settings: from `initializationOptions`, from changes that the editor announces, and from asking the editor.

The daemon's socket and whether to start it are settled at the start; all else can change at any time.
"""

from collections.abc import Mapping
from typing import Any

from lsprotocol import types
from pygls.exceptions import JsonRpcException

from scrubjay.errors import ScrubjayError
from scrubjay_lsp.daemon import socket_path, start_daemon
from scrubjay_lsp.features.model import use_model
from scrubjay_lsp.server import ScrubjayServer
from scrubjay_lsp.settings import read_settings

SECTION = "scrubjay"


class Configuration:
    """Where the settings come from: what was said at the start, and over it what was said last."""

    def __init__(self, server: ScrubjayServer) -> None:
        self._server = server
        self._initial: Mapping[str, Any] = {}

    def begin(self, options: Any) -> list[str]:
        """Take the initial options; what is wrong with them."""
        self._initial = _section(options) or (options if isinstance(options, Mapping) else {})
        self._server.settings, complaints = read_settings(self._initial)
        return complaints

    def change(self, section: Mapping[str, Any]) -> None:
        """Take what the user has changed, and tell what is wrong with it."""
        self._server.settings, complaints = read_settings(_merged(self._initial, section))
        self._server.complain(complaints)

    async def ask(self) -> None:
        """Ask the editor, if it can be asked."""
        workspace = self._server.client_capabilities.workspace
        if not (workspace and workspace.configuration):
            return
        wanted = types.ConfigurationParams(items=[types.ConfigurationItem(section=SECTION)])
        try:
            [section] = await self._server.workspace_configuration_async(wanted)
        except (JsonRpcException, ValueError, TypeError):
            return
        if isinstance(section, Mapping) and section:
            self.change(section)


def register(server: ScrubjayServer) -> None:
    """Read the settings and, once the editor is there, look for the daemon."""
    configuration = Configuration(server)
    complaints: list[str] = []

    @server.feature(types.INITIALIZE)
    def initialize(params: types.InitializeParams) -> None:
        options = params.initialization_options
        complaints.extend(configuration.begin(options))
        server.shows_status = isinstance(options, dict) and "editorPluginInfo" in options
        for prepare in server.on_initialize:
            prepare(params)

    @server.feature(types.INITIALIZED)
    async def initialized(_params: types.InitializedParams) -> None:
        server.complain(complaints)
        _open_link(server)
        _register_for_changes(server)
        await configuration.ask()

    @server.feature(types.WORKSPACE_DID_CHANGE_CONFIGURATION)
    async def did_change(params: types.DidChangeConfigurationParams) -> None:
        section, model = _section(params.settings), server.settings.model
        if section is None:
            await configuration.ask()
        else:
            configuration.change(section)
        await use_model(server, model)


def _open_link(server: ScrubjayServer) -> None:
    """Look for the daemon. With a configuration that cannot be read its place is unknown."""
    try:
        path = server.socket or server.settings.socket or socket_path()
    except ScrubjayError as error:
        server.daemon.give_up(error)
    else:
        start = (lambda: start_daemon(path, server.settings.model)) if server.settings.start_daemon else None
        server.daemon.open(path, start)


def _register_for_changes(server: ScrubjayServer) -> None:
    """Editors that register dynamically tell of changes only if asked to."""
    workspace = server.client_capabilities.workspace
    support = workspace and workspace.did_change_configuration
    if support and support.dynamic_registration:
        options = {"section": SECTION}
        method = types.WORKSPACE_DID_CHANGE_CONFIGURATION
        registration = types.Registration(id=f"{SECTION}-{method}", method=method, register_options=options)
        server.client_register_capability(types.RegistrationParams(registrations=[registration]))


def _section(options: Any) -> Mapping[str, Any] | None:
    """Our section of the options, if it is there."""
    section = options.get(SECTION) if isinstance(options, Mapping) else None
    return section if isinstance(section, Mapping) else None


def _merged(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """`new` over `old`, object by object."""
    both = {key: _merged(old[key], new[key]) for key in old.keys() & new.keys() if _are_objects(old[key], new[key])}
    return {**old, **new, **both}


def _are_objects(a: Any, b: Any) -> bool:
    return isinstance(a, Mapping) and isinstance(b, Mapping)
