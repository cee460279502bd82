import * as vscode from 'vscode';
import { nameOf, type Agent, type Job, type Jobs } from './jobs';
import { agentDetail, agentTooltip, jobDetail, jobLabel, spent } from './words';

export type Row = Job | Agent;

export function isAgent(row: Row): row is Agent {
  return 'agentId' in row;
}

const ICONS: Record<string, [icon: string, colour?: string]> = {
  running: ['loading~spin'],
  asking: ['loading~spin'],
  testing: ['beaker'],
  waiting: ['circle-outline'],
  written: ['circle-filled'], // nothing has tested it yet
  passed: ['pass', 'testing.iconPassed'],
  failed: ['error', 'testing.iconFailed'],
  refused: ['warning', 'list.warningForeground'],
  untested: ['question', 'list.warningForeground'],
  cancelled: ['circle-slash'],
  dropped: ['circle-slash'],
  abstained: ['circle-slash'],
};

/** The jobs of this window and their agents, as a tree that grows while they work. */
export class AgentsView implements vscode.TreeDataProvider<Row>, vscode.Disposable {
  private readonly changed = new vscode.EventEmitter<Row | undefined>();
  readonly onDidChangeTreeData = this.changed.event;
  private readonly view: vscode.TreeView<Row>;

  constructor(private readonly jobs: Jobs) {
    this.view = vscode.window.createTreeView('soa.agents', { treeDataProvider: this, showCollapseAll: true });
  }

  /** Something was told of the jobs. */
  refresh(): void {
    const running = this.jobs.running().length;
    this.view.badge = running ? { value: running, tooltip: `SoA: ${running} running` } : undefined;
    this.changed.fire(undefined);
  }

  getChildren(row?: Row): Row[] {
    if (!row) return this.jobs.all();
    return isAgent(row) ? row.children : row.roots;
  }

  getParent(row: Row): Row | undefined {
    return isAgent(row) ? (this.jobs.mother(row) ?? this.jobs.get(row.jobId)) : undefined;
  }

  getTreeItem(row: Row): vscode.TreeItem {
    return isAgent(row) ? agentItem(row) : jobItem(row);
  }

  dispose(): void {
    this.view.dispose();
    this.changed.dispose();
  }
}

function jobItem(job: Job): vscode.TreeItem {
  const { Expanded, None } = vscode.TreeItemCollapsibleState;
  const agentless = job.kind === 'runTests';
  const item = new vscode.TreeItem(jobLabel(job), agentless ? None : Expanded);
  item.id = job.jobId;
  item.description = jobDetail(job);
  const text = [job.message ?? '', spent(job.usage)].filter(Boolean).join('\n\n');
  item.tooltip = new vscode.MarkdownString(`**${job.target}**\n\n${text}`);
  const ended = job.tests?.after.failed ? 'failed' : 'passed';
  item.iconPath = icon(job.state === 'done' ? (job.verdict ?? ended) : job.state);
  item.contextValue = [agentless ? 'tests' : 'job', job.state, job.tests?.after.failed ? 'failing' : ''].filter(Boolean).join('.');
  return item;
}

function agentItem(agent: Agent): vscode.TreeItem {
  const open = agent.children.length ? vscode.TreeItemCollapsibleState.Expanded : vscode.TreeItemCollapsibleState.None;
  const item = new vscode.TreeItem(nameOf(agent.function ?? agent.agentId), open);
  // The editor keeps a row's being closed by its id: one that becomes a Mother gets another and opens.
  item.id = `${agent.jobId}/${agent.agentId}/${agent.children.length > 0}`;
  item.description = agentDetail(agent);
  item.tooltip = new vscode.MarkdownString(agentTooltip(agent));
  const done = agent.tests ? (agent.tests.failed ? 'failed' : 'passed') : 'written';
  item.iconPath = icon(agent.state === 'done' ? done : agent.state);
  item.contextValue = agent.tests?.failed ? 'agent.failing' : 'agent';
  item.command = { command: 'soa.ui.openFunction', title: 'Go to Function', arguments: [agent] };
  return item;
}

function icon(name: string): vscode.ThemeIcon {
  const [id, colour] = ICONS[name] ?? ['circle-outline'];
  return new vscode.ThemeIcon(id, colour === undefined ? undefined : new vscode.ThemeColor(colour));
}
