/**
 * 20 busy workers at a time, each ended at a random moment in a random way and followed by another; most of them also ask the
 * proactor of this thread, and those of others:
 * `churn <workers in all, at least> <seed> <path> <blocks of the file>`.
 */
import { readFileSync, readdirSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { MessagePort, Worker } from 'node:worker_threads';
import { Proactor } from 'ritsu';
import { internals } from '../support/internals.ts';
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
/** Workers ask it. */
const home = new Proactor({ backend: 'uring' });
/** To workers, alive or dead, that no other one asks yet. */
const spare: MessagePort[] = [];

/** A worker that has these ports; without them where one is of a worker that has just died, which cannot be sent. */
function start(task: BusyTask): Worker {
  const program = new URL('busy-worker.ts', import.meta.url);
  try {
    return new Worker(program, { workerData: task, transferList: [...task.ports] });
  } catch {
    for (const port of task.ports) port.close();
    return new Worker(program, { workerData: { ...task, ports: [] } });
  }
}

/** How many more there may be, until enough was asked for: how far a worker comes before it is ended is the machine's business. */
const TOTAL_MAX = 5 * Number(total);
let begun = 0;
let asked = 0;

async function live(how: End): Promise<void> {
  const ports = random.chance(0.7) ? [home.share(), ...spare.splice(random.below(spare.length + 1), 2)] : [];
  const worker = start({ path, blocks: Number(blocks), seed: random.bits(), ports });
  asked += ports.length;
  worker.on('message', (message: unknown) => {
    if (message instanceof MessagePort) spare.push(message);
  });
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
  while (begun < Number(total) || (begun < TOTAL_MAX && home.stats().submitted <= Number(total))) {
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
for (const port of spare) port.close();

/** What is left, at home and in the process. The kernel and ended threads give back in their own time, so it is asked until it is as before. */
const IDLE = { inFlight: 0, blocksBusy: 0, descriptorsOpen: 0, guests: 0 };
const SETTLED_BY = performance.now() + 10_000;
for (;;) {
  const { inFlight, blocksBusy, descriptorsOpen, submitted } = home.stats();
  const left = { inFlight, blocksBusy, descriptorsOpen, guests: internals(home).residents.size };
  const after = held();
  if ((isDeepStrictEqual(left, IDLE) && isDeepStrictEqual(after, before)) || performance.now() > SETTLED_BY) {
    report({ home: left, submitted, asked });
    report({ before, after, counts });
    break;
  }
  await delay(20);
}
await home.close();
