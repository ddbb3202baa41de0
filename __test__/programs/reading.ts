/**
 * Reads a file at random, 32 reads at a time, and checks every byte's place: `reading <style> <reads> <path> <blocks>`.
 * Reports what the proactor says of it.
 */
import { Proactor, alloc, open, owned, pooled } from 'ritsu';
import type { File } from 'ritsu';
import { BLOCK, isBlockAt } from '../support/blocks.ts';
import { Random } from '../support/random.ts';
import { ensure, report } from './report.ts';

const [style = '', count = '', path = '', blocks = ''] = process.argv.slice(2);
const DEPTH = 32;
const random = new Random(1);
let left = Number(count);

/** One lane's `next`: reads a block and checks it. */
type Lane = (position: number) => Promise<void>;

const LANES: Readonly<Record<string, (file: File) => Lane>> = {
  allocator(file) {
    const reader = file.allocator({ blockSize: BLOCK });
    return async (position) => {
      const bytes = await reader.read({ position });
      ensure(bytes!.length === BLOCK && isBlockAt(bytes!.data, position), `wrong bytes at ${position}`);
      bytes!.release();
    };
  },
  submit(file) {
    const reader = file.submitter();
    let buffer = alloc(BLOCK);
    return async (position) => {
      reader.submit(buffer, { position });
      const bytes = await reader.poll();
      ensure(bytes.length === BLOCK && isBlockAt(bytes.data, position), `wrong bytes at ${position}`);
      buffer = bytes.take();
    };
  },
  hybrid(file) {
    const reader = file.hybrid();
    const own = owned(alloc(BLOCK));
    return async (position) => {
      const into = random.chance(0.5) ? own : pooled({ size: BLOCK });
      const bytes = await reader.read(into, { position });
      ensure(bytes!.length === BLOCK && isBlockAt(bytes!.data, position), `wrong bytes at ${position}`);
      if (into !== own) bytes!.release();
    };
  },
};

async function drive(lane: Lane): Promise<void> {
  while (left > 0) {
    left -= 1;
    await lane(random.below(Number(blocks)) * BLOCK);
  }
}

const [name = '', direct] = style.split(', ');
const file = await open(path, { direct: direct === 'direct' });
const proactor = Proactor.current();
const before = proactor.stats();
await Promise.all(Array.from({ length: DEPTH }, () => drive(LANES[name]!(file))));
const after = proactor.stats();
await file.close();
await proactor.close();
const { backend, completed, enters, retries, inFlight, blocksBusy, stale, faults, registeredBytes } = after;
report({
  backend,
  reads: completed - before.completed,
  enters: enters - before.enters,
  retries,
  inFlight,
  blocksBusy,
  stale,
  faults,
  registeredBytes,
  // A block may stay with the kernel, to be chosen by the next read; it counts as available.
  poolWhole: after.pool.every((each) => each.available === each.count),
});
