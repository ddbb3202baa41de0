/**
 * Description: the pool of leases: a block has one holder, comes back exactly once, and never shows an old holder
 * another read's bytes. When it is empty, reads wait in order, fail or take memory elsewhere, as was asked.
 */
import * as fc from 'fast-check';
import { open } from 'ritsu';
import type { AllocatorReader, Bytes, Proactor, ProactorOptions, SizeClassStats } from 'ritsu';
import { onEachAlone } from './support/backends.ts';
import { collect, collectUntil } from './support/collect.ts';
import { fileOf, randomBytes } from './support/files.ts';
import { sameBytes } from './support/same.ts';

const BLOCK = 4096;
const CONTENT = randomBytes(100 * BLOCK);
const SMALL: ProactorOptions = { pool: { classes: [{ size: BLOCK, count: 4 }], hugePages: false } };

function isWhole(proactor: Proactor): boolean {
  return proactor.stats().pool.every(({ available, count, leased }) => available === count && leased === 0);
}

async function readerOf(proactor: Proactor): Promise<AllocatorReader> {
  const file = await open(fileOf(CONTENT), { proactor });
  return file.allocator({ blockSize: BLOCK });
}

const chunkAt = (index: number): Buffer => CONTENT.subarray(index * BLOCK, (index + 1) * BLOCK);

/** Waits until everything that is ready to happen has happened. */
const settled = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 20));

async function until(isSo: () => boolean): Promise<void> {
  for (let round = 0; round < 500 && !isSo(); round += 1) await settled();
}

const STEPS = fc.array(fc.record({ read: fc.boolean(), at: fc.nat(99), which: fc.nat(3) }), { minLength: 500, maxLength: 500 });

// Red without the move in `Bytes.release` (ts/memory/bytes.ts).
onEachAlone('S6: 10,000 leases: every one shows its own bytes, and an old view never shows another\'s', SMALL, async (t, proactor) => {
  const reader = await readerOf(proactor);
  let leases = 0;
  await fc.assert(
    fc.asyncProperty(STEPS, async (steps) => {
      const held: { at: number; bytes: Bytes; views: Uint8Array[] }[] = [];
      const old: Uint8Array[] = [];
      const release = (which: number): void => {
        const [lease] = held.splice(which % held.length, 1);
        sameBytes(t, lease!.bytes.data, chunkAt(lease!.at));
        lease!.bytes.release();
        old.push(...lease!.views);
      };
      for (const { read, at, which } of steps) {
        if (held.length === 4 || (!read && held.length > 0)) release(which);
        const bytes = (await reader.read({ position: at * BLOCK }))!;
        leases += 1;
        held.push({ at, bytes, views: [bytes.data, bytes.data.subarray(1), new Uint8Array(bytes.data.buffer)] });
        if (old.some((view) => view.byteLength !== 0)) throw new Error('an old view shows something');
        for (const lease of held) if (!lease.bytes.data.equals(chunkAt(lease.at))) throw new Error('a lease changed');
        old.splice(0, old.length - 64);
      }
      while (held.length > 0) release(0);
    }),
    { numRuns: 20 },
  );
  t.true(leases >= 10_000, `${leases}`);
  t.true(isWhole(proactor));
});

// Seen red: `keep` of ts/memory/size-class.ts served nobody.
onEachAlone('S24: an empty class: reads wait, first come, first served, and one goes on per release', SMALL, async (t, proactor) => {
  const reader = await readerOf(proactor);
  const held: Bytes[] = [];
  for (let index = 0; index < 4; index += 1) held.push((await reader.read({ position: index * BLOCK }))!);
  const order: number[] = [];
  const waiting = Array.from({ length: 6 }, async (_, index) => {
    const bytes = await reader.read({ position: (10 + index) * BLOCK });
    order.push(index);
    sameBytes(t, bytes!.data, chunkAt(10 + index));
    held.push(bytes!);
  });
  await settled();
  t.deepEqual(order, [], 'nothing goes on while all is held');
  t.is(proactor.stats().pool[0]!.waiting, 6);
  t.is(proactor.stats().pool[0]!.exhausted, 6);
  t.is(proactor.stats().inFlight, 0, 'and nothing spins');
  for (let index = 0; index < 6; index += 1) {
    held.shift()!.release();
    await until(() => order.length > index);
    await settled();
    t.deepEqual(order, Array.from({ length: index + 1 }, (_, at) => at), 'exactly one, the first');
  }
  await Promise.all(waiting);
  for (const bytes of held) bytes.release();
  t.true(isWhole(proactor));
});

onEachAlone('an abort takes a waiting read out of the line; the others go on', SMALL, async (t, proactor) => {
  const reader = await readerOf(proactor);
  const held = await Promise.all([0, 1, 2, 3].map((index) => reader.read({ position: index * BLOCK })));
  const controller = new AbortController();
  const aborted = reader.read({ position: 0, signal: controller.signal });
  const timed = reader.read({ position: 0, timeout: 10 });
  const last = reader.read({ position: 9 * BLOCK });
  controller.abort();
  await t.throwsAsync(aborted, { name: 'AbortError' });
  await t.throwsAsync(timed, { name: 'TimeoutError' });
  held[0]!.release();
  const bytes = await last;
  sameBytes(t, bytes!.data, chunkAt(9));
  for (const each of [...held.slice(1), bytes]) each!.release();
  t.true(isWhole(proactor));
});

onEachAlone('sequential reads that had to wait are in order all the same', SMALL, async (t, proactor) => {
  const reader = await readerOf(proactor);
  const chunks = Array.from({ length: 30 }, async (_, index) => {
    const bytes = await reader.read();
    sameBytes(t, bytes!.data, chunkAt(index));
    bytes!.release();
  });
  await Promise.all(chunks);
  t.true(isWhole(proactor));
});

const FAILING: ProactorOptions = { pool: { ...SMALL.pool, whenEmpty: 'fail' } };

onEachAlone("an empty class with whenEmpty 'fail': the read fails, a later one does not", FAILING, async (t, proactor) => {
  const reader = await readerOf(proactor);
  const held = await Promise.all([0, 1, 2, 3].map((index) => reader.read({ position: index * BLOCK })));
  await t.throwsAsync(reader.read({ position: 0 }), { code: 'ERR_RITSU_POOL_EXHAUSTED', name: 'RitsuError' });
  held[0]!.release();
  held[0] = await reader.read({ position: 7 * BLOCK });
  sameBytes(t, held[0]!.data, chunkAt(7));
  for (const bytes of held) bytes!.release();
  t.true(isWhole(proactor));
});

const GROWING: ProactorOptions = { pool: { ...SMALL.pool, whenEmpty: 'grow' } };

onEachAlone("an empty class with whenEmpty 'grow': memory from elsewhere, given up afterwards", GROWING, async (t, proactor) => {
  const reader = await readerOf(proactor);
  await (async () => {
    const held = await Promise.all(Array.from({ length: 10 }, (_, index) => reader.read({ position: index * BLOCK })));
    held.forEach((bytes, index) => sameBytes(t, bytes!.data, chunkAt(index)));
    t.is(proactor.stats().pool[0]!.grown, 6);
    t.is(proactor.stats().ownBytes, 6 * BLOCK);
    const views = held.map((bytes) => bytes!.data);
    for (const bytes of held) bytes!.release();
    t.true(views.every((view) => view.length === 0));
  })();
  t.is(await reader.read({ position: CONTENT.length }), null, 'at the end too');
  t.true(isWhole(proactor));
  const isFreed = (): boolean => {
    proactor.nop().catch(() => {}); // counters are written when something happens
    return proactor.stats().ownBytes === 0;
  };
  t.true(await collectUntil(isFreed), 'the other memory is freed');
});

// Red when `SizeClass.keep` (ts/memory/size-class.ts) takes a block back whose memory was moved away.
onEachAlone("S3: a lease's ArrayBuffer that its holder moved away is never shown again, and its block is recovered", SMALL, async (t, proactor) => {
  const reader = await readerOf(proactor);
  let kept: ArrayBuffer[] = [];
  for (let index = 0; index < 3; index += 1) {
    const bytes = await reader.read({ position: index * BLOCK });
    kept.push(bytes!.data.buffer.transfer());
    t.is(bytes!.data.length, 0);
    bytes!.release();
    bytes!.release();
  }
  await collect();
  const [{ available, leased, count }] = proactor.stats().pool as [SizeClassStats];
  t.true(leased >= 0 && available + leased <= count, `back once: ${available} available, ${leased} leased`);
  for (let round = 0; round < 50; round += 1) {
    const bytes = await reader.read({ position: (10 + round) * BLOCK });
    sameBytes(t, bytes!.data, chunkAt(10 + round));
    bytes!.release();
    kept.forEach((memory, index) => sameBytes(t, new Uint8Array(memory, 0, BLOCK), chunkAt(index), 'what was moved away'));
  }
  kept = [];
  t.true(await collectUntil(() => isWhole(proactor)), JSON.stringify(proactor.stats().pool));
  await collect();
  t.true(isWhole(proactor), `recovered once: ${JSON.stringify(proactor.stats().pool)}`);
  const held = await Promise.all([0, 1, 2, 3].map((index) => reader.read({ position: index * BLOCK })));
  held.forEach((bytes, index) => sameBytes(t, bytes!.data, chunkAt(index)));
  for (const bytes of held) bytes!.release();
  t.true(isWhole(proactor));
});

onEachAlone('leases that were forgotten come back when they are collected, and who waits goes on', SMALL, async (t, proactor) => {
  const reader = await readerOf(proactor);
  for (let round = 0; round < 3; round += 1) {
    await (async () => {
      for (let index = 0; index < 4; index += 1) await reader.read({ position: index * BLOCK });
    })();
    const waiting = reader.read({ position: 8 * BLOCK });
    let served = false;
    void waiting.then(() => (served = true));
    t.true(await collectUntil(() => served), JSON.stringify(proactor.stats().pool));
    const bytes = await waiting;
    sameBytes(t, bytes!.data, chunkAt(8));
    bytes!.release();
    t.true(await collectUntil(() => isWhole(proactor)), JSON.stringify(proactor.stats().pool));
  }
});

onEachAlone('reads that nobody waits for: the pool is whole again', {}, async (t, proactor) => {
  const reader = await readerOf(proactor);
  for (let index = 0; index < 2000; index += 1) void reader.read({ position: (index % 100) * BLOCK });
  t.true(await collectUntil(() => proactor.stats().inFlight === 0 && isWhole(proactor), 300), JSON.stringify(proactor.stats().pool));
});
