"""What becomes of completions is counted by the daemon, whether the editor tells it or only the document shows it."""

import pytest
from lsprotocol import types

from tests.lsp.conftest import StartEditor
from tests.lsp.test_commands import COPILOT, arguments_of
from tests.lsp.test_completions import INVOKED, PROGRAM
from tests.support.acceptance import BY_HAND, ROUNDS, counted, first_word
from tests.support.lsp_editor import Buffer, Editor


async def counts(editor: Editor) -> dict[str, int]:
    """What the daemon has counted for the editor's project."""
    return counted(await editor.synchronised(), editor.root)


async def act(editor: Editor, buffer: Buffer, item: types.InlineCompletionItem, what: str) -> None:
    text = str(item.insert_text)
    if what == "accepted":
        buffer.accept(item)
        await editor.command("accept", *arguments_of(item))
    elif what == "in part":
        buffer.type(first_word(text))
        buffer.type("!")
    elif what == "typed out":
        for character in text:
            buffer.type(character)
    else:
        buffer.type("!")


@pytest.mark.slow
async def test_a_session_in_an_editor_that_tells_only_what_it_accepts(start: StartEditor) -> None:
    editor = await start()
    buffer = editor.open("shapes.py", PROGRAM)
    for what in ROUNDS:
        items = await buffer.inline(INVOKED)
        await act(editor, buffer, items[0], what)
        buffer.edit([(len(PROGRAM), len(buffer.text), "")])
    assert await counts(editor) == BY_HAND


@pytest.mark.slow
async def test_an_editor_that_tells_what_it_shows(start: StartEditor) -> None:
    editor = await start(options=COPILOT)
    buffer = editor.open("shapes.py", PROGRAM)
    items = await buffer.inline(INVOKED)
    assert (await counts(editor))["shown"] == 0
    command = {"title": "Accept", "command": "scrubjay.accept", "arguments": arguments_of(items[0])}
    editor.client.protocol.notify("textDocument/didShowCompletion", {"item": {"command": command}})
    assert (await counts(editor))["pending"] == 1
    await editor.command("reject", *arguments_of(items[0]))
    assert (await counts(editor))["rejected"] == 1


@pytest.mark.slow
async def test_what_is_pending_when_an_editor_leaves_was_not_wanted(start: StartEditor) -> None:
    leaving, staying = await start(), await start()
    await leaving.open("shapes.py", PROGRAM).inline(INVOKED)
    assert (await counts(leaving))["pending"] == 1
    await leaving.stop()
    while (await counts(staying))["pending"]:
        pass
    assert (await counts(staying))["rejected"] == 1


@pytest.mark.slow
async def test_the_first_line_of_a_text_in_the_menu_is_a_part(start: StartEditor) -> None:
    editor = await start()
    buffer = editor.open("shapes.py", PROGRAM)
    await buffer.menu()
    number = (await editor.status())["suggestions"]["offered"]
    await editor.command("accept", str(number), 1)
    assert (await counts(editor))["accepted_in_part"] == 1
