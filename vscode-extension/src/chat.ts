import * as vscode from 'vscode';
import { LSPErrorCodes, ResponseError } from 'vscode-languageclient/node';
import type { ChatParams, ChatResult } from './protocol';

export type Chunk = (requestId: string, text: string) => void;

const JUSTIFICATION = 'SoA writes the function you asked for with this model.';

/** The editor's models, those named first; none when this editor offers none. */
export async function models(name = ''): Promise<vscode.LanguageModelChat[]> {
  const all = await vscode.lm.selectChatModels();
  return name ? all.filter(model => [model.id, model.family, `${model.vendor}/${model.id}`, `${model.vendor}/${model.family}`].includes(name)) : all;
}

/** Ask one of the editor's models. Pieces go to `chunk` as they come; the whole text is the result. */
export async function chat(params: ChatParams, token: vscode.CancellationToken, chunk: Chunk): Promise<ChatResult> {
  const [model] = await models(params.model);
  if (!model) throw await missing(params.model);
  const messages = params.messages.map(each =>
    each.role === 'assistant' ? vscode.LanguageModelChatMessage.Assistant(each.content) : vscode.LanguageModelChatMessage.User(each.content),
  );
  try {
    const response = await model.sendRequest(messages, { justification: JUSTIFICATION }, token);
    let text = '';
    for await (const piece of response.text) {
      text += piece;
      chunk(params.requestId, piece);
    }
    if (token.isCancellationRequested) throw new ResponseError(LSPErrorCodes.RequestCancelled, 'The request was cancelled.');
    return { text, finishReason: 'stop', usage: await usage(model, messages, text) };
  } catch (error) {
    throw plain(error, model, token);
  }
}

async function usage(model: vscode.LanguageModelChat, messages: vscode.LanguageModelChatMessage[], text: string): Promise<NonNullable<ChatResult['usage']>> {
  const counts = await Promise.all(messages.map(message => model.countTokens(message)));
  return { inputTokens: counts.reduce((sum, each) => sum + each, 0), outputTokens: await model.countTokens(text) };
}

async function missing(name = ''): Promise<ResponseError<void>> {
  const found = (await models()).map(model => model.id);
  const say = found.length
    ? `This editor offers no model named ${name}; it offers ${found.join(', ')}. Set soa.model.name to one of them.`
    : 'This editor offers no language model. Sign in to one (for example GitHub Copilot), or set soa.model.provider to openai.';
  return new ResponseError<void>(LSPErrorCodes.RequestFailed, say);
}

function plain(error: unknown, model: vscode.LanguageModelChat, token: vscode.CancellationToken): ResponseError<void> {
  if (error instanceof ResponseError) return error as ResponseError<void>;
  if (token.isCancellationRequested) return new ResponseError(LSPErrorCodes.RequestCancelled, 'The request was cancelled.');
  const code = error instanceof vscode.LanguageModelError ? error.code : '';
  const why = error instanceof Error ? error.message.replace(/\s+/g, ' ').trim() : String(error);
  const say = {
    NoPermissions: `You have not allowed SoA to use ${model.name}. Allow it when the editor asks, or choose another model.`,
    Blocked: `The editor refused the request to ${model.name} (${why}). Wait for your quota, or choose another model.`,
    NotFound: `${model.name} is no longer there. Choose another model.`,
  }[code];
  return new ResponseError<void>(LSPErrorCodes.RequestFailed, say ?? `${model.name} did not answer (${why}). Try again, or choose another model.`);
}
