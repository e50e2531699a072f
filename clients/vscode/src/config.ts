// The settings; nothing else reads or writes them.

import { ConfigurationTarget, workspace } from "vscode";
import type { Languages } from "./languages";
import { located } from "./program";

export const SECTION = "scrubjay";

function get<T>(key: string, fallback: T): T {
  return workspace.getConfiguration(SECTION).get<T>(key, fallback);
}

export const program = () => located(get("path", "scrubjay") || "scrubjay");
export const isEnabled = () => get("inline.enabled", true);
export const nextEdit = () => get<Languages>("nextEdit", {});
export const languages = () => get<Languages>("languages", {});

/** Write a setting where it is set already, else for the user. */
export function update(key: string, value: unknown): Thenable<void> {
  const configuration = workspace.getConfiguration(SECTION);
  const isOfWorkspace = configuration.inspect(key)?.workspaceValue !== undefined;
  return configuration.update(key, value, isOfWorkspace ? ConfigurationTarget.Workspace : ConfigurationTarget.Global);
}

/** What the language server is told at its start; later it asks for the section itself. */
export function initializationOptions(version: string): object {
  return {
    inline: get("inline", {}),
    languages: languages(),
    nextEdit: nextEdit(),
    maxTokens: get("maxTokens", 0),
    progress: get("progress", true),
    startDaemon: get("startDaemon", true),
    socket: get("socket", ""),
    model: get("model", ""),
    // VS Code has ghost text; the menu would only repeat it.
    completion: { popup: "off" },
    // A client that says this is told when the link to the daemon changes (`didChangeStatus`).
    editorPluginInfo: { name: "scrubjay-vscode", version },
  };
}
