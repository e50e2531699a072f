"""What editors really send, made into what the protocol says: plain JSON in, plain JSON out.

Each rule names who needs it. What no rule covers is left alone and, if it is wrong, refused.
"""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

Json = dict[str, Any]

INVOKED, AUTOMATIC = 1, 2
MAX_PROCESS_ID = 2**31 - 1
UNNUMBERED = -1
"""The version of a change that came without one."""

WHOLE: Json = {}
CAPABILITIES: Json = {
    "general": {"positionEncodings": WHOLE},
    "window": {"workDoneProgress": WHOLE},
    "workspace": {"configuration": WHOLE, "didChangeConfiguration": WHOLE},
    "notebookDocument": {"synchronization": WHOLE},
    "textDocument": {
        "synchronization": WHOLE,
        "completion": {"completionItem": {"documentationFormat": WHOLE}},
        "inlineCompletion": WHOLE,
    },
}
"""What this server looks at of what an editor can do."""


class Quirks:
    """The rules for one connection."""

    def __init__(self) -> None:
        self._counts_kinds_from_0 = False
        self._rules: dict[str, Callable[[Json], None]] = {
            "initialize": _initialize,
            "textDocument/didOpen": _did_open,
            "textDocument/didChange": _did_change,
            "textDocument/completion": _completion,
            "textDocument/inlineCompletion": self._inline_completion,
        }

    def amend(self, message: Json) -> None:
        """Make `message` what the protocol says, in place."""
        # copilot.el sends `initialized` with null.
        if message.get("method") == "initialized" and not isinstance(message.get("params"), dict):
            message["params"] = {}
        rule = self._rules.get(message.get("method", ""))
        if rule and isinstance(message.get("params"), dict):
            rule(message["params"])

    def _inline_completion(self, params: Json) -> None:
        """Old VS Code clients send 0 and 1 where the protocol says 1 and 2, scripts send no context at all."""
        context = params.get("context")
        if not isinstance(context, dict):
            context = params["context"] = {}
        kind = context.get("triggerKind")
        self._counts_kinds_from_0 |= kind == 0 and kind is not False
        if self._counts_kinds_from_0:
            kind = INVOKED if kind == 0 else AUTOMATIC
        context["triggerKind"] = kind if kind in (INVOKED, AUTOMATIC) and kind is not True else AUTOMATIC
        _drop_unless_object(context, "selectedCompletionInfo")


def _initialize(params: Json) -> None:
    """Only what this server looks at, and of that only what it can use: no editor is refused for the rest.

    Scripts leave out the capabilities, and editors that are newer than pygls list some that it refuses. Reading all that
    an editor can do would also take a tenth of the start.
    """
    folders = params.get("workspaceFolders")
    known = {
        "capabilities": _only(params.get("capabilities"), CAPABILITIES),
        "processId": _process_id(params.get("processId")),
        "rootUri": _uri(params.get("rootUri")),
        "rootPath": _text(params.get("rootPath")),
        "workspaceFolders": [*filter(None, map(_folder, folders))] if isinstance(folders, list) else None,
        "initializationOptions": params.get("initializationOptions"),
    }
    params.clear()
    params.update(known)


def _process_id(value: Any) -> int | None:
    return value if type(value) is int and 0 < value <= MAX_PROCESS_ID else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _uri(value: Any) -> str | None:
    """A text that pygls can take apart, as it cannot `file://[`."""
    uri = _text(value)
    try:
        urlsplit(uri or "")
    except ValueError:
        return None
    return uri


def _folder(value: Any) -> Json | None:
    """A workspace folder; some scripts give it no name."""
    uri = _uri(value.get("uri")) if isinstance(value, dict) else None
    return {"uri": uri, "name": _text(value.get("name")) or uri} if uri else None


def _did_open(params: Json) -> None:
    """Scripts leave out what they do not care for."""
    document = params.get("textDocument")
    if isinstance(document, dict):
        document["languageId"] = document.get("languageId") or ""
        document["version"] = document["version"] if type(document.get("version")) is int else 0


def _did_change(params: Json) -> None:
    """Some clients number nothing, as the protocol allowed before 3.0."""
    document = params.get("textDocument")
    if isinstance(document, dict) and type(document.get("version")) is not int:
        document["version"] = UNNUMBERED


def _completion(params: Json) -> None:
    """The context may be missing or null, and its kinds have grown before."""
    _drop_unless_object(params, "context")
    if "context" in params and params["context"].get("triggerKind") not in (1, 2, 3):
        params["context"]["triggerKind"] = 1


def _only(values: Any, wanted: Json) -> Any:
    """`values` without what is not `wanted`, object by object; what should be an object and is none is an empty one."""
    if wanted is WHOLE:
        return values
    values = values if isinstance(values, dict) else {}
    return {key: _only(values[key], wanted[key]) for key in wanted if key in values}


def _drop_unless_object(values: Json, key: str) -> None:
    if not isinstance(values.get(key), dict):
        values.pop(key, None)
