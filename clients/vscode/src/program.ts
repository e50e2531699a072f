// Whether the program `scrubjay` can be run, and what to tell where it cannot.

import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { delimiter, join } from "node:path";

const NAME = "scrubjay";

/** To be run in a checkout of Scrubjay. */
export const INSTALL = "pipx install .";
/** Where programs are run. Not in the project: nothing of it may be taken for a part of Scrubjay, least of all where it is not trusted. */
export const FOLDER = "/";
/** Keeps Python from importing what is in the folder where it runs, even if `scrubjay` is a script around it. */
export const ENVIRONMENT = { PYTHONSAFEPATH: "1" };

/** `program` as it can be run: one of the usual name may be where pipx and uv put it, which desktops often have on no `PATH`. */
export function located(program: string, home: string = homedir(), path: string = process.env.PATH ?? ""): string {
  if (program !== NAME || path.split(delimiter).some((folder) => folder && existsSync(join(folder, NAME)))) return program;
  const usual = join(home, ".local", "bin", NAME);
  return existsSync(usual) ? usual : program;
}

/** Why `program` cannot be run, in one sentence; undefined if it can. */
export function whyNotRunnable(program: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const options = { timeout: 30_000, cwd: FOLDER, env: { ...process.env, ...ENVIRONMENT } };
    execFile(program, ["--version"], options, (error) => resolve(error ? reason(program, error) : undefined));
  });
}

function reason(program: string, error: Error & { code?: unknown }): string {
  if (error.code === "ENOENT") return `The program "${program}" was not found. Install it from a checkout of Scrubjay: ${INSTALL}`;
  if (error.code === "EACCES") return `The program "${program}" may not be run: permission denied.`;
  return `The program "${program}" does not work: ${error.message.trim().split("\n").at(-1)}`;
}
