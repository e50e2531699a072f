// Asking the daemon over its Unix socket, for what the language server does not pass on.

import { request } from "node:http";
import type { Context } from "./wire";

const ANSWER_MS = 5000;

/** The context of the project at `root`; undefined where there is none yet. Rejects if the daemon cannot be asked. */
export function fetchContext(socketPath: string, root: string): Promise<Context | undefined> {
  return fetchJson<Context>(socketPath, `/api/context?root=${encodeURIComponent(root)}`);
}

function fetchJson<T>(socketPath: string, path: string): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    const asking = request({ socketPath, path, timeout: ANSWER_MS }, (response) => {
      const parts: Buffer[] = [];
      response.on("data", (part: Buffer) => parts.push(part));
      response.on("error", reject);
      response.on("end", () => {
        const text = Buffer.concat(parts).toString("utf8");
        if (response.statusCode === 404) resolve(undefined);
        else if (response.statusCode !== 200) reject(new Error(`The daemon answered ${response.statusCode}: ${text}`));
        else resolve(JSON.parse(text) as T);
      });
    });
    asking.on("timeout", () => asking.destroy(new Error("The daemon does not answer.")));
    asking.on("error", reject);
    asking.end();
  });
}

/** The innermost of `roots` that holds the file at `path`. */
export function rootOf(path: string, roots: readonly string[]): string | undefined {
  const holding = roots.filter((root) => path === root || path.startsWith(root.endsWith("/") ? root : `${root}/`));
  return holding.sort((a, b) => b.length - a.length)[0];
}
