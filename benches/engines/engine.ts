/** How the harness sees an engine: a name, whether it can run here, and a process that does a plan. */
import { execFile } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LineProcess } from '../../dist/cli/sockets/line-process.js';
import type { Plan, Result } from '../plan.ts';

/** What a report has to know of an engine. */
export interface Participant {
  readonly name: string;
  /** `limit`: what no library can pass; `ours`; `rival`: the others. */
  readonly role: 'limit' | 'ours' | 'rival';
  /** True, or the reason why it cannot run here. */
  available(): string | true;
}

export interface Engine extends Participant {
  run(plan: Plan): Promise<Result>;
  /** Its process, warmed up for the plan. */
  start(plan: Plan): Promise<Started>;
  /** Several plans without regard to time; cheaper than one process each. */
  runAll(plans: readonly Plan[]): Promise<Result[]>;
  /** By strace, as the difference of a run with a warm-up pass and one without, so that start-up cancels out. */
  syscallsPerOperation(plan: Plan): Promise<number>;
}

/** An engine that waits for the word. */
export interface Started {
  readonly pid: number;
  /** Run the measured pass. */
  go(): Promise<Result>;
  stop(): Promise<void>;
}

export interface Command {
  readonly file: string;
  readonly arguments: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
}

export interface ProcessEngineOptions {
  readonly name: string;
  readonly role: Engine['role'];
  readonly available: () => string | true;
  /**
   * A command that prints the results of these plans, as one line of JSON (an array, or one result of one plan). With
   * `RITSU_BENCH_WAITS` it prints a line when it has warmed up, and goes on when it is given one.
   */
  readonly command: (plans: readonly Plan[]) => Command;
  /** Whether a process takes several plans. */
  readonly batches: boolean;
}

/** Nothing here takes minutes; what does hangs. */
const TIMEOUT_MS = 300_000;
const STRACE_OPERATIONS = 8000;

export class ProcessEngine implements Engine {
  readonly name: string;
  readonly role: Engine['role'];
  readonly #options: ProcessEngineOptions;
  #available: string | true | undefined;

  constructor(options: ProcessEngineOptions) {
    this.name = options.name;
    this.role = options.role;
    this.#options = options;
  }

  available(): string | true {
    this.#available ??= this.#options.available();
    return this.#available;
  }

  async run(plan: Plan): Promise<Result> {
    const [result] = await this.#execute([plan]);
    if (result === undefined) throw new Error(`${this.name} printed no result`);
    return result;
  }

  async start(plan: Plan): Promise<Started> {
    const command = this.#options.command([plan]);
    const child = new LineProcess(this.name, { ...command, environment: { ...command.environment, RITSU_BENCH_WAITS: '1' } });
    try {
      await child.line(TIMEOUT_MS);
    } catch (error) {
      await child.stop();
      throw error;
    }
    return {
      pid: child.pid,
      async go() {
        child.say('go');
        return resultsIn(await child.line(TIMEOUT_MS))[0]!;
      },
      stop: () => child.stop(),
    };
  }

  async runAll(plans: readonly Plan[]): Promise<Result[]> {
    if (this.#options.batches) return this.#execute(plans);
    const results: Result[] = [];
    for (const plan of plans) results.push(await this.run(plan));
    return results;
  }

  async syscallsPerOperation(plan: Plan): Promise<number> {
    const operations = plan.mode === 'sequential' ? plan.operations : Math.min(STRACE_OPERATIONS, plan.operations);
    const once = await this.#countSyscalls({ ...plan, operations, warmUpOperations: 0, warmUpSeconds: 0 });
    const twice = await this.#countSyscalls({ ...plan, operations, warmUpOperations: operations, warmUpSeconds: 0 });
    return (twice - once) / operations;
  }

  async #countSyscalls(plan: Plan): Promise<number> {
    const command = this.#options.command([{ ...plan, observeMemory: false }]);
    const directory = mkdtempSync(join(tmpdir(), 'ritsu-bench-strace-'));
    try {
      const report = join(directory, 'report');
      await execute({ ...command, file: 'strace', arguments: ['-f', '-c', '-o', report, command.file, ...command.arguments] });
      return totalCalls(readFileSync(report, 'utf8'));
    } finally {
      rmSync(directory, { recursive: true });
    }
  }

  async #execute(plans: readonly Plan[]): Promise<Result[]> {
    const output = await execute(this.#options.command(plans));
    return resultsIn(output.trimEnd().split('\n').at(-1) ?? '');
  }
}

function resultsIn(line: string): Result[] {
  const parsed = JSON.parse(line) as Result | Result[];
  return Array.isArray(parsed) ? parsed : [parsed];
}

/** The `calls` column of strace's last line: `100.00 0.012 3 4711 12 total`. */
export function totalCalls(report: string): number {
  const calls = /^\s*100\.00\s+\S+\s+\S+\s+(\d+)(?:\s+\d+)?\s+total\s*$/m.exec(report)?.[1];
  if (calls === undefined) throw new Error('strace printed no total');
  return Number(calls);
}

/** Engines that run now; an interrupted bench must not leave them behind. */
const running = new Set<ChildProcess>();
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

function execute(command: Command): Promise<string> {
  return new Promise((resolve, reject) => {
    const options = {
      env: { ...process.env, ...command.environment },
      timeout: TIMEOUT_MS,
      killSignal: 'SIGKILL',
      maxBuffer: 16 * 1024 * 1024,
    } as const;
    const child = execFile(command.file, [...command.arguments], options, (error, stdout, stderr) => {
      running.delete(child);
      if (error === null) return resolve(stdout);
      const said = stderr.trim().split('\n').slice(-12).join('\n');
      const ended = error.signal === null || error.signal === undefined ? `code ${error.code}` : `signal ${error.signal}`;
      reject(new Error(`${command.file.split('/').at(-1)} ended with ${ended}${said === '' ? '' : `:\n${said}`}`));
    });
    running.add(child);
  });
}
