// The extension: a language server, and a file for each feature.

import { window, workspace, type ExtensionContext } from "vscode";
import * as commands from "./commands";
import { LanguageServer } from "./languageServer";
import * as nextEdit from "./nextEdit";
import * as statusBar from "./statusBar";
import * as statusView from "./statusView";
import { StatusWatcher } from "./statusWatcher";

/** What the server reads only at its start. */
const AT_START = ["scrubjay.path", "scrubjay.socket", "scrubjay.startDaemon"];

let server: LanguageServer | undefined;

export async function activate(context: ExtensionContext): Promise<void> {
  const log = window.createOutputChannel("Scrubjay", { log: true });
  server = new LanguageServer(context, log);
  const started = server;
  const watcher = new StatusWatcher(started);
  context.subscriptions.push(log, watcher);
  commands.activate(context, started);
  nextEdit.activate(context, started);
  statusBar.activate(context, watcher);
  statusView.activate(context, watcher);
  context.subscriptions.push(
    workspace.onDidChangeConfiguration((change) => {
      if (AT_START.some((key) => change.affectsConfiguration(key))) void started.restart();
    }),
  );
  await started.restart();
}

export async function deactivate(): Promise<void> {
  await server?.stop();
}
