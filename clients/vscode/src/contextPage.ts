// The view of the model's context as a page without scripts. Pure: no VS Code in here.

import { count } from "./summary";
import type { Context, Cost, Span, Status } from "./wire";

const STYLE = `
body { font-family: var(--vscode-font-family); color: var(--vscode-foreground); padding: 0 1.5em 1.5em; }
svg { width: 100%; height: 3.2em; display: block; }
table { border-collapse: collapse; margin: .5em 0 1.5em; }
th, td { text-align: left; padding: .15em 1.2em .15em 0; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
.quiet { color: var(--vscode-descriptionForeground); }
.file { fill: var(--vscode-charts-blue); } .other { fill: var(--vscode-charts-purple); }
.cold { fill: var(--vscode-editor-background); opacity: .6; } .mark { stroke: var(--vscode-charts-yellow); }
rect { stroke: var(--vscode-editor-background); }
`;

/** The page for what is known; `nonce` allows its style and nothing else. */
export function contextPage(status: Status | undefined, context: Context | undefined, nonce: string): string {
  return `<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'nonce-${nonce}'">
<style nonce="${nonce}">${STYLE}</style><title>Scrubjay</title></head>
<body><h2>Scrubjay</h2>${about(status)}${context ? project(context) : nothing}</body></html>`;
}

const nothing = `<p class="quiet">Nothing has been read of this project yet: type in one of its files.</p>`;

function about(status: Status | undefined): string {
  const daemon = status?.daemon;
  if (!daemon) return `<p>${html(status?.lsp.message || "The daemon is not there yet.")}</p>`;
  const model = daemon.model ? `${html(daemon.model.name)}, memory ${html(daemon.model.memory_class)}` : "no model yet";
  const { count: n, bytes, budget } = daemon.checkpoints;
  return `<p>${html(daemon.state)}: ${model}</p>${daemon.message ? `<p>${html(daemon.message)}</p>` : ""}
<p class="quiet">${count(n)} checkpoints, ${megabytes(bytes)} of ${megabytes(budget)}</p>`;
}

function project(context: Context): string {
  return `<h3>${html(context.root)}</h3>
<p>${count(context.n_resident)} of ${count(context.n_ctx)} tokens are warm; checkpoints every ${count(context.interval)}.</p>
${strip(context)}${segments(context.segments)}<h3>Last prompts</h3>${costs(context.edits)}`;
}

/** Segments as boxes in proportion, what is not warm paler, checkpoints as marks. */
function strip(context: Context): string {
  const total = Math.max(context.n_resident, context.segments.at(-1)?.end ?? 0, 1);
  const x = (n: number) => ((1000 * n) / total).toFixed(2);
  const box = (start: number, end: number, name: string, title: string) =>
    `<rect class="${name}" x="${x(start)}" y="6" width="${x(Math.max(end - start, 0))}" height="34"><title>${title}</title></rect>`;
  const boxes = context.segments.map((span) =>
    box(span.start, span.end, span.kind === "file" ? "file" : "other", `${html(span.label || span.kind)}: ${count(span.end - span.start)} tokens`),
  );
  const marks = context.checkpoints.map((n) => `<line class="mark" x1="${x(n)}" x2="${x(n)}" y1="0" y2="46"/>`);
  const cold = box(context.n_resident, total, "cold", "not warm");
  return `<svg viewBox="0 0 1000 46" preserveAspectRatio="none">${boxes.join("")}${cold}${marks.join("")}</svg>`;
}

function segments(spans: Span[]): string {
  const rows = spans.map((span) => [html(span.kind), html(span.label), count(span.start), count(span.end - span.start)]);
  return table(["segment", "", "begins at", "tokens"], rows, 2);
}

/** The latest first. */
function costs(edits: Cost[]): string {
  const rows = [...edits].reverse().map((cost) => [
    html(fileName(cost.uri)),
    html(cost.reason),
    count(cost.processed),
    count(cost.needed),
    cost.ms.toFixed(0),
  ]);
  return table(["file", "why", "processed", "needed", "ms"], rows, 2);
}

/** The last part of `uri`; as it is written if it is not percent-encoded properly. */
function fileName(uri: string): string {
  const name = uri.split("/").at(-1) ?? "";
  try {
    return decodeURIComponent(name);
  } catch {
    return name;
  }
}

function table(heads: string[], rows: string[][], nTexts: number): string {
  const row = (cells: string[], tag: string) =>
    `<tr>${cells.map((cell, i) => `<${tag}${i < nTexts ? "" : ' class="n"'}>${cell}</${tag}>`).join("")}</tr>`;
  return `<table>${row(heads, "th")}${rows.map((cells) => row(cells, "td")).join("")}</table>`;
}

function megabytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(0)} MiB`;
}

function html(text: string): string {
  const signs: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };
  return text.replace(/[&<>"']/g, (sign) => signs[sign] ?? sign);
}
