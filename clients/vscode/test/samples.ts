import type { Context, DaemonStatus, Status } from "../src/wire";

export function aStatus(changes: Partial<DaemonStatus> = {}): Status {
  const daemon: DaemonStatus = {
    version: "0.1.0",
    state: "ready",
    message: "",
    load: null,
    model: { name: "small-model", memory_class: "hybrid", n_ctx: 8192 },
    projects: [{ root: "/home/p", name: "p" }],
    checkpoints: { count: 2, bytes: 3 << 20, budget: 64 << 20 },
    ...changes,
  };
  return { daemon, lsp: { link: "connected", message: "" } };
}

export function aContext(changes: Partial<Context> = {}): Context {
  return {
    root: "/home/p",
    segments: [
      { kind: "file", label: "a.py", start: 0, end: 1000 },
      { kind: "prefix", label: "b.py", start: 1000, end: 2000 },
    ],
    checkpoints: [256, 1024],
    n_resident: 1234,
    n_ctx: 8192,
    interval: 256,
    edits: [
      { uri: "file:///home/p/a.py", processed: 900, needed: 900, ms: 800, reason: "cold" },
      { uri: "file:///home/p/b%20c.py", processed: 40, needed: 7, ms: 12.6, reason: "checkpoint" },
    ],
    ...changes,
  };
}
