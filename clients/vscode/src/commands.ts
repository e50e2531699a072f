// What the user can have done: the commands, and the menu of them.

import { commands, window, type ExtensionContext, type QuickPickItem } from "vscode";
import * as config from "./config";
import { completes, toggled } from "./languages";
import type { LanguageServer } from "./languageServer";

type Choice = QuickPickItem & { command: string };

export function activate(context: ExtensionContext, server: LanguageServer): void {
  const handlers: Record<string, () => unknown> = {
    "scrubjay.trigger": () => commands.executeCommand("editor.action.inlineSuggest.trigger"),
    "scrubjay.toggle": () => config.update("inline.enabled", !config.isEnabled()),
    "scrubjay.toggleLanguage": toggleLanguage,
    "scrubjay.menu": () => (server.missing ? server.help() : showMenu()),
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
    { label: "$(output) Show the log", command: "scrubjay.showLog" },
    { label: "$(debug-restart) Restart the language server", command: "scrubjay.restartServer" },
    { label: "$(server-process) Restart the daemon", description: "for all editors", command: "scrubjay.restartDaemon" },
  ];
}
