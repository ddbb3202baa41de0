/** The programs of `examples/`, run as a reader would: to their end, or, where they serve, until a signal. */
import { execFile, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { ExecutionContext } from 'ava';

export const root = fileURLToPath(new URL('../..', import.meta.url));
const PROGRAM_MS_MAX = 60_000;

export interface Ended {
  /** -1: it did not end by itself. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

function environment(backend: string): NodeJS.ProcessEnv {
  return { ...process.env, RITSU_BACKEND: backend, NODE: process.execPath };
}

function run(command: string, args: readonly string[], backend: string): Promise<Ended> {
  const options = { cwd: root, env: environment(backend), timeout: PROGRAM_MS_MAX, maxBuffer: 2 ** 26 };
  return new Promise((resolve) => {
    execFile(command, args, options, (error, stdout, stderr) => {
      resolve({ code: typeof error?.code === 'number' ? error.code : error === null ? 0 : -1, stdout, stderr });
    });
  });
}

/** Run an example; how it ended. */
export function example(name: string, args: readonly string[], backend: string): Promise<Ended> {
  return run(process.execPath, [`examples/${name}`, ...args], backend);
}

/** Run a line of the shell, in which `$NODE examples/...` stands for one, with `$1` and so on. */
export function shell(line: string, args: readonly string[], backend: string): Promise<Ended> {
  return run('sh', ['-c', line, 'sh', ...args], backend);
}

export function ended(t: ExecutionContext, { code, stdout, stderr }: Ended, expected: string | RegExp): void {
  t.is(code, 0, stderr);
  if (typeof expected === 'string') t.is(stdout, expected);
  else t.regex(stdout, expected);
}

/** An example that serves. */
export class Serving {
  readonly child: ChildProcess;
  stdout = '';
  stderr = '';

  constructor(t: ExecutionContext, name: string, args: readonly string[], backend: string) {
    this.child = spawn(process.execPath, [`examples/${name}`, ...args], {
      cwd: root,
      env: environment(backend),
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: PROGRAM_MS_MAX,
      killSignal: 'SIGKILL',
    });
    this.child.stdout!.setEncoding('utf8').on('data', (text: string) => (this.stdout += text));
    this.child.stderr!.setEncoding('utf8').on('data', (text: string) => (this.stderr += text));
    t.teardown(() => this.child.kill('SIGKILL'));
  }

  /** What it says when it is ready. */
  async announcement(): Promise<string> {
    while (!this.stdout.includes('\n')) {
      const [what] = (await Promise.race([once(this.child.stdout!, 'data'), once(this.child, 'close')])) as [unknown];
      if (typeof what !== 'string' && !this.stdout.includes('\n')) throw new Error(`it ended: ${this.stderr}`);
    }
    return this.stdout.slice(0, this.stdout.indexOf('\n'));
  }

  /** Send the signal; the exit code, null if the signal killed it. */
  async stop(signal: NodeJS.Signals): Promise<number | null> {
    const closed = once(this.child, 'close') as Promise<[number | null]>;
    this.child.kill(signal);
    return (await closed)[0];
  }
}

/** An example that serves on a port, when it does. */
export async function servingOnPort(
  t: ExecutionContext,
  name: string,
  args: readonly string[],
  backend: string,
): Promise<Serving & { readonly port: number }> {
  const serving = new Serving(t, name, ['0', ...args], backend);
  const port = Number(/^listening on port (\d+)$/.exec(await serving.announcement())![1]);
  return Object.assign(serving, { port });
}
