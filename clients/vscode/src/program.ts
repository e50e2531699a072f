// Whether the program `scrubjay` can be run, and what to tell where it cannot.

import { execFile } from "node:child_process";

export const INSTALL = "pipx install scrubjay";

/** Why `program` cannot be run, in one sentence; undefined if it can. */
export function whyNotRunnable(program: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    execFile(program, ["--version"], { timeout: 30_000 }, (error) => resolve(error ? reason(program, error) : undefined));
  });
}

function reason(program: string, error: Error & { code?: unknown }): string {
  if (error.code === "ENOENT") return `The program "${program}" was not found. Install it: ${INSTALL}`;
  if (error.code === "EACCES") return `The program "${program}" may not be run: permission denied.`;
  return `The program "${program}" does not work: ${error.message.trim().split("\n").at(-1)}`;
}
