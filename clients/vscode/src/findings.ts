// Why there is no ghost text, as lines of text. Pure: no VS Code in here.

import type { Finding } from "./wire";

/** What is shown of `findings`, which are missing if there is no language server; `isAsked`: VS Code asks for ghost text at all. */
export function findingLines(findings: Finding[] | undefined, isAsked: boolean, missing: string | undefined): string[] {
  const own: Finding[] = [
    { ok: isAsked, what: "VS Code asks for ghost text here", help: "the setting editor.inlineSuggest.enabled is off" },
    { ok: !missing, what: "the program scrubjay can be run", help: missing ?? "" },
    { ok: findings !== undefined, what: "the language server answers", help: "the command Scrubjay: Restart the Language Server; its log says more" },
  ];
  return ["Why no ghost text here? The first line that is not ok is the reason.", "", ...[...own, ...(findings ?? [])].map(line)];
}

function line({ ok, what, help }: Finding): string {
  return ok ? `ok      ${what}` : `NOT OK  ${what}: ${help}`;
}
