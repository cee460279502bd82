// A language model for the tests: it answers as `model.answer` says, in pieces, until its token is cancelled.
const vscode = require('vscode');

const INFORMATION = { id: 'writer', name: 'Test Writer', family: 'writer', version: '1', maxInputTokens: 100000, maxOutputTokens: 10000, capabilities: {}, isUserSelectable: true };

exports.model = { answer: async () => '', asked: [], cancelled: 0 };

exports.activate = context => {
  exports.logs = context.logUri.fsPath;
  const provider = {
    provideLanguageModelChatInformation: async () => [INFORMATION],
    provideTokenCount: async (_, text) => Math.ceil(JSON.stringify(text).length / 4),
    provideLanguageModelChatResponse: async (_, messages, options, progress, token) => {
      const text = messages.map(message => message.content.map(part => part.value ?? '').join('')).join('\n');
      exports.model.asked.push(text);
      token.onCancellationRequested(() => exports.model.cancelled++);
      const reply = await exports.model.answer(text, token);
      for (let at = 0; at < reply.length; at += 20) progress.report(new vscode.LanguageModelTextPart(reply.slice(at, at + 20)));
    },
  };
  context.subscriptions.push(vscode.lm.registerLanguageModelChatProvider('test', provider));
};
