// What the user can have done: the commands, and the menu of them.

import { homedir } from "node:os";
import {
  commands,
  ProcessExecution,
  Task,
  TaskPanelKind,
  TaskRevealKind,
  tasks,
  TaskScope,
  ViewColumn,
  window,
  workspace,
  type ExtensionContext,
  type QuickPickItem,
  type TextDocument,
} from "vscode";
import * as config from "./config";
import { findingLines, promptLines } from "./findings";
import { completes, toggled } from "./languages";
import { openSettings, type LanguageServer } from "./languageServer";
import { ENVIRONMENT, FOLDER } from "./program";
import type { Place } from "./wire";

const PAUSE_MS = 60 * 60 * 1000;
let paused: NodeJS.Timeout | undefined;

type Choice = QuickPickItem & { command: string };

export function activate(context: ExtensionContext, server: LanguageServer): void {
  const handlers: Record<string, () => unknown> = {
    "scrubjay.trigger": () => commands.executeCommand("editor.action.inlineSuggest.trigger"),
    "scrubjay.toggle": () => toggle(),
    "scrubjay.toggleLanguage": toggleLanguage,
    "scrubjay.menu": () => (server.missing ? server.help() : showMenu()),
    "scrubjay.why": () => diagnose(server),
    "scrubjay.showPrompt": () => showPrompt(server),
    "scrubjay.pause": () => pause(context),
    "scrubjay.setup": () => (server.missing ? server.help() : setUp()),
    "scrubjay.openSettings": () => openSettings("scrubjay"),
    "scrubjay.showLog": () => server.log.show(),
    "scrubjay.restartServer": () => server.restart(),
    "scrubjay.restartDaemon": () => server.execute("scrubjay.restart"),
  };
  for (const [name, handler] of Object.entries(handlers)) context.subscriptions.push(commands.registerCommand(name, handler));
}

async function toggleLanguage(): Promise<void> {
  const language = window.activeTextEditor?.document.languageId;
  if (language) await config.update("languages", toggled(config.languages(), language));
  else void window.showInformationMessage("Scrubjay: open a file of the language first.");
}

/** Say from the editor to the model where ghost text ends, in a document beside. */
async function diagnose(server: LanguageServer): Promise<void> {
  const place = cursor("where you miss ghost text");
  if (!place) return;
  const { document, position } = place;
  const findings = await server.diagnose(document.uri.toString(), position);
  const isAsked = workspace.getConfiguration("editor", document).get<boolean>("inlineSuggest.enabled", true);
  await showBeside(findingLines(findings, isAsked, server.missing));
}

/** What the model is shown where the cursor is, in a document beside. */
async function showPrompt(server: LanguageServer): Promise<void> {
  const place = cursor("for which you want to see the prompt");
  if (place) await showBeside(promptLines(await server.prompt(place.document.uri.toString(), place.position)));
}

/** The document with the cursor, and where in it that is; where there is none, say where to put it. */
function cursor(where: string): { document: TextDocument; position: Place["position"] } | undefined {
  const editor = window.activeTextEditor;
  if (!editor) return void window.showInformationMessage(`Scrubjay: put the cursor to the place ${where}, then ask again.`);
  const { line, character } = editor.selection.active;
  return { document: editor.document, position: { line, character } };
}

async function showBeside(lines: string[]): Promise<void> {
  const report = await workspace.openTextDocument({ content: lines.join("\n"), language: "plaintext" });
  await window.showTextDocument(report, { viewColumn: ViewColumn.Beside, preserveFocus: true });
}

/** Run `scrubjay setup` where the user sees it, and can answer; not in the project, of which nothing may be taken for a part of it. */
async function setUp(): Promise<void> {
  // A window without a folder is not trusted, and VS Code runs nothing in it but at home.
  const cwd = workspace.workspaceFolders ? FOLDER : homedir();
  const execution = new ProcessExecution(config.program(), ["setup"], { cwd, env: ENVIRONMENT });
  // A task, because a terminal without one closes when the program ends, and takes away what it has said.
  const task = new Task({ type: "process" }, TaskScope.Workspace, "setup", "Scrubjay", execution);
  task.presentationOptions = { focus: true, reveal: TaskRevealKind.Always, panel: TaskPanelKind.Dedicated };
  await tasks.executeTask(task);
}

/** Switch ghost text on or off; a pause is over then. */
function toggle(isOn = !config.isEnabled()): Thenable<void> {
  clearTimeout(paused);
  return config.update("inline.enabled", isOn);
}

/** No ghost text for an hour; switching it on, or off, ends that. */
async function pause(context: ExtensionContext): Promise<void> {
  await config.update("inline.enabled", false);
  clearTimeout(paused);
  paused = setTimeout(() => void toggle(true), PAUSE_MS);
  context.subscriptions.push({ dispose: () => clearTimeout(paused) });
  void window.showInformationMessage("Scrubjay: no ghost text for an hour, or until you switch it on.");
}

async function showMenu(): Promise<void> {
  const choice = await window.showQuickPick(choices(), { title: "Scrubjay" });
  if (choice) await commands.executeCommand(choice.command);
}

function choices(): Choice[] {
  const language = window.activeTextEditor?.document.languageId;
  const turn = (isOn: boolean) => (isOn ? "off" : "on");
  return [
    { label: "$(graph) Show the model's context", command: "scrubjay.showStatus" },
    { label: `$(sparkle) Switch ghost text ${turn(config.isEnabled())}`, command: "scrubjay.toggle" },
    ...(language
      ? [{ label: `$(code) Switch ghost text ${turn(completes(config.languages(), language))} for ${language}`, command: "scrubjay.toggleLanguage" }]
      : []),
    ...(config.isEnabled() ? [{ label: "$(clock) Pause for an hour", command: "scrubjay.pause" }] : []),
    { label: "$(list-flat) Show the prompt at the cursor", command: "scrubjay.showPrompt" },
    { label: "$(question) Why no ghost text here?", command: "scrubjay.why" },
    { label: "$(gear) Settings", command: "scrubjay.openSettings" },
    { label: "$(output) Show the log", command: "scrubjay.showLog" },
    { label: "$(debug-restart) Restart the language server", command: "scrubjay.restartServer" },
    { label: "$(server-process) Restart the daemon", description: "for all editors", command: "scrubjay.restartDaemon" },
  ];
}
