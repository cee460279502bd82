import * as vscode from 'vscode';
import type { LanguageClient } from 'vscode-languageclient/node';
import { nameOf, type Jobs } from './jobs';
import { TRACE, type Entry, type Trace } from './protocol';
import { isAgent, type Row } from './tree';

const SCHEME = 'soa';

interface Place {
  jobId: string;
  agentId?: string;
  part: 'prompts' | 'tests' | 'before' | 'after';
  path?: string;
}

/** Read-only documents made of what the server kept of a job: prompts and replies, failing tests, both sides of the diff. */
export class Documents implements vscode.TextDocumentContentProvider, vscode.Disposable {
  private readonly traces = new Map<string, Promise<Trace>>();
  private readonly changed = new vscode.EventEmitter<vscode.Uri>();
  readonly onDidChange = this.changed.event;
  private readonly registered = vscode.workspace.registerTextDocumentContentProvider(SCHEME, this);

  constructor(
    private readonly jobs: Jobs,
    private readonly client: () => Promise<LanguageClient | undefined>,
  ) {}

  /** Something was told of a job: what was made of it is made anew, and shown anew where it is open. */
  stale(jobId: string): void {
    this.traces.delete(jobId);
    const open = vscode.workspace.textDocuments.filter(each => each.uri.scheme === SCHEME && placeOf(each.uri).jobId === jobId);
    open.forEach(each => this.changed.fire(each.uri));
  }

  async provideTextDocumentContent(uri: vscode.Uri): Promise<string> {
    const place = placeOf(uri);
    const trace = await this.trace(place.jobId);
    if (place.part === 'before' || place.part === 'after') return trace.files.find(each => each.path === place.path)?.[place.part] ?? '';
    const entries = trace.entries.filter(entry => !place.agentId || entry.agentId === place.agentId);
    return place.part === 'tests' ? testsText(entries) : promptsText(entries);
  }

  /** The job's change in a diff editor; false when it has written nothing. */
  async showDiff(jobId: string): Promise<boolean> {
    const trace = await this.trace(jobId);
    const sides = trace.files.map(({ path }) => [side(jobId, path, 'before'), side(jobId, path, 'after')] as const);
    const title = `SoA: ${nameOf(this.jobs.get(jobId)?.target ?? '')}`;
    const [first] = sides;
    if (!first) return false;
    if (sides.length === 1) await vscode.commands.executeCommand('vscode.diff', ...first, title);
    else await vscode.commands.executeCommand('vscode.changes', title, sides.map(([before, after]) => [after, before, after]));
    return true;
  }

  async showPrompts(row: Row): Promise<void> {
    await this.show(row, 'prompts', 'prompts and replies');
  }

  /** Failing tests: those of an agent's last run, or the marks that a run of tests left in the editor. */
  async showTests(row: Row): Promise<void> {
    if (!isAgent(row) && row.kind === 'runTests') await vscode.commands.executeCommand('workbench.actions.view.problems');
    else await this.show(row, 'tests', 'failing tests');
  }

  dispose(): void {
    this.registered.dispose();
    this.changed.dispose();
  }

  private async show(row: Row, part: Place['part'], name: string): Promise<void> {
    const who = nameOf((isAgent(row) ? row.function : this.jobs.get(row.jobId)?.target) ?? '');
    const place: Place = { jobId: row.jobId, part, ...(isAgent(row) ? { agentId: row.agentId } : {}) };
    const document = await vscode.workspace.openTextDocument(uriOf(`${who}, ${name}.md`, place));
    await vscode.window.showTextDocument(document, { preview: true });
  }

  private trace(jobId: string): Promise<Trace> {
    const kept = this.traces.get(jobId) ?? this.ask(jobId);
    this.traces.set(jobId, kept);
    return kept;
  }

  private async ask(jobId: string): Promise<Trace> {
    const client = await this.client();
    return (await client?.sendRequest<Trace | null>(TRACE, { jobId })) ?? { entries: [], files: [] };
  }
}

function side(jobId: string, path: string, part: 'before' | 'after'): vscode.Uri {
  return uriOf(path, { jobId, part, path });
}

function uriOf(name: string, place: Place): vscode.Uri {
  return vscode.Uri.from({ scheme: SCHEME, path: `/${name}`, query: JSON.stringify(place) });
}

function placeOf(uri: vscode.Uri): Place {
  return JSON.parse(uri.query) as Place;
}

function promptsText(entries: readonly Entry[]): string {
  const asked = entries.filter(entry => entry.messages.length);
  if (!asked.length) return 'Nothing has been asked yet.\n';
  return asked.map((entry, index) => exchange(entry, index + 1)).join('\n\n');
}

function exchange(entry: Entry, number: number): string {
  const messages = entry.messages.map(message => `## ${message.role}\n\n${message.content.trim()}`);
  const answer = entry.reply === null ? [] : [`## reply${entry.model ? ` of ${entry.model}` : ''}\n\n${entry.reply.trim()}`];
  const problem = entry.problem ? [`## what was wrong with it\n\n${entry.problem}`] : [];
  return [`# ${number}. ${entry.step}`, ...messages, ...answer, ...problem].join('\n\n') + '\n';
}

function testsText(entries: readonly Entry[]): string {
  const report = entries.filter(entry => entry.report).at(-1)?.report;
  if (!report) return 'No tests have run yet.\n';
  if (!report.failures.length) return `All ${report.passed} tests pass.\n`;
  const failures = report.failures.map(each => `## ${each.nodeid}\n\n\`\`\`\n${each.message.trim()}\n\`\`\``);
  return [`# ${report.failed} of ${report.passed + report.failed} tests fail`, ...failures].join('\n\n') + '\n';
}
