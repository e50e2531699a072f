"""The language server: its parts and how they are connected. What it can do is in `scrubjay_lsp.features`."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from lsprotocol import types
from pygls.exceptions import JsonRpcException, JsonRpcInternalError
from pygls.lsp.server import LanguageServer

from scrubjay import __version__
from scrubjay.positions import Position
from scrubjay_lsp.completions import Completions
from scrubjay_lsp.daemon_connection import DaemonConnection, Listeners
from scrubjay_lsp.daemon_reply import Json
from scrubjay_lsp.documents import Documents, as_json
from scrubjay_lsp.notebooks import Notebooks
from scrubjay_lsp.parent import watch
from scrubjay_lsp.protocol import ScrubjayProtocol, make_converter
from scrubjay_lsp.settings import Settings
from scrubjay_lsp.stdio import Reader, Writer, frames

logger = logging.getLogger(__name__)

READY = "scrubjay/ready"
ALL_NOTEBOOKS = types.NotebookDocumentSyncOptions([types.NotebookDocumentFilterWithNotebook("*")])


class ScrubjayServer(LanguageServer):
    """One editor's server: it ends with its editor, the daemon lives."""

    protocol: ScrubjayProtocol

    def __init__(self) -> None:
        super().__init__(
            "scrubjay",
            __version__,
            protocol_cls=ScrubjayProtocol,
            converter_factory=make_converter,
            notebook_document_sync=ALL_NOTEBOOKS,
            max_workers=1,
        )
        self.settings = Settings()
        self.socket = ""
        """The daemon's socket, if the command line names it."""
        self.daemon = DaemonConnection(Listeners(self._connected, self._event, self._trouble, self._changed))
        self.documents = Documents(self.daemon, self.say)
        self.notebooks = Notebooks(self.documents)
        self.completions = Completions(self.daemon, self.documents, self.notebooks, self._ready)
        self.on_event: list[Callable[[Json], None]] = []
        """Called with each event of the daemon."""
        self.on_connection_change: list[Callable[[], None]] = []
        """Called when `daemon.state` has changed."""
        self.on_initialize: list[Callable[[types.InitializeParams], None]] = []
        """Called when the settings are known and the editor is about to be told what this server can do."""
        self.shows_status = False
        """Whether the editor has a place for it, and is told when it changes; said by `editorPluginInfo`."""
        self._said = ""

    async def serve(self, reader: Reader, writer: Writer, editor_pid: int | None = None) -> int:
        """Serve one editor until it says `exit` or goes away; the exit status.

        Args:
            editor_pid: its process, if the command line says it; `initialize` says it as well.
        """
        self.protocol.set_writer(writer)
        reading = asyncio.create_task(self._read(reader))
        watch(editor_pid, reading.cancel)
        self.on_initialize.append(lambda params: watch(params.process_id, reading.cancel))
        await asyncio.wait([reading])
        await self.daemon.close()
        if not reading.cancelled():
            reading.result()
        return 1 if self.protocol.exit_code is None else self.protocol.exit_code

    async def _read(self, reader: Reader) -> None:
        async for body in frames(reader):
            self.protocol.receive(body)
            if self.protocol.exit_code is not None:
                return

    def say(self, sentence: str, kind: types.MessageType = types.MessageType.Warning) -> None:
        """Show the user a sentence, unless it is the one shown last."""
        if sentence != self._said:
            self._said = sentence
            self.window_show_message(types.ShowMessageParams(type=kind, message=f"Scrubjay: {sentence}"))

    def complain(self, complaints: list[str]) -> None:
        """Show the user what is wrong with the settings."""
        if complaints:
            self.say(" ".join(complaints))

    def report_server_error(self, error: Exception, _source: Any) -> None:
        """Faults of ours go to the log, without a popup at each keystroke; what an editor did wrong has been answered."""
        if isinstance(error, JsonRpcException) and not isinstance(error, JsonRpcInternalError):
            logger.info("A message from the editor cannot be used: %s", error.message)
        else:
            logger.error("%s", error, exc_info=error)

    def _connected(self) -> None:
        self._said = ""
        self.documents.send_all()

    def _event(self, event: Json) -> None:
        for listener in self.on_event:
            try:
                listener(event)
            except Exception as error:  # the session must not end with one event
                self.report_server_error(error, None)

    def _trouble(self, sentence: str) -> None:
        self.say(sentence, types.MessageType.Error)

    def _changed(self) -> None:
        for listener in self.on_connection_change:
            listener()

    def _ready(self, uri: str, version: int, position: Position) -> None:
        """Nothing in the protocol tells editors to ask again; those that know this notification do."""
        if self.settings.notifications:
            params = {"uri": uri, "version": version, "position": as_json(position)}
            self.protocol.notify(READY, params)
