"""pygls's protocol with what editors need beyond it: every request is answered, even one that cannot be read."""

import json
import logging
from typing import Any

from cattrs import Converter
from lsprotocol import types
from pygls.exceptions import JsonRpcException, JsonRpcInvalidRequest, JsonRpcParseError
from pygls.protocol import (
    JsonRPCNotification,
    JsonRPCRequestMessage,
    LanguageServerProtocol,
    default_converter,
    lsp_method,
)

from scrubjay_lsp.quirks import Quirks

logger = logging.getLogger(__name__)

# The documents are kept in `scrubjay_lsp.documents`, not in the workspace of pygls: that one ends lines at form feeds.
_KEPT_ELSEWHERE = (
    types.TEXT_DOCUMENT_DID_OPEN,
    types.TEXT_DOCUMENT_DID_CHANGE,
    types.TEXT_DOCUMENT_DID_CLOSE,
)


class ScrubjayProtocol(LanguageServerProtocol):
    """One connection to one editor."""

    def __init__(self, server: Any, converter: Converter) -> None:
        super().__init__(server, converter)
        self.exit_code: int | None = None
        """Set once the editor has said `exit`."""
        self._quirks = Quirks()
        for method in _KEPT_ELSEWHERE:
            del self.fm.builtin_features[method]

    def receive(self, body: bytes) -> None:
        """Handle one message from the editor; one that cannot be read is answered so, if it asks for an answer."""
        message: Any = None
        try:
            message = _parsed(body)
            self._quirks.amend(message)
            self.handle_message(self.structure_message(message))
        except JsonRpcException as error:
            logger.warning("A message from the editor cannot be used: %s", error.message)
            if message is None:
                details = {"code": error.code, "message": error.message}
                self._send_data({"jsonrpc": "2.0", "id": None, "error": details})
            elif "id" in message and "method" in message:
                self._send_response(message["id"], error=error.to_response_error())

    @lsp_method(types.EXIT)
    def lsp_exit(self, *_: object) -> None:  # type: ignore[override]
        """The read loop ends; the process is not torn down from within a handler."""
        self.exit_code = 0 if self._shutdown else 1


def make_converter() -> Converter:
    """Structures what the protocol defines; parameters of all other methods stay plain JSON."""
    converter: Converter = default_converter()  # type: ignore[no-untyped-call]
    converter.register_structure_hook(JsonRPCRequestMessage, _plain_request)
    converter.register_structure_hook(JsonRPCNotification, _plain_notification)
    return converter


def _plain_request(message: dict[str, Any], _: object) -> JsonRPCRequestMessage:
    return JsonRPCRequestMessage(message["id"], message["method"], message["jsonrpc"], message.get("params"))


def _plain_notification(message: dict[str, Any], _: object) -> JsonRPCNotification:
    return JsonRPCNotification(message["method"], message["jsonrpc"], message.get("params"))


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        message = json.loads(body)
    except ValueError as error:
        raise JsonRpcParseError(f"The message is not JSON: {error}") from error
    if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
        raise JsonRpcInvalidRequest("The message is not a JSON-RPC 2.0 object.")
    return message
