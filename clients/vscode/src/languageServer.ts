// The language server: how it is started, restarted, and listened to. One for the window, whatever folders it has.

import {
  commands,
  env,
  EventEmitter,
  window,
  workspace,
  type CancellationToken,
  type ExtensionContext,
  type InlineCompletionItem,
  type InlineCompletionList,
  type LogOutputChannel,
  type Position,
  type TextDocument,
  type TextDocumentChangeEvent,
} from "vscode";
import { LanguageClient, RevealOutputChannelOn, State } from "vscode-languageclient/node";
import * as config from "./config";
import { ENVIRONMENT, FOLDER, INSTALL, whyNotRunnable } from "./program";
import type { Connection, Context, DaemonState, Finding, NextEdit, Place, Prompt, Status } from "./wire";

export class LanguageServer {
  private client: LanguageClient | undefined;
  /** One start or stop at a time, in order. */
  private turn: Promise<void> = Promise.resolve();
  private readonly changed = new EventEmitter<void>();
  /** Something that the status shows may be another. */
  readonly onChange = this.changed.event;
  private readonly stateChanged = new EventEmitter<DaemonState>();
  /** The daemon has said what it does with its model. */
  readonly onStateChange = this.stateChanged.event;
  /** Why the program cannot be run, if that is so. */
  missing: string | undefined;
  /** Where ghost text was last asked for or something written, while it has not come. */
  private unanswered: Place | undefined;
  private connection: Connection["kind"] | undefined;

  constructor(
    private readonly extension: ExtensionContext,
    readonly log: LogOutputChannel,
  ) {
    // While there is no server, as for a moment after a crash, VS Code asks nobody.
    extension.subscriptions.push(workspace.onDidChangeTextDocument((change) => (this.unanswered = cursorAfter(change) ?? this.unanswered)));
  }

  /** Start, or end what runs and start again with the settings of now. */
  restart(): Promise<void> {
    return this.next(async () => {
      await this.end();
      await this.begin();
    });
  }

  stop(): Promise<void> {
    return this.next(() => this.end());
  }

  /** What the server and its daemon say of themselves; undefined while there is no server. */
  async status(): Promise<Status | undefined> {
    return (await this.execute("scrubjay.status")) as Status | undefined;
  }

  /** What the model has of the project of the document `uri`, or of the one last changed; undefined if there is nothing. */
  async context(uri?: string): Promise<Context | undefined> {
    const context = (await this.execute("scrubjay.context", ...(uri ? [uri] : []))) as Context | { error: string } | null | undefined;
    return context && "root" in context ? context : undefined;
  }

  /** Why there is no ghost text at a place, from the document to the model; undefined while there is no server. */
  async diagnose(uri: string, position: Place["position"]): Promise<Finding[] | undefined> {
    return (await this.execute("scrubjay.diagnose", uri, position)) as Finding[] | undefined;
  }

  /** What the model is shown at a place, or a sentence about why it is shown nothing; undefined while there is no server. */
  async prompt(uri: string, position: Place["position"]): Promise<Prompt | { error: string } | undefined> {
    return (await this.execute("scrubjay.prompt", uri, position)) as Prompt | { error: string } | undefined;
  }

  /** What is to be edited next by a user at that place; undefined if nothing is proposed. */
  async nextEdit(document: TextDocument, position: Position, token: CancellationToken): Promise<NextEdit | undefined> {
    const textDocument = { uri: document.uri.toString(), version: document.version };
    const { line, character } = position;
    const client = this.client?.state === State.Running ? this.client : undefined;
    try {
      const params = { textDocument, position: { line, character } };
      const answer = (await client?.sendRequest("textDocument/copilotInlineEdit", params, token)) as { edits: NextEdit[] } | undefined;
      return answer?.edits[0];
    } catch (error) {
      if (!token.isCancellationRequested) this.log.warn(String(error));
      return undefined;
    }
  }

  /** The user sees `edit`. */
  async tellShown(edit: NextEdit): Promise<void> {
    await this.client?.sendNotification("textDocument/didShowInlineEdit", { item: { command: edit.command } });
  }

  /** Run one of the server's own commands; undefined while there is no server. */
  async execute(command: string, ...args: unknown[]): Promise<unknown> {
    const client = this.client;
    return client?.state === State.Running ? client.sendRequest("workspace/executeCommand", { command, arguments: args }) : undefined;
  }

  private next(work: () => Promise<void>): Promise<void> {
    this.turn = this.turn.then(work).catch((error: unknown) => this.log.error(String(error)));
    return this.turn;
  }

  private async begin(): Promise<void> {
    this.missing = await whyNotRunnable(config.program());
    this.changed.fire();
    if (this.missing) {
      this.log.error(this.missing);
      void this.help();
      return;
    }
    this.client = this.makeClient();
    await this.client.start();
    this.changed.fire();
  }

  private async end(): Promise<void> {
    const client = this.client;
    this.client = undefined;
    try {
      await client?.dispose();
    } catch (error) {
      // It did not start, or is slow to end and is killed: no reason not to start the next one.
      this.log.warn(String(error));
    }
  }

  private makeClient(): LanguageClient {
    const version = String(this.extension.extension.packageJSON.version);
    const client = new LanguageClient(
      "scrubjay",
      "Scrubjay",
      { command: config.program(), args: ["lsp"], options: { cwd: FOLDER, env: { ...process.env, ...ENVIRONMENT } } },
      {
        documentSelector: [{ scheme: "file" }, { scheme: "untitled" }, { scheme: "vscode-notebook-cell" }],
        initializationOptions: config.initializationOptions(version),
        outputChannel: this.log,
        revealOutputChannelOn: RevealOutputChannelOn.Never,
        initializationFailedHandler: () => false,
        middleware: {
          provideInlineCompletionItems: async (document, position, context, token, next) => {
            const place = { uri: document.uri.toString(), version: document.version, position };
            this.unanswered = place;
            const answer = await next(document, position, context, token);
            if (this.unanswered === place && !isEmpty(answer)) this.unanswered = undefined;
            this.changed.fire();
            return answer;
          },
        },
      },
    );
    client.onDidChangeState(({ newState }) => {
      // A server takes with it what it was asked, so that the next one's connection is news.
      if (newState !== State.Running && this.connection !== undefined) this.connection = "Inactive";
      this.changed.fire();
    });
    client.onNotification("didChangeStatus", (connection: Connection) => this.connectionChanged(connection));
    client.onNotification("scrubjay/state", (state: DaemonState) => this.stateChanged.fire(state));
    client.onNotification("scrubjay/ready", (place: Place) => askAgain(place));
    return client;
  }

  /** A daemon that is lost takes with it what it was asked, and one that came back has not been asked. */
  private connectionChanged({ kind }: Connection): void {
    const isNews = this.connection !== undefined && this.connection !== kind;
    this.connection = kind;
    this.changed.fire();
    if (isNews && kind !== "Error" && this.unanswered) askAgain(this.unanswered);
  }

  /** Tell what to do where the program is missing. */
  async help(): Promise<void> {
    const choice = await window.showErrorMessage(`Scrubjay: ${this.missing}`, "Copy Install Command", "Open Settings", "Try Again");
    if (choice === "Copy Install Command") await env.clipboard.writeText(INSTALL);
    if (choice === "Open Settings") await openSettings("scrubjay.path");
    if (choice === "Try Again") await this.restart();
  }
}

/** Open the settings where `query`, which is set for one machine, can be changed: in a remote window, in the tab of that machine. */
export async function openSettings(query: string): Promise<void> {
  if (env.remoteName) await commands.executeCommand("workbench.action.openRemoteSettings", { query });
  else await commands.executeCommand("workbench.action.openSettings", query);
}

/** Where the cursor is after a change that inserts. */
function cursorAfter({ document, contentChanges: [change] }: TextDocumentChangeEvent): Place | undefined {
  if (!change?.text) return undefined;
  const position = document.positionAt(change.rangeOffset + change.text.length);
  return { uri: document.uri.toString(), version: document.version, position };
}

function isEmpty(answer: InlineCompletionItem[] | InlineCompletionList | null | undefined): boolean {
  return ((Array.isArray(answer) ? answer : answer?.items) ?? []).length === 0;
}

/** Show what is ready now, unless the user has gone on since. */
function askAgain(place: Place): void {
  const editor = window.activeTextEditor;
  const { line, character } = editor?.selection.active ?? { line: -1, character: -1 };
  if (
    editor?.document.uri.toString() === place.uri &&
    editor.document.version === place.version &&
    line === place.position.line &&
    character === place.position.character
  )
    // VS Code does not ask by itself twice for one place: only an explicit request is answered again.
    void commands.executeCommand("editor.action.inlineSuggest.trigger", { explicit: true });
}
