"""pygls's protocol with what editors need beyond it: whatever comes in a frame, it is answered or logged, in one line.

The life of a connection is that of the protocol: `initialize` first and once, nothing but `exit` after `shutdown`.
"""

import json
import logging
from enum import Enum
from typing import Any

from cattrs import Converter
from lsprotocol import types
from pygls.exceptions import (
    JsonRpcException,
    JsonRpcInternalError,
    JsonRpcInvalidRequest,
    JsonRpcParseError,
    JsonRpcServerNotInitialized,
)
from pygls.protocol import (
    JsonRPCNotification,
    JsonRPCRequestMessage,
    LanguageServerProtocol,
    default_converter,
    lsp_method,
)

from scrubjay_lsp.quirks import Quirks

logger = logging.getLogger(__name__)

Json = dict[str, Any]

# The documents are kept in `scrubjay_lsp.documents`, not in the workspace of pygls: that one ends lines at form feeds.
_KEPT_ELSEWHERE = (
    types.TEXT_DOCUMENT_DID_OPEN,
    types.TEXT_DOCUMENT_DID_CHANGE,
    types.TEXT_DOCUMENT_DID_CLOSE,
    types.NOTEBOOK_DOCUMENT_DID_OPEN,
    types.NOTEBOOK_DOCUMENT_DID_CHANGE,
    types.NOTEBOOK_DOCUMENT_DID_CLOSE,
)


class Stage(Enum):
    """Where the connection is in its life."""

    NEW = "new"
    INITIALIZED = "initialized"
    SHUT_DOWN = "shut down"


class ScrubjayProtocol(LanguageServerProtocol):
    """One connection to one editor."""

    def __init__(self, server: Any, converter: Converter) -> None:
        super().__init__(server, converter)
        self.exit_code: int | None = None
        """Set once the editor has said `exit`."""
        self.stage = Stage.NEW
        self._quirks = Quirks()
        for method in _KEPT_ELSEWHERE:
            del self.fm.builtin_features[method]

    def receive(self, body: bytes) -> None:
        """Handle one message from the editor. One that cannot be used is answered with an error, if it has a place for one."""
        message: Json = {}
        try:
            message = _parsed(body)
            if self._is_due(message):
                self._quirks.amend(message)
                self.handle_message(self.structure_message(message))
        except JsonRpcException as error:
            self._refuse(message, error)
        except Exception as error:  # a fault here or in pygls: the next message may be better
            logger.warning("A message from the editor cannot be handled: %s", type(error).__name__)
            self._refuse(message, JsonRpcInternalError())

    @lsp_method(types.INITIALIZE)
    def lsp_initialize(self, params: types.InitializeParams) -> Any:
        """Until this is reached, as when its parameters cannot be read, the editor may try again."""
        self.stage = Stage.INITIALIZED
        return (yield from super().lsp_initialize(params))

    @lsp_method(types.SHUTDOWN)
    def lsp_shutdown(self, *args: object) -> Any:
        """Only `exit` is expected after this."""
        yield from super().lsp_shutdown(*args)
        self.stage = Stage.SHUT_DOWN

    @lsp_method(types.EXIT)
    def lsp_exit(self, *_: object) -> None:  # type: ignore[override]
        """The read loop ends; the process is not torn down from within a handler."""
        self.exit_code = 0 if self.stage is Stage.SHUT_DOWN else 1

    def _is_due(self, message: Json) -> bool:
        """Whether this is the time for `message`; a notification that comes at another is dropped.

        Raises:
            JsonRpcException: it is not, and it is a request.
        """
        method = message.get("method", "")
        if method == types.EXIT:
            return True
        error = self._untimely(method)
        if error and "id" in message and "method" in message:
            raise error
        return error is None

    def _untimely(self, method: str) -> JsonRpcException | None:
        if self.stage is Stage.SHUT_DOWN:
            return JsonRpcInvalidRequest("The server has been shut down; only `exit` may follow.")
        if self.stage is Stage.NEW and method != types.INITIALIZE:
            return JsonRpcServerNotInitialized("The server has not been initialized; send `initialize` first.")
        if self.stage is Stage.INITIALIZED and method == types.INITIALIZE:
            return JsonRpcInvalidRequest("The server has been initialized already.")
        return None

    def _refuse(self, message: Json, error: JsonRpcException) -> None:
        """Answer `message` with `error`; a response or a notification, which has no answer, is only logged."""
        logger.info("A message from the editor cannot be used: %s", error.message)
        if message and not ("id" in message and "method" in message):
            return
        # pygls has no public method for an answer outside of a handler, or without an id.
        answer = {"jsonrpc": "2.0", "id": message.get("id"), "error": {"code": error.code, "message": error.message}}
        body = json.dumps(answer).encode()
        if self.writer:
            self.writer.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)


def make_converter() -> Converter:
    """Structures what the protocol defines; parameters of all other methods stay plain JSON."""
    converter: Converter = default_converter()  # type: ignore[no-untyped-call]
    converter.register_structure_hook(JsonRPCRequestMessage, _plain_request)
    converter.register_structure_hook(JsonRPCNotification, _plain_notification)
    read_capabilities = converter.get_structure_hook(types.ClientCapabilities)

    def lenient(value: Any, kind: Any) -> types.ClientCapabilities:
        """No editor is refused for what it says it can do: a part that cannot be read counts as unsaid."""
        readable = {}
        for name, part in value.items():
            try:
                read_capabilities({name: part}, kind)
            except Exception as error:
                logger.info("The editor's capabilities for %s cannot be read: %s", name, type(error).__name__)
            else:
                readable[name] = part
        capabilities: types.ClientCapabilities = read_capabilities(readable, kind)
        return capabilities

    converter.register_structure_hook(types.ClientCapabilities, lenient)
    return converter


def _plain_request(message: Json, _: object) -> JsonRPCRequestMessage:
    return JsonRPCRequestMessage(message["id"], message["method"], message["jsonrpc"], message.get("params"))


def _plain_notification(message: Json, _: object) -> JsonRPCNotification:
    return JsonRPCNotification(message["method"], message["jsonrpc"], message.get("params"))


def _parsed(body: bytes) -> Json:
    """The message in `body`; its method, if it has one, is a string, and its id a string or a whole number.

    Raises:
        JsonRpcException: it is no message.
    """
    try:
        message = json.loads(body)
    except RecursionError as error:
        raise JsonRpcParseError("The message is nested too deeply.") from error
    except ValueError as error:
        raise JsonRpcParseError(f"The message is not JSON: {_one_line(error)}") from error
    if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
        raise JsonRpcInvalidRequest("The message is not a JSON-RPC 2.0 object.")
    if not isinstance(message.get("method", ""), str) or not ("method" in message or "id" in message):
        raise JsonRpcInvalidRequest("The message has no method, or one that is not a string.")
    if "id" in message and type(message["id"]) not in (int, str) and ("method" in message or message["id"] is not None):
        raise JsonRpcInvalidRequest("The message's id is neither a string nor a whole number.")
    return message


def _one_line(error: Exception) -> str:
    """What `error` says, without the rest of the text that it may quote."""
    return str(error).split("\n", 1)[0][:200]
