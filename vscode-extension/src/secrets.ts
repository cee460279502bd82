import * as vscode from 'vscode';

/** Keys of model servers in the editor's secret storage, by the name of the variable that they stand in for. */
export class Secrets {
  constructor(private readonly storage: vscode.SecretStorage) {}

  /** The key kept under a name; null lets the server use its environment. */
  async value(name: string): Promise<string | null> {
    return (await this.storage.get(place(name))) ?? null;
  }

  /** Ask for a key and keep it; false when the person thought better of it. */
  async ask(): Promise<boolean> {
    const value = await vscode.window.showInputBox({
      title: 'SoA: Set API Key',
      prompt: `The key of your model's server. It is kept in the editor's secret storage, in place of ${current()}.`,
      password: true,
      ignoreFocusOut: true,
    });
    if (!value?.trim()) return false;
    await this.storage.store(place(current()), value.trim());
    void vscode.window.showInformationMessage('SoA: the key is kept; the next job uses it.');
    return true;
  }

  async delete(): Promise<void> {
    await this.storage.delete(place(current()));
    void vscode.window.showInformationMessage(`SoA: the kept key is gone; ${current()} of the environment is used if it is set.`);
  }
}

function current(): string {
  return vscode.workspace.getConfiguration('soa').get<string>('model.apiKeyEnv') || 'OPENAI_API_KEY';
}

function place(name: string): string {
  return `soa.key.${name}`;
}
