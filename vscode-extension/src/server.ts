import * as vscode from 'vscode';
import {
  CloseAction,
  ErrorAction,
  LanguageClient,
  State,
  TransportKind,
  type CloseHandlerResult,
  type Executable,
  type LanguageClientOptions,
} from 'vscode-languageclient/node';
import { chat } from './chat';
import { answers, declared } from './configuration';
import { serverCommand, SetupFailed } from './environment';
import { fail, setting, takeOver } from './messages';
import { Notifications } from './progress';
import { AGENT, CHAT, CHUNK, JOB, SECRET, type AgentParams, type ChatParams, type JobParams } from './protocol';
import type { Secrets } from './secrets';

const RESTARTS = 4; // in a row, before a person is asked
const WINDOW = 180_000; // milliseconds in which they count as in a row

/** The library's client, whose errors go to the log alone: what concerns the person is said by us, once. */
class Client extends LanguageClient {
  override error(message: string, data?: unknown): void {
    super.error(message, data, false);
  }
}

/** What the rest of the extension hears. */
export interface Heard {
  job(params: JobParams): void;
  agent(params: AgentParams): void;
  progress(title: string, line: string): void;
  /** The server is gone, with whatever it was doing. */
  lost(): void;
  /** The extra button of a message that closes a job. */
  closing(): { title: string; command: string } | undefined;
  busy(): boolean;
  /** Shows what the server wants shown in a way of ours; false leaves it to the library. */
  show(uri: string): Promise<boolean>;
}

/** The language server of this window: started, watched, restarted. */
export class Server implements vscode.Disposable {
  client: LanguageClient | undefined;
  private starting: Promise<LanguageClient | undefined> | undefined;
  private ends: number[] = [];
  private wanted = false; // a restart, once nothing runs
  private up = false; // it has answered once
  private readonly notifications = new Notifications(() => this.client, (title, line) => this.heard.progress(title, line));
  private readonly activated = performance.now();

  constructor(
    private readonly context: vscode.ExtensionContext,
    private readonly log: vscode.LogOutputChannel,
    private readonly secrets: Secrets,
    private readonly heard: Heard,
  ) {}

  /** The running server; undefined when it cannot be started, which the person has been told then. */
  ready(): Promise<LanguageClient | undefined> {
    this.starting ??= this.start().then(client => {
      if (!client) this.starting = undefined; // the next call tries again
      return client;
    });
    return this.starting;
  }

  async restart(): Promise<void> {
    this.wanted = false;
    await this.stop();
    await this.ready();
  }

  /** Restart now, or when the running jobs have ended. */
  async restartWhenIdle(): Promise<void> {
    this.wanted = true;
    if (!this.heard.busy()) await this.restart();
    else void vscode.window.showInformationMessage('SoA: the server restarts with the new setting when its running jobs have ended.');
  }

  /** A job has ended. */
  async idle(): Promise<void> {
    if (this.wanted && !this.heard.busy()) await this.restart();
  }

  async stop(): Promise<void> {
    const client = await this.starting;
    this.starting = undefined;
    this.client = undefined;
    await client?.dispose(8000).catch(error => this.log.warn(`the server did not stop cleanly: ${String(error)}`));
  }

  async dispose(): Promise<void> {
    await this.stop();
  }

  private async start(): Promise<LanguageClient | undefined> {
    try {
      const command = await serverCommand(this.context, this.log);
      return command === null ? undefined : await this.connect(command);
    } catch (error) {
      const known = error instanceof SetupFailed;
      this.log.error(error instanceof Error ? error : String(error));
      const say = known ? error.message : 'the server could not be started; the log says why. Check soa.server.command, or try again.';
      void fail(say, { title: 'Try again', command: 'soa.ui.restart' }, { title: 'Show log', command: 'soa.ui.showLog' }, setting('server.command'));
      return undefined;
    }
  }

  private async connect(command: string): Promise<LanguageClient> {
    this.up = false;
    const run: Executable = { command, args: ['serve'], transport: TransportKind.stdio };
    const client = new Client('soa', 'SoA', { run, debug: run }, this.options());
    this.client = client;
    client.onNotification(JOB, (params: JobParams) => this.heard.job(params));
    client.onNotification(AGENT, (params: AgentParams) => this.heard.agent(params));
    client.onRequest(SECRET, async (params: { name: string }) => ({ value: await this.secrets.value(params.name) }));
    client.onRequest(CHAT, (params: ChatParams, token: vscode.CancellationToken) =>
      chat(params, token, (requestId, text) => void client.sendNotification(CHUNK, { requestId, text })),
    );
    takeOver(client, () => this.heard.closing());
    client.onDidChangeState(({ newState }) => {
      if (newState === State.Running) this.up = true;
      if (newState !== State.Stopped) return;
      this.notifications.clear();
      this.heard.lost();
    });
    await client.start();
    this.log.info(`the server is ready ${Math.round(performance.now() - this.activated)} ms after activation: ${command}`);
    return client;
  }

  private options(): LanguageClientOptions {
    return {
      documentSelector: [{ scheme: 'file', language: 'python' }],
      outputChannel: this.log,
      initializationOptions: { clientSupports: ['secret', 'chat'] },
      errorHandler: {
        error: () => ({ action: ErrorAction.Continue, handled: true }),
        closed: () => this.closed(),
      },
      initializationFailedHandler: () => false,
      middleware: {
        handleWorkDoneProgress: this.notifications.handle,
        workspace: { configuration: answers(declared(this.context.extension.packageJSON)) },
        executeCommand: (name, args) => this.execute(name, args),
        window: { showDocument: (params, token, next) => this.heard.show(params.uri).then(shown => (shown ? { success: true } : next(params, token))) },
      },
    };
  }

  private async execute(name: string, args: unknown[]): Promise<unknown> {
    try {
      return await this.client?.sendRequest('workspace/executeCommand', { command: name, arguments: args });
    } catch (error) {
      void fail(error instanceof Error ? error.message : String(error)); // nobody waits until it is closed
      return undefined;
    }
  }

  private closed(): CloseHandlerResult {
    if (!this.up) return { action: CloseAction.DoNotRestart, handled: true }; // `start` tells it
    const now = Date.now();
    this.ends = [...this.ends.filter(end => now - end < WINDOW), now];
    if (this.ends.length <= RESTARTS) {
      this.log.warn('the server ended unexpectedly and is started again');
      return { action: CloseAction.Restart, handled: true };
    }
    this.starting = undefined;
    void fail(
      `the server ended ${this.ends.length} times in a short while, so it is not started again by itself.`,
      { title: 'Restart server', command: 'soa.ui.restart' },
      { title: 'Show log', command: 'soa.ui.showLog' },
    );
    return { action: CloseAction.DoNotRestart, handled: true };
  }
}
