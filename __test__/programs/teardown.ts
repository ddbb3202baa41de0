/**
 * Ends a proactor while the kernel has 64 direct reads, then looks whether anything still writes to their memory:
 * `teardown <close|destroy|forsake|cancel> <own|pool> <path>`. The memory is filled with a pattern at once when the end has
 * resolved, and looked at again later. `cancel` does what an end without a drain would: it asks the kernel to cancel
 * everything and does not wait; only of a pool, since the reads of `alloc` keep theirs until they are over. `forsake`
 * destroys with a deadline that is over: reads that the kernel still has then must keep their memory.
 *
 * Memory of `alloc` comes back from the reads. A pool's is looked at through /proc/self/mem, where no fence stands:
 * it is the one mapping of its size that is new since the pool was made.
 */
import * as fs from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { isBlockAt } from '../support/blocks.ts';
import type { Bytes, Proactor } from 'ritsu';
import { internals } from '../support/internals.ts';
import { READS, READ_BYTES, directProactor, prepareReads } from './direct-reads.ts';
import type { MemoryKind } from './direct-reads.ts';
import { ensure, report } from './report.ts';

const [how = '', memory = '', path = ''] = process.argv.slice(2);
const PAGE = 4096;
const WAIT_MS = 300;
const OTHERS = 3;
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

function bufferOf(error: unknown): Buffer | undefined {
  const { code, buffer } = error as { code?: string; buffer?: Buffer };
  ensure(code === 'ERR_RITSU_CLOSED', `a read failed with ${code}`);
  ensure(buffer === undefined || buffer.length === READ_BYTES, 'a part of the memory came back');
  return buffer;
}

/** What came back to the caller, with its bytes or on the error. */
function ownMemory(results: readonly PromiseSettledResult<Bytes | null>[]): Memory {
  const buffers = results.map((result) => (result.status === 'fulfilled' ? result.value!.take() : bufferOf(result.reason)));
  return {
    fill: (read, page) => buffers[read]?.set(PATTERN, page * PAGE),
    isUnchanged: (read, page) => {
      const buffer = buffers[read];
      return buffer === undefined || PATTERN.compare(buffer, page * PAGE, (page + 1) * PAGE) === 0;
    },
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
  forsake: (proactor) => proactor.destroy({ deadline: 0 }),
  cancel: async (proactor) => {
    internals(proactor).backend.abandon(0);
  },
};

/** A proactor, and the memory of its pool: touched, since the kernel would be slower to find it than the disk to read. */
function withPool(): { proactor: Proactor; pool: Memory } {
  const before = poolLike();
  const proactor = directProactor();
  void proactor.pool;
  const fresh = poolLike().filter((address) => !before.includes(address));
  ensure(fresh.length === 1, `${fresh.length} new mappings look like the pool`);
  const pool = poolMemory(fresh[0]!);
  fillAll(pool);
  return { proactor, pool };
}

// The disk does the reads of others first: those that matter are still to be done when the end comes.
const others = Array.from({ length: OTHERS }, withPool);
const { proactor, pool } = withPool();
const theirs = await Promise.all(others.map((other) => prepareReads(other.proactor, path, 'pool')));
const begin = await prepareReads(proactor, path, memory as MemoryKind);
const awaited = theirs.flatMap((each) => each());
const settled = Promise.allSettled(begin());

await ENDS[how]!(proactor);
const results = how === 'cancel' ? [] : await settled;
const good = countGood(results);
const kept = results.filter((result) => result.status === 'rejected' && bufferOf(result.reason) === undefined).length;
const found = memory === 'pool' ? pool : ownMemory(results);
fillAll(found);
await delay(WAIT_MS);
await Promise.all(awaited);
report({ results: results.length, good, kept, changed: changedPages(found), leakedBytes: proactor.stats().leakedBytes });
process.exit(0);
