"""The life of a connection, and frames that no client library would send: each is answered or logged, and the server lives."""

import asyncio
import json
import os
import pty
import signal
import sys
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.lsp_pipe import Json, Pipe

INITIALIZE: Json = {"capabilities": {}, "initializationOptions": {"startDaemon": False}}
URI = "file:///nowhere/a.py"
WHERE = {"textDocument": {"uri": URI}, "position": {"line": 0, "character": 4}, "context": {"triggerKind": 1}}
DOCUMENT = {"uri": URI, "languageId": "python", "version": 1, "text": "x = 1\n"}
INLINE = "textDocument/inlineCompletion"
NOT_INITIALIZED, INVALID_REQUEST, INVALID_PARAMS, PARSE_ERROR = -32002, -32600, -32602, -32700


@pytest_asyncio.fixture
async def pipe(tmp_path: Path) -> AsyncIterator[Pipe]:
    pipe = await Pipe.open("--socket", str(tmp_path / "none.sock"), log=tmp_path / "log")
    yield pipe
    if pipe.process.returncode is None:
        pipe.process.kill()
        await pipe.process.wait()
    assert "Traceback" not in (tmp_path / "log").read_text("utf-8", "replace")


async def code(pipe: Pipe, method: str, params: Any) -> int | None:
    """The code of the error that a request is answered with."""
    answer = await pipe.ask(method, params, "code")
    found: int | None = answer.get("error", {}).get("code")
    return found


@pytest.mark.slow
async def test_before_initialize_requests_are_refused_and_notifications_dropped(pipe: Pipe) -> None:
    assert await code(pipe, INLINE, WHERE) == NOT_INITIALIZED
    assert await code(pipe, "shutdown", None) == NOT_INITIALIZED
    pipe.send("textDocument/didOpen", {"textDocument": DOCUMENT})
    pipe.send("initialized", {})
    await pipe.ask("initialize", INITIALIZE)
    assert (await status(pipe))["documents"] == 0


@pytest.mark.slow
async def test_initialize_is_answered_once(pipe: Pipe) -> None:
    assert await code(pipe, "initialize", "no object") == INVALID_PARAMS
    assert await code(pipe, "initialize", INITIALIZE) is None
    assert await code(pipe, "initialize", INITIALIZE) == INVALID_REQUEST


@pytest.mark.slow
async def test_after_shutdown_nothing_is_served_but_exit(pipe: Pipe) -> None:
    await pipe.ask("initialize", INITIALIZE)
    assert await code(pipe, "shutdown", None) is None
    for method in (INLINE, "shutdown", "initialize", "no/such"):
        assert await code(pipe, method, WHERE) == INVALID_REQUEST
    pipe.send("textDocument/didOpen", {"textDocument": DOCUMENT})
    pipe.send("exit")
    assert await pipe.process.wait() == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "said",
    [
        {"processId": 4_000_000},
        {"processId": 2**31},
        {"processId": 2**70},
        {"processId": 0},
        {"processId": -1},
        {"processId": True},
        {"processId": "7"},
        {"capabilities": {"general": {"positionEncodings": []}}},
        {"capabilities": {"general": {"positionEncodings": ["utf-7", "utf-8"]}}},
        {"capabilities": {"general": {"positionEncodings": {"no": "list"}}, "window": 5, "workspace": []}},
        {"capabilities": {"textDocument": {"completion": {"completionItem": {"documentationFormat": 1}}}}},
        {"capabilities": []},
        {"workspaceFolders": None, "rootUri": None, "rootPath": "/nowhere"},
        {"workspaceFolders": None, "rootUri": None, "rootPath": 5},
        {"workspaceFolders": [{"uri": "file:///nowhere"}, {"name": "no uri"}, 5, None]},
        {"workspaceFolders": [{"uri": "vscode-vfs://github/x/y", "name": "y"}]},
        {"workspaceFolders": "no list"},
        {"rootUri": "", "workspaceFolders": []},
        {"rootUri": {}},
        {"rootUri": "file://[", "workspaceFolders": [{"uri": "file://[", "name": "no URI"}]},
        {"initializationOptions": [1, 2]},
        {"trace": "compact"},
        {"clientInfo": {}},
        {"locale": 5, "unknown": [[]]},
    ],
    ids=str,
)
async def test_whatever_an_editor_says_of_itself_it_is_let_in(pipe: Pipe, said: Json) -> None:
    assert await code(pipe, "initialize", {**INITIALIZE, "processId": None, "rootUri": None, **said}) is None
    pipe.send("textDocument/didOpen", {"textDocument": DOCUMENT})
    assert (await status(pipe))["documents"] == 1


DEEP = b"[" * 100_000 + b"]" * 100_000
CHANGE = json.dumps({"uri": URI, "version": 2}).encode()
ODD: dict[str, tuple[bytes, int | None]] = {
    "nested deeply": (b'{"jsonrpc":"2.0","id":77,"method":"x","params":' + DEEP + b"}", PARSE_ERROR),
    "no UTF-8": (b'{"jsonrpc":"2.0","id":78,"method":"\xff"}', PARSE_ERROR),
    "an array": (b'[{"jsonrpc":"2.0","id":1,"method":"shutdown"}]', INVALID_REQUEST),
    "no protocol": (b'{"id":1,"method":"shutdown"}', INVALID_REQUEST),
    "neither a method nor an id": (b'{"jsonrpc":"2.0"}', INVALID_REQUEST),
    "an id of 5,000 digits": (b'{"jsonrpc":"2.0","id":' + b"9" * 5000 + b',"method":"x"}', PARSE_ERROR),
    "params that are a text": (
        json.dumps({"jsonrpc": "2.0", "id": 79, "method": INLINE, "params": "x"}).encode(),
        -32602,
    ),
    "an id that is an object": (b'{"jsonrpc":"2.0","id":{},"method":"x"}', INVALID_REQUEST),
    "an id that is null": (b'{"jsonrpc":"2.0","id":null,"method":"x"}', INVALID_REQUEST),
    "a method that is a number": (b'{"jsonrpc":"2.0","id":80,"method":5}', INVALID_REQUEST),
    "a method that is a list": (b'{"jsonrpc":"2.0","id":80,"method":[],"params":{}}', INVALID_REQUEST),
    "a response to nothing": (b'{"jsonrpc":"2.0","id":12345,"result":null}', None),
    "an error to nothing": (b'{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":"x"}}', None),
    "an error that is no object": (b'{"jsonrpc":"2.0","id":1,"error":5}', None),
    "a cancellation of nothing": (b'{"jsonrpc":"2.0","method":"$/cancelRequest","params":null}', None),
    "a cancellation of a list": (b'{"jsonrpc":"2.0","method":"$/cancelRequest","params":{"id":[]}}', None),
    "a lone surrogate": (
        b'{"jsonrpc":"2.0","method":"textDocument/didChange","params":{"textDocument":'
        + CHANGE
        + b',"contentChanges":[{"text":"y = \\ud83d"}]}}',
        None,
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ODD)
async def test_it_lives_after_a_frame_that_is(pipe: Pipe, name: str) -> None:
    frame, expected = ODD[name]
    await pipe.ask("initialize", INITIALIZE)
    pipe.send("textDocument/didOpen", {"textDocument": DOCUMENT})
    pipe.send_bytes(frame)
    if expected:
        assert (await pipe.receive())["error"]["code"] == expected
    assert (await status(pipe))["documents"] == 1


@pytest.mark.slow
async def test_a_response_with_the_number_of_a_request_of_the_editors_ends_nothing(pipe: Pipe) -> None:
    await pipe.ask("initialize", INITIALIZE)
    pipe.send("workspace/executeCommand", {"command": "scrubjay.warm"}, 5)
    pipe.send_bytes(b'{"jsonrpc":"2.0","id":5,"result":null}')
    assert (await status(pipe))["documents"] == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "position", [{"line": -1, "character": -5}, {"line": 2**70, "character": 0}, {"line": 0.5}, []]
)
async def test_positions_that_are_none_are_refused(pipe: Pipe, position: Any) -> None:
    await pipe.ask("initialize", INITIALIZE)
    pipe.send("textDocument/didOpen", {"textDocument": DOCUMENT})
    assert await code(pipe, INLINE, {**WHERE, "position": position}) == INVALID_PARAMS


@pytest.mark.slow
async def test_what_an_editor_gets_wrong_is_not_quoted_in_the_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    pipe = await Pipe.open("--socket", str(tmp_path / "none.sock"), "--log-level", "info", log=log)
    await pipe.ask("initialize", INITIALIZE)
    for params in ({"textDocument": {**DOCUMENT, "uri": 5}, "text": "a secret"}, "a secret", ["a secret"]):
        pipe.send("textDocument/didOpen", params)
        pipe.send("no/such", params)
        assert await code(pipe, INLINE, params) == INVALID_PARAMS
    assert await pipe.leave() == 0
    assert "cannot be used" in log.read_text()
    assert "secret" not in log.read_text()


async def status(pipe: Pipe) -> Json:
    """What the server says of itself, which shows that it lives."""
    answer = await pipe.ask("workspace/executeCommand", {"command": "scrubjay.status"}, "status")
    lsp: Json = answer["result"]["lsp"]
    return lsp


# --- random frames ---------------------------------------------------------------------------------------------------

METHODS = (
    *("initialize", "initialized", "no/such", "$/cancelRequest", "$/setTrace", "$/progress", INLINE, "setEditorInfo"),
    *(f"textDocument/{name}" for name in ("didOpen", "didChange", "didClose", "didSave", "didFocus", "completion")),
    *(f"textDocument/{name}" for name in ("didShowCompletion", "didPartiallyAcceptCompletion", "hover")),
    *(f"notebookDocument/{name}" for name in ("didOpen", "didChange", "didClose", "didSave")),
    *(f"workspace/did{name}" for name in ("ChangeWorkspaceFolders", "ChangeWatchedFiles", "ChangeConfiguration")),
    *("workspace/executeCommand", "window/workDoneProgress/cancel", "window/workDoneProgress/create"),
)
COMMANDS = [f"scrubjay.{name}" for name in ("status", "context", "warm", "accept", "reject", "no such")]
KEYS = (
    *(
        "textDocument",
        "uri",
        "position",
        "line",
        "character",
        "context",
        "triggerKind",
        "version",
        "text",
        "languageId",
    ),
    *("contentChanges", "range", "start", "end", "command", "arguments", "event", "added", "removed", "changes", "id"),
    *(
        "type",
        "item",
        "acceptedLength",
        "settings",
        "scrubjay",
        "capabilities",
        "processId",
        "workspaceFolders",
        "value",
    ),
    *("notebookDocument", "cells", "cellTextDocuments", "structure", "array", "deleteCount", "change", "textContent"),
    *("document", "kind", "notebookType", "didOpen", "didClose", "data", "token", "selectedCompletionInfo"),
)
leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-2, 3),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=8),
    st.sampled_from([URI, "file:///nowhere/b.py", "untitled:Untitled-1", "file://[", "nb:/n.ipynb#1", *COMMANDS]),
)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=12,
)
positions = st.fixed_dictionaries({"line": st.integers(-1, 3), "character": st.integers(-1, 9)})
well_formed = st.one_of(
    st.fixed_dictionaries({"textDocument": st.just(DOCUMENT)}),
    st.fixed_dictionaries({"textDocument": st.just({"uri": URI}), "position": positions, "context": values}),
    st.fixed_dictionaries(
        {
            "textDocument": st.fixed_dictionaries({"uri": st.just(URI), "version": st.integers(-3, 9) | st.none()}),
            "contentChanges": st.lists(
                st.fixed_dictionaries(
                    {"text": st.text(max_size=5)},
                    optional={"range": st.fixed_dictionaries({"start": positions, "end": positions})},
                ),
                max_size=3,
            ),
        }
    ),
    st.fixed_dictionaries({"command": st.sampled_from(COMMANDS), "arguments": st.lists(values, max_size=3)}),
)
ids = st.one_of(st.integers(-5, 5), st.integers(), st.text(max_size=3), values)
messages = st.fixed_dictionaries(
    {"jsonrpc": st.sampled_from(["2.0", "2.0", "2.0", "1.0"]) | values},
    optional={
        "method": st.sampled_from(METHODS) | st.sampled_from(METHODS) | values,
        "id": ids,
        "params": well_formed | values,
        "result": values,
        "error": values,
    },
)
frames = st.one_of(
    messages.map(lambda message: json.dumps(message).encode()),
    messages.map(lambda message: json.dumps(message).encode()),
    values.map(lambda value: json.dumps(value).encode()),
    st.binary(min_size=1, max_size=30),
    messages.flatmap(lambda message: st.integers(1, 20).map(lambda n: json.dumps(message).encode()[:-n] or b"{")),
)


async def _survives(folder: Path, n_frames: int) -> None:
    """Send a server `n_frames` random frames, all that hypothesis makes; it answers after each, and logs no traceback."""
    pipe = await Pipe.open("--socket", str(folder / "none.sock"), log=folder / "log")
    await pipe.ask("initialize", INITIALIZE)
    sent: list[bytes] = []

    @settings(max_examples=n_frames, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(frames)
    def collect(frame: bytes) -> None:
        sent.append(frame)

    collect()
    assert len(sent) >= n_frames // 2
    for number, frame in enumerate(sent):
        pipe.send_bytes(frame)
        pipe.send("workspace/executeCommand", {"command": "scrubjay.status"}, f"alive {number}")
        try:
            while (await pipe.receive()).get("id") != f"alive {number}":
                pass
        except ValueError:  # what is read after the end is no JSON
            pytest.fail(f"It ended at {frame!r}: {(folder / 'log').read_text()}", pytrace=False)
        assert "Traceback" not in (folder / "log").read_text("utf-8", "replace"), frame
    assert await pipe.leave() == 0


@pytest.mark.slow
async def test_it_survives_random_frames(tmp_path: Path) -> None:
    await _survives(tmp_path, 60)


@pytest.mark.slow
async def test_it_survives_a_thousand_random_frames(tmp_path: Path) -> None:
    await _survives(tmp_path, 1000)


# --- standard input that is no pipe of an editor's -------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("redirection", "exit_code", "said"),
    [
        ("< /dev/null", 1, b"ended before an editor said anything; editors start `scrubjay lsp`"),
        ("< FILE", 1, b""),
        ("<&-", 2, b"editors start `scrubjay lsp`"),
        (">&- < /dev/null", 2, b"editors start `scrubjay lsp`"),
        ("< /dev/zero", 1, b"is not the language server protocol, in which editors talk to `scrubjay lsp`"),
        ("2>&- < /dev/null", 1, b""),
    ],
)
async def test_it_ends_where_standard_input_is_no_editor(
    tmp_path: Path, redirection: str, exit_code: int, said: bytes
) -> None:
    (tmp_path / "file").write_bytes(b"Content-Length: 5\r\n\r\nhello" + b"x" * 100_000)
    command = f'"{sys.executable}" -m scrubjay lsp {redirection.replace("FILE", str(tmp_path / "file"))}'
    process = await Pipe.shell(command)
    _, log = await process.communicate()
    assert process.returncode == exit_code
    assert log.count(b"\n") == bool(said)
    assert said in log
    assert b"Traceback" not in log


@pytest.mark.slow
async def test_who_types_it_is_told_what_it_is_for() -> None:
    terminal, theirs = pty.openpty()
    with os.fdopen(terminal, "wb"):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "scrubjay", "lsp"),
            stdin=theirs,
            stdout=theirs,
            stderr=asyncio.subprocess.PIPE,
            # Whoever runs the tests in the background has them ignore it, and programs that they start.
            preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
        )
        os.close(theirs)
        assert process.stderr
        said = await process.stderr.readline()
        process.send_signal(signal.SIGINT)
        log = await process.stderr.read()
    assert b"Editors start `scrubjay lsp` and talk to it on standard input" in said
    assert (log, await process.wait()) == (b"", 130)


@pytest.mark.slow
async def test_the_editors_process_may_be_said_on_the_command_line(tmp_path: Path) -> None:
    for said in ("--clientProcessId=4000000", "--clientProcessId=99999999999999999999999", "--clientProcessId=x"):
        pipe = await Pipe.open("--socket", str(tmp_path / "none.sock"), said)
        await pipe.ask("initialize", INITIALIZE)
        assert await pipe.leave() == 0
