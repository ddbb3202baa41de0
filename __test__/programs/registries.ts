/**
 * Proactors come and go, with memory that nobody gave back; then it is seen whether a registry of the program's own still says what was
 * collected. `registries.ts BACKEND`; reports how many of ten it was told, and how many of
 * the proactors are still there.
 */
import { Proactor, alloc, open } from 'ritsu';
import type { BackendName } from 'ritsu';
import { collectUntil } from '../support/collect.ts';
import { report } from './report.ts';

const backend = process.argv[2] as BackendName;
const OBJECTS = 10;
let told = 0;
const own = new FinalizationRegistry(() => {
  told += 1;
});

const held: Proactor[] = [];
const gone: WeakRef<Proactor>[] = [];

async function leave(): Promise<void> {
  const proactor = new Proactor({ backend, traceLeases: true, fence: gone.length % 2 === 0, pool: { classes: [{ size: 4096, count: 8 }] } });
  gone.push(new WeakRef(proactor));
  const file = await open(process.execPath, { proactor });
  for (let count = 0; count < 3; count += 1) {
    const bytes = await file.allocator({ blockSize: 4096 }).read({ position: 0 });
    if (count > 0) bytes!.data.fill(1);
    alloc(4096, { proactor });
  }
  await file.close();
  await proactor.close();
  held.push(proactor);
}

for (let round = 0; round < 20; round += 1) {
  await leave();
  globalThis.gc!(); // its memory is gone, which nobody has been told yet
  held.length = 0;
  globalThis.gc!(); // and so is it
}
for (let count = 0; count < OBJECTS; count += 1) (() => own.register({ count }, count))();
await collectUntil(() => told === OBJECTS);
await collectUntil(() => gone.every((each) => each.deref() === undefined), 20);
report({ told, alive: gone.filter((each) => each.deref() !== undefined).length });
