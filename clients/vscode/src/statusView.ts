// The view of the model's context: what it has read, where its checkpoints stand, what the last prompts cost.

import { randomBytes } from "node:crypto";
import { commands, ViewColumn, window, type ExtensionContext, type WebviewPanel } from "vscode";
import { contextPage } from "./contextPage";
import type { StatusWatcher } from "./statusWatcher";

export function activate(context: ExtensionContext, watcher: StatusWatcher): void {
  let panel: WebviewPanel | undefined;

  function draw(): void {
    const { status, context } = watcher.known;
    if (panel?.visible) panel.webview.html = contextPage(status, context, randomBytes(16).toString("hex"));
  }

  function show(): void {
    panel ??= open();
    panel.reveal();
    draw();
    watcher.look();
  }

  function open(): WebviewPanel {
    const made = window.createWebviewPanel("scrubjay.status", "Scrubjay", ViewColumn.Beside, { enableScripts: false });
    made.onDidChangeViewState(draw);
    made.onDidDispose(() => (panel = undefined));
    return made;
  }

  context.subscriptions.push(
    commands.registerCommand("scrubjay.showStatus", show),
    watcher.onChange(draw),
    { dispose: () => panel?.dispose() },
  );
}
