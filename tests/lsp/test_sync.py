"""The daemon's documents are the editor's, whatever is done to them and in whatever encoding."""

import random

import pytest
from lsprotocol import types

from scrubjay.positions import MAX_DOCUMENT_CHARACTERS, PositionEncoding
from scrubjay.uris import path_of
from scrubjay_lsp.documents import root_of
from tests.lsp.conftest import StartEditor
from tests.lsp.test_completions import PROGRAM
from tests.support.lsp_editor import Buffer, Editor, with_encodings
from tests.support.shared_daemon import Daemon

N_LINES, N_EDITS = 2000, 1000
PIECES = ["x", "\n", "\r\n", "\r", "naïve", "漢字", "😀", "\f", "\u2028", "    return value\n", "a = 1\nb = 2\n", "\t"]
ENCODINGS: list[PositionEncoding] = ["utf-8", "utf-16", "utf-32"]


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ENCODINGS)
async def test_random_edits_leave_the_daemon_with_the_editors_text(
    start: StartEditor, shared_daemon: Daemon, encoding: PositionEncoding
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


@pytest.mark.slow
async def test_more_changes_than_the_daemon_takes_at_once_are_sent_as_a_text(
    start: StartEditor, shared_daemon: Daemon
) -> None:
    editor = await start()
    buffer = editor.open("a.py", "old = 1\n" * 3000)
    buffer.edit([(8 * number, 8 * number + 3, "new") for number in range(0, 3000, 2)])
    await editor.synchronised()
    assert shared_daemon.text(buffer.uri) == "new = 1\nold = 1\n" * 1500
    assert (await editor.status())["resent"] == 0


@pytest.mark.slow
async def test_a_document_that_is_too_long_is_passed_over_until_it_is_short(
    start: StartEditor, shared_daemon: Daemon
) -> None:
    editor = await start()
    large = editor.open("large.log", "x" * 100 + "\n" * MAX_DOCUMENT_CHARACTERS)
    grown = editor.open("grown.log", "x" * (MAX_DOCUMENT_CHARACTERS - 1))
    small = editor.open("small.py", PROGRAM)
    large.edit([(0, 0, "y")])
    for _ in range(2):
        grown.edit([(0, 0, "y")])
    assert await large.inline() == []
    assert await small.inline()
    assert [shared_daemon.text(buffer.uri) for buffer in (large, grown)] == [None, None]
    assert [message.message.split(" has ")[0] for message in editor.client.messages] == [
        "Scrubjay: large.log",
        "Scrubjay: grown.log",
    ]
    large.replace_all("short")
    large.edit([(5, 5, "er")])
    grown.close()
    await editor.synchronised()
    assert shared_daemon.text(large.uri) == "shorter"
    status = await editor.status()
    assert (status["resent"], status["endings"].get("failed", 0)) == (0, 0)


@pytest.mark.parametrize(
    ("folder", "document"),
    [
        ("file:///w/a%2Bb", "file:///w/a+b/src/a.py"),
        ("file:///w/(group)/", "file:///w/%28group%29/a.py"),
        ("file:///w/%5bslug%5d", "file:///w/[slug]/a.py"),
        ("file:///w/gr%C3%B6%C3%9Fe", "file:///w/größe/a.py"),
        ("file:///w", "vscode-notebook-cell:/w/n.ipynb#W0"),
        ("vscode-remote://host/w", "vscode-remote://host/w/a.py"),
    ],
)
def test_a_document_is_in_the_folder_that_holds_it_however_they_are_spelled(folder: str, document: str) -> None:
    root = path_of(folder) or "/w"
    assert root_of(document, {folder: root, "file:///": "/", "file:///w/other": "/w/other"}) == root
    assert root_of("untitled:1", {folder: root}) is None
