"""The daemon comes, goes and comes again; the editor is told, and never has to wait."""

import asyncio
from pathlib import Path

import pytest
import pytest_asyncio
from lsprotocol import types

from tests.lsp.conftest import Daemon, StartEditor, start_daemon
from tests.lsp.editor import READY
from tests.lsp.test_completions import PROGRAM


@pytest_asyncio.fixture
async def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A socket that belongs to the test."""
    return tmp_path_factory.mktemp("own") / "daemon.sock"


async def test_documents_are_closed_when_the_editor_leaves(start: StartEditor, shared_daemon: Daemon) -> None:
    editor = await start()
    buffer = editor.open("a.py", "x = 1\n")
    await editor.synchronised()
    await editor.stop()
    await gone(shared_daemon, buffer.uri)


async def test_documents_are_closed_when_the_server_is_killed(start: StartEditor, shared_daemon: Daemon) -> None:
    editor = await start()
    buffer = editor.open("a.py", "x = 1\n")
    await editor.synchronised()
    editor.process.kill()
    await editor.process.wait()
    await gone(shared_daemon, buffer.uri)
    assert shared_daemon.get("/api/status")["state"] in ("loading", "ready")


async def gone(daemon: Daemon, uri: str) -> None:
    """Return when the daemon has closed the document."""
    while await asyncio.to_thread(daemon.text, uri) is not None:
        pass


async def test_a_daemon_that_comes_again_gets_the_whole_texts(start: StartEditor, place: Path) -> None:
    first = start_daemon(place)
    editor = await start(socket=place, options={"startDaemon": False})
    buffer = editor.open("shapes.py", PROGRAM)
    assert await buffer.inline()
    first.kill()
    buffer.type("urn ")
    second = start_daemon(place)
    await editor.synchronised()
    assert second.text(buffer.uri) == buffer.text
    assert await buffer.inline()
    buffer.type("s")
    await editor.synchronised()
    assert second.text(buffer.uri) == buffer.text
    second.kill()


async def test_a_question_while_the_daemon_dies_ends(start: StartEditor, place: Path) -> None:
    daemon = start_daemon(place)
    editor = await start(socket=place, options={"startDaemon": False, "maxTokens": 2000})
    buffer = editor.open("shapes.py", PROGRAM)
    await editor.synchronised()
    question = asyncio.ensure_future(buffer.inline())
    await asyncio.wait([question], timeout=0)
    await editor.synchronised()
    daemon.kill()
    await question
    assert (await editor.status())["open"] == 0


async def test_loading_is_shown_as_progress(start: StartEditor, place: Path) -> None:
    capabilities = types.ClientCapabilities(window=types.WindowClientCapabilities(work_done_progress=True))
    editor = await start(socket=place, capabilities=capabilities, options={"startDaemon": False})
    daemon = start_daemon(place)
    buffer = editor.open("shapes.py", PROGRAM)
    await buffer.inline()
    await editor.status()
    [reports] = editor.client.progress_reports.values()
    assert isinstance(reports[0], types.WorkDoneProgressBegin)
    assert "loading" in reports[0].title
    assert isinstance(reports[-1], types.WorkDoneProgressEnd)
    daemon.kill()


async def test_a_prompt_that_takes_too_long_is_announced_when_it_is_ready(start: StartEditor) -> None:
    options = {"inline": {"maxPromptMs": 200}, "maxTokens": 8}
    editor = await start(options=options)
    buffer = editor.open("long.py", "".join(f"value_{n} = compute({n})\n" for n in range(200)) + PROGRAM)
    ready = asyncio.ensure_future(editor.client.wait_for_notification(READY))
    assert await buffer.inline() == []
    announced = await ready
    assert (announced.uri, announced.version) == (buffer.uri, buffer.version)
    assert await buffer.inline()
