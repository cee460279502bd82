import * as path from 'node:path';
import * as vscode from 'vscode';
import { run } from './processes';

const ENVIRONMENTS = 'ms-python.vscode-python-envs';
const PYTHON = 'ms-python.python';

interface PythonExtension {
  environments?: {
    getActiveEnvironmentPath(resource?: vscode.Uri): { path: string };
    resolveEnvironment(environment: { path: string }): Promise<{ executable: { uri?: vscode.Uri } } | undefined>;
    onDidChangeActiveEnvironmentPath(listener: () => void): vscode.Disposable;
  };
}

interface EnvironmentsExtension {
  getEnvironment(scope?: vscode.Uri): Promise<{ execInfo?: { run?: { executable?: string } } } | undefined>;
  onDidChangeEnvironment(listener: () => void): vscode.Disposable;
}

/** The interpreter selected in the editor for a resource; undefined when no extension knows of one. */
export async function selected(resource?: vscode.Uri): Promise<string | undefined> {
  const environments = await exported<EnvironmentsExtension>(ENVIRONMENTS);
  const found = (await attempt(() => environments?.getEnvironment(resource)))?.execInfo?.run?.executable;
  if (found) return found;
  const api = (await exported<PythonExtension>(PYTHON))?.environments;
  if (!api) return undefined;
  const active = api.getActiveEnvironmentPath(resource);
  const resolved = await attempt(() => api.resolveEnvironment(active));
  return resolved?.executable.uri?.fsPath ?? (path.isAbsolute(active.path) ? active.path : undefined);
}

/** Calls back when another interpreter is selected. Waits for the Python extensions, so nothing waits for it. */
export async function onSelected(changed: () => void): Promise<vscode.Disposable> {
  const environments = await exported<EnvironmentsExtension>(ENVIRONMENTS);
  const python = await exported<PythonExtension>(PYTHON);
  const listeners = [environments?.onDidChangeEnvironment?.(changed), python?.environments?.onDidChangeActiveEnvironmentPath?.(changed)];
  return vscode.Disposable.from(...listeners.filter(each => each !== undefined));
}

/**
 * A Python of 3.11 or newer to make the private environment from, in this order: the setting, the selected
 * interpreter, `python3` and its like on PATH. A selected interpreter that lies in the workspace is passed over:
 * nothing of a workspace runs before a person asks for it.
 */
export async function base(): Promise<string | undefined> {
  const set = vscode.workspace.getConfiguration('soa').get<string>('python');
  if (set) return (await usable(set)) ? set : undefined;
  const chosen = await selected(vscode.workspace.workspaceFolders?.[0]?.uri);
  const names = process.platform === 'win32' ? ['python', 'py'] : ['python3', 'python3.13', 'python3.12', 'python3.11', 'python3.14'];
  for (const candidate of chosen && !inWorkspace(chosen) ? [chosen, ...names] : names) {
    if (await usable(candidate)) return candidate;
  }
  return undefined;
}

async function usable(python: string): Promise<boolean> {
  const ended = await run(python, ['-c', 'import sys; sys.exit(sys.version_info < (3, 11))']);
  return ended.code === 0;
}

function inWorkspace(file: string): boolean {
  return vscode.workspace.getWorkspaceFolder(vscode.Uri.file(file)) !== undefined;
}

async function exported<T>(id: string): Promise<T | undefined> {
  const extension = vscode.extensions.getExtension<T>(id);
  return extension && attempt(() => extension.activate());
}

/** Other extensions may fail in ways of their own; to us that means they say nothing. */
async function attempt<T>(ask: () => Thenable<T> | undefined): Promise<T | undefined> {
  try {
    return await ask();
  } catch {
    return undefined;
  }
}
