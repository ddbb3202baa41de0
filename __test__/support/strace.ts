/** Programs under strace: to see which system calls they make, and to make some of them fail. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { runProgram } from './child.ts';
import type { ChildOptions, Ended } from './child.ts';
import { freshPath } from './files.ts';

function canTrace(): boolean {
  return process.platform === 'linux' && spawnSync('strace', ['-f', '-o', '/dev/null', 'true']).status === 0;
}

/** Whether strace is here and may trace. */
export const hasStrace = canTrace();

export interface Call {
  readonly thread: string;
  readonly name: string;
  /** Arguments and result as strace prints them. */
  readonly text: string;
}

export interface Traced extends Ended {
  readonly calls: readonly Call[];
  /** The thread that called first: JavaScript's. */
  readonly mainThread: string;
}

function parse(line: string): Call | undefined {
  const found = /^(\d+)\s+(?:<\.\.\. )?(\w+)(?:\(| resumed>)(.*)$/.exec(line);
  return found === null ? undefined : { thread: found[1]!, name: found[2]!, text: found[3]! };
}

/** Run a program under strace with these options (`-e` is added), and give what it saw. */
export async function trace(
  expressions: readonly string[],
  program: string,
  args: readonly (string | number)[],
  options: ChildOptions = {},
): Promise<Traced> {
  const output = freshPath('strace');
  const wrapper = ['strace', '-f', '-y', '-qq', '-s', '0', ...expressions.flatMap((each) => ['-e', each]), '-o', output];
  const ended = await runProgram(program, args, { timeoutMs: 60_000, ...options, wrapper });
  const calls = readFileSync(output, 'utf8').split('\n').flatMap((line) => parse(line) ?? []);
  return { ...ended, calls, mainThread: calls[0]?.thread ?? '' };
}
