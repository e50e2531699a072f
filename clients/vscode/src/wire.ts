// What the language server and the daemon say, as far as it is shown here. All numbers are tokens unless they say otherwise.

export interface Span {
  kind: string;
  label: string;
  start: number;
  end: number;
}

/** What one prompt cost; `ms` is time in the model. */
export interface Cost {
  uri: string;
  processed: number;
  needed: number;
  ms: number;
  reason: string;
}

/** The answer of the language server's command `scrubjay.context`. */
export interface Context {
  root: string;
  segments: Span[];
  checkpoints: number[];
  n_resident: number;
  n_ctx: number;
  interval: number;
  edits: Cost[];
}

/** The notification `scrubjay/state`: what the daemon does with its model. */
export interface DaemonState {
  state: string;
  message: string;
  load: { stage: string; fraction: number } | null;
}

/** The part of `GET /api/status` that is shown. */
export interface DaemonStatus extends DaemonState {
  version: string;
  model: { name: string; memory_class: string; n_ctx: number } | null;
  projects: { root: string; name: string }[];
  checkpoints: { count: number; bytes: number; budget: number };
}

/** The answer of the language server's command `scrubjay.status`. */
export interface Status {
  daemon: DaemonStatus | null;
  lsp: { link: string; message: string };
}

/** A station between the editor and the model, of the answer of `scrubjay.diagnose`; `help` is empty if it is `ok`. */
export interface Finding {
  ok: boolean;
  what: string;
  help: string;
}

/** The answer of `scrubjay.prompt`: what the model is shown at a place, as it gets it, and why. */
export interface Prompt {
  tokens: number;
  parts: { kind: string; label: string; n_tokens: number; reason: string; text: string }[];
  problem: string;
}

/** Where ghost text was asked for; as the notification `scrubjay/ready`, one that was answered with nothing would now be answered. */
export interface Place {
  uri: string;
  version: number;
  position: { line: number; character: number };
}

/** One of the answer of `textDocument/copilotInlineEdit`: `text` is proposed in the place of `range`. */
export interface NextEdit {
  text: string;
  range: { start: Place["position"]; end: Place["position"] };
  textDocument: { uri: string; version: number };
  command: { title: string; command: string; arguments: number[] };
}

/** The notification `didChangeStatus`: how the connection to the daemon is. */
export interface Connection {
  kind: "Normal" | "Inactive" | "Error";
}
