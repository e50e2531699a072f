"""The completion menu: `textDocument/completion`, for editors that have no ghost text."""

from lsprotocol import types

from scrubjay.positions import Position
from scrubjay_lsp.completions import CompletionQuery
from scrubjay_lsp.items import menu_items
from scrubjay_lsp.server import ScrubjayServer

TRIGGER_CHARACTERS = [".", "(", "[", "{", ":", "=", ",", " "]


def register(server: ScrubjayServer) -> None:
    """Answer with one to three entries. It is never complete, so that editors ask again as the user types."""
    options = types.CompletionOptions(resolve_provider=False)

    # Whether a request came unbidden can only be told when a trigger character caused it.
    def is_wanted(context: types.CompletionContext | None) -> bool:
        popup = server.settings.completion.popup
        unbidden = context is not None and context.trigger_kind == types.CompletionTriggerKind.TriggerCharacter
        return popup == "automatic" or (popup == "invoked" and not unbidden)

    @server.feature(types.TEXT_DOCUMENT_COMPLETION, options)
    async def completion(params: types.CompletionParams) -> types.CompletionList:
        position = Position(params.position.line, params.position.character)
        uri, in_document = server.notebooks.locate(params.text_document.uri, position)
        settings, document = server.settings, server.documents.find(uri)
        if document is None or not is_wanted(params.context) or not settings.completes(document.language):
            return types.CompletionList(is_incomplete=False, items=[])
        before = document.lines.before(in_document, server.documents.encoding)
        query = CompletionQuery(
            purpose="menu",
            uri=params.text_document.uri,
            position=position,
            invoked=True,
            n=settings.completion.max_items,
            max_prompt_ms=settings.completion.max_prompt_ms,
            max_tokens=settings.max_tokens,
        )
        suggestions = await server.completions.request(query)
        items = menu_items(suggestions, before, document.language, markdown=_reads_markdown(server.client_capabilities))
        return types.CompletionList(is_incomplete=True, items=items)

    def set_trigger_characters(_params: types.InitializeParams) -> None:
        options.trigger_characters = TRIGGER_CHARACTERS if server.settings.completion.popup == "automatic" else None

    server.on_initialize.append(set_trigger_characters)


def _reads_markdown(capabilities: types.ClientCapabilities) -> bool:
    completion = capabilities.text_document and capabilities.text_document.completion
    item = completion and completion.completion_item
    return bool(item and types.MarkupKind.Markdown in (item.documentation_format or []))
