import * as vscode from 'vscode';

/** The file of a FunctionId's path: below the one folder, or behind the folder's name when there are several. */
export function fileOf(path: string): vscode.Uri | undefined {
  const folders = vscode.workspace.workspaceFolders ?? [];
  const [only] = folders;
  if (only && folders.length === 1) return vscode.Uri.joinPath(only.uri, path);
  const seen = new Map<string, number>();
  for (const folder of folders) {
    const last = folder.uri.path.split('/').at(-1) ?? '';
    const number = (seen.get(last) ?? 0) + 1;
    seen.set(last, number);
    const name = number === 1 ? last : `${last}-${number}`;
    if (path.startsWith(`${name}/`)) return vscode.Uri.joinPath(folder.uri, path.slice(name.length + 1));
  }
  return undefined;
}

/** Where a qualified name is defined in a text, by the indentation of `def` and `class`; undefined when it is not there. */
export function lineOf(text: string, qualname: string): number | undefined {
  const wanted = qualname.replace(/\.<locals>/g, '').replace(/#\d+$/, '');
  const open: { indent: number; name: string }[] = [];
  const lines = text.split(/\r\n|\r|\n/);
  for (const [number, line] of lines.entries()) {
    const found = line.match(/^(\s*)(?:async\s+)?(?:def|class)\s+(\w+)/);
    if (!found) continue;
    const indent = found[1]?.length ?? 0;
    while ((open.at(-1)?.indent ?? -1) >= indent) open.pop();
    open.push({ indent, name: found[2] ?? '' });
    if (open.map(each => each.name).join('.') === wanted) return number;
  }
  return undefined;
}

/** Show a function in its file; false when it does not stand there (yet). */
export async function openFunction(id: string): Promise<boolean> {
  const [path = '', qualname = ''] = id.split('::');
  const uri = fileOf(path);
  if (!uri) return false;
  const document = await vscode.workspace.openTextDocument(uri);
  const line = lineOf(document.getText(), qualname);
  if (line === undefined) return false;
  const place = new vscode.Range(line, 0, line, 0);
  await vscode.window.showTextDocument(document, { selection: place, preview: true });
  return true;
}
