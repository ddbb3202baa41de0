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
const counted: { turns: number; milliseconds: number }[] = [];
// Once in hundreds of runs there are thousands of turns, which is not explained yet; what this looks for is there in each window.
for (let window = 0; window < 3; window += 1) {
  const begun = performance.now();
  const before = performance.nodeTiming.uvMetricsInfo.loopCount;
  await pause(200);
  counted.push({ turns: performance.nodeTiming.uvMetricsInfo.loopCount - before, milliseconds: performance.now() - begun });
}
report(counted.toSorted((one, other) => one.turns - other.turns)[0]!);
process.exit();
