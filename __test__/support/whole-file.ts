/** What the tests of whole files have in common: how a call fails, FIFOs with somebody at the other end, and that nothing is left behind. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { ExecutionContext } from 'ava';
import type { Proactor } from 'ritsu';
import { fileOf, freshPath } from './files.ts';
import { eventually } from './net.ts';

export type Failed = Error & { code?: string; errno?: number; syscall?: string; path?: string };

export function shapeOf({ name, code, errno, syscall, path, message }: Failed): object {
  return { name, code, errno, syscall, path, message };
}

export async function failureOf(work: Promise<unknown>): Promise<Failed> {
  try {
    await work;
  } catch (error) {
    return error as Failed;
  }
  throw new Error('it did not fail');
}

/** Every block is back, and nothing open. */
export async function whole(t: ExecutionContext, proactor: Proactor): Promise<void> {
  const held = (): number => proactor.stats().pool.reduce((sum, { leased }) => sum + leased, 0);
  await eventually(t, 'every block is back, and nothing open', () => held() === 0 && proactor.stats().descriptorsOpen === 0);
}

export function fifo(): string {
  const path = freshPath('fifo');
  execFileSync('mkfifo', [path]);
  return path;
}

/** Write into a FIFO, by a process: a thread of Node's pool would wait there for its reader, who may want one, too. */
export async function feed(path: string, content: Uint8Array): Promise<void> {
  const [code] = (await once(spawn('sh', ['-c', 'cat "$0" > "$1"', fileOf(content), path]), 'exit')) as [number];
  if (code !== 0) throw new Error(`cat ended with ${code}`);
}
