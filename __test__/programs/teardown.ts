/**
 * Ends a proactor while the kernel has 64 direct reads, then looks whether anything still writes to their memory:
 * `teardown <close|destroy|cancel> <own|pool> <path>`. The memory is filled with a pattern at once when the end has
 * resolved, and looked at again later. `cancel` does what an end without a drain would: it asks the kernel to cancel
 * everything and does not wait; only of a pool, since the reads of `alloc` keep theirs until they are over.
 *
 * Memory of `alloc` comes back from the reads. A pool's is looked at through /proc/self/mem, where no fence stands:
 * it is the one mapping of its size that is new since the pool was made.
 */
import * as fs from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { isBlockAt } from '../support/blocks.ts';
import type { Bytes, Proactor } from 'ritsu';
import { READS, READ_BYTES, beginReads, directProactor } from './direct-reads.ts';
import type { MemoryKind } from './direct-reads.ts';
import { ensure, report } from './report.ts';

const [how = '', memory = '', path = ''] = process.argv.slice(2);
const PAGE = 4096;
const WAIT_MS = 300;
const PAGES = READ_BYTES / PAGE;
const PATTERN = Buffer.alloc(PAGE, 0xa5);

/** Addresses of this process's mappings that are as large as the pool. */
function poolLike(): number[] {
  const lines = fs.readFileSync('/proc/self/maps', 'latin1').split('\n');
  const ranges = lines.map((line) => line.split(' ', 1)[0]!.split('-').map((text) => Number.parseInt(text, 16)));
  const size = READS * READ_BYTES;
  return ranges.filter(([first, end]) => end! - first! >= size && end! - first! < 1.1 * size).map(([first]) => first!);
}

/** The memory of the reads: a page of it is filled with the pattern, or compared. */
interface Memory {
  fill(read: number, page: number): void;
  isUnchanged(read: number, page: number): boolean;
}

function poolMemory(address: number): Memory {
  const mem = fs.openSync('/proc/self/mem', 'r+');
  const now = Buffer.alloc(PAGE);
  const at = (read: number, page: number): number => address + read * READ_BYTES + page * PAGE;
  return {
    fill: (read, page) => ensure(fs.writeSync(mem, PATTERN, 0, PAGE, at(read, page)) === PAGE, 'a short write'),
    isUnchanged(read, page) {
      ensure(fs.readSync(mem, now, 0, PAGE, at(read, page)) === PAGE, 'a short read');
      return now.equals(PATTERN);
    },
  };
}

function ownMemory(results: readonly PromiseSettledResult<Bytes | null>[]): Memory {
  const buffers = results.map((result) =>
    result.status === 'fulfilled' ? result.value!.take() : (result.reason as { buffer?: Buffer }).buffer!,
  );
  ensure(buffers.every((buffer) => buffer?.length === READ_BYTES), 'not all memory came back');
  return {
    fill: (read, page) =>  buffers[read]!.set(PATTERN, page * PAGE),
    isUnchanged: (read, page) => PATTERN.compare(buffers[read]!, page * PAGE, (page + 1) * PAGE) === 0,
  };
}

/** The last page of the last read first: those the kernel would write last. */
function fillAll(found: Memory): void {
  for (let page = PAGES - 1; page >= 0; page -= 1) {
    for (let read = READS - 1; read >= 0; read -= 1) found.fill(read, page);
  }
}

function changedPages(found: Memory): number {
  let changed = 0;
  for (let read = 0; read < READS; read += 1) {
    for (let page = 0; page < PAGES; page += 1) if (!found.isUnchanged(read, page)) changed += 1;
  }
  return changed;
}

/** How many of the reads brought their bytes; those that did brought the right ones. */
function countGood(results: readonly PromiseSettledResult<Bytes | null>[]): number {
  return results.filter((result, index) => {
    if (result.status === 'rejected') return false;
    const { data } = result.value!;
    ensure(data.length === READ_BYTES && isBlockAt(data, index * READ_BYTES), `wrong bytes in read ${index}`);
    return true;
  }).length;
}

const ENDS: Readonly<Record<string, (proactor: Proactor) => Promise<void>>> = {
  close: (proactor) => proactor.close(),
  destroy: (proactor) => proactor.destroy(),
  cancel: async (proactor) => {
    proactor.backend.abandon(0);
  },
};

const proactor = directProactor();
const before = poolLike();
void proactor.pool;
const fresh = poolLike().filter((address) => !before.includes(address));
ensure(fresh.length === 1, `${fresh.length} new mappings look like the pool`);
const settled = Promise.allSettled(await beginReads(proactor, path, memory as MemoryKind));

await ENDS[how]!(proactor);
const results = how === 'cancel' ? [] : await settled;
const good = countGood(results);
const found = memory === 'pool' ? poolMemory(fresh[0]!) : ownMemory(results);
fillAll(found);
const until = Date.now() + (how === 'cancel' ? 10_000 : WAIT_MS);
do await delay(WAIT_MS / 10);
while (Date.now() < until && changedPages(found) === 0);
report({ results: results.length, good, changed: changedPages(found), leakedBytes: proactor.stats().leakedBytes });
process.exit(0);
