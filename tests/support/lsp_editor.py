"""An editor for tests: a buffer of its own, typed into and told to a real `scrubjay lsp` on a pipe."""

import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lsprotocol import types
from pytest_lsp import LanguageClient, make_test_lsp_client

from scrubjay.positions import PositionEncoding, n_units

READY = "scrubjay/ready"
ENCODINGS: dict[PositionEncoding, types.PositionEncodingKind] = {
    "utf-8": types.PositionEncodingKind.Utf8,
    "utf-16": types.PositionEncodingKind.Utf16,
    "utf-32": types.PositionEncodingKind.Utf32,
}


@dataclass
class Buffer:
    """A text as an editor has it; every edit is told to the server."""

    client: LanguageClient
    uri: str
    encoding: PositionEncoding
    text: str
    version: int = 1
    cursor: int = 0
    language: str = "python"

    def __post_init__(self) -> None:
        self.cursor = self.cursor or len(self.text)
        item = types.TextDocumentItem(self.uri, self.language, self.version, self.text)
        self.client.text_document_did_open(types.DidOpenTextDocumentParams(item))

    def position(self, offset: int) -> types.Position:
        """Where `offset` is, in the editor's encoding."""
        before = self.text[:offset]
        n_above = before.count("\n") + before.count("\r") - before.count("\r\n")
        start = max(before.rfind("\n"), before.rfind("\r")) + 1
        return types.Position(n_above, n_units(before[start:], self.encoding))

    def edit(self, edits: Iterable[tuple[int, int, str]]) -> None:
        """Replace [start, end) by a text, one edit after the other, all told at once; the cursor follows the last.

        Each edit is taken from `edits` when those before it are made.
        """
        changes: list[types.TextDocumentContentChangeEvent] = []
        for start, end, new in edits:
            area = types.Range(self.position(start), self.position(end))
            changes.append(types.TextDocumentContentChangePartial(area, new))
            self.text = self.text[:start] + new + self.text[end:]
            self.cursor = start + len(new)
        self._tell(changes)

    def type(self, text: str) -> None:
        """Insert `text` at the cursor."""
        self.edit([(self.cursor, self.cursor, text)])

    def replace_all(self, text: str) -> None:
        """Send the whole text again."""
        self.text, self.cursor = text, len(text)
        self._tell([types.TextDocumentContentChangeWholeDocument(text)])

    def save(self) -> None:
        """Tell that it was written to disk."""
        self.client.text_document_did_save(types.DidSaveTextDocumentParams(self.identifier))

    def close(self) -> None:
        """Close it."""
        self.client.text_document_did_close(types.DidCloseTextDocumentParams(self.identifier))

    @property
    def identifier(self) -> types.TextDocumentIdentifier:
        return types.TextDocumentIdentifier(self.uri)

    def inline_params(
        self, kind: types.InlineCompletionTriggerKind = types.InlineCompletionTriggerKind.Automatic
    ) -> types.InlineCompletionParams:
        """What asks for ghost text at the cursor."""
        context = types.InlineCompletionContext(kind)
        return types.InlineCompletionParams(context, self.identifier, self.position(self.cursor))

    async def inline(
        self, kind: types.InlineCompletionTriggerKind = types.InlineCompletionTriggerKind.Automatic
    ) -> list[types.InlineCompletionItem]:
        """Ghost text at the cursor."""
        answer = await self.client.text_document_inline_completion_async(self.inline_params(kind))
        assert isinstance(answer, types.InlineCompletionList)
        return list(answer.items)

    async def menu(self, kind: types.CompletionTriggerKind | None = None) -> types.CompletionList:
        """The completion menu at the cursor."""
        context = types.CompletionContext(kind) if kind else None
        params = types.CompletionParams(self.identifier, self.position(self.cursor), context)
        answer = await self.client.text_document_completion_async(params)
        assert isinstance(answer, types.CompletionList)
        return answer

    def accept(self, item: types.InlineCompletionItem) -> None:
        """Insert it, as an editor does."""
        assert isinstance(item.insert_text, str)
        self.type(item.insert_text)

    def _tell(self, changes: list[types.TextDocumentContentChangeEvent]) -> None:
        self.version += 1
        identifier = types.VersionedTextDocumentIdentifier(version=self.version, uri=self.uri)
        self.client.text_document_did_change(types.DidChangeTextDocumentParams(identifier, changes))


@dataclass
class Editor:
    """One editor with its own language server."""

    client: LanguageClient
    root: Path
    encoding: PositionEncoding = "utf-16"
    result: types.InitializeResult | None = None
    buffers: dict[str, Buffer] = field(default_factory=dict)

    @classmethod
    async def start(
        cls,
        root: Path,
        socket: Path | None,
        capabilities: types.ClientCapabilities | None = None,
        options: dict[str, Any] | None = None,
        environment: dict[str, str] | None = None,
    ) -> "Editor":
        """Start the server for the workspace folder `root` and introduce ourselves."""
        client = make_test_lsp_client()
        env = {**os.environ, **(environment or {})}
        place = ["--socket", str(socket)] if socket else []
        await client.start_io(sys.executable, "-m", "scrubjay", "lsp", "--stdio", *place, env=env)
        editor = cls(client, root)
        editor.result = await client.initialize_session(
            types.InitializeParams(
                capabilities=capabilities or types.ClientCapabilities(),
                initialization_options=options,
                workspace_folders=[types.WorkspaceFolder(root.as_uri(), root.name)],
            )
        )
        chosen = editor.result.capabilities.position_encoding
        editor.encoding = next(name for name, kind in ENCODINGS.items() if kind == chosen)
        return editor

    async def stop(self) -> None:
        """Leave in good order."""
        await self.client.shutdown_session()
        await self.client.stop()  # type: ignore[no-untyped-call]

    @property
    def process(self) -> Any:
        """The language server's process."""
        return self.client._server

    def open(self, name: str, text: str, language: str = "python") -> Buffer:
        """Open a buffer for a file of the workspace, which need not exist."""
        uri = (self.root / name).as_uri()
        self.buffers[name] = Buffer(self.client, uri, self.encoding, text, language=language)
        return self.buffers[name]

    async def command(self, name: str, *arguments: Any) -> Any:
        """Have the server execute `scrubjay.NAME`."""
        params = types.ExecuteCommandParams(f"scrubjay.{name}", arguments=list(arguments))
        return await self.client.workspace_execute_command_async(params)

    async def ask(self, method: str, params: Any) -> Any:
        """The answer to any request."""
        return await self.client.protocol.send_request_async(method, params)  # type: ignore[no-untyped-call]

    async def status(self) -> dict[str, Any]:
        """What the language server says of itself."""
        status: dict[str, Any] = (await self.command("status"))["lsp"]
        return status

    async def synchronised(self) -> Any:
        """Return when the daemon has heard everything (answers come in the order of the questions); its status."""
        while (status := (await self.command("status"))["daemon"]) is None:
            pass
        return status


def with_encodings(*encodings: PositionEncoding) -> types.ClientCapabilities:
    """Capabilities of an editor that offers these encodings."""
    kinds = [ENCODINGS[encoding] for encoding in encodings]
    return types.ClientCapabilities(general=types.GeneralClientCapabilities(position_encodings=kinds))
