/**
 * Workers one after another in this process, each ended while the kernel has 64 direct reads of its, beside one that
 * goes on: `workers <how> <repetitions> <path>`. Reports what the process held before and after.
 */
import { readFileSync, readdirSync } from 'node:fs';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { report } from './report.ts';
import type { WorkerTask } from './worker.ts';

const [how = '', repetitions = '', path = ''] = process.argv.slice(2);
/** Node's own first worker leaves caches behind. */
const WARM_UP = 3;

function start(task: WorkerTask): Worker {
  return new Worker(new URL('worker.ts', import.meta.url), { workerData: task });
}

interface End {
  readonly exitCode: number;
  readonly error: string | undefined;
  readonly inFlight: number;
}

async function oneWorker(index: number): Promise<End> {
  const worker = start({ how, memory: index % 2 === 0 ? 'own' : 'pool', path });
  let error: string | undefined;
  let inFlight = 0;
  worker.on('error', (raised: Error) => (error = raised.message));
  worker.on('message', (message: { inFlight?: number; settled?: boolean }) => {
    inFlight = message.inFlight ?? inFlight;
    if (how === 'terminate' || (how === 'terminate in a continuation' && message.settled)) void worker.terminate();
  });
  // Not `once`, which an 'error' would reject.
  const exitCode = await new Promise<number>((resolve) => worker.on('exit', resolve));
  return { exitCode, error, inFlight };
}

/** Descriptors, mappings and memory of this process, when what ended threads leave to be done is done. */
async function held(): Promise<Readonly<Record<string, number>>> {
  await delay(100);
  globalThis.gc!();
  const maps = readFileSync('/proc/self/maps', 'latin1');
  return {
    descriptors: readdirSync('/proc/self/fd').length,
    rings: maps.split('\n').filter((line) => line.includes('io_uring')).length,
    residentMegabytes: Math.round(process.memoryUsage.rss() / 2 ** 20),
  };
}

const bystander = start({ how: 'bystander', memory: 'pool', path });
await once(bystander, 'message');
for (let index = 0; index < WARM_UP; index += 1) await oneWorker(index);
report({ before: await held() });
const ends: End[] = [];
for (let index = 0; index < Number(repetitions); index += 1) {
  ends.push(await oneWorker(index));
  if (index % 10 === 9) report({ repetitions: index + 1 });
}
report({ after: await held() });
report({ ends: [...new Set(ends.map((end) => JSON.stringify(end)))], count: ends.length });
const exited = once(bystander, 'exit'); // listened for now: it may come in one turn with the last message
bystander.postMessage('stop');
const [{ reads }] = (await once(bystander, 'message')) as [{ reads: number }];
const [exitCode] = (await exited) as [number];
report({ bystander: { reads, exitCode } });
