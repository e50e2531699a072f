"""Notebooks: the code cells are one document of the daemon, in their order, whatever is done to them."""

import random
from dataclasses import dataclass, field

import pytest
from lsprotocol import types

from scrubjay.positions import Lines, Position
from tests.lsp.conftest import StartEditor
from tests.lsp.test_completions import INVOKED
from tests.support.lsp_editor import Editor
from tests.support.shared_daemon import Daemon

CODE, MARKUP = types.NotebookCellKind.Code, types.NotebookCellKind.Markup
CAPABILITIES = types.ClientCapabilities(
    notebook_document=types.NotebookDocumentClientCapabilities(types.NotebookDocumentSyncClientCapabilities())
)
CELLS = ("import math\n\n\ndef area(width, height):\n    return width * height\n", "a = area(1, 2)", "b = ar")


@dataclass
class Notebook:
    """A notebook as an editor has it; whatever is done to it is told."""

    editor: Editor
    texts: dict[str, str] = field(default_factory=dict)
    kinds: dict[str, types.NotebookCellKind] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)
    version: int = 0

    @property
    def uri(self) -> str:
        return (self.editor.root / "n.ipynb").as_uri()

    def open(self, *texts: str) -> None:
        """Open it with code cells of these texts."""
        cells = [self.make(text) for text in texts]
        self.order = [cell.document for cell in cells]
        notebook = types.NotebookDocument(self.uri, "jupyter-notebook", 0, cells)
        params = types.DidOpenNotebookDocumentParams(notebook, [self.item(uri) for uri in self.order])
        self.editor.client.notebook_document_did_open(params)

    def make(self, text: str, kind: types.NotebookCellKind = CODE) -> types.NotebookCell:
        """A new cell."""
        uri = f"vscode-notebook-cell:{(self.editor.root / 'n.ipynb').as_posix()}#W{len(self.texts)}s"
        self.texts[uri], self.kinds[uri] = text, kind
        return types.NotebookCell(kind, uri)

    def item(self, uri: str) -> types.TextDocumentItem:
        return types.TextDocumentItem(uri, "python", 1, self.texts[uri])

    def splice(self, start: int, n_deleted: int, cells: list[types.NotebookCell], opened: list[str]) -> None:
        """Replace cells; of the new ones, those that are `opened` bring their texts."""
        self.order[start : start + n_deleted] = [cell.document for cell in cells]
        array = types.NotebookCellArrayChange(start, n_deleted, cells)
        structure = types.NotebookDocumentCellChangeStructure(array, [self.item(uri) for uri in opened])
        self._change(types.NotebookDocumentCellChanges(structure))

    def edit(self, uri: str, start: tuple[int, int], end: tuple[int, int], text: str) -> None:
        """Replace a range of a cell."""
        lines = Lines(self.texts[uri])
        lines.replace(Position(*start), Position(*end), text, "utf-16")
        self.texts[uri] = lines.text
        change = types.TextDocumentContentChangePartial(types.Range(types.Position(*start), types.Position(*end)), text)
        document = types.VersionedTextDocumentIdentifier(self.version + 2, uri)
        content = types.NotebookDocumentCellContentChanges(document, [change])
        self._change(types.NotebookDocumentCellChanges(text_content=[content]))

    def _change(self, cells: types.NotebookDocumentCellChanges) -> None:
        self.version += 1
        identifier = types.VersionedNotebookDocumentIdentifier(self.version, self.uri)
        params = types.DidChangeNotebookDocumentParams(identifier, types.NotebookDocumentChangeEvent(cells=cells))
        self.editor.client.notebook_document_did_change(params)

    @property
    def joined(self) -> str:
        """What the daemon should have of it."""
        texts = [self.texts[uri] for uri in self.order if self.kinds[uri] is CODE]
        return "\n\n".join(text.replace("\r\n", "\n").replace("\r", "\n") for text in texts)

    async def inline(self, uri: str, line: int, character: int) -> list[types.InlineCompletionItem]:
        """Ghost text in a cell."""
        context = types.InlineCompletionContext(INVOKED)
        identifier, position = types.TextDocumentIdentifier(uri), types.Position(line, character)
        params = types.InlineCompletionParams(context, identifier, position)
        answer = await self.editor.client.text_document_inline_completion_async(params)
        assert isinstance(answer, types.InlineCompletionList)
        return list(answer.items)


async def start_notebook(start: StartEditor, *texts: str) -> Notebook:
    editor = await start(capabilities=CAPABILITIES)
    assert editor.result
    assert editor.result.capabilities.notebook_document_sync
    notebook = Notebook(editor)
    notebook.open(*texts)
    await editor.synchronised()
    return notebook


async def test_cells_are_one_document_and_completed_where_they_are(start: StartEditor, shared_daemon: Daemon) -> None:
    notebook = await start_notebook(start, *CELLS)
    assert shared_daemon.text(notebook.uri) == "\n\n".join(CELLS)
    last = notebook.order[-1]
    items = await notebook.inline(last, 0, 6)
    assert items
    assert {(item.range.start.line, item.range.start.character) for item in items if item.range} == {(0, 6)}
    projects = (await notebook.editor.synchronised())["projects"]
    [project] = [project for project in projects if project["root"] == str(notebook.editor.root)]
    assert project["focus"] == {"uri": notebook.uri, "offset": len("\n\n".join(CELLS))}
    [first, *_] = items
    assert isinstance(first.insert_text, str)
    assert first.command
    notebook.edit(last, (0, 6), (0, 6), first.insert_text)
    await notebook.editor.command("accept", *(first.command.arguments or []))
    status = await notebook.editor.status()
    assert (status["suggestions"]["accepted"], status["resent"]) == (1, 0)
    assert (await notebook.editor.command("context", last))["root"] == str(notebook.editor.root)


async def test_cells_come_go_and_move(start: StartEditor, shared_daemon: Daemon) -> None:
    notebook = await start_notebook(start, "a = 1", "b = 2\n", "c = 3")
    new = notebook.make("d = 4")
    notebook.splice(1, 0, [new], [new.document])
    text = notebook.make("Some *words*.", MARKUP)
    notebook.splice(0, 0, [text], [text.document])
    await notebook.editor.synchronised()
    assert shared_daemon.text(notebook.uri) == notebook.joined == "a = 1\n\nd = 4\n\nb = 2\n\n\nc = 3"
    assert shared_daemon.text(text.document) == "Some *words*."
    last = notebook.order[-1]
    notebook.splice(4, 1, [], [])
    notebook.splice(1, 0, [types.NotebookCell(CODE, last)], [last])
    second, third = notebook.order[1:3]
    notebook.splice(1, 2, [types.NotebookCell(CODE, third), types.NotebookCell(CODE, second)], [])
    notebook.edit(text.document, (0, 0), (0, 4), "Many")
    notebook.edit(second, (0, 0), (0, 1), "x")
    await notebook.editor.synchronised()
    assert shared_daemon.text(notebook.uri) == notebook.joined
    assert shared_daemon.text(text.document) == "Many *words*."
    notebook.editor.client.notebook_document_did_close(
        types.DidCloseNotebookDocumentParams(types.NotebookDocumentIdentifier(notebook.uri), [])
    )
    await notebook.editor.synchronised()
    assert shared_daemon.text(notebook.uri) is shared_daemon.text(text.document) is None
    assert (await notebook.editor.status())["documents"] == 0


PIECES = ["x", "\n", "\r\n", "\r", "😀", "y = 1\n", "漢字", ""]


@pytest.mark.parametrize("seed", range(3))
async def test_the_daemon_has_the_cells_whatever_is_done_to_them(
    start: StartEditor, shared_daemon: Daemon, seed: int
) -> None:
    dice = random.Random(seed)
    notebook = await start_notebook(start, "a\nb\nc", "", "one = 1\n", "print(a)")
    for number in range(150):
        if dice.random() < 0.1:
            cell = notebook.make("".join(dice.choices(PIECES, k=3)), dice.choice([CODE, CODE, MARKUP]))
            at = dice.randrange(len(notebook.order) + 1)
            n_deleted = dice.choice([0, 1]) if len(notebook.order) > 3 else 0
            notebook.splice(at, min(n_deleted, len(notebook.order) - at), [cell], [cell.document])
        else:
            start_at, end_at = sorted((dice.randrange(5), dice.randrange(9)) for _ in range(2))
            notebook.edit(
                dice.choice(notebook.order), start_at, end_at, "".join(dice.choices(PIECES, k=dice.choice([0, 1, 2])))
            )
        if number % 10 == 9:
            await notebook.editor.synchronised()
            assert shared_daemon.text(notebook.uri) == notebook.joined
    assert (await notebook.editor.status())["resent"] == 0
