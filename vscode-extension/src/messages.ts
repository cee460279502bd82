import * as vscode from 'vscode';
import { MessageType, ShowMessageNotification, ShowMessageRequest, type LanguageClient, type MessageActionItem } from 'vscode-languageclient/node';

interface Extra {
  title: string;
  command: string;
  arguments?: unknown[];
}

/** A sentence that names a command or a setting of ours gets a button that leads there. */
const LEADS: readonly [RegExp, (found: RegExpMatchArray) => Extra][] = [
  [/SoA: Set API Key/, () => ({ title: 'Set API Key', command: 'soa.ui.setApiKey' })],
  [/No model is configured|SOA_MODEL/, () => ({ title: 'Choose model', command: 'soa.ui.chooseModel' })],
  [/\bsoa\.((?:tests|limits|server|model|preview|python)[\w.]*\w)/, found => setting(found[1] ?? '')],
  [/server's log/, () => ({ title: 'Show log', command: 'soa.ui.showLog' })],
];

/** Has the server's messages shown by us. `closing` is the extra button of a message that closes a job. */
export function takeOver(client: LanguageClient, closing: () => Extra | undefined): void {
  const show = async (type: MessageType, message: string, actions: readonly MessageActionItem[]): Promise<MessageActionItem | null> => {
    const last = closing();
    const extras = [...leads(message), ...(last ? [last] : [])].filter(extra => !actions.some(action => action.title === extra.title));
    const titles = [...actions.map(action => action.title), ...extras.map(extra => extra.title)];
    const chosen = await shown(type)(message, ...titles);
    const extra = extras.find(each => each.title === chosen);
    if (extra) void vscode.commands.executeCommand(extra.command, ...(extra.arguments ?? []));
    return actions.find(action => action.title === chosen) ?? null;
  };
  client.onNotification(ShowMessageNotification.type, params => void show(params.type, params.message, []));
  client.onRequest(ShowMessageRequest.type, params => show(params.type, params.message, params.actions ?? []));
}

/** The buttons that a sentence of the server's calls for. */
export function leads(message: string): Extra[] {
  return LEADS.flatMap(([pattern, lead]) => {
    const found = message.match(pattern);
    return found ? [lead(found)] : [];
  }).slice(0, 2);
}

/** A failure of the extension's own: what happened, and what to do. */
export async function fail(message: string, ...extras: Extra[]): Promise<void> {
  const chosen = await vscode.window.showErrorMessage(`SoA: ${message}`, ...extras.map(extra => extra.title));
  const extra = extras.find(each => each.title === chosen);
  if (extra) await vscode.commands.executeCommand(extra.command, ...(extra.arguments ?? []));
}

export function setting(key: string): Extra {
  return { title: 'Open setting', command: 'workbench.action.openSettings', arguments: [`soa.${key}`] };
}

function shown(type: MessageType): (message: string, ...titles: string[]) => Thenable<string | undefined> {
  if (type === MessageType.Error) return vscode.window.showErrorMessage;
  return type === MessageType.Warning ? vscode.window.showWarningMessage : vscode.window.showInformationMessage;
}
