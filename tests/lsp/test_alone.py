"""The language server with no daemon and none to be started: it answers everything, and says once what is wrong."""

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from lsprotocol import types

from scrubjay_lsp.daemon import socket_path
from tests.support.lsp_editor import Editor, with_encodings
from tests.support.lsp_pipe import Pipe

INITIALIZE = {"capabilities": {}, "initializationOptions": {"startDaemon": False}}
NO_DAEMON = {"startDaemon": False}


@pytest_asyncio.fixture
async def pipe(tmp_path: Path) -> AsyncIterator[Pipe]:
    pipe = await Pipe.open("--socket", str(tmp_path / "none.sock"))
    yield pipe
    if pipe.process.returncode is None:
        pipe.process.kill()
        await pipe.process.wait()


@pytest.mark.slow
async def test_what_is_no_message_is_answered_with_an_error(pipe: Pipe) -> None:
    for body in (b"{", b"[]", b"1", b'{"id":1}', b"\xff"):
        pipe.send_bytes(body)
        error = await pipe.receive()
        assert error["id"] is None
        assert error["error"]["code"] in (-32700, -32600)
    assert "result" in await pipe.ask("initialize", INITIALIZE)


@pytest.mark.slow
async def test_requests_that_cannot_be_served_are_answered(pipe: Pipe) -> None:
    place = {"textDocument": {"uri": "file:///a.py"}, "position": {"line": 0, "character": 0}}
    await pipe.ask("initialize", INITIALIZE, "numbers may be words")
    assert (await pipe.ask("textDocument/inlineCompletion", place))["result"] == {"items": []}
    assert (await pipe.ask("textDocument/completion", {}, 2))["error"]["code"] == -32602
    pipe.send("$/whatever", {"a": 1})
    pipe.send("some/thing")
    pipe.send("textDocument/didChange", {"nothing": "fits"})
    assert (await pipe.ask("textDocument/panel", {}, 2))["error"]["code"] == -32601


@pytest.mark.slow
async def test_an_editor_that_can_more_than_pygls_knows_is_let_in(pipe: Pipe) -> None:
    kinds = {"documentSymbol": {"symbolKind": {"valueSet": [999]}}, "foldingRange": {"rangeLimit": "any"}}
    capabilities = {"textDocument": kinds, "workspace": {"workspaceEdit": {"failureHandling": "ask"}}}
    assert "result" in await pipe.ask("initialize", {**INITIALIZE, "capabilities": capabilities})


@pytest.mark.slow
@pytest.mark.parametrize("is_polite", [True, False])
async def test_exit(pipe: Pipe, is_polite: bool) -> None:
    await pipe.ask("initialize", INITIALIZE)
    if is_polite:
        assert await pipe.leave() == 0
    else:
        pipe.send("exit")
        assert await pipe.process.wait() == 1


@pytest.mark.slow
async def test_it_ends_when_the_pipe_does(pipe: Pipe) -> None:
    await pipe.ask("initialize", INITIALIZE)
    pipe.send("initialized", {})
    assert pipe.process.stdin
    pipe.process.stdin.close()
    assert await pipe.process.wait() == 1


@pytest.mark.slow
async def test_it_ends_when_the_editor_dies_even_if_somebody_else_holds_the_pipe(pipe: Pipe) -> None:
    editor = await asyncio.create_subprocess_exec("sleep", "60")
    await pipe.ask("initialize", INITIALIZE | {"processId": editor.pid})
    editor.send_signal(signal.SIGKILL)
    await editor.wait()
    assert await pipe.process.wait() == 1


@pytest.mark.slow
async def test_it_says_once_that_there_is_no_daemon_and_answers_with_nothing(tmp_path: Path) -> None:
    editor = await Editor.start(tmp_path, tmp_path / "none.sock", options=NO_DAEMON)
    buffer = editor.open("a.py", "def f():\n    return ")
    for _ in range(3):
        assert await buffer.inline() == []
        buffer.type("x")
    assert not (await buffer.menu()).items
    [message] = editor.client.messages
    assert str(tmp_path / "none.sock") in message.message
    assert (await editor.status())["endings"] == {"failed": 4}
    await editor.stop()


@pytest.mark.slow
async def test_settings_that_do_not_fit_are_named(tmp_path: Path) -> None:
    editor = await Editor.start(tmp_path, tmp_path / "none.sock", options={**NO_DAEMON, "maxTokens": "many"})
    await editor.status()
    assert "scrubjay.maxTokens" in editor.client.messages[0].message
    await editor.stop()


@pytest.mark.slow
async def test_what_it_can_do_is_announced(tmp_path: Path) -> None:
    capabilities = with_encodings("utf-32", "utf-8")
    editor = await Editor.start(tmp_path, tmp_path / "none.sock", capabilities, NO_DAEMON)
    assert editor.result
    assert editor.encoding == "utf-32"
    can = editor.result.capabilities
    assert can.inline_completion_provider is not None
    assert can.completion_provider
    assert can.completion_provider.trigger_characters is None
    assert isinstance(can.text_document_sync, types.TextDocumentSyncOptions)
    assert can.text_document_sync.change == types.TextDocumentSyncKind.Incremental
    assert can.execute_command_provider
    names = [
        "status",
        "context",
        "prompt",
        "warm",
        "accept",
        "reject",
        "restart",
        "diagnose",
        "acceptEdit",
        "rejectEdit",
    ]
    assert list(can.execute_command_provider.commands) == [f"scrubjay.{name}" for name in names]
    await editor.stop()


@pytest.mark.slow
async def test_a_popup_that_comes_by_itself_has_trigger_characters(tmp_path: Path) -> None:
    options = {**NO_DAEMON, "completion": {"popup": "automatic"}}
    editor = await Editor.start(tmp_path, tmp_path / "none.sock", options=options)
    assert editor.result
    assert editor.result.capabilities.completion_provider
    assert "." in (editor.result.capabilities.completion_provider.trigger_characters or [])
    await editor.stop()


def test_the_usual_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCRUBJAY_SOCKET", "/run/somewhere/daemon.sock")
    assert socket_path() == "/run/somewhere/daemon.sock"
