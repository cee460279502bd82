import { createHash } from 'node:crypto';
import * as fs from 'node:fs/promises';
import * as path from 'node:path';
import { promisify } from 'node:util';
import { brotliDecompress } from 'node:zlib';
import * as vscode from 'vscode';
import * as interpreter from './interpreter';
import { run } from './processes';

const MARK = 'complete.json';

/** A failure that a person can mend: one sentence, without the log. */
export class SetupFailed extends Error {}

/** The command that starts the server, without its arguments; null when the person cancelled its setup. */
export async function serverCommand(context: vscode.ExtensionContext, log: vscode.LogOutputChannel): Promise<string | null> {
  const set = vscode.workspace.getConfiguration('soa').get<string>('server.command')?.trim();
  if (set) return set;
  const wheel = await packedWheel(context);
  const folder = path.join(context.globalStorageUri.fsPath, `env-${await digest(wheel)}`);
  if (!(await complete(folder)) && !(await setUp(folder, wheel, log))) return null;
  void removeOthers(folder);
  return path.join(scripts(folder), executable('soa'));
}

async function packedWheel(context: vscode.ExtensionContext): Promise<string> {
  const folder = path.join(context.extensionPath, 'dist');
  const name = (await fs.readdir(folder)).find(each => each.endsWith('.whl.br'));
  if (!name) throw new SetupFailed('This build of the extension holds no server. Install a complete .vsix, or set soa.server.command.');
  return path.join(folder, name);
}

async function digest(wheel: string): Promise<string> {
  const set = vscode.workspace.getConfiguration('soa').get<string>('python') ?? '';
  return createHash('sha256').update(await fs.readFile(wheel)).update(set).digest('hex').slice(0, 12);
}

/** The mark is written last; an environment whose base has been removed since is as good as none. */
async function complete(folder: string): Promise<boolean> {
  try {
    await fs.access(path.join(folder, MARK));
    await fs.access(path.join(scripts(folder), executable('python'))); // follows the link to the base
    return true;
  } catch {
    return false;
  }
}

function setUp(folder: string, wheel: string, log: vscode.LogOutputChannel): Thenable<boolean> {
  const options = { location: vscode.ProgressLocation.Notification, title: 'SoA: setting up its Python environment', cancellable: true };
  return vscode.window.withProgress(options, async (progress, token) => {
    const abort = new AbortController();
    token.onCancellationRequested(() => abort.abort());
    progress.report({ message: 'looking for Python 3.11 or newer' });
    const python = await interpreter.base();
    if (!python) throw new SetupFailed('No Python 3.11 or newer was found. Install one, or name it in soa.python.');
    const step = async (message: string, command: string, args: string[]): Promise<void> => {
      if (abort.signal.aborted) return;
      progress.report({ message });
      log.info([command, ...args].join(' '));
      const ended = await run(command, args, { signal: abort.signal, line: line => log.info(line) });
      if (ended.code !== 0 && !abort.signal.aborted) throw new SetupFailed(reason(ended.output, python));
    };
    await fs.rm(folder, { recursive: true, force: true });
    await fs.mkdir(path.dirname(folder), { recursive: true });
    await step('making it', python, ['-m', 'venv', folder]);
    const unpacked = path.join(folder, path.basename(wheel, '.br'));
    if (!abort.signal.aborted) await fs.writeFile(unpacked, await promisify(brotliDecompress)(await fs.readFile(wheel)));
    const pip = ['-m', 'pip', 'install', '--disable-pip-version-check', '--no-input', unpacked];
    await step('installing the server and what it needs', path.join(scripts(folder), executable('python')), pip);
    if (abort.signal.aborted) return false;
    await fs.writeFile(path.join(folder, MARK), JSON.stringify({ python, wheel: path.basename(unpacked) }));
    return true;
  });
}

/** What went wrong, from what venv or pip wrote. */
function reason(output: string, python: string): string {
  if (/ensurepip|No module named '?(venv|pip)/.test(output)) {
    return `${python} cannot make environments: its venv module is missing. Install it (Debian and Ubuntu: python3-venv), or name another Python in soa.python.`;
  }
  if (/ConnectionError|NewConnectionError|name resolution|timed out|No matching distribution|Could not find a version|ProxyError|SSLError/i.test(output)) {
    return 'pip could not download what the server needs. Check the connection or proxy and try again, or install soa-language-server yourself and set soa.server.command.';
  }
  return 'The server could not be installed; the log says why. Mend that and try again, or install soa-language-server yourself and set soa.server.command.';
}

/** Environments of earlier versions go once the present one stands. */
async function removeOthers(folder: string): Promise<void> {
  const parent = path.dirname(folder);
  for (const name of await fs.readdir(parent).catch(() => [])) {
    if (name.startsWith('env-') && name !== path.basename(folder)) {
      await fs.rm(path.join(parent, name), { recursive: true, force: true }).catch(() => undefined);
    }
  }
}

function scripts(folder: string): string {
  return path.join(folder, process.platform === 'win32' ? 'Scripts' : 'bin');
}

function executable(name: string): string {
  return process.platform === 'win32' ? `${name}.exe` : name;
}
