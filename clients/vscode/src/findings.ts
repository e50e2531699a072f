// Why there is no ghost text, and what the model is shown, as lines of text. Pure: no VS Code in here.

import type { Finding, Prompt } from "./wire";

/** What is shown of `findings`, which are missing if there is no language server; `isAsked`: VS Code asks for ghost text at all. */
export function findingLines(findings: Finding[] | undefined, isAsked: boolean, missing: string | undefined): string[] {
  const own: Finding[] = [
    { ok: isAsked, what: "VS Code asks for ghost text here", help: "the setting editor.inlineSuggest.enabled is off" },
    { ok: !missing, what: "the program scrubjay can be run", help: missing ?? "" },
    { ok: findings !== undefined, what: "the language server answers", help: "the command Scrubjay: Restart the Language Server; its log says more" },
  ];
  return ["Why no ghost text here? The first line that is not ok is the reason.", "", ...[...own, ...(findings ?? [])].map(line)];
}

/** What is shown of a prompt: each part's size and reason, then its text; or the sentence that says why there is none. */
export function promptLines(prompt: Prompt | { error: string } | undefined): string[] {
  if (!prompt) return ["The language server does not answer; the command Scrubjay: Restart the Language Server may help."];
  if ("error" in prompt) return [prompt.error];
  const parts = prompt.parts.flatMap(({ kind, label, n_tokens, reason, text }) => [`--- ${kind} ${label}: ${n_tokens} tokens; ${reason}`, text]);
  const problem = prompt.problem ? [prompt.problem, ""] : [];
  return [`What the model is shown at the cursor, ${prompt.tokens} tokens, after a pause there.`, "", ...problem, ...parts];
}

function line({ ok, what, help }: Finding): string {
  return ok ? `ok      ${what}` : `NOT OK  ${what}: ${help}`;
}
