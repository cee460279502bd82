import * as vscode from 'vscode';
import { WorkDoneProgressCancelNotification, type LanguageClient, type Middleware } from 'vscode-languageclient/node';

interface Shown {
  report(message: string, percentage?: number): void;
  end(): void;
}

type Handler = NonNullable<Middleware['handleWorkDoneProgress']>;

/**
 * Shows the server's progress as notifications with Cancel; the client library would use the status bar, where
 * nothing can be cancelled. `heard` gets every line with the progress' title.
 */
export class Notifications {
  private readonly shown = new Map<string | number, Shown & { title: string }>();

  constructor(
    private readonly client: () => LanguageClient | undefined,
    private readonly heard: (title: string, line: string) => void,
  ) {}

  readonly handle: Handler = (token, params, next) => {
    if (params.kind === 'begin') {
      const cancel = (): void => void this.client()?.sendNotification(WorkDoneProgressCancelNotification.type, { token });
      this.shown.set(token, { ...show(params.title, cancel), title: params.title });
    }
    const one = this.shown.get(token);
    if (params.kind === 'end') {
      one?.end();
      this.shown.delete(token);
      next(token, params); // the library forgets the token
    } else if (params.message && one) {
      one.report(params.message, params.percentage);
      this.heard(one.title, params.message);
    }
  };

  /** The server is gone, and with it whoever would end them. */
  clear(): void {
    this.shown.forEach(one => one.end());
    this.shown.clear();
  }
}

function show(title: string, cancel: () => void): Shown {
  let end = (): void => undefined;
  let reported = 0;
  let report: Shown['report'] = () => undefined;
  const ended = new Promise<void>(resolve => (end = resolve));
  const options = { location: vscode.ProgressLocation.Notification, title, cancellable: true };
  void vscode.window.withProgress(options, (progress, token) => {
    token.onCancellationRequested(cancel);
    report = (message, percentage) => {
      const increment = Math.max(0, (percentage ?? 0) - reported);
      reported += increment;
      progress.report(increment ? { message, increment } : { message });
    };
    return ended;
  });
  return { report: (message, percentage) => report(message, percentage), end };
}
