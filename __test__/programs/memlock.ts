/**
 * Direct reads within a small budget of locked memory: `memlock <path> <blocks>`. Several proactors share what the user
 * has. Reports what each could register.
 */
import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { Proactor, open } from 'ritsu';
import { BLOCK, isBlockAt } from '../support/blocks.ts';
import { ensure, report } from './report.ts';

const [path = '', blocks = ''] = process.argv.slice(2);
const MEGABYTE = 2 ** 20;

async function readAll(proactor: Proactor): Promise<void> {
  const file = await open(path, { direct: true, proactor });
  const reader = file.allocator({ blockSize: BLOCK });
  const read = async (index: number): Promise<void> => {
    const bytes = await reader.read({ position: index * BLOCK });
    ensure(isBlockAt(bytes!.data, index * BLOCK), `wrong bytes at block ${index}`);
    bytes!.release();
  };
  await Promise.all(Array.from({ length: Number(blocks) }, (_, index) => read(index)));
  await file.close();
}

// The last one would like more than anybody may have.
const wishes = [undefined, undefined, 64 * MEGABYTE];
const proactors = wishes.map((registeredBytesMax) => new Proactor({ backend: 'uring', registeredBytesMax }));
for (const proactor of proactors) await readAll(proactor);
const locked = /^VmPin:\s+(\d+) kB$/m;
report({
  uid: process.getuid!(),
  registered: proactors.map((proactor) => proactor.stats().registeredBytes),
  pinnedKilobytes: Number(locked.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]),
});
await Promise.all(proactors.map((proactor) => proactor.close()));
// What was given back can be had again; the kernel takes a moment.
await delay(500);
const again = new Proactor({ backend: 'uring' });
await readAll(again);
report({ again: again.stats().registeredBytes });
await again.close();
