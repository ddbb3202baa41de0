/** How often the loop turns while the kernel refuses every enter: `refused <proactors> <enters that are left to it>`. */
import { performance } from 'node:perf_hooks';
import { setTimeout as pause } from 'node:timers/promises';
import { Proactor } from 'ritsu';
import { internals } from '../support/internals.ts';
import { report } from './report.ts';

const [count, enters] = process.argv.slice(2).map(Number) as [number, number];
const proactors = Array.from({ length: count }, () => new Proactor({ backend: 'uring' }));
const [first] = proactors as [Proactor];
for (let index = 0; index <= enters; index += 1) {
  void first.nop();
  internals(first).backend.flush();
}
for (const proactor of proactors) void proactor.nop();
await pause(20);
/**
 * Turns of the loop that were ours: what else woke it is an event of somebody else's. (V8 has itself woken thousands of times where its
 * helpers get no processor.) Our own events count.
 */
function turns(): number {
  const { loopCount, events } = performance.nodeTiming.uvMetricsInfo;
  return loopCount - events + proactors.reduce((sum, proactor) => sum + proactor.stats().wakes, 0);
}
const begun = performance.now();
const before = turns();
await pause(500);
report({ turns: turns() - before, milliseconds: performance.now() - begun });
process.exit();
