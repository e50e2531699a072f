"""The language server: what its parts are and how they hang together. What it can do is in `scrubjay_lsp.features`."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from lsprotocol import types
from pygls.lsp.server import LanguageServer

from scrubjay import __version__
from scrubjay_lsp.asking import Asking
from scrubjay_lsp.documents import Documents, OpenDocument
from scrubjay_lsp.link import Hooks, Link
from scrubjay_lsp.offers import Offers
from scrubjay_lsp.parent import watch
from scrubjay_lsp.progress import Bars
from scrubjay_lsp.protocol import ScrubjayProtocol, make_converter
from scrubjay_lsp.replies import Json
from scrubjay_lsp.settings import Settings
from scrubjay_lsp.stdio import Reader, Writer, frames
from scrubjay_lsp.text import Place

logger = logging.getLogger(__name__)

READY = "scrubjay/ready"


class ScrubjayServer(LanguageServer):
    """One editor's server: it ends with its editor, the daemon lives."""

    protocol: ScrubjayProtocol

    def __init__(self) -> None:
        super().__init__(
            "scrubjay", __version__, protocol_cls=ScrubjayProtocol, converter_factory=make_converter, max_workers=1
        )
        self.settings = Settings()
        self.socket = ""
        """The daemon's socket, if the command line names it."""
        self.offers = Offers()
        self.bars = Bars(self, lambda: self.settings.progress)
        self.link = Link(Hooks(self._connected, self._event, self._trouble, self._changed))
        self.documents = Documents(self.link)
        self.asking = Asking(self.link, self.documents, self.offers, self._ready)
        self.on_event: list[Callable[[Json], None]] = []
        """Called with each event of the daemon."""
        self.on_change: list[Callable[[], None]] = []
        """Called when the link to the daemon has changed its state."""
        self.before_capabilities: list[Callable[[types.InitializeParams], None]] = []
        """Called when the settings are known and the editor is about to be told what this server can do."""
        self._said = ""

    async def serve(self, reader: Reader, writer: Writer) -> int:
        """Serve one editor until it says `exit` or goes away; the exit status."""
        self.protocol.set_writer(writer)
        reading = asyncio.create_task(self._read(reader))
        self.before_capabilities.append(lambda params: watch(params.process_id, reading.cancel))
        await asyncio.wait([reading])
        await self.link.close()
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
        """Faults of ours go to the log; a popup at each keystroke helps nobody."""
        logger.error("%s", error, exc_info=error)

    def _connected(self) -> None:
        self._said = ""
        self.documents.send_all()

    def _event(self, event: Json) -> None:
        for tell in self.on_event:
            tell(event)

    def _trouble(self, sentence: str) -> None:
        self.say(sentence, types.MessageType.Error)

    def _changed(self) -> None:
        for tell in self.on_change:
            tell()

    def _ready(self, document: OpenDocument, place: Place) -> None:
        """Editors cannot be told to ask again by anything in the protocol; those that know this notification do."""
        if self.settings.notifications:
            position = {"line": place.line, "character": place.character}
            params = {"uri": document.uri, "version": document.version, "position": position}
            self.protocol.notify(READY, params)
