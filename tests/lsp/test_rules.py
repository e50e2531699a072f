"""The language server with a daemon as users have it: completions are ended, chosen, and known again by its rules."""

import asyncio
from typing import Any

import pytest
from lsprotocol import types

from tests.lsp.conftest import StartEditor
from tests.lsp.test_completions import EDITORS, INVOKED, PROGRAM, capabilities_of, has_a_menu, has_ghost_text
from tests.support.lsp_editor import Buffer, with_encodings
from tests.support.shared_daemon import Daemon

CALL = PROGRAM.removesuffix("ret") + "return max("
"""The cursor goes after it, and an editor that closes brackets by itself has put one there."""


def text_of(item: types.InlineCompletionItem) -> str:
    assert isinstance(item.insert_text, str)
    return item.insert_text


@pytest.mark.slow
@pytest.mark.parametrize("name", EDITORS)
async def test_what_real_editors_get(start: StartEditor, daemon_with_rules: Daemon, name: str) -> None:
    editor = await start(socket=daemon_with_rules.path, capabilities=capabilities_of(name))
    await has_ghost_text(editor)
    await has_a_menu(editor)


@pytest.mark.slow
async def test_what_is_typed_along_is_answered_with_the_rest(start: StartEditor, daemon_with_rules: Daemon) -> None:
    editor = await start(socket=daemon_with_rules.path)
    buffer = editor.open("shapes.py", PROGRAM)
    [item] = await buffer.inline()
    whole = text_of(item)
    for n_typed in range(1, min(len(whole), 6)):
        buffer.type(whole[n_typed - 1])
        [item] = await buffer.inline()
        assert text_of(item) == whole[n_typed:]
        assert item.range == types.Range(*[buffer.position(buffer.cursor)] * 2)
    assert set((await editor.status())["endings"]) == {"items"}


@pytest.mark.slow
async def test_very_little_is_shown_only_to_those_who_ask(start: StartEditor, daemon_with_rules: Daemon) -> None:
    editor = await start(socket=daemon_with_rules.path, options={"maxTokens": 1})
    buffer = editor.open("shapes.py", PROGRAM)
    assert await buffer.inline() == []
    assert await buffer.inline(INVOKED)
    assert (await editor.status())["endings"] == {"nothing": 1, "items": 1}


def accepted(buffer: Buffer, item: types.InlineCompletionItem) -> str:
    """The text when an editor has put `item` in the place of its range."""
    assert item.range
    assert item.range.start == buffer.position(buffer.cursor)
    n_replaced = item.range.end.character - item.range.start.character
    return buffer.text[: buffer.cursor] + text_of(item) + buffer.text[buffer.cursor + n_replaced :]


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
async def test_a_closing_bracket_is_replaced_where_the_editor_can(
    start: StartEditor, daemon_with_rules: Daemon, encoding: Any
) -> None:
    """An editor that cannot gets the text without its own bracket: the program is the same, as far as that goes."""
    able = with_encodings(encoding)
    able.text_document = types.TextDocumentClientCapabilities(
        inline_completion=types.InlineCompletionClientCapabilities()
    )
    texts = []
    for capabilities, replaces in ((able, True), (able, False), (with_encodings(encoding), True)):
        options = {"inline": {"replace": replaces, "maxItems": 1}}
        editor = await start(socket=daemon_with_rules.path, capabilities=capabilities, options=options)
        buffer = editor.open("shapes.py", f"{CALL})\n")
        buffer.cursor = len(CALL)
        [item] = await buffer.inline(INVOKED)
        assert item.range
        is_able = replaces and capabilities is able
        assert (item.range.end.character > item.range.start.character) == is_able
        texts.append(accepted(buffer, item))
        buffer.close()
    assert texts[1] == texts[2]
    assert texts[0].startswith(texts[1].rstrip("\n"))


@pytest.mark.slow
async def test_typing_fast_with_both_ways_of_dropping_a_question(start: StartEditor, daemon_with_rules: Daemon) -> None:
    """Editors cancel what they do not want any more, or ask again: every request ends, and as the pipe says."""
    editor = await start(socket=daemon_with_rules.path)
    buffer = editor.open("shapes.py", PROGRAM)
    await buffer.inline()
    typed = "urn self.width * self.width\n\n\ndef main() -> None:\n    square = "
    requests: list[asyncio.Future[Any]] = []
    for number, key in enumerate(typed):
        if number % 2:
            editor.client.cancel_request(types.CancelParams(f"key {number - 1}"))
        buffer.type(key)
        method = types.TEXT_DOCUMENT_INLINE_COMPLETION
        request = editor.client.protocol.send_request(method, buffer.inline_params(), msg_id=f"key {number}")
        requests.append(asyncio.wrap_future(request))
        assert (await editor.status())["open"] <= 1
    answers = await asyncio.gather(*requests, return_exceptions=True)
    n_errors = sum(isinstance(answer, BaseException) for answer in answers)
    n_items = sum(not isinstance(answer, BaseException) and bool(answer.items) for answer in answers)
    endings = (await editor.status())["endings"]
    assert set(endings) <= {"items", "nothing", "stale", "cancelled"}
    assert sum(endings.values()) == len(typed) + 1
    assert endings["items"] == n_items + 1
    assert endings.get("cancelled", 0) == n_errors
