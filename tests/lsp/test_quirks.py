"""What editors really send, made into what the protocol says."""

from typing import Any

import pytest

from scrubjay_lsp.quirks import AUTOMATIC, INVOKED, UNNUMBERED, Quirks


def inline_kind(quirks: Quirks, params: dict[str, Any]) -> int:
    message = {"method": "textDocument/inlineCompletion", "params": params}
    quirks.amend(message)
    kind = params["context"]["triggerKind"]
    assert isinstance(kind, int)
    return kind


@pytest.mark.parametrize("params", [{}, {"context": None}, {"context": {}}, {"context": {"triggerKind": 7}}])
def test_a_missing_or_unknown_trigger_kind_is_automatic(params: dict[str, Any]) -> None:
    assert inline_kind(Quirks(), params) == AUTOMATIC


def test_trigger_kinds_as_the_protocol_says() -> None:
    assert inline_kind(Quirks(), {"context": {"triggerKind": 1}}) == INVOKED
    assert inline_kind(Quirks(), {"context": {"triggerKind": 2}}) == AUTOMATIC


def test_who_has_sent_a_0_counts_from_0() -> None:
    quirks = Quirks()
    assert inline_kind(quirks, {"context": {"triggerKind": 0}}) == INVOKED
    assert inline_kind(quirks, {"context": {"triggerKind": 1}}) == AUTOMATIC
    assert inline_kind(quirks, {"context": {"triggerKind": 0}}) == INVOKED


def test_a_null_selection_is_no_selection() -> None:
    params = {"context": {"triggerKind": 2, "selectedCompletionInfo": None}}
    inline_kind(Quirks(), params)
    assert params["context"] == {"triggerKind": 2}


@pytest.mark.parametrize("params", [None, []])
def test_initialized_without_params(params: object) -> None:
    message = {"method": "initialized", "params": params}
    Quirks().amend(message)
    assert message["params"] == {}


def test_initialize_without_capabilities() -> None:
    message: dict[str, Any] = {"method": "initialize", "params": {"capabilities": None}}
    Quirks().amend(message)
    unsaid = ("processId", "rootUri", "rootPath", "workspaceFolders", "initializationOptions")
    assert message["params"] == {"capabilities": {}, **dict.fromkeys(unsaid)}


def test_of_what_an_editor_can_do_only_what_is_looked_at_stays() -> None:
    """Kinds of symbols, say, that pygls does not know would make it refuse the editor."""
    completion = {"completionItem": {"documentationFormat": ["plaintext"], "snippetSupport": 1}, "contextSupport": 1}
    capabilities = {
        "general": {"positionEncodings": ["utf-8"], "regularExpressions": "?"},
        "workspace": {"symbol": {"symbolKind": {"valueSet": [999]}}, "configuration": True},
        "textDocument": {"completion": completion, "inlineCompletion": {}, "hover": None},
        "window": None,
        "experimental": {"x": 1},
    }
    message: dict[str, Any] = {"method": "initialize", "params": {"capabilities": capabilities}}
    Quirks().amend(message)
    assert message["params"]["capabilities"] == {
        "general": {"positionEncodings": ["utf-8"]},
        "workspace": {"configuration": True},
        "textDocument": {
            "completion": {"completionItem": {"documentationFormat": ["plaintext"]}},
            "inlineCompletion": {},
        },
        "window": {},
    }


@pytest.mark.parametrize("version", [{}, {"version": None}])
def test_an_opened_document_without_a_version(version: dict[str, None]) -> None:
    message: dict[str, Any] = {"method": "textDocument/didOpen", "params": {"textDocument": {"uri": "u", **version}}}
    Quirks().amend(message)
    assert message["params"]["textDocument"] == {"uri": "u", "version": 0, "languageId": ""}


def test_a_change_without_a_version() -> None:
    message: dict[str, Any] = {"method": "textDocument/didChange", "params": {"textDocument": {"version": None}}}
    Quirks().amend(message)
    assert message["params"]["textDocument"]["version"] == UNNUMBERED


@pytest.mark.parametrize(
    ("context", "amended"),
    [({"context": None}, {}), ({"context": {"triggerKind": 9}}, {"context": {"triggerKind": 1}}), ({}, {})],
)
def test_completion_contexts(context: dict[str, Any], amended: dict[str, Any]) -> None:
    message = {"method": "textDocument/completion", "params": context}
    Quirks().amend(message)
    assert message["params"] == amended


def test_what_no_rule_covers_is_left_alone() -> None:
    message = {"method": "textDocument/hover", "params": [1]}
    Quirks().amend(message)
    assert message == {"method": "textDocument/hover", "params": [1]}
