// A file system of one Python file that lies on no disk.
const vscode = require('vscode');

const TEXT = Buffer.from('def nothing() -> None:\n    ...\n');

exports.activate = context => {
  const file = { type: vscode.FileType.File, ctime: 0, mtime: 0, size: TEXT.length };
  const stat = uri => {
    if (uri.path.endsWith('/nothing.py')) return file;
    if (/^\/(project\/?)?$/.test(uri.path)) return { ...file, type: vscode.FileType.Directory };
    throw vscode.FileSystemError.FileNotFound(uri);
  };
  const provider = {
    onDidChangeFile: new vscode.EventEmitter().event,
    watch: () => new vscode.Disposable(() => undefined),
    stat,
    readDirectory: () => [['nothing.py', vscode.FileType.File]],
    readFile: uri => (stat(uri), TEXT),
  };
  context.subscriptions.push(vscode.workspace.registerFileSystemProvider('nowhere', provider, { isReadonly: true }));
};
