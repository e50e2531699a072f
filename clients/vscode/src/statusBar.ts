// The status bar's entry.

import { MarkdownString, StatusBarAlignment, ThemeColor, window, type ExtensionContext } from "vscode";
import type { StatusWatcher } from "./statusWatcher";
import { summarize, type Known } from "./summary";

const COLOURS = { normal: undefined, warning: "statusBarItem.warningBackground", error: "statusBarItem.errorBackground" };

export function activate(context: ExtensionContext, watcher: StatusWatcher): void {
  const item = window.createStatusBarItem("scrubjay.status", StatusBarAlignment.Right, 100);
  item.name = "Scrubjay";
  item.command = "scrubjay.menu";

  function show(known: Known): void {
    const summary = summarize(known);
    const colour = COLOURS[summary.severity];
    item.text = summary.text;
    item.tooltip = new MarkdownString(summary.tooltip);
    item.backgroundColor = colour ? new ThemeColor(colour) : undefined;
    item.accessibilityInformation = { label: summary.tooltip.split("\n")[0]?.replaceAll("*", "") ?? "Scrubjay" };
  }

  show(watcher.known);
  item.show();
  context.subscriptions.push(item, watcher.onChange(show));
}
