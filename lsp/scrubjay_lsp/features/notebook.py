"""Notebooks: opened, changed, closed, saved."""

from collections.abc import Iterable

from lsprotocol import types

from scrubjay.positions import Lines
from scrubjay_lsp.features.sync import change_of
from scrubjay_lsp.notebooks import Cell
from scrubjay_lsp.server import ScrubjayServer


def register(server: ScrubjayServer) -> None:
    """Keep the daemon's copy of a notebook in step with the editor's."""
    notebooks = server.notebooks

    @server.feature(types.NOTEBOOK_DOCUMENT_DID_OPEN)
    def did_open(params: types.DidOpenNotebookDocumentParams) -> None:
        notebook = params.notebook_document
        server.completions.invalidate(notebook.uri)
        notebooks.open(notebook.uri, _cells(notebook.cells, params.cell_text_documents, ()))

    @server.feature(types.NOTEBOOK_DOCUMENT_DID_CHANGE)
    def did_change(params: types.DidChangeNotebookDocumentParams) -> None:
        uri, cells = params.notebook_document.uri, params.change.cells
        if cells is None:
            return
        server.completions.invalidate(uri)
        if cells.structure:
            array = cells.structure.array
            new = _cells(array.cells or (), cells.structure.did_open or (), notebooks.cells(uri))
            notebooks.splice(uri, array.start, array.delete_count, new)
        for change in cells.text_content or ():
            server.completions.invalidate(change.document.uri)
            changes = [change_of(part) for part in change.changes]
            notebooks.change(change.document.uri, change.document.version, changes, server.documents.encoding)

    @server.feature(types.NOTEBOOK_DOCUMENT_DID_CLOSE)
    def did_close(params: types.DidCloseNotebookDocumentParams) -> None:
        server.completions.invalidate(params.notebook_document.uri)
        notebooks.close(params.notebook_document.uri)

    @server.feature(types.NOTEBOOK_DOCUMENT_DID_SAVE)
    def did_save(params: types.DidSaveNotebookDocumentParams) -> None:
        server.documents.save(params.notebook_document.uri)


def _cells(
    cells: Iterable[types.NotebookCell], opened: Iterable[types.TextDocumentItem], known: Iterable[Cell]
) -> list[Cell]:
    """`cells` with their texts: those that were `opened` with them, else those that are `known`, of cells that moved."""
    texts = {cell.uri: cell for cell in known} | {
        item.uri: Cell(item.uri, True, item.language_id, item.version, Lines(item.text)) for item in opened
    }
    found = []
    for cell in cells:
        text = texts.get(cell.document) or Cell(cell.document, True)
        text.is_code = cell.kind is types.NotebookCellKind.Code
        found.append(text)
    return found
