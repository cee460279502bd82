// Stands in for the extension "Python": says which interpreter a test has chosen.
const vscode = require('vscode');

exports.activate = () => {
  const changed = new vscode.EventEmitter();
  let chosen;
  return {
    environments: {
      getActiveEnvironmentPath: () => ({ path: chosen ?? 'python' }),
      resolveEnvironment: async ({ path }) => (path === chosen ? { executable: { uri: vscode.Uri.file(path) } } : undefined),
      onDidChangeActiveEnvironmentPath: changed.event,
    },
    choose(python) {
      chosen = python;
      changed.fire();
    },
  };
};
