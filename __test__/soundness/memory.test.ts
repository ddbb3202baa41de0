/**
 * Description: memory that was handed over is out of its giver's reach, whatever the giver does with what is left in its
 * hands; and what a program forgets comes back. The numbers are those of `docs/soundness.md`, which also says which
 * guard each test misses.
 */
import * as fs from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { MessageChannel, receiveMessageOnPort } from 'node:worker_threads';
import { alloc, open } from 'ritsu';
import type { ProactorOptions } from 'ritsu';
import { onEach, onEachAlone } from '../support/backends.ts';
import { collectUntil } from '../support/collect.ts';
import { fileOf, randomBytes } from '../support/files.ts';
import { sameBytes } from '../support/same.ts';
import { sized } from '../support/size.ts';
import { fifo } from '../support/streams.ts';

const BLOCK = 4096;
const CONTENT = randomBytes(100 * BLOCK);

const MEMORIES = ['alloc()', 'an ArrayBuffer'] as const;

for (const name of MEMORIES) {
  // S3, red without the `move` in `moveIn` (ts/memory/loan.ts).
  onEach(`S3: memory in flight cannot be transferred, cloned or posted: ${name}`, async (t, proactor) => {
    const path = fifo();
    const file = await open(path, { flags: 'r+', proactor });
    const reader = file.submitter();
    const buffer = name === 'alloc()' ? alloc(BLOCK, { proactor }) : Buffer.from(new ArrayBuffer(BLOCK));
    const memory = buffer.buffer;
    reader.submit(buffer);
    const { port1, port2 } = new MessageChannel();
    t.throws(() => memory.transfer(), { instanceOf: TypeError });
    t.throws(() => structuredClone(memory, { transfer: [memory] }), { name: 'DataCloneError' });
    t.throws(() => structuredClone(memory), { name: 'DataCloneError' });
    t.throws(() => port1.postMessage(memory, [memory]), { name: 'DataCloneError' });
    t.is(receiveMessageOnPort(port2), undefined);
    port1.close();
    fs.writeFileSync(path, 'arrived');
    t.is((await reader.poll()).data.toString(), 'arrived');
    t.is(memory.byteLength, 0);
    await file.close();
  });
}

const ONE_BLOCK: ProactorOptions = { pool: { classes: [{ size: BLOCK, count: 1 }], hugePages: false } };

// Red when `SizeClass.keep` (ts/memory/size-class.ts) takes a block back whose memory was moved away.
onEachAlone('S3: a lease that was posted away never shows another read', ONE_BLOCK, async (t, proactor) => {
  const file = await open(fileOf(CONTENT), { proactor });
  const reader = file.allocator({ blockSize: BLOCK });
  const { port1, port2 } = new MessageChannel();
  let posted: ArrayBuffer | undefined;
  const bytes = (await reader.read({ position: 0 }))!;
  const memory = bytes.data.buffer;
  try {
    port1.postMessage(memory, [memory]);
    posted = (receiveMessageOnPort(port2) as { message: ArrayBuffer }).message;
  } catch (error) {
    // Memory of Rust's stays in its thread: Node does not post it.
    t.is((error as Error).name, 'DataCloneError');
    posted = memory.transfer();
  }
  port1.close();
  bytes.release();
  t.is(bytes.data.length, 0);
  const next = reader.read({ position: BLOCK });
  for (let turn = 0; turn < 20; turn += 1) await nextTurn();
  sameBytes(t, new Uint8Array(posted, 0, BLOCK), CONTENT.subarray(0, BLOCK), 'what was posted is as it was');
  let served = false;
  void next.then(() => (served = true));
  posted = undefined;
  t.true(await collectUntil(() => served), 'the block comes back when nothing reaches its memory');
  const second = (await next)!;
  sameBytes(t, second.data, CONTENT.subarray(BLOCK, 2 * BLOCK));
  second.release();
});

const MANY: ProactorOptions = { pool: { classes: [{ size: BLOCK, count: 4096 }], hugePages: false } };

/** Collections in a row after which nothing had come back. */
const IN_VAIN_MAX = 25;

// Red when `SizeClass.recover` (ts/memory/size-class.ts) does not take back what was collected: so many reads are left.
onEachAlone('S7: reads that nobody awaits leave nothing in flight, nothing leased and no rejection', MANY, async (t, proactor) => {
  t.timeout(120_000);
  const total = sized(20_000, 100_000);
  const unhandled: unknown[] = [];
  const listen = (reason: unknown): void => void unhandled.push(reason);
  process.on('unhandledRejection', listen);
  const path = fileOf(CONTENT);
  const [file, unreadable] = await Promise.all([open(path, { proactor }), open(path, { flags: 'a', proactor })]);
  const reader = file.allocator({ blockSize: BLOCK });
  const [good, failing] = [file.submitter(), unreadable.submitter()];
  for (let index = 0; index < total; index += 1) {
    void reader.read({ position: (index % 100) * BLOCK });
    if (index % 100 > 0) continue;
    good.submit(alloc(10, { proactor }), { position: 0 });
    failing.submit(alloc(10, { proactor })); // EBADF, which nobody asked for
    await nextTurn();
  }
  const isOver = (): boolean => {
    const { inFlight, waiting, blocksBusy, pool } = proactor.stats();
    return inFlight + waiting + blocksBusy === 0 && pool.every((each) => each.available === each.count && each.waiting === 0);
  };
  // What is recovered serves the reads that wait, so that each collection leaves fewer of them.
  let [completed, inVain] = [0, 0];
  const isStuck = (): boolean => {
    const { completed: now } = proactor.stats();
    inVain = now === completed ? inVain + 1 : 0;
    completed = now;
    return inVain > IN_VAIN_MAX;
  };
  await collectUntil(() => isOver() || isStuck(), sized(200, 3000));
  const { inFlight, blocksBusy, pool: [left] } = proactor.stats();
  t.true(isOver(), `${left!.waiting} reads wait, ${left!.leased} of ${left!.count} blocks are held, ${inFlight} in flight, ${blocksBusy} busy`);
  t.is(good.outstanding, total / 100);
  t.deepEqual(unhandled, []);
  process.off('unhandledRejection', listen);
  await Promise.all([file.close(), unreadable.close()]);
});

// Red without the question of `isMovable` whether it is the whole ArrayBuffer (ts/memory/block.ts).
onEach('S5: a slice of a pool of the program’s own: the neighbours stay, and stay as they were', async (t, proactor) => {
  const file = await open(fileOf(CONTENT), { proactor });
  const pool = new ArrayBuffer(16 * 512);
  const slices = Array.from({ length: 16 }, (_, index) => Buffer.from(pool, index * 512, 512).fill(index));
  const reader = file.submitter();
  reader.submit(slices[5]!, { position: 0 });
  reader.submit(slices[9]!, { position: BLOCK });
  await reader.poll();
  await reader.poll();
  for (const [index, slice] of slices.entries()) {
    const start = index === 5 ? 0 : BLOCK;
    const expected = index === 5 || index === 9 ? CONTENT.subarray(start, start + 512) : Buffer.alloc(512, index);
    sameBytes(t, slice, expected, `slice ${index}`);
  }
  await file.close();
});
