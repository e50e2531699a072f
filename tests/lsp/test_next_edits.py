"""Next edits in the protocol of Copilot's clients: asked for, shown, accepted, rejected, and never for another text."""

from typing import Any

import pytest

from scrubjay.positions import PositionEncoding
from tests.lsp.conftest import StartEditor
from tests.support.lsp_editor import Buffer, Editor, with_encodings

TEXT = "f('🙂', alpha)\ng('🙂', alpha)\nh('🙂', alpha)\n"
ON = {"nextEdit": {"python": True}}


async def next_edits(editor: Editor, buffer: Buffer, version: int | None = None) -> list[dict[str, Any]]:
    """What the editor would show; asked again while the daemon says that the user is typing."""
    document = {"uri": buffer.uri, "version": buffer.version if version is None else version}
    params = {"textDocument": document, "position": {"line": 0, "character": 0}, "context": {"triggerKind": 2}}
    for _ in range(200):
        answer = await editor.ask("textDocument/copilotInlineEdit", params)
        answer = answer if isinstance(answer, dict) else answer._asdict()
        edits = [as_dict(edit) for edit in answer["edits"]]
        if edits or version is not None:
            return edits
        await editor.synchronised()
    return []


def as_dict(value: Any) -> Any:
    """What pygls makes of an answer that it does not know, as plain values."""
    if hasattr(value, "_asdict"):
        return {key: as_dict(item) for key, item in value._asdict().items()}
    return [as_dict(item) for item in value] if isinstance(value, list) else value


async def rename_twice(editor: Editor, buffer: Buffer) -> None:
    await editor.synchronised()  # before that, the daemon would get the text as it is in the end
    for _ in range(2):
        at = buffer.text.index("alpha")
        buffer.edit([(at, at + 5, "beta")])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
async def test_a_next_edit_is_shown_accepted_and_the_next_one_comes(
    start: StartEditor, encoding: PositionEncoding
) -> None:
    editor = await start(options=ON, capabilities=with_encodings(encoding))
    buffer = editor.open("a.py", TEXT + "i('🙂', alpha)\n")
    await rename_twice(editor, buffer)
    for line in (2, 3):
        [edit] = await next_edits(editor, buffer)
        at = buffer.text.index("alpha")
        place, end = buffer.position(at), buffer.position(at + 5)
        assert edit["range"]["start"] == {"line": line, "character": place.character}
        assert edit["range"]["end"] == {"line": line, "character": end.character}
        assert (edit["text"], edit["textDocument"]) == ("beta", {"uri": buffer.uri, "version": buffer.version})
        editor.client.protocol.notify("textDocument/didShowInlineEdit", {"item": edit})
        buffer.edit([(at, at + 5, edit["text"])])
        assert await editor.command("acceptEdit", *edit["command"]["arguments"]) is None
    assert "alpha" not in buffer.text


async def test_it_is_off_unless_the_language_has_it(start: StartEditor) -> None:
    for options in ({}, {"nextEdit": {"*": True, "python": False}}):
        editor = await start(options=options)
        buffer = editor.open("a.py", TEXT)
        await rename_twice(editor, buffer)
        await editor.synchronised()
        assert await next_edits(editor, buffer, version=buffer.version) == []


async def test_another_version_gets_nothing(start: StartEditor) -> None:
    editor = await start(options=ON)
    buffer = editor.open("a.py", TEXT)
    await rename_twice(editor, buffer)
    assert await next_edits(editor, buffer)
    assert await next_edits(editor, buffer, version=buffer.version - 1) == []


async def test_a_rejected_edit_does_not_come_back(start: StartEditor) -> None:
    editor = await start(options=ON)
    buffer = editor.open("a.py", TEXT)
    await rename_twice(editor, buffer)
    [edit] = await next_edits(editor, buffer)
    await editor.command("rejectEdit", *edit["command"]["arguments"])
    await editor.synchronised()
    assert await next_edits(editor, buffer, version=buffer.version) == []


@pytest.mark.parametrize("params", [None, [], {"item": {"command": {"arguments": []}}}, {"item": 1}])
async def test_what_makes_no_sense_is_passed_over(start: StartEditor, params: Any) -> None:
    editor = await start(options=ON)
    editor.client.protocol.notify("textDocument/didShowInlineEdit", params)
    await editor.command("acceptEdit")
    await editor.command("rejectEdit", "x")
    answer = await editor.ask("textDocument/copilotInlineEdit", params)
    assert as_dict(answer)["edits"] == []
