"""The daemon's documents are the editor's, whatever is done to them and in whatever encoding."""

import random

import pytest
from lsprotocol import types

from scrubjay_lsp.text import Encoding
from tests.lsp.conftest import StartEditor
from tests.support.lsp_editor import Buffer, Editor, with_encodings
from tests.support.shared_daemon import Daemon

N_LINES, N_EDITS = 2000, 1000
PIECES = ["x", "\n", "\r\n", "\r", "naïve", "漢字", "😀", "\f", "\u2028", "    return value\n", "a = 1\nb = 2\n", "\t"]
ENCODINGS: list[Encoding] = ["utf-8", "utf-16", "utf-32"]


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ENCODINGS)
async def test_random_edits_leave_the_daemon_with_the_editors_text(
    start: StartEditor, shared_daemon: Daemon, encoding: Encoding
) -> None:
    editor = await start(capabilities=with_encodings(encoding))
    dice = random.Random(encoding)
    buffer = editor.open("big.py", "".join(f"line_{n} = 'é漢😀'  # {n}\n" for n in range(N_LINES)))
    for number in range(1, N_EDITS + 1):
        buffer.edit(random_edit(buffer, dice) for _ in range(dice.choice([1, 1, 1, 2, 4])))
        if number % 250 == 0:
            await editor.synchronised()
            assert shared_daemon.text(buffer.uri) == buffer.text
    assert (await editor.status())["resent"] == 0


def random_edit(buffer: Buffer, dice: random.Random) -> tuple[int, int, str]:
    """An edit of what is now in `buffer`, seldom long, never inside a line end."""
    start = dice.randrange(len(buffer.text) + 1)
    end = min(len(buffer.text), start + dice.choice([0, 0, 0, 1, 2, 10, 200]))
    start, end = (offset - (buffer.text[offset - 1 : offset + 1] == "\r\n") for offset in (start, end))
    return start, end, "".join(dice.choices(PIECES, k=dice.choice([0, 1, 1, 2, 5])))


@pytest.mark.slow
async def test_opening_saving_and_closing(start: StartEditor, shared_daemon: Daemon) -> None:
    editor = await start()
    buffer = editor.open("a.py", "one\n")
    buffer.type("two\n")
    buffer.save()
    buffer.replace_all("three\n")
    buffer.type("four\n")
    await editor.synchronised()
    assert shared_daemon.text(buffer.uri) == "three\nfour\n"
    buffer.close()
    await editor.synchronised()
    assert shared_daemon.text(buffer.uri) is None


@pytest.mark.slow
async def test_editors_that_number_badly_are_kept_in_step(start: StartEditor, shared_daemon: Daemon) -> None:
    editor = await start()
    buffer = editor.open("a.py", "")
    for version, text in ((5, "a"), (5, "b"), (2, "c"), (9, "d")):
        buffer.version = version - 1
        buffer.type(text)
    await editor.synchronised()
    assert shared_daemon.text(buffer.uri) == "abcd"


@pytest.mark.slow
async def test_a_range_outside_the_document_means_its_end(start: StartEditor, shared_daemon: Daemon) -> None:
    editor = await start()
    buffer = editor.open("a.py", "one\ntwo")
    await editor.synchronised()
    area = types.Range(types.Position(0, 3), types.Position(99, 0))
    identifier = types.VersionedTextDocumentIdentifier(version=2, uri=buffer.uri)
    change = types.TextDocumentContentChangePartial(area, "!")
    editor.client.text_document_did_change(types.DidChangeTextDocumentParams(identifier, [change]))
    await editor.synchronised()
    await editor.synchronised()
    assert shared_daemon.text(buffer.uri) == "one!"
    assert (await editor.status())["resent"] == 0, "the daemon means the same by it"


@pytest.mark.slow
async def test_documents_that_are_no_files(start: StartEditor, shared_daemon: Daemon) -> None:
    editor = await start()
    buffer = Buffer(editor.client, "untitled:Untitled-1", editor.encoding, "x = ")
    buffer.type("1")
    await editor.synchronised()
    assert shared_daemon.text(buffer.uri) == "x = 1"


@pytest.mark.slow
async def test_documents_belong_to_the_innermost_folder(start: StartEditor, shared_daemon: Daemon) -> None:
    editor = await start()
    inner = editor.root / "inner"
    inner.mkdir()
    buffer = editor.open("inner/a.py", "x = 1\n")

    def roots() -> set[str]:
        named = (str(editor.root), str(inner))
        projects = shared_daemon.client.get("status")["projects"]
        return {project["root"] for project in projects if project["root"] in named and project["n_documents"]}

    await editor.synchronised()
    assert roots() == {str(editor.root)}
    folder = types.WorkspaceFolder(inner.as_uri(), "inner")
    for added, removed in (([folder], []), ([], [folder])):
        event = types.WorkspaceFoldersChangeEvent(added, removed)
        editor.client.workspace_did_change_workspace_folders(types.DidChangeWorkspaceFoldersParams(event))
        await editor.synchronised()
        assert roots() == {str(inner) if added else str(editor.root)}
        assert shared_daemon.text(buffer.uri) == "x = 1\n"


@pytest.mark.slow
async def test_files_that_change_on_disk_warm_their_project(start: StartEditor, shared_daemon: Daemon) -> None:
    editor = await start()
    buffer = editor.open("a.py", "x = 1\n")

    async def n_jobs() -> int:
        n: int = (await editor.synchronised())["counters"]["n_accepted"]
        return n

    before = await n_jobs()
    for uri in (buffer.uri, "file:///elsewhere/b.py"):
        tell_changed(editor, uri)
    assert await n_jobs() == before
    tell_changed(editor, (editor.root / "b.py").as_uri())
    assert await n_jobs() == before + 1


def tell_changed(editor: Editor, uri: str) -> None:
    event = types.FileEvent(uri, types.FileChangeType.Changed)
    editor.client.workspace_did_change_watched_files(types.DidChangeWatchedFilesParams([event]))
