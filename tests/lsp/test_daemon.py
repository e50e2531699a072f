"""The daemon comes, goes and comes again; the editor is told, and never has to wait."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from lsprotocol import types

from tests.lsp.conftest import StartEditor
from tests.lsp.test_completions import PROGRAM
from tests.support.lsp_editor import READY
from tests.support.lsp_pipe import Pipe
from tests.support.shared_daemon import FLAGS, Daemon, a_daemon


@pytest.mark.slow
async def test_documents_are_closed_when_the_editor_leaves(start: StartEditor, shared_daemon: Daemon) -> None:
    editor = await start()
    buffer = editor.open("a.py", "x = 1\n")
    await editor.synchronised()
    await editor.stop()
    await gone(shared_daemon, buffer.uri)


@pytest.mark.slow
async def test_documents_are_closed_when_the_server_is_killed(start: StartEditor, shared_daemon: Daemon) -> None:
    editor = await start()
    buffer = editor.open("a.py", "x = 1\n")
    await editor.synchronised()
    editor.process.kill()
    await editor.process.wait()
    await gone(shared_daemon, buffer.uri)
    assert shared_daemon.client.get("status")["state"] in ("loading", "ready")


@pytest.mark.slow
async def test_documents_are_closed_when_the_editor_is_killed(shared_daemon: Daemon) -> None:
    """Even if its end of the pipe is still held by somebody."""
    editor = await asyncio.create_subprocess_exec("sleep", "60")
    pipe = await Pipe.open("--socket", str(shared_daemon.path))
    await pipe.ask("initialize", {"capabilities": {}, "processId": editor.pid})
    pipe.send("initialized", {})
    uri = "file:///killed/a.py"
    document = {"uri": uri, "languageId": "python", "version": 1, "text": "x = 1\n"}
    pipe.send("textDocument/didOpen", {"textDocument": document})
    while await asyncio.to_thread(shared_daemon.text, uri) is None:
        pass
    editor.kill()
    await editor.wait()
    assert await pipe.process.wait() == 1
    await gone(shared_daemon, uri)


async def gone(daemon: Daemon, uri: str) -> None:
    """Return when the daemon has closed the document."""
    while await asyncio.to_thread(daemon.text, uri) is not None:
        pass


@pytest.mark.slow
async def test_a_daemon_that_comes_again_gets_the_whole_texts(start: StartEditor, place: Path) -> None:
    first = a_daemon(place)
    editor = await start(socket=place, options={"startDaemon": False})
    buffer = editor.open("shapes.py", PROGRAM)
    assert await buffer.inline()
    first.kill()
    buffer.type("urn ")
    second = a_daemon(place)
    await editor.synchronised()
    assert second.text(buffer.uri) == buffer.text
    assert await buffer.inline()
    buffer.type("s")
    await editor.synchronised()
    assert second.text(buffer.uri) == buffer.text


@pytest.mark.slow
async def test_a_question_while_the_daemon_dies_ends(start: StartEditor, place: Path) -> None:
    daemon = a_daemon(place)
    editor = await start(socket=place, options={"startDaemon": False, "maxTokens": 2000})
    buffer = editor.open("shapes.py", PROGRAM)
    await editor.synchronised()
    question = asyncio.ensure_future(buffer.inline())
    await asyncio.wait([question], timeout=0)
    await editor.synchronised()
    daemon.kill()
    await question
    assert (await editor.status())["open"] == 0


@pytest.mark.slow
async def test_loading_is_shown_as_progress(start: StartEditor, place: Path) -> None:
    capabilities = types.ClientCapabilities(window=types.WindowClientCapabilities(work_done_progress=True))
    editor = await start(socket=place, capabilities=capabilities, options={"startDaemon": False})
    a_daemon(place)
    buffer = editor.open("shapes.py", PROGRAM)
    await buffer.inline()
    await editor.status()
    [reports] = editor.client.progress_reports.values()
    assert isinstance(reports[0], types.WorkDoneProgressBegin)
    assert "loading" in reports[0].title
    assert isinstance(reports[-1], types.WorkDoneProgressEnd)


@pytest.mark.slow
async def test_a_long_prefill_is_shown_as_progress_until_nobody_wants_it(start: StartEditor, place: Path) -> None:
    a_daemon(place, ctx="32768", context_budget="32000", latency_budget_ms="1000000")
    capabilities = types.ClientCapabilities(window=types.WindowClientCapabilities(work_done_progress=True))
    editor = await start(socket=place, capabilities=capabilities, options={"startDaemon": False})
    await editor.open("short.py", PROGRAM).inline()
    buffer = editor.open("long.py", "".join(f"value_{n} = compute({n})\n" for n in range(4000)) + PROGRAM)
    question = asyncio.ensure_future(buffer.inline())

    def reports() -> list[Any]:
        bars: Any = editor.client.progress_reports.values()
        return next((bar for bar in bars if bar and "reading" in bar[0].title), [])

    while len(reports()) < 3:
        assert not question.done()
        await editor.status()
    begin, *shares = reports()
    assert begin.percentage == 0
    assert shares == sorted(shares, key=lambda report: report.percentage)
    assert all("tokens" in report.message for report in shares)
    buffer.type("x")
    assert await question == []
    while not isinstance(reports()[-1], types.WorkDoneProgressEnd):
        await editor.status()


@pytest.mark.slow
async def test_a_prompt_that_takes_too_long_is_announced_when_it_is_ready(start: StartEditor) -> None:
    options = {"inline": {"maxPromptMs": 200}, "maxTokens": 8}
    editor = await start(options=options)
    buffer = editor.open("long.py", "".join(f"value_{n} = compute({n})\n" for n in range(200)) + PROGRAM)
    ready = asyncio.ensure_future(editor.client.wait_for_notification(READY))
    assert await buffer.inline() == []
    announced = await ready
    assert (announced.uri, announced.version) == (buffer.uri, buffer.version)
    assert await buffer.inline()


def environment(place: Path) -> dict[str, str]:
    """What makes a daemon that is started by an editor one for tests."""
    flags = {**FLAGS, "socket": str(place), "data_dir": str(place.parent)}
    return {f"SCRUBJAY_{name.upper()}": value for name, value in flags.items()}


@pytest.mark.slow
async def test_five_editors_that_begin_together_start_one_daemon(start: StartEditor, place: Path) -> None:
    editors = await asyncio.gather(*(start(socket=None, environment=environment(place)) for _ in range(5)))
    pids = {(await editor.synchronised())["pid"] for editor in editors}
    assert len(pids) == 1
    assert await editors[0].open("shapes.py", PROGRAM).inline()
    assert all(editor.client.messages == [] for editor in editors)


@pytest.mark.slow
async def test_the_daemon_outlives_its_editor(start: StartEditor, place: Path) -> None:
    editor = await start(socket=None, environment=environment(place))
    pid = (await editor.synchronised())["pid"]
    await editor.stop()
    assert Daemon(place).client.get("status")["pid"] == pid


@pytest.mark.slow
async def test_a_killed_daemon_is_started_again_by_the_next_question(start: StartEditor, place: Path) -> None:
    editor = await start(socket=None, environment=environment(place))
    buffer = editor.open("shapes.py", PROGRAM)
    first = (await editor.synchronised())["pid"]
    Daemon(place).kill()
    while not await buffer.inline():
        pass
    assert (await editor.synchronised())["pid"] != first
    assert Daemon(place).text(buffer.uri) == buffer.text


@pytest.mark.slow
async def test_restarting_it_by_command(start: StartEditor, place: Path) -> None:
    editor = await start(socket=None, environment=environment(place))
    buffer = editor.open("shapes.py", PROGRAM)
    first = (await editor.synchronised())["pid"]
    await editor.command("restart")
    assert (await editor.synchronised())["pid"] != first
    assert Daemon(place).text(buffer.uri) == buffer.text


@pytest.mark.slow
async def test_why_it_cannot_be_started_is_said_in_one_sentence(start: StartEditor, place: Path) -> None:
    wrong = environment(place) | {"SCRUBJAY_MODEL": "/nowhere/model.gguf"}
    editor = await start(socket=None, environment=wrong)
    buffer = editor.open("shapes.py", PROGRAM)
    assert await buffer.inline() == []
    assert await buffer.inline() == []
    [message] = editor.client.messages
    assert "/nowhere/model.gguf" in message.message
    assert "\n" not in message.message


@pytest.mark.slow
async def test_a_configuration_that_cannot_be_read_is_named(start: StartEditor, place: Path) -> None:
    editor = await start(socket=None, environment={"SCRUBJAY_CTX": "much"})
    buffer = editor.open("shapes.py", PROGRAM)
    await editor.status()
    assert "SCRUBJAY_CTX" in editor.client.messages[0].message
    assert await buffer.inline() == []
