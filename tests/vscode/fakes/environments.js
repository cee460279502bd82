// Stands in for the extension "Python Environments": says which interpreter a test has chosen.
const vscode = require('vscode');

exports.activate = () => {
  const changed = new vscode.EventEmitter();
  let chosen;
  return {
    getEnvironment: async () => chosen && { execInfo: { run: { executable: chosen } } },
    onDidChangeEnvironment: changed.event,
    choose(python) {
      chosen = python;
      changed.fire();
    },
  };
};
