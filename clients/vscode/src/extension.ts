// The extension: a language server, and a file for each feature.

import { window, workspace, type ExtensionContext } from "vscode";
import * as actions from "./actions";
import { Observer } from "./observer";
import { Server } from "./server";
import * as statusBar from "./statusBar";
import * as statusView from "./statusView";

/** What the server reads only at its start. */
const AT_START = ["scrubjay.path", "scrubjay.socket", "scrubjay.startDaemon"];

let server: Server | undefined;

export async function activate(context: ExtensionContext): Promise<void> {
  const log = window.createOutputChannel("Scrubjay", { log: true });
  server = new Server(context, log);
  const started = server;
  const observer = new Observer(started);
  context.subscriptions.push(log, observer);
  actions.activate(context, started);
  statusBar.activate(context, observer);
  statusView.activate(context, observer);
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
