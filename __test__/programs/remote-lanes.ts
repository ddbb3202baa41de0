/**
 * A thread that asks another thread's proactor for as many no-ops as it is told, each with a result of its own, in lanes
 * that pause at random: the worker of `__test__/soundness/threads.test.ts`. A second without any answer is a stall.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';
import type { MessagePort } from 'node:worker_threads';
import { remoteProactor } from 'ritsu';
import { Random } from '../support/random.ts';

export interface LanesData {
  readonly port: MessagePort;
  readonly count: number;
  readonly seed: number;
}

const { port, count, seed } = workerData as LanesData;
const LANES = 200;
const TICK_MS = 250;
const TICKS_MAX = 4;

const remote = await remoteProactor(port, { inFlightMax: 256 });
const random = new Random(seed);
let begun = 0;
let settled = 0;
let settledBefore = -1;
let idleTicks = 0;

// Ticks are counted, not time: a machine that is busy with others delays both.
const watchdog = setInterval(() => {
  idleTicks = settled === settledBefore && remote.stats().inFlight > 0 ? idleTicks + 1 : 0;
  settledBefore = settled;
  if (idleTicks > TICKS_MAX) parentPort!.postMessage({ stalled: remote.stats() });
}, TICK_MS);

async function lane(): Promise<void> {
  while (begun < count) {
    begun += 1;
    const mine = begun & 0x3fff_ffff;
    if ((await remote.nop(mine)) !== mine) throw new Error('a no-op got the result of another');
    settled += 1;
    if (random.chance(0.001)) await delay(random.below(4));
  }
}

await Promise.all(Array.from({ length: LANES }, lane));
clearInterval(watchdog);
parentPort!.postMessage({ settled, inFlight: remote.stats().inFlight });
await remote.close();
