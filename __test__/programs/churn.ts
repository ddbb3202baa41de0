/**
 * 20 busy workers at a time, each ended at a random moment in a random way and followed by another:
 * `churn <workers in all> <seed> <path> <blocks of the file>`.
 */
import { readFileSync, readdirSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { Random } from '../support/random.ts';
import type { BusyTask } from './busy-worker.ts';
import { report } from './report.ts';

const [total = '', seed = '', path = '', blocks = ''] = process.argv.slice(2);
const AT_ONCE = 20;
const LIFE_MS = 300;
const random = new Random(Number(seed));
/** How a worker ends, and the exit code it then has. */
const ENDS = { terminate: 1, 'process.exit': 3, 'an uncaught error': 1, close: 0, destroy: 0 } as const;
type End = keyof typeof ENDS;

const counts: Record<string, number> = {};
let begun = 0;

async function live(how: End): Promise<void> {
  const task: BusyTask = { path, blocks: Number(blocks), seed: random.bits() };
  const worker = new Worker(new URL('busy-worker.ts', import.meta.url), { workerData: task });
  const errors: string[] = [];
  worker.on('error', (error: Error) => errors.push(error.message));
  const gone = new Promise<number>((resolve) => worker.on('exit', resolve));
  const early = how === 'terminate' && random.chance(0.3); // while it starts
  if (!early) await Promise.race([gone, new Promise((resolve) => worker.once('message', resolve))]);
  await delay(random.below(LIFE_MS));
  if (how === 'terminate') await worker.terminate();
  else worker.postMessage(how);
  const exitCode = await gone;
  const expected = how === 'an uncaught error' ? ['on purpose'] : [];
  if ((exitCode !== ENDS[how] && !early) || errors.join() !== expected.join()) report({ wrong: { how, exitCode, errors } });
  counts[how] = (counts[how] ?? 0) + 1;
}

async function lane(): Promise<void> {
  while (begun < Number(total)) {
    begun += 1;
    await live(random.pick(Object.keys(ENDS) as End[]));
    report({ begun });
  }
}

function held(): Readonly<Record<string, number>> {
  const maps = readFileSync('/proc/self/maps', 'latin1');
  return {
    descriptors: readdirSync('/proc/self/fd').length,
    rings: maps.split('\n').filter((line) => line.includes('io_uring')).length,
  };
}

// Node's own first workers leave descriptors behind.
await Promise.all([live('terminate'), live('close')]);
const before = held();
await Promise.all(Array.from({ length: AT_ONCE }, lane));
await delay(100);
report({ before, after: held(), counts });
