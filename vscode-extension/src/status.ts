import * as vscode from 'vscode';
import { tokens, type Job, type Jobs } from './jobs';
import * as interpreter from './interpreter';
import { jobLabel, sum, tally } from './words';

const SPENT = 'soa.spent';

interface Spent {
  day: string;
  calls: number;
  tokens: number;
  costUsd: number;
}

/** The status item: what runs, else who writes; its menu says the rest. */
export class Status implements vscode.Disposable {
  private readonly item = vscode.window.createStatusBarItem('soa.status', vscode.StatusBarAlignment.Right, 90);

  constructor(
    private readonly jobs: Jobs,
    private readonly memory: vscode.Memento,
  ) {
    this.item.name = 'SoA';
    this.item.command = 'soa.ui.menu';
    this.refresh();
    this.item.show();
  }

  refresh(): void {
    const running = this.jobs.running();
    const [job] = running;
    const spent = this.spent();
    this.item.text = job ? `$(sync~spin) SoA ${jobLabel(job)}${doing(job)}${running.length > 1 ? ` +${running.length - 1}` : ''}` : `SoA ${modelName()}`;
    const today = spent.calls ? `${sum(spent.calls, spent.tokens, spent.costUsd)} today` : 'nothing spent today';
    this.item.tooltip = [job?.progress, `${modelName() || 'No model is named.'}`, today].filter(Boolean).join('\n');
  }

  /** Add what an ended job cost to today's sum. */
  async ended(job: Job): Promise<void> {
    if (!job.usage) return;
    const before = this.spent();
    const after = { ...before, calls: before.calls + job.usage.calls, tokens: before.tokens + tokens(job.usage), costUsd: before.costUsd + (job.usage.costUsd ?? 0) };
    await this.memory.update(SPENT, after);
    this.refresh();
  }

  /** The menu behind the item. */
  async menu(): Promise<void> {
    const configuration = vscode.workspace.getConfiguration('soa');
    const spent = this.spent();
    const python = configuration.get<string>('tests.interpreter') || (await interpreter.selected()) || 'found by SoA';
    const rows: (vscode.QuickPickItem & { command: string; argument?: string })[] = [
      { label: '$(robot) Model', description: modelName() || 'none named', command: 'soa.ui.chooseModel' },
      { label: '$(credit-card) Spent today', description: sum(spent.calls, spent.tokens, spent.costUsd), command: 'soa.ui.showAgents' },
      { label: '$(beaker) Python of the tests', description: python, command: 'workbench.action.openSettings', argument: 'soa.tests.interpreter' },
      { label: '$(shield) Sandbox', description: configuration.get<string>('tests.sandbox') ?? '', command: 'workbench.action.openSettings', argument: 'soa.tests.sandbox' },
      { label: '$(list-tree) Agents', command: 'soa.ui.showAgents' },
      { label: '$(output) Log', command: 'soa.ui.showLog' },
      { label: '$(checklist) Check the setup', command: 'soa.ui.doctor' },
      { label: '$(debug-restart) Restart the server', command: 'soa.ui.restart' },
    ];
    const chosen = await vscode.window.showQuickPick(rows, { title: 'SoA' });
    if (chosen) await vscode.commands.executeCommand(chosen.command, ...(chosen.argument ? [chosen.argument] : []));
  }

  dispose(): void {
    this.item.dispose();
  }

  private spent(): Spent {
    const day = new Date().toISOString().slice(0, 10);
    const kept = this.memory.get<Spent>(SPENT);
    return kept?.day === day ? kept : { day, calls: 0, tokens: 0, costUsd: 0 };
  }
}

export function modelName(): string {
  const configuration = vscode.workspace.getConfiguration('soa');
  const name = configuration.get<string>('model.name');
  if (configuration.get<string>('model.provider') === 'editor') return name || "the editor's model";
  return name || process.env['SOA_MODEL'] || '';
}

function doing(job: Job): string {
  const testing = job.progress.match(/(\d+) of (\d+) pass/);
  if (testing) return ` ${testing[1]}/${testing[2]}`;
  return job.tests ? ` ${tally(job.tests.after)}` : '';
}
