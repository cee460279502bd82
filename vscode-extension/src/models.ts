import * as vscode from 'vscode';
import type { LanguageClient } from 'vscode-languageclient/node';
import * as chat from './chat';
import { LOCAL_SERVERS, type LocalServer } from './protocol';
import type { Secrets } from './secrets';

type Values = Record<string, string | undefined>;

/** Lead a person to one of the three kinds of models, and set what that takes. */
export async function chooseModel(client: () => Promise<LanguageClient | undefined>, secrets: Secrets): Promise<void> {
  const ways = [
    { label: '$(key) OpenAI-compatible endpoint', detail: 'OpenAI, a gateway or another provider, with your key', run: () => endpoint(secrets) },
    { label: '$(server) A server on this machine', detail: 'Ollama, llama.cpp, LM Studio or vLLM; nothing leaves this machine', run: () => local(client) },
    { label: "$(copilot) The editor's own model", detail: 'For example of a Copilot subscription; needs no key', run: editors },
  ];
  const chosen = await vscode.window.showQuickPick(ways, { title: 'SoA: who writes?' });
  await chosen?.run();
}

async function endpoint(secrets: Secrets): Promise<void> {
  const configuration = vscode.workspace.getConfiguration('soa');
  const baseUrl = await vscode.window.showInputBox({
    title: 'SoA: endpoint (1 of 3)',
    prompt: "The base URL, for example https://gateway.example/v1. Leave it empty for OpenAI's.",
    value: configuration.get<string>('model.baseUrl') ?? '',
    ignoreFocusOut: true,
    validateInput: value => (!value.trim() || /^https?:\/\//.test(value.trim()) ? undefined : 'An address begins with http:// or https://'),
  });
  if (baseUrl === undefined) return;
  const name = await vscode.window.showInputBox({
    title: 'SoA: model (2 of 3)',
    prompt: 'The name of the model. Leave it empty where the endpoint has only one.',
    value: configuration.get<string>('model.name') ?? '',
    ignoreFocusOut: true,
  });
  if (name === undefined) return;
  await set({ provider: undefined, baseUrl: baseUrl.trim() || undefined, name: name.trim() || undefined });
  await secrets.ask();
}

async function local(client: () => Promise<LanguageClient | undefined>): Promise<void> {
  const server = await client();
  if (!server) return;
  const { servers } = await server.sendRequest<{ servers: LocalServer[] }>(LOCAL_SERVERS, {});
  if (!servers.length) {
    void vscode.window.showWarningMessage('SoA: no model server answers at the usual ports of this machine. Start one (for example Ollama) and choose again.');
    return;
  }
  const rows = servers.flatMap(each => each.models.map(model => ({ label: model, description: `${each.name}, ${each.baseUrl}`, baseUrl: each.baseUrl })));
  const chosen = await vscode.window.showQuickPick(rows, { title: 'SoA: models on this machine' });
  if (chosen) await set({ provider: undefined, baseUrl: chosen.baseUrl, name: chosen.label });
}

async function editors(): Promise<void> {
  const found = await chat.models();
  if (!found.length) {
    void vscode.window.showWarningMessage('SoA: this editor offers no language model. Sign in to one, for example GitHub Copilot, and choose again.');
    return;
  }
  const rows = found.map(model => ({ label: model.name, description: `${model.vendor}/${model.id}` }));
  const chosen = await vscode.window.showQuickPick(rows, { title: 'SoA: models of this editor' });
  if (chosen) await set({ provider: 'editor', baseUrl: undefined, name: chosen.description });
}

async function set(values: Values): Promise<void> {
  const configuration = vscode.workspace.getConfiguration('soa');
  for (const [key, value] of Object.entries(values)) {
    await configuration.update(`model.${key}`, value, vscode.ConfigurationTarget.Global);
  }
}
