// What is known of the daemon: asked for when something may have changed, never twice at a time.

import { EventEmitter, window, workspace, type Disposable } from "vscode";
import * as config from "./config";
import { fetchContext, rootOf } from "./daemon";
import type { Server } from "./server";
import type { Known } from "./summary";
import type { Context, Status } from "./wire";

const LOOK_AGAIN_MS = 1000;
const ANSWER_MS = 5000;

export class Observer implements Disposable {
  private readonly changed = new EventEmitter<Known>();
  readonly onChange = this.changed.event;
  known: Known = { enabled: config.isEnabled() };
  private isLooking = false;
  private isOutdated = false;
  private timer: NodeJS.Timeout | undefined;
  private readonly subscriptions: Disposable[];

  constructor(private readonly server: Server) {
    this.subscriptions = [
      server.onChange(() => this.look()),
      // A model that is loaded only when it is needed is needed now.
      server.onAsk(() => this.known.status?.daemon?.state !== "ready" && this.look()),
      window.onDidChangeActiveTextEditor(() => this.look()),
      workspace.onDidChangeConfiguration((change) => change.affectsConfiguration(config.SECTION) && this.look()),
    ];
  }

  /** Find out what is true now; `onChange` tells. */
  look(): void {
    this.isOutdated = true;
    if (!this.isLooking) void this.lookUntilCurrent();
  }

  dispose(): void {
    clearTimeout(this.timer);
    this.changed.dispose();
    for (const subscription of this.subscriptions) subscription.dispose();
  }

  private async lookUntilCurrent(): Promise<void> {
    this.isLooking = true;
    while (this.isOutdated) {
      this.isOutdated = false;
      this.known = await this.find();
      this.changed.fire(this.known);
    }
    this.isLooking = false;
    this.lookLater();
  }

  /** The daemon does not tell when its model is loaded, so it is asked until then. */
  private lookLater(): void {
    clearTimeout(this.timer);
    const state = this.known.status?.daemon?.state ?? "loading";
    const isWaiting = !this.known.missing && state === "loading";
    if (isWaiting) this.timer = setTimeout(() => this.look(), LOOK_AGAIN_MS);
  }

  private async find(): Promise<Known> {
    const known: Known = { enabled: config.isEnabled(), missing: this.server.missing !== undefined };
    try {
      const status = await inTime(this.server.status());
      known.status = status;
      return { ...known, context: status && (await contextOf(status)) };
    } catch (error) {
      // The server is on its way out, or the daemon: the next look will tell.
      this.server.log.debug(`No status: ${String(error)}`);
      return known;
    }
  }
}

/** What `answer` brings, unless it takes too long: a look that never ends would be the last one. */
function inTime<T>(answer: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error("The language server does not answer.")), ANSWER_MS);
  });
  return Promise.race([answer, late]).finally(() => clearTimeout(timer));
}

/** The context of the project that the user looks at, or of the only one. */
async function contextOf(status: Status): Promise<Context | undefined> {
  const roots = status.daemon?.projects.map((project) => project.root) ?? [];
  const path = window.activeTextEditor?.document.uri.fsPath;
  const root = (path && rootOf(path, roots)) ?? (roots.length === 1 ? roots[0] : undefined);
  return root ? fetchContext(status.lsp.socket, root) : undefined;
}
