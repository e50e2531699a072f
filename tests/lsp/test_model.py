"""The model that an editor's settings name."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from lsprotocol import types

from scrubjay.process.client import Client
from scrubjay.process.lifecycle import start_daemon, stop_daemon
from tests.lsp.conftest import StartEditor
from tests.support.gguf_models import tiny_model
from tests.support.lsp_editor import Editor
from tests.support.shared_daemon import FLAGS, Daemon

pytestmark = pytest.mark.slow


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """The socket of a daemon that this test starts."""
    path = tmp_path / "own" / "s"
    yield path
    if path.parent.exists():
        stop_daemon(path)


def model_of(place: Path) -> str:
    client = Client(place)
    for _ in client.wait_until_ready():
        pass
    path: str = client.get("status")["model"]["path"]
    return path


async def said(editor: Editor, words: str) -> None:
    """Return when the user has been told that."""
    while not any(words in message.message for message in editor.client.messages):
        await editor.client.wait_for_notification("window/showMessage")


async def test_the_daemon_is_started_with_it_and_again_when_it_changes(start: StartEditor, place: Path) -> None:
    first, second = str(tiny_model("dense")), str(tiny_model("swa"))
    editor = await start(socket=place, options={"model": first})
    buffer = editor.open("a.py", "x = 1\n")
    await editor.synchronised()
    assert await asyncio.to_thread(model_of, place) == first
    changed = types.DidChangeConfigurationParams(settings={"scrubjay": {"model": second}})
    editor.client.workspace_did_change_configuration(changed)
    await said(editor, "restarted with")
    status = None
    while not status or status["state"] != "ready" or status["model"]["path"] != second:
        status = (await editor.command("status"))["daemon"]
    assert await asyncio.to_thread(Daemon(place).text, buffer.uri) == buffer.text


async def test_a_daemon_with_another_model_is_left_alone(start: StartEditor, place: Path) -> None:
    running = str(tiny_model("dense"))
    await asyncio.to_thread(start_daemon, place, {**FLAGS, "model": running})
    editor = await start(socket=place, options={"model": str(tiny_model("swa"))})
    await said(editor, "runs with another model")
    assert await asyncio.to_thread(model_of, place) == running
