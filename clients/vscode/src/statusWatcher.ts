// What is known of the daemon: asked for when something may have changed, never twice at a time.

import { EventEmitter, window, workspace, type Disposable, type TextEditor } from "vscode";
import * as config from "./config";
import { completes } from "./languages";
import type { LanguageServer } from "./languageServer";
import type { Known } from "./summary";
import type { DaemonState } from "./wire";

const ANSWER_MS = 5000;

export class StatusWatcher implements Disposable {
  private readonly changed = new EventEmitter<Known>();
  readonly onChange = this.changed.event;
  known: Known = { enabled: config.isEnabled() };
  /** The file of the workspace that was last looked at. */
  private latest: string | undefined;
  private isLooking = false;
  private isOutdated = false;
  private readonly subscriptions: Disposable[];

  constructor(private readonly server: LanguageServer) {
    this.subscriptions = [
      server.onChange(() => this.look()),
      server.onStateChange((state) => this.stateChanged(state)),
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
    this.changed.dispose();
    for (const subscription of this.subscriptions) subscription.dispose();
  }

  /** The progress of a load is shown as it comes; all else that a new state means is asked for. */
  private stateChanged(state: DaemonState): void {
    const daemon = this.known.status?.daemon;
    if (!daemon || daemon.state !== state.state) return this.look();
    Object.assign(daemon, state);
    this.changed.fire(this.known);
  }

  private async lookUntilCurrent(): Promise<void> {
    this.isLooking = true;
    while (this.isOutdated) {
      this.isOutdated = false;
      this.known = await this.find();
      this.changed.fire(this.known);
    }
    this.isLooking = false;
  }

  private async find(): Promise<Known> {
    const editor = window.activeTextEditor;
    // Neither an output channel nor a settings file, nor the view itself, which is no editor, is what the user works on.
    if (editor && workspace.getWorkspaceFolder(editor.document.uri)) this.latest = editor.document.uri.toString();
    const known: Known = { enabled: config.isEnabled(), offFor: offFor(editor), missing: this.server.missing !== undefined };
    try {
      known.status = await inTime(this.server.status());
      known.context = await inTime(this.server.context(this.latest ?? editor?.document.uri.toString()));
    } catch (error) {
      // The server is on its way out, or the daemon: the next change of either is told, and looked at.
      this.server.log.debug(`No status: ${String(error)}`);
    }
    return known;
  }
}

/** The language of the file in `editor`, if it gets no ghost text. */
function offFor(editor: TextEditor | undefined): string | undefined {
  const { languageId, uri } = editor?.document ?? {};
  return uri?.scheme === "file" && languageId && !completes(config.languages(), languageId) ? languageId : undefined;
}

/** What `answer` brings, unless it takes too long: a look that never ends would be the last one. */
function inTime<T>(answer: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error("The language server does not answer.")), ANSWER_MS);
  });
  return Promise.race([answer, late]).finally(() => clearTimeout(timer));
}
