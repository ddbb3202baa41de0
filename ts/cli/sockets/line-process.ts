/** A child that is spoken to in lines: it ends when its standard input does, so that none outlives us. */
import { spawn, spawnSync } from 'node:child_process';
import type { ChildProcessByStdio } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';

export interface Command {
  readonly file: string;
  readonly arguments: readonly string[];
  readonly environment?: NodeJS.ProcessEnv;
}

const STOP_MS = 3000;
const SAID_LINES = 6;

export class LineProcess {
  readonly #child: ChildProcessByStdio<Writable, Readable, Readable>;
  readonly #name: string;
  readonly #lines: string[] = [];
  readonly #ended: Promise<void>;
  #wake: () => void = () => {};
  #said = '';
  #failure: string | undefined = undefined;

  constructor(name: string, command: Command) {
    this.#name = name;
    const env = { ...process.env, ...command.environment };
    const child = spawn(command.file, [...command.arguments], { stdio: ['pipe', 'pipe', 'pipe'], env });
    this.#child = child;
    createInterface({ input: child.stdout }).on('line', (line) => {
      this.#lines.push(line);
      this.#wake();
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => (this.#said = (this.#said + text).slice(-10_000)));
    // A child that has gone tells so by its end.
    child.stdin.on('error', () => {});
    this.#ended = new Promise((resolve) => {
      const end = (how: string): void => {
        this.#failure ??= how;
        this.#wake();
        resolve();
      };
      child.once('error', (error) => end(error.message));
      child.once('close', (code, signal) => end(`it ended with ${signal === null ? `code ${code}` : `signal ${signal}`}`));
    });
  }

  get pid(): number {
    return this.#child.pid!;
  }

  /** What it said on standard error so far; '' when it had nothing to say. */
  get complaint(): string {
    return this.#said.trim().split('\n').slice(0, SAID_LINES).join('\n');
  }

  say(line: string): void {
    this.#child.stdin.write(`${line}\n`);
  }

  /** The next line that it prints. Throws when it ends before, or takes longer than that. */
  async line(withinMs: number): Promise<string> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<string>((resolve) => {
      timer = setTimeout(resolve, withinMs, `no answer within ${Math.round(withinMs / 1000)} s`);
    });
    try {
      for (;;) {
        const line = this.#lines.shift();
        if (line !== undefined) return line;
        if (this.#failure !== undefined) throw this.#error(this.#failure);
        const arrived = new Promise<undefined>((resolve) => (this.#wake = () => resolve(undefined)));
        const failure = await Promise.race([arrived, late]);
        if (failure !== undefined) throw this.#error(failure);
      }
    } finally {
      clearTimeout(timer);
    }
  }

  /** End it, the hard way where it does not. */
  async stop(): Promise<void> {
    this.#child.stdin.end();
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), STOP_MS);
    await this.#ended;
    clearTimeout(timer);
  }

  #error(what: string): Error {
    const said = this.complaint;
    return new Error(`${this.#name}: ${what}${said === '' ? '' : `: ${said}`}`);
  }
}

/** The processors that we may use. */
function allowedCores(): number[] {
  try {
    const list = /^Cpus_allowed_list:\s*(\S+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '';
    return list.split(',').flatMap((range) => {
      const [first = 0, last = first] = range.split('-').map(Number);
      return Array.from({ length: last - first + 1 }, (_, index) => first + index);
    });
  } catch {
    return [];
  }
}

function isThere(program: string): boolean {
  return spawnSync(program, ['--version'], { stdio: 'ignore' }).status === 0;
}

let pinning: readonly number[] | undefined;

/** The cores that server and load are kept on, apart from each other; none where that cannot be done. */
export function pinnedCores(): readonly number[] {
  if (pinning === undefined) {
    const cores = allowedCores();
    pinning = cores.length > 1 && isThere('taskset') ? cores.slice(0, 2) : [];
  }
  return pinning;
}

/** The same command on one core: the first for servers, the second for their load. */
export function pinned(command: Command, which: 0 | 1): Command {
  const core = pinnedCores()[which];
  if (core === undefined) return command;
  return { ...command, file: 'taskset', arguments: ['--cpu-list', `${core}`, command.file, ...command.arguments] };
}
