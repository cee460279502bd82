import * as vscode from 'vscode';
import { act, cancel, chooseProtocol, terminal } from './commands';
import { Documents } from './documents';
import * as interpreter from './interpreter';
import { Jobs } from './jobs';
import { openFunction } from './locate';
import { fail } from './messages';
import { chooseModel } from './models';
import { Secrets } from './secrets';
import { Server, type Heard } from './server';
import { Status } from './status';
import { AgentsView, isAgent, type Row } from './tree';

const CLOSING = 3000; // milliseconds after a job's end in which a message is taken for its last word
const RESTARTING = ['soa.server.command', 'soa.python'];

/** Starts everything; the server comes up in the background. What is returned is for the tests. */
export function activate(context: vscode.ExtensionContext): { ready: () => Promise<boolean>; jobs: Jobs } {
  const log = vscode.window.createOutputChannel('SoA', { log: true });
  const jobs = new Jobs();
  const view = new AgentsView(jobs);
  const status = new Status(jobs, context.globalState);
  const secrets = new Secrets(context.secrets);
  const documents = new Documents(jobs, () => server.ready());
  const server: Server = new Server(context, log, secrets, listener());
  context.subscriptions.push(log, view, status, documents, server);
  register(context, { log, jobs, view, status, secrets, documents, server });
  context.subscriptions.push(vscode.workspace.onDidChangeConfiguration(event => void configured(event, server, status)));
  void server.ready();
  void interpreter.onSelected(() => void tellConfiguration(server)).then(listening => context.subscriptions.push(listening));
  return { ready: async () => (await server.ready()) !== undefined, jobs };

  function listener(): Heard {
    let ended = 0;
    const show = (): void => {
      view.refresh();
      status.refresh();
      void vscode.commands.executeCommand('setContext', 'soa.running', jobs.running().length > 0);
    };
    return {
      job(params) {
        const job = jobs.job(params);
        documents.stale(params.jobId);
        show();
        if (params.state === 'running') return;
        ended = job.count ? Date.now() : 0;
        void status.ended(job);
        void server.idle();
      },
      agent(params) {
        jobs.agent(params);
        documents.stale(params.jobId);
        view.refresh();
      },
      progress(title, line) {
        const job = jobs.running().find(each => title.endsWith(`: ${each.target.split(/::|\/|\./).at(-1) ?? ''}`)) ?? jobs.running()[0];
        if (job) jobs.progress(job.jobId, line);
        show();
      },
      lost() {
        jobs.lost("SoA's server stopped while it worked on this. Its replies are kept.");
        show();
      },
      closing: () => (Date.now() - ended < CLOSING ? { title: 'Show agents', command: 'soa.ui.showAgents' } : undefined),
      busy: () => jobs.running().length > 0,
      async show(uri) {
        const jobId = uri.match(/\/diffs\/([^/]+)\.diff$/)?.[1];
        return jobId !== undefined && documents.showDiff(jobId);
      },
    };
  }
}

interface Parts {
  log: vscode.LogOutputChannel;
  jobs: Jobs;
  view: AgentsView;
  status: Status;
  secrets: Secrets;
  documents: Documents;
  server: Server;
}

function register(context: vscode.ExtensionContext, parts: Parts): void {
  const { log, jobs, view, status, secrets, documents, server } = parts;
  const at = (actions: string[], ask?: () => Promise<string | undefined>) => async (): Promise<void> => {
    const client = await server.ready();
    if (client) await act(client, actions, ask);
  };
  const table: Record<string, (row?: Row) => unknown> = {
    generate: at(['generate']),
    regenerate: at(['regenerate']),
    generateWith: at(['generate', 'regenerate'], () => chooseProtocol(context)),
    stubs: at(['stubs']),
    implementFile: at(['file']),
    implementFileWith: at(['file'], () => chooseProtocol(context)),
    runTests: at(['runTests']),
    cancel: row => cancel(jobs, row?.jobId),
    chooseModel: () => chooseModel(() => server.ready(), secrets),
    setApiKey: () => secrets.ask(),
    deleteApiKey: () => secrets.delete(),
    demo: () => terminal(context, log, 'demo'),
    doctor: () => terminal(context, log, 'doctor'),
    restart: () => server.restart(),
    showLog: () => log.show(),
    showAgents: () => vscode.commands.executeCommand('soa.agents.focus'),
    menu: () => status.menu(),
    walkthrough: () => vscode.commands.executeCommand('workbench.action.openWalkthrough', `${context.extension.id}#start`),
    openFunction: row => row && open(row, documents),
    showDiff: row => row && showDiff(row, documents),
    showPrompts: row => row && documents.showPrompts(row),
    showTests: row => row && documents.showTests(row),
    clearJobs: () => {
      jobs.clear();
      view.refresh();
    },
  };
  for (const [name, run] of Object.entries(table)) {
    context.subscriptions.push(vscode.commands.registerCommand(`soa.ui.${name}`, run));
  }
}

async function showDiff(row: Row, documents: Documents): Promise<void> {
  if (!(await documents.showDiff(row.jobId))) void vscode.window.showInformationMessage('SoA: this job has written nothing yet.');
}

/** The agent's function; where it does not stand in a file yet, her part of the prompts and replies. */
async function open(row: Row, documents: Documents): Promise<void> {
  try {
    if (isAgent(row) && row.function && (await openFunction(row.function))) return;
  } catch (error) {
    await fail(`the function could not be shown (${error instanceof Error ? error.message : String(error)}).`);
    return;
  }
  await documents.showPrompts(row);
}

async function configured(event: vscode.ConfigurationChangeEvent, server: Server, status: Status): Promise<void> {
  if (event.affectsConfiguration('soa')) status.refresh();
  if (RESTARTING.some(key => event.affectsConfiguration(key))) await server.restartWhenIdle();
  else if (event.affectsConfiguration('soa') || event.affectsConfiguration('python')) await tellConfiguration(server);
}

/** The server asks for what it needs then. */
async function tellConfiguration(server: Server): Promise<void> {
  await server.client?.sendNotification('workspace/didChangeConfiguration', { settings: null });
}
