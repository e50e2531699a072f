"""Documents: opened, changed, closed, saved."""

from lsprotocol import types

from scrubjay.positions import Change, Position, PositionEncoding
from scrubjay_lsp.server import ScrubjayServer


def register(server: ScrubjayServer) -> None:
    """Keep the daemon's documents in step with the editor's."""
    documents = server.documents

    def begin(_params: types.InitializeParams) -> None:
        documents.encoding = _encoding(server.workspace.position_encoding)

    server.on_initialize.append(begin)

    @server.feature(types.TEXT_DOCUMENT_DID_OPEN)
    def did_open(params: types.DidOpenTextDocumentParams) -> None:
        document = params.text_document
        server.completions.invalidate(document.uri)
        documents.open(document.uri, document.language_id, document.version, document.text)

    @server.feature(types.TEXT_DOCUMENT_DID_CHANGE)
    def did_change(params: types.DidChangeTextDocumentParams) -> None:
        document = params.text_document
        server.completions.invalidate(document.uri)
        documents.change(document.uri, document.version, [change_of(change) for change in params.content_changes])

    @server.feature(types.TEXT_DOCUMENT_DID_CLOSE)
    def did_close(params: types.DidCloseTextDocumentParams) -> None:
        server.completions.invalidate(params.text_document.uri)
        documents.close(params.text_document.uri)

    @server.feature(types.TEXT_DOCUMENT_DID_SAVE, types.SaveOptions(include_text=False))
    def did_save(params: types.DidSaveTextDocumentParams) -> None:
        documents.save(params.text_document.uri)


def _encoding(chosen: str | None) -> PositionEncoding:
    """What pygls has agreed on with the editor."""
    match types.PositionEncodingKind(chosen):
        case types.PositionEncodingKind.Utf8:
            return "utf-8"
        case types.PositionEncodingKind.Utf32:
            return "utf-32"
    return "utf-16"


def change_of(change: types.TextDocumentContentChangeEvent) -> Change:
    """A change of the protocol as one of ours."""
    if isinstance(change, types.TextDocumentContentChangePartial):
        return Change(change.text, _position(change.range.start), _position(change.range.end))
    return Change(change.text)


def _position(position: types.Position) -> Position:
    return Position(position.line, position.character)
