"""Completions by a real model, asked for as real editors ask."""

import asyncio
from typing import Any

import pytest
from lsprotocol import types
from pygls.exceptions import JsonRpcRequestCancelled
from pytest_lsp import client_capabilities

from tests.lsp.conftest import StartEditor
from tests.support.lsp_editor import Editor, with_encodings
from tests.support.shared_daemon import Daemon

EDITORS = ["visual_studio_code@v1.65.2", "neovim@v0.11.0", "neovim@v0.6.1", "emacs@v29.1"]
PROGRAM = '''"""Shapes."""


class Rectangle:
    def __init__(self, width: float, height: float) -> None:
        self.width = width
        self.height = height

    def area(self) -> float:
        return self.width * self.height


class Square(Rectangle):
    def __init__(self, size: float) -> None:
        super().__init__(size, size)

    def __repr__(self) -> str:
        ret'''

INVOKED = types.InlineCompletionTriggerKind.Invoked


def capabilities_of(name: str) -> types.ClientCapabilities:
    """What that editor says it can, with ghost text, which was not recorded yet."""
    capabilities = client_capabilities(name)
    capabilities.text_document = capabilities.text_document or types.TextDocumentClientCapabilities()
    capabilities.text_document.inline_completion = types.InlineCompletionClientCapabilities()
    return capabilities


@pytest.mark.slow
@pytest.mark.parametrize("name", EDITORS)
async def test_what_real_editors_get(start: StartEditor, name: str) -> None:
    editor = await start(capabilities=capabilities_of(name))
    await has_ghost_text(editor)
    await has_a_menu(editor)


async def has_ghost_text(editor: Editor) -> None:
    buffer = editor.open("shapes.py", PROGRAM)
    [item] = await buffer.inline()
    assert isinstance(item.insert_text, str)
    assert item.insert_text.strip()
    assert item.range == types.Range(buffer.position(buffer.cursor), buffer.position(buffer.cursor))
    assert item.command
    buffer.accept(item)
    await editor.client.workspace_execute_command_async(
        types.ExecuteCommandParams(item.command.command, item.command.arguments)
    )
    assert (await editor.status())["suggestions"]["accepted"] == 1


async def has_a_menu(editor: Editor) -> None:
    buffer = editor.open("menu.py", PROGRAM)
    menu = await buffer.menu()
    assert menu.is_incomplete
    assert 1 <= len(menu.items) <= 3
    for item in menu.items:
        assert isinstance(item.text_edit, types.TextEdit)
        assert item.text_edit.range.start == item.text_edit.range.end == buffer.position(buffer.cursor)
        assert item.filter_text
        assert item.filter_text.startswith("ret")
        assert item.label.strip()


@pytest.mark.slow
async def test_an_explicit_request_gets_alternatives(start: StartEditor) -> None:
    editor = await start()
    buffer = editor.open("shapes.py", PROGRAM)
    items = await buffer.inline(INVOKED)
    assert 1 <= len(items) <= 3
    assert len({str(item.insert_text) for item in items}) == len(items)


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["utf-8", "utf-32"])
async def test_positions_are_in_the_editors_units(start: StartEditor, encoding: Any) -> None:
    """A place after characters of several units is the same place in every encoding: the same model says the same."""
    texts = []
    for units in (encoding, "utf-16"):
        editor = await start(capabilities=with_encodings(units))
        buffer = editor.open("a.py", 'names = ["naïve 漢字 😀", ""]\n')
        buffer.cursor = buffer.text.index('""') + 1
        texts.append([item.insert_text for item in await buffer.inline()])
        buffer.close()
    assert texts[0] == texts[1]


KIND = types.CompletionTriggerKind


@pytest.mark.slow
@pytest.mark.parametrize(
    ("popup", "answered", "refused"),
    [
        ("invoked", [KIND.Invoked, None, KIND.TriggerForIncompleteCompletions], [KIND.TriggerCharacter]),
        ("automatic", [KIND.Invoked, KIND.TriggerCharacter], []),
        ("off", [], [KIND.Invoked, None]),
    ],
)
async def test_the_menu_comes_by_itself_only_if_it_may(
    start: StartEditor,
    popup: str,
    answered: list[types.CompletionTriggerKind],
    refused: list[types.CompletionTriggerKind],
) -> None:
    buffer = (await start(options={"completion": {"popup": popup, "maxPromptMs": 0}})).open("shapes.py", PROGRAM)
    for kind in answered:
        menu = await buffer.menu(kind)
        assert menu.items
        assert menu.is_incomplete
    for kind in refused:
        menu = await buffer.menu(kind)
        assert not menu.items
        assert not menu.is_incomplete


@pytest.mark.slow
async def test_settings_can_change_while_it_runs(start: StartEditor) -> None:
    editor = await start()
    python, markdown = editor.open("shapes.py", PROGRAM), editor.open("notes.md", PROGRAM, language="markdown")
    settings = {"scrubjay": {"languages": {"markdown": False}}}
    editor.client.workspace_did_change_configuration(types.DidChangeConfigurationParams(settings))
    assert await markdown.inline() == []
    assert await python.inline()
    settings = {"scrubjay": {"inline": {"enabled": False}}}
    editor.client.workspace_did_change_configuration(types.DidChangeConfigurationParams(settings))
    assert await python.inline() == []


@pytest.mark.slow
async def test_settings_are_asked_for_where_the_editor_has_them(start: StartEditor) -> None:
    capabilities = client_capabilities("visual_studio_code@v1.65.2")
    editor = await start(capabilities=capabilities)
    editor.client.set_configuration({"languages": {"*": False}}, section="scrubjay")
    buffer = editor.open("shapes.py", PROGRAM)
    editor.client.workspace_did_change_configuration(types.DidChangeConfigurationParams(settings=None))
    await editor.synchronised()
    assert await buffer.inline() == []


@pytest.mark.slow
async def test_a_cancelled_request_ends_at_once(start: StartEditor) -> None:
    editor = await start()
    buffer = editor.open("shapes.py", PROGRAM)
    await editor.synchronised()
    method = types.TEXT_DOCUMENT_INLINE_COMPLETION
    request = editor.client.protocol.send_request(method, buffer.inline_params(INVOKED), msg_id="mine")
    editor.client.cancel_request(types.CancelParams("mine"))
    with pytest.raises(JsonRpcRequestCancelled):
        await asyncio.wrap_future(request)
    status = await editor.status()
    assert (status["open"], status["endings"]) == (0, {"cancelled": 1})
    assert (await editor.synchronised())["queue"] == {"running": None, "queued": 0}


@pytest.mark.slow
async def test_an_answer_to_an_old_text_is_dropped(start: StartEditor) -> None:
    editor = await start()
    buffer = editor.open("shapes.py", PROGRAM)
    old = asyncio.ensure_future(buffer.inline())
    await asyncio.wait([old], timeout=0)
    buffer.type("urn ")
    new = asyncio.ensure_future(buffer.inline())
    assert await old == []
    assert len(await new) <= 1
    assert (await editor.status())["endings"]["stale"] == 1


@pytest.mark.slow
async def test_a_newer_question_replaces_an_older_one_but_not_one_for_the_menu(start: StartEditor) -> None:
    editor = await start()
    buffer = editor.open("shapes.py", PROGRAM)
    older = asyncio.ensure_future(buffer.inline())
    menu = asyncio.ensure_future(buffer.menu())
    newer = asyncio.ensure_future(buffer.inline())
    assert await older == []
    assert await newer
    assert (await menu).items


@pytest.mark.slow
async def test_typing_fast_lets_no_queue_grow_and_shows_nothing_stale(
    start: StartEditor, shared_daemon: Daemon
) -> None:
    """Ghost text is asked for at each key and the answer never waited for, as Neovim does."""
    editor = await start()
    buffer = editor.open("shapes.py", PROGRAM)
    await buffer.inline()
    requests: list[asyncio.Future[list[types.InlineCompletionItem]]] = []
    typed = "urn self.width * self.width\n\n\ndef main() -> None:\n    square = "
    for key in typed:
        buffer.type(key)
        requests.append(asyncio.ensure_future(buffer.inline()))
        status = await editor.status()
        assert status["open"] <= 1
        assert (await editor.synchronised())["queue"]["queued"] <= 2
    await asyncio.gather(*requests)
    endings = (await editor.status())["endings"]
    assert set(endings) <= {"items", "nothing", "stale"}
    assert sum(endings.values()) == len(typed) + 1
    assert shared_daemon.text(buffer.uri) == buffer.text


@pytest.mark.slow
async def test_two_editors_and_a_script_at_once(start: StartEditor, shared_daemon: Daemon) -> None:
    """One editor counts in UTF-8, the other in UTF-16; both have the same file open, with other edits."""
    one = await start(capabilities=with_encodings("utf-8"))
    two = await start(capabilities=with_encodings("utf-16"))

    async def work(editor: Editor, name: str) -> str:
        buffer = editor.open("shared.py", f"# {name} 漢字 😀\n{PROGRAM}")
        for key in "urn s":
            buffer.type(key)
            await buffer.inline()
        buffer.edit([(2, 3, "é😀")])
        await buffer.inline(INVOKED)
        return buffer.text

    async def script() -> list[Any]:
        uri = (one.root / "script.py").as_uri()
        shared_daemon.client.post("documents/open", {"uri": uri, "text": PROGRAM})
        position = {"line": PROGRAM.count("\n"), "character": 11}
        answers = []
        for _ in range(3):
            question = {"uri": uri, "position": position, "max_tokens": 24}
            answers.append(await asyncio.to_thread(shared_daemon.client.post, "complete", question))
        return answers

    first, second, answers = await asyncio.gather(work(one, "one"), work(two, "two"), script())
    assert all("items" in answer for answer in answers)
    assert shared_daemon.text((one.root / "shared.py").as_uri()) in (first, second)
    for editor in (one, two):
        status = await editor.status()
        assert status["resent"] == 0
        assert "failed" not in status["endings"]
