"""Commands, and the dialect of Copilot's clients."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from lsprotocol import types

from tests.lsp.conftest import StartEditor
from tests.lsp.test_completions import INVOKED, PROGRAM
from tests.support.lsp_editor import Editor
from tests.support.shared_daemon import Daemon, a_daemon

COPILOT = {"editorInfo": {"name": "Emacs", "version": "30"}, "editorPluginInfo": {"name": "copilot.el", "version": "1"}}


@pytest.mark.slow
async def test_status(start: StartEditor) -> None:
    editor = await start()
    editor.open("a.py", "x = 1\n")
    await editor.synchronised()
    status = await editor.command("status")
    assert status["daemon"]["state"] in ("loading", "ready")
    assert (status["lsp"]["link"], status["lsp"]["documents"]) == ("connected", 1)


@pytest.mark.slow
async def test_warm(start: StartEditor) -> None:
    editor = await start()
    buffer = editor.open("a.py", PROGRAM)
    warmed = await editor.command("warm", buffer.uri, {"line": 3, "character": 0})
    assert warmed["reuse"]["prompt"] > 0
    again = await editor.command("warm")
    assert again["reuse"]["processed"] <= warmed["reuse"]["processed"]


@pytest.mark.slow
async def test_the_context_of_a_documents_project(start: StartEditor) -> None:
    editor = await start()
    buffer = editor.open("a.py", PROGRAM)
    await editor.command("warm")
    context = await editor.command("context", buffer.uri)
    assert context["root"] == str(editor.root)
    assert context["n_resident"] > 0
    assert context["segments"]
    assert await editor.command("context") == context


@pytest.mark.slow
async def test_a_document_of_no_project_has_no_context(start: StartEditor, shared_daemon: Daemon) -> None:
    editor = await start()
    editor.open("a.py", PROGRAM)
    other = {"uri": "file:///elsewhere/b.py", "owner": "other"}
    await asyncio.to_thread(shared_daemon.client.post, "documents/open", {**other, "text": "x = 1\n"})
    assert len((await editor.synchronised())["projects"]) > 1
    strange: list[Any] = ["file:///nowhere/c.py", "untitled:c", "", "file://[", "%"]
    for uri in strange:
        assert await editor.command("context", uri) is None, uri
    await asyncio.to_thread(shared_daemon.client.post, "documents/close", other)


@pytest.mark.slow
async def test_without_a_daemon_there_is_no_context(start: StartEditor, tmp_path: Path) -> None:
    editor = await start(socket=tmp_path / "none.sock", options={"startDaemon": False})
    editor.open("a.py", PROGRAM)
    assert await editor.command("context") is None


@pytest.mark.slow
async def test_warming_what_is_not_open_says_so(start: StartEditor) -> None:
    editor = await start()
    assert "not open" in (await editor.command("warm", "file:///nowhere.py"))["error"]


@pytest.mark.slow
async def test_accepting_and_rejecting_what_was_never_offered(start: StartEditor) -> None:
    editor = await start()
    strange: list[list[Any]] = [[], [None], ["99"], [{"x": 1}, 2]]
    for arguments in strange:
        assert await editor.command("accept", *arguments) is None
        assert await editor.command("reject", *arguments) is None


@pytest.mark.slow
async def test_what_became_of_offers(start: StartEditor) -> None:
    editor = await start(options=COPILOT)
    buffer = editor.open("shapes.py", PROGRAM)
    items = await buffer.inline(INVOKED)
    notify = editor.client.protocol.notify
    command = {"title": "Accept", "command": "scrubjay.accept", "arguments": arguments_of(items[0])}
    notify("textDocument/didShowCompletion", {"item": {"command": command}})
    notify("textDocument/didPartiallyAcceptCompletion", {"item": {"command": command}, "acceptedLength": 2})
    buffer.accept(items[0])
    await editor.command("accept", *arguments_of(items[0]))
    await editor.command("reject", *arguments_of(items[-1]))
    counts = (await editor.status())["suggestions"]
    assert (counts["offered"], counts["shown"]) == (len(items), 1)
    assert (counts["accepted"], counts["accepted_in_part"]) == (1, 1)
    assert counts["rejected"] == (len(items) > 1)
    assert counts["accepted_characters"] == len(str(items[0].insert_text))


def arguments_of(item: types.InlineCompletionItem) -> list[Any]:
    assert item.command
    return list(item.command.arguments or [])


@pytest.mark.slow
async def test_focus_moves_to_the_document_that_is_looked_at(start: StartEditor) -> None:
    editor = await start(options=COPILOT)
    first = editor.open("first.py", "a = 1\n")
    editor.open("second.py", "b = 2\n").type("c = 3\n")
    editor.client.protocol.notify("textDocument/didFocus", {"textDocument": {"uri": first.uri}})
    assert await focus_of(editor) == first.uri


@pytest.mark.slow
async def test_notifications_of_the_dialect_may_be_anything(start: StartEditor) -> None:
    editor = await start(options=COPILOT)
    strange: list[Any] = [None, {}, [], {"textDocument": None}, {"item": []}, {"item": {"command": {}}}]
    for name in ("didShowCompletion", "didPartiallyAcceptCompletion", "didFocus"):
        for params in strange:
            editor.client.protocol.notify(f"textDocument/{name}", params)
    assert (await editor.status())["suggestions"]["shown"] == 0


@pytest.mark.slow
async def test_everybody_is_signed_in(start: StartEditor) -> None:
    editor = await start(options=COPILOT)
    for method in ("checkStatus", "signInConfirm", "signIn", "signInInitiate"):
        answer = await editor.ask(method, {})
        assert answer.status in ("OK", "AlreadySignedIn")
        assert answer.user == "local"


@pytest.mark.slow
async def test_other_questions_of_the_dialect(start: StartEditor) -> None:
    editor = await start(options=COPILOT)
    assert await editor.ask("setEditorInfo", COPILOT) == "OK"
    assert (await editor.ask("getVersion", {})).version
    assert [model["scopes"] for model in await editor.ask("copilot/models", {})] == [["completion"]]
    assert (await editor.ask("signOut", None)).status == "NotSignedIn"


@pytest.mark.slow
async def test_the_icon_of_copilots_clients_is_told(start: StartEditor) -> None:
    editor = await start(options=COPILOT)
    assert (await editor.client.wait_for_notification("didChangeStatus")).kind in ("Normal", "Inactive")


@pytest.mark.slow
async def test_a_client_that_shows_status_is_told_the_daemons_state(start: StartEditor, place: Path) -> None:
    editor = await start(socket=place, options={**COPILOT, "startDaemon": False})
    a_daemon(place, eager_load="true")
    states: list[Any] = []
    while not states or states[-1].state == "loading":
        states.append(await editor.client.wait_for_notification("scrubjay/state"))
    assert states[-1].state == "ready"
    assert all(state.load is None or 0 <= state.load.fraction <= 1 for state in states)


@pytest.mark.slow
async def test_other_clients_are_not_told_the_daemons_state(start: StartEditor) -> None:
    editor = await start()
    told: list[Any] = []

    def state(params: Any) -> None:
        told.append(params)

    editor.client.feature("scrubjay/state")(state)
    editor.open("a.py", PROGRAM)
    await editor.synchronised()
    assert told == []


async def focus_of(editor: Editor) -> str:
    """URI of the document that the daemon takes to be looked at."""
    projects = (await editor.synchronised())["projects"]
    [focus] = [project["focus"]["uri"] for project in projects if project["root"] == str(editor.root)]
    assert isinstance(focus, str)
    return focus


@pytest.mark.slow
async def test_the_prompt_of_a_place(start: StartEditor) -> None:
    editor = await start()
    text = "width = '🙂'; height = 2\nreturn wid"
    buffer = editor.open("a.py", text)
    shown = await editor.command("prompt", buffer.uri, {"line": 1, "character": 10})
    assert shown["problem"] == ""
    assert shown["tokens"] == sum(part["n_tokens"] for part in shown["parts"])
    assert all(part["reason"] for part in shown["parts"])
    told = "".join(part["text"] for part in shown["parts"])
    assert "🙂" in told and "return" in told
    assert (await editor.command("prompt"))["parts"][0] == shown["parts"][0]
    assert "not open" in (await editor.command("prompt", "file:///nowhere.py"))["error"]
