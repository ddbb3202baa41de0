/**
 * Programs of `__test__/programs` in a process of their own, so that a crash, an exit or a hang is something a test can
 * look at. A program reports by lines of JSON on its standard output.
 */
import { spawn } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ExecutionContext } from 'ava';

const programs = join(dirname(fileURLToPath(import.meta.url)), '../programs');

export type Report = Readonly<Record<string, unknown>>;

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** It was killed: it had not ended in time, or it had reported nothing for too long. */
  readonly timedOut: boolean;
  /** `Date.now()` when it was gone. */
  readonly endedAt: number;
  readonly elapsedMs: number;
  readonly reports: readonly Report[];
  readonly stderr: string;
}

export interface ChildOptions {
  readonly env?: Readonly<Record<string, string>> | undefined;
  /** A command that runs Node: `strace`, `setpriv` .. with their arguments. */
  readonly wrapper?: readonly string[] | undefined;
  readonly nodeOptions?: readonly string[] | undefined;
  readonly timeoutMs?: number | undefined;
  /** Kill it when it reports nothing for so long. */
  readonly silenceMs?: number | undefined;
}

/**
 * Flags of a program that calls `process.exit`: Node then waits for V8's compile threads, of which one may wait for a collection by the
 * main thread, for ever (nodejs/node#54918). Without such threads there is none.
 */
export const EXITS: readonly string[] = ['--single-threaded'];

/** Run `programs/<name>.ts` with these arguments to its end. */
export function runProgram(name: string, args: readonly (string | number)[], options: ChildOptions = {}): Promise<Ended> {
  const node = [process.execPath, '--disable-warning=ExperimentalWarning', ...(options.nodeOptions ?? [])];
  const [command, ...parameters] = [...(options.wrapper ?? []), ...node, join(programs, `${name}.ts`), ...args.map(String)];
  const started = Date.now();
  // The program's own process group: killing it takes what wraps it and what it started along.
  const env = { ...process.env, NODE_OPTIONS: '', ...options.env };
  const child = spawn(command!, parameters, { env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
  const reports: Report[] = [];
  let timedOut = false;
  let stderr = '';
  const kill = (): void => {
    timedOut = true;
    if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
  };
  const timer = setTimeout(kill, options.timeoutMs ?? 30_000);
  let silence = options.silenceMs === undefined ? undefined : setTimeout(kill, options.silenceMs);
  let partial = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    const lines = (partial + text).split('\n');
    partial = lines.pop()!;
    for (const line of lines) if (line.startsWith('{')) reports.push(JSON.parse(line) as Report);
    silence?.refresh();
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    let endedAt = 0;
    child.on('exit', () => (endedAt = Date.now()));
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      clearTimeout(silence);
      silence = undefined;
      resolve({ code, signal, timedOut, endedAt, elapsedMs: endedAt - started, reports, stderr });
    });
  });
}

/** Assert that it ended by itself with this exit code. */
export function endedWith(t: ExecutionContext, ended: Ended, code: number, what = 'the program'): void {
  if (!ended.timedOut && ended.signal === null && ended.code === code) {
    t.pass();
    return;
  }
  const how = ended.timedOut ? 'had to be killed' : ended.signal === null ? `ended with ${ended.code}` : `died of ${ended.signal}`;
  t.fail(`${what} ${how}, expected was exit code ${code}; it reported ${JSON.stringify(ended.reports.slice(-3))}\n${ended.stderr.slice(-2000)}`);
}

/** All reports as one object, later fields over earlier ones. */
export function reported(ended: Ended): Report {
  return Object.assign({}, ...ended.reports) as Report;
}
