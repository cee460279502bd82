import * as path from 'node:path';
import * as vscode from 'vscode';
import type { CodeAction, LanguageClient } from 'vscode-languageclient/node';
import { serverCommand } from './environment';
import type { Jobs } from './jobs';
import { jobDetail, jobLabel } from './words';

const KIND = 'refactor.rewrite.soa.';

/**
 * Do at the cursor the first of these actions that the lightbulb menu offers there: the server says whether that
 * can be done and with which arguments, or why not. With `ask` a person chooses first how the agents work together.
 */
export async function act(client: LanguageClient, actions: readonly string[], ask?: () => Promise<string | undefined>): Promise<void> {
  const editor = vscode.window.activeTextEditor;
  if (editor?.document.languageId !== 'python') {
    void vscode.window.showWarningMessage('SoA: this needs a Python file; open one and put the cursor on a function.');
    return;
  }
  const offered = await client.sendRequest<CodeAction[] | null>('textDocument/codeAction', {
    textDocument: { uri: client.code2ProtocolConverter.asUri(editor.document.uri) },
    range: client.code2ProtocolConverter.asRange(editor.selection),
    context: { diagnostics: [], only: actions.map(action => KIND + action), triggerKind: 1 },
  });
  const found = offered?.find(each => each.command && !each.disabled)?.command;
  if (!found) {
    const why = offered?.find(each => each.disabled)?.disabled?.reason ?? 'There is nothing to do that for at the cursor; put it on a function.';
    void vscode.window.showWarningMessage(`SoA: ${why.replace(/\.?$/, '.')}`);
    return;
  }
  const protocol = await ask?.();
  if (ask && !protocol) return;
  const [argument] = (found.arguments ?? []) as object[];
  await vscode.commands.executeCommand(found.command, { ...argument, ...(protocol ? { protocol } : {}) });
}

/** How agents may work together, for one job: what the settings page lists, the setting's own first. */
export async function chooseProtocol(context: vscode.ExtensionContext): Promise<string | undefined> {
  const { enum: names, enumDescriptions: details } = context.extension.packageJSON.contributes.configuration.properties['soa.protocol'] as {
    enum: string[];
    enumDescriptions: string[];
  };
  const set = vscode.workspace.getConfiguration('soa', vscode.window.activeTextEditor?.document.uri).get<string>('protocol');
  const rows = names.map((label, index) => ({ label, description: label === set ? 'the setting' : '', detail: details[index] ?? '' }));
  rows.sort((one, other) => Number(other.label === set) - Number(one.label === set));
  return (await vscode.window.showQuickPick(rows, { title: 'SoA: how shall the agents work together this time?' }))?.label;
}

/** Cancel a job: that one, the only one, or one that the person picks. */
export async function cancel(jobs: Jobs, jobId?: string): Promise<void> {
  const running = jobs.running();
  let chosen = jobId ?? running[0]?.jobId;
  if (jobId === undefined && running.length > 1) {
    const rows = running.map(job => ({ label: jobLabel(job), description: jobDetail(job), jobId: job.jobId }));
    chosen = (await vscode.window.showQuickPick(rows, { title: 'SoA: cancel which job?' }))?.jobId;
  }
  if (chosen !== undefined) await vscode.commands.executeCommand('soa.cancel', { jobId: chosen });
}

/** Run a command of the command line in a terminal of its own. */
export async function terminal(context: vscode.ExtensionContext, log: vscode.LogOutputChannel, command: string): Promise<void> {
  const soa = await serverCommand(context, log);
  if (soa === null) return;
  const folder = vscode.workspace.workspaceFolders?.[0]?.uri.fsPath ?? context.globalStorageUri.fsPath;
  const search = `${path.dirname(soa)}${path.delimiter}${process.env['PATH'] ?? ''}`;
  const shown = vscode.window.createTerminal({ name: `SoA ${command}`, cwd: folder, env: { PATH: search } });
  shown.show();
  shown.sendText(`${path.basename(soa, '.exe')} ${command}`);
}
