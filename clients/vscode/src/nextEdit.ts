// Next edits: where the same is to be done once more, shown in its place. Tab goes there, and Tab again makes it; Escape drops it.

import {
  CancellationTokenSource,
  commands,
  MarkdownString,
  Range,
  Selection,
  TextEditorRevealType,
  ThemeColor,
  Uri,
  window,
  workspace,
  WorkspaceEdit,
  type ExtensionContext,
  type TextDocument,
  type TextEditor,
} from "vscode";
import * as config from "./config";
import { proposes } from "./languages";
import type { LanguageServer } from "./languageServer";
import type { NextEdit } from "./wire";

/** How long the user must have stopped typing. */
const PAUSE_MS = 300;
/** While it is true, Tab and Escape are ours. */
const IS_SHOWN = "scrubjay.nextEditIsShown";

const removed = window.createTextEditorDecorationType({
  textDecoration: "line-through",
  backgroundColor: new ThemeColor("diffEditor.removedTextBackground"),
});
const inserted = window.createTextEditorDecorationType({});
const elsewhere = window.createTextEditorDecorationType({});

export function activate(context: ExtensionContext, server: LanguageServer): void {
  const nextEdits = new NextEdits(server);
  context.subscriptions.push(
    nextEdits,
    removed,
    inserted,
    elsewhere,
    commands.registerCommand("scrubjay.takeNextEdit", () => nextEdits.take()),
    commands.registerCommand("scrubjay.dropNextEdit", () => nextEdits.drop()),
    workspace.onDidChangeTextDocument(({ document, contentChanges }) => {
      if (contentChanges.length) nextEdits.changed(document);
    }),
    window.onDidChangeActiveTextEditor(() => nextEdits.show()),
  );
}

class NextEdits {
  private edit: NextEdit | undefined;
  private pause: NodeJS.Timeout | undefined;
  private question = new CancellationTokenSource();

  constructor(private readonly server: LanguageServer) {}

  /** A document has another text: what was proposed for the old one is not shown any more. */
  changed(document: TextDocument): void {
    if (document.uri.scheme === "output") return;
    this.clear();
    if (document === window.activeTextEditor?.document && proposes(config.nextEdit(), document.languageId))
      this.pause = setTimeout(() => void this.ask(document), PAUSE_MS);
  }

  /** Show what is proposed: in its place, or at the cursor where that is if it is in another document. */
  show(): void {
    for (const editor of window.visibleTextEditors) for (const kind of [removed, inserted, elsewhere]) editor.setDecorations(kind, []);
    const { edit } = this;
    const editor = window.activeTextEditor;
    void commands.executeCommand("setContext", IS_SHOWN, edit !== undefined);
    if (!edit || !editor) return;
    const hover = new MarkdownString().appendText("Next edit: Tab goes there and makes it, Escape drops it.").appendCodeblock(edit.text, editor.document.languageId);
    if (editor.document.uri.toString() === edit.textDocument.uri) {
      const range = rangeOf(edit);
      editor.setDecorations(removed, range.isEmpty ? [] : [{ range, hoverMessage: hover }]);
      editor.setDecorations(inserted, [{ range: endOf(range), hoverMessage: hover, renderOptions: { after: text(edit.text) } }]);
    } else {
      const end = editor.document.lineAt(editor.selection.active.line).range.end;
      const place = `${workspace.asRelativePath(Uri.parse(edit.textDocument.uri))}:${edit.range.start.line + 1}`;
      editor.setDecorations(elsewhere, [{ range: new Range(end, end), hoverMessage: hover, renderOptions: { after: text(`  ⇥ ${place}`) } }]);
    }
  }

  /** Go where the edit is; where the user is there, make it. */
  async take(): Promise<void> {
    const { edit } = this;
    if (!edit) return;
    const range = rangeOf(edit);
    const document = await workspace.openTextDocument(Uri.parse(edit.textDocument.uri));
    const active = window.activeTextEditor;
    if (active?.document === document && isAt(active, range)) return this.make(edit, document);
    const editor = await window.showTextDocument(document);
    editor.selection = new Selection(range.start, range.start);
    editor.revealRange(range, TextEditorRevealType.InCenterIfOutsideViewport);
    this.show();
  }

  /** The user does not want it. */
  drop(): void {
    if (this.edit) void this.server.execute("scrubjay.rejectEdit", ...this.edit.command.arguments);
    this.clear();
  }

  dispose(): void {
    this.clear();
  }

  private async make(edit: NextEdit, document: TextDocument): Promise<void> {
    this.clear();
    if (document.version !== edit.textDocument.version) return;
    const change = new WorkspaceEdit();
    change.replace(document.uri, rangeOf(edit), edit.text);
    if (await workspace.applyEdit(change)) await this.server.execute("scrubjay.acceptEdit", ...edit.command.arguments);
  }

  private async ask(document: TextDocument): Promise<void> {
    const editor = window.activeTextEditor;
    if (editor?.document !== document) return;
    const { token } = this.question;
    const edit = await this.server.nextEdit(document, editor.selection.active, token);
    if (!edit || token.isCancellationRequested) return;
    this.edit = edit;
    this.show();
    await this.server.tellShown(edit);
  }

  private clear(): void {
    clearTimeout(this.pause);
    this.question.cancel();
    this.question = new CancellationTokenSource();
    this.edit = undefined;
    this.show();
  }
}

function rangeOf({ range: { start, end } }: NextEdit): Range {
  return new Range(start.line, start.character, end.line, end.character);
}

/** Where the new text is shown: after the last character that goes. An edit of whole lines ends at the beginning of the next one. */
function endOf(range: Range): Range {
  const isLineEnd = range.end.character === 0 && range.end.line > range.start.line;
  const end = isLineEnd ? range.end.with(range.end.line - 1, Number.MAX_SAFE_INTEGER) : range.end;
  return new Range(end, end);
}

/** Whether the user is in one of the lines that change. */
function isAt(editor: TextEditor, range: Range): boolean {
  const { line } = editor.selection.active;
  return line >= range.start.line && line <= range.end.line;
}

/** Decorations are of one line. */
function text(shown: string): object {
  const contentText = shown.replace(/\r?\n$/, "").replace(/\r?\n/g, " ⏎ ");
  return { contentText, color: new ThemeColor("editorGhostText.foreground"), margin: "0 0 0 0.3em" };
}
