import { spawn } from 'node:child_process';

/** How a process ended: its exit code, null when it could not be started or was ended by a signal, and what it wrote. */
export interface Ended {
  code: number | null;
  output: string;
}

export interface Watch {
  /** Hears every line as it comes. */
  line?: (line: string) => void;
  /** Ends the process. */
  signal?: AbortSignal;
}

/** Run a command without a shell and with an empty input. Never throws: a command that is not there has no exit code. */
export function run(command: string, args: readonly string[], watch: Watch = {}): Promise<Ended> {
  return new Promise(resolve => {
    let output = '';
    let rest = '';
    const options = { stdio: ['ignore', 'pipe', 'pipe'] as ('ignore' | 'pipe')[], ...(watch.signal ? { signal: watch.signal } : {}) };
    const child = spawn(command, args, options);
    const take = (chunk: Buffer): void => {
      output += chunk.toString();
      const lines = (rest + chunk.toString()).split(/\r?\n/);
      rest = lines.pop() ?? '';
      lines.forEach(line => watch.line?.(line));
    };
    child.stdout?.on('data', take);
    child.stderr?.on('data', take);
    child.on('error', error => resolve({ code: null, output: output || error.message }));
    child.on('close', code => resolve({ code, output }));
  });
}
