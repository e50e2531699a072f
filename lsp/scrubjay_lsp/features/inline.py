"""Ghost text: `textDocument/inlineCompletion` of LSP 3.18, which Copilot's clients speak as well."""

from lsprotocol import types

from scrubjay.positions import Position
from scrubjay_lsp.completions import CompletionQuery
from scrubjay_lsp.items import inline_items
from scrubjay_lsp.server import ScrubjayServer


def register(server: ScrubjayServer) -> None:
    """Answer with up to `inline.maxItems` texts."""

    @server.feature(types.TEXT_DOCUMENT_INLINE_COMPLETION, types.InlineCompletionOptions())
    async def inline_completion(params: types.InlineCompletionParams) -> types.InlineCompletionList:
        position = Position(params.position.line, params.position.character)
        uri, _ = server.notebooks.locate(params.text_document.uri, position)
        settings, document = server.settings, server.documents.find(uri)
        if document is None or not settings.inline.enabled or not settings.completes(document.language):
            return types.InlineCompletionList(items=[])
        invoked = params.context.trigger_kind == types.InlineCompletionTriggerKind.Invoked
        query = CompletionQuery(
            purpose="inline",
            uri=params.text_document.uri,
            position=position,
            invoked=invoked,
            n=settings.inline.max_items if invoked else 1,
            max_prompt_ms=settings.inline.max_prompt_ms,
            max_tokens=settings.max_tokens,
            can_replace=settings.inline.replace and _reads_ranges(server.client_capabilities),
        )
        return types.InlineCompletionList(items=inline_items(await server.completions.request(query)))


def _reads_ranges(capabilities: types.ClientCapabilities) -> bool:
    """Editors that say they have inline completions have them as the protocol does, with a range to replace."""
    return bool(capabilities.text_document and capabilities.text_document.inline_completion)
