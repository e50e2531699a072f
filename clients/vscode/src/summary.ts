// What the status bar says. Pure: no VS Code in here.

import type { Context, Status } from "./wire";

/** The name of the model that comes with Scrubjay. */
const STARTER = "Scrubjay starter";

/** What is known at a moment. `missing`: the program cannot be run. */
export interface Known {
  enabled: boolean;
  /** The language of the file in the editor, if ghost text is switched off for it. */
  offFor?: string | undefined;
  missing?: boolean;
  status?: Status | undefined;
  context?: Context | undefined;
}

export interface Summary {
  text: string;
  /** Markdown. */
  tooltip: string;
  severity: "normal" | "warning" | "error";
}

/** The status bar's entry for what is `known`. */
export function summarize(known: Known): Summary {
  const daemon = known.status?.daemon;
  if (known.missing) return entry("error", "not found", ["The program `scrubjay` cannot be run.", "Click for help."], "error");
  if (known.status?.lsp.link === "failed") return entry("error", "no daemon", [escape(known.status.lsp.message)], "error");
  if (daemon?.state === "failed") return entry("error", "no model", [escape(daemon.message)], "error");
  if (!known.enabled) return entry("circle-slash", "off", ["Ghost text is switched off.", ...details(known)]);
  if (known.offFor) return entry("circle-slash", "off", [`Ghost text is switched off for ${escape(known.offFor)}.`, ...details(known)]);
  if (!daemon) return entry("loading~spin", "starting", ["Waiting for the daemon."]);
  if (daemon.state === "loading") return entry("loading~spin", "loading", [loading(known), ...details(known)]);
  if (daemon.state === "unloaded")
    return entry("circle-outline", "unloaded", ["The model's memory is free; the next completion loads it again.", ...details(known)]);
  return entry("check", daemon.state === "ready" ? "ready" : escape(daemon.state), details(known));
}

function entry(icon: string, state: string, lines: string[], severity: Summary["severity"] = "normal"): Summary {
  return { text: `$(${icon}) Scrubjay`, tooltip: [`**Scrubjay: ${state}**`, ...lines].join("\n\n"), severity };
}

function loading(known: Known): string {
  const load = known.status?.daemon?.load;
  return load ? `Loading the model: ${escape(load.stage)}, ${Math.round(100 * load.fraction)} %` : "Loading the model.";
}

function details(known: Known): string[] {
  const model = known.status?.daemon?.model;
  const context = known.context;
  const cost = context?.edits.at(-1);
  return [
    ...(model ? [`Model: ${escape(model.name)} (${escape(model.memory_class)})`] : []),
    ...(model?.name === STARTER ? ["It is small, and a stand-in: `scrubjay model recommend` names better ones."] : []),
    ...(context ? [`Warm: ${count(context.n_resident)} of ${count(context.n_ctx)} tokens, ${context.checkpoints.length} checkpoints`] : []),
    ...(cost ? [`Last cost: ${count(cost.processed)} tokens, ${count(cost.needed)} needed, ${cost.ms.toFixed(0)} ms (${escape(cost.reason)})`] : []),
  ];
}

/** `n` with its thousands set apart, the same in every language. */
export function count(n: number): string {
  return n.toLocaleString("en-US");
}

/** `text` so that Markdown shows it as it is. */
function escape(text: string): string {
  return text.replace(/[\\`*_{}[\]()#+\-.!|<>~$]/g, "\\$&");
}
