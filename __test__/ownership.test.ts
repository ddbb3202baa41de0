/**
 * Description: memory has one owner at a time. What is submitted is the kernel's: every view of it has length 0. What is
 * released is the pool's. What cannot be moved is copied.
 */
import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import test from 'ava';
import type { ExecutionContext } from 'ava';
import { alloc, open } from 'ritsu';
import type { Bytes, File, Memory, Proactor } from 'ritsu';
import { onEach, onEachAlone } from './support/backends.ts';
import { collect } from './support/collect.ts';
import { fileOf, freshPath, randomBytes } from './support/files.ts';
import { eventually } from './support/net.ts';
import { sameBytes } from './support/same.ts';

const CONTENT = randomBytes(20_000);

/** Node's own `transfer`, which one of these tests replaces for a while. */
const genuinely = Function.prototype.call.bind(ArrayBuffer.prototype.transfer) as (memory: ArrayBufferLike) => ArrayBuffer;

interface GrowingMemory {
  readonly buffer: ArrayBuffer;
  grow(pages: number): void;
}

/** Not among the types of a library without the DOM. */
const { WebAssembly } = globalThis as unknown as {
  WebAssembly: { Memory: new (options: { initial: number; maximum?: number }) => GrowingMemory };
};

async function fill(file: File, buffer: Memory, options?: object): Promise<Bytes> {
  const reader = file.submitter();
  reader.submit(buffer, options);
  return reader.poll();
}

/** Memory that moves into the operation, and the views that lose it. */
const MOVED: readonly (readonly [string, (proactor: Proactor) => readonly [Memory, ...NodeJS.ArrayBufferView[]]])[] = [
  ['alloc()', (proactor) => [alloc(5000, { proactor })]],
  ['a view of alloc() and its siblings', (proactor) => {
    const whole = alloc(5000, { proactor });
    return [whole.subarray(100, 4000), whole, new DataView(whole.buffer), new Uint32Array(whole.buffer, 0, 10)];
  }],
  ['a Buffer over a whole ArrayBuffer', () => [Buffer.from(new ArrayBuffer(5000))]],
  ['an ArrayBuffer', () => {
    const memory = new ArrayBuffer(5000);
    return [memory, new Uint8Array(memory), new DataView(memory, 5)];
  }],
  ['a Uint8Array', () => [new Uint8Array(5000)]],
  ['a Float64Array', () => [new Float64Array(500)]],
  ['a BigInt64Array', () => [new BigInt64Array(500)]],
  ['a DataView', () => [new DataView(new ArrayBuffer(5000))]],
  ['Buffer.alloc', () => [Buffer.alloc(5000)]],
];

for (const [name, make] of MOVED) {
  // S8, red without the `move` in `moveIn` (ts/memory/loan.ts).
  onEach(`S8: after submit every view has length 0, and the same memory comes back: ${name}`, async (t, proactor) => {
    const file = await open(fileOf(CONTENT), { proactor });
    const [memory, ...views] = make(proactor);
    const length = memory.byteLength;
    const offset = ArrayBuffer.isView(memory) ? memory.byteOffset : 0;
    const whole = ArrayBuffer.isView(memory) ? memory.buffer.byteLength : length;
    const filling = fill(file, memory);
    for (const view of [memory, ...views]) t.is(view instanceof DataView ? lengthOf(view) : view.byteLength, 0);
    const bytes = await filling;
    sameBytes(t, bytes.data, CONTENT.subarray(0, length));
    const data = bytes.data;
    const again = bytes.take();
    t.is(again.length, whole, 'whole again');
    sameBytes(t, again.subarray(offset, offset + length), CONTENT.subarray(0, length));
    t.true(data.length === 0 || data.buffer === again.buffer, 'one owner');
    t.is((await fill(file, again, { position: 7 })).data[0], CONTENT[7], 'and ready to be submitted again');
    await file.close();
  });
}

/** A DataView says of detached memory that it is an error. */
function lengthOf(view: DataView): number {
  try {
    return view.byteLength;
  } catch {
    return 0;
  }
}

onEach('after release every view of a lease has length 0', async (t, proactor) => {
  const file = await open(fileOf(CONTENT), { proactor });
  const bytes = await file.allocator().read();
  const { data } = bytes!;
  const views = [data, data.subarray(5, 10), new Uint8Array(data.buffer), new Uint32Array(data.buffer, 0, 1)];
  sameBytes(t, data, CONTENT);
  t.true(Buffer.isBuffer(data));
  bytes!.release();
  for (const view of views) t.is(view.byteLength, 0);
  t.is(bytes!.data.length, 0);
  t.is(bytes!.length, 0);
  bytes!.release();
  bytes![Symbol.dispose]();
  t.throws(() => bytes!.copy(), { code: 'ERR_RITSU_RELEASED' });
  t.throws(() => bytes!.take(), { code: 'ERR_RITSU_RELEASED' });
  await file.close();
});

onEach('a lease cannot be taken nor read into, and is none the worse for it', async (t, proactor) => {
  const file = await open(fileOf(CONTENT), { proactor });
  const bytes = await file.allocator().read({ position: 0 });
  t.throws(() => bytes!.take(), { code: 'ERR_RITSU_NOT_OWNED' });
  t.throws(() => file.submitter().submit(bytes!.data), { code: 'ERR_RITSU_NOT_OWNED' });
  sameBytes(t, bytes!.data, CONTENT);
  bytes!.release();
  await file.close();
});

// Red without the check of `inFlight` in `checkLendable` (ts/memory/loan.ts).
onEach('S9: submitted twice, or with a view of the same memory: refused while in flight', async (t, proactor) => {
  const file = await open(fileOf(CONTENT), { proactor });
  for (const whole of [alloc(100, { proactor }), Buffer.from(new ArrayBuffer(100))]) {
    const views = [whole, whole.subarray(0, 50), whole.subarray(50), new DataView(whole.buffer), whole.buffer];
    const reader = file.submitter();
    reader.submit(whole, { position: 0 });
    for (const view of views) t.throws(() => reader.submit(view as Memory), { code: 'ERR_RITSU_BUFFER_IN_FLIGHT' });
    await t.throwsAsync(file.writer().write(whole), { code: 'ERR_RITSU_BUFFER_IN_FLIGHT' });
    t.is(reader.outstanding, 1);
    const again = (await reader.poll()).take();
    sameBytes(t, again, CONTENT.subarray(0, 100));
    t.throws(() => reader.submit(whole), { code: 'ERR_RITSU_BUFFER_DETACHED' }, 'the old view stays dead');
  }
  await file.close();
});

// Red without the look at what is being copied in `copyThrough` (ts/memory/loan.ts).
onEachAlone('S9: a slice of an ordinary ArrayBuffer is a counted copy, and overlapping ones are refused', {}, async (t, proactor) => {
  const file = await open(fileOf(CONTENT), { proactor });
  const whole = Buffer.from(new ArrayBuffer(300)).fill('.');
  const reader = file.submitter();
  reader.submit(whole.subarray(100, 200), { position: 0 });
  t.is(whole.length, 300, 'the neighbours are untouched');
  t.throws(() => reader.submit(whole.subarray(150, 250)), { code: 'ERR_RITSU_BUFFER_IN_FLIGHT' });
  reader.submit(whole.subarray(200, 250), { position: 1000 });
  const [first, second] = [await reader.poll(), await reader.poll()];
  sameBytes(t, first.data, CONTENT.subarray(0, 100));
  sameBytes(t, second.data, CONTENT.subarray(1000, 1050));
  t.is(whole.toString('latin1', 0, 100), '.'.repeat(100));
  sameBytes(t, whole.subarray(100, 200), CONTENT.subarray(0, 100));
  t.is(whole.toString('latin1', 250), '.'.repeat(50));
  t.is(proactor.stats().copies, 2);
  reader.submit(whole.subarray(150, 250));
  await reader.poll();
});

/** The first Node whose own pool cannot be moved. */
const POOL_STAYS_SINCE = 24;

// Red without the question of `isMovable` whether it is the whole ArrayBuffer (ts/memory/block.ts); on Node 24 without
// `tryMove` in `moveIn` besides, which makes a copy of what Node does not let be moved.
onEachAlone("S5: Node's pooled Buffers: the neighbours stay intact", {}, async (t, proactor) => {
  const file = await open(fileOf(CONTENT), { proactor });
  const neighbours = Array.from({ length: 20 }, (_, index) => Buffer.from(`neighbour ${index}`));
  const pooled = Buffer.from('x'.repeat(50));
  t.true(pooled.buffer.byteLength > 50, 'it is a slice of a pool');
  const more = Array.from({ length: 20 }, (_, index) => Buffer.from(`neighbour ${index}`));
  const bytes = await fill(file, pooled);
  sameBytes(t, bytes.data, CONTENT.subarray(0, 50));
  sameBytes(t, pooled, CONTENT.subarray(0, 50));
  for (const [index, each] of [...neighbours, ...more].entries()) t.is(each.toString(), `neighbour ${index % 20}`);
  t.is(proactor.stats().copies, 1);
  const major = Number(process.versions.node.split('.')[0]);
  if (major >= POOL_STAYS_SINCE) t.throws(() => genuinely(pooled.buffer), { instanceOf: TypeError }, 'Node guards its pool, too');
});

async function isCopied(t: ExecutionContext, proactor: Proactor, memory: ArrayBufferLike): Promise<void> {
  const file = await open(fileOf(CONTENT), { proactor });
  const view = new Uint8Array(memory);
  const filling = fill(file, view);
  t.is(view.length, 65_536, 'it stays where it is');
  const bytes = await filling;
  sameBytes(t, bytes.data, CONTENT);
  sameBytes(t, view.slice(0, CONTENT.length), CONTENT);
  t.is(proactor.stats().copies, 1);
  await t.throwsAsync(file.writer().write(view), { code: 'EBADF' });
  t.is(view.length, 65_536);
}

const RESIZABLE: readonly (readonly [string, () => ArrayBufferLike])[] = [
  ['a resizable ArrayBuffer', () => new ArrayBuffer(65_536, { maxByteLength: 2 ** 20 })],
  ['WebAssembly memory', () => new WebAssembly.Memory({ initial: 1 }).buffer],
];

for (const [name, make] of RESIZABLE) {
  // S4, red without the question of `isMovable` whether memory is resizable (ts/memory/block.ts); for WebAssembly, whose
  // memory Node does not let be moved, without `tryMove` in `moveIn` (ts/memory/loan.ts).
  onEachAlone(`S4: never lent, but copied and counted: ${name}`, {}, (t, proactor) => isCopied(t, proactor, make()));
}

test('S4: Node does not let WebAssembly memory be moved', (t) => {
  const { buffer } = new WebAssembly.Memory({ initial: 1 });
  t.throws(() => genuinely(buffer), { instanceOf: TypeError });
  t.throws(() => structuredClone(buffer, { transfer: [buffer] }));
  t.is(buffer.byteLength, 65_536);
});

const SHARED: readonly (readonly [string, () => SharedArrayBuffer])[] = [
  ['a SharedArrayBuffer', () => new SharedArrayBuffer(65_536)],
  ['a growable SharedArrayBuffer', () => new SharedArrayBuffer(65_536, { maxByteLength: 2 ** 20 })],
];

for (const [name, make] of SHARED) {
  // S10, red when `isArrayBuffer` (ts/memory/block.ts) takes shared memory for an ArrayBuffer.
  onEachAlone(`S10: never lent, but copied and counted: ${name}`, {}, (t, proactor) => isCopied(t, proactor, make()));
}

// Red without the question of `isMovable` whether memory is resizable (ts/memory/block.ts), without `tryMove` in `moveIn`, and
// where `data` of copied bytes (ts/memory/bytes.ts) throws if the memory is not there any more.
onEachAlone('S4: memory that shrinks or grows while a read is out: no byte lands elsewhere', {}, async (t, proactor) => {
  const file = await open(fileOf(CONTENT), { proactor });
  const memory = new ArrayBuffer(10_000, { maxByteLength: 20_000 });
  const filling = fill(file, new Uint8Array(memory, 0, 10_000));
  memory.resize(100);
  sameBytes(t, (await filling).data, CONTENT.subarray(0, 10_000), 'the bytes are kept all the same');
  const wasm = new WebAssembly.Memory({ initial: 1, maximum: 10 });
  const reading = fill(file, new Uint8Array(wasm.buffer), { position: 0 });
  wasm.grow(5);
  sameBytes(t, (await reading).data, CONTENT);
  const seenLate = await fill(file, new Uint8Array(memory, 0, 100), { position: 0 });
  memory.resize(10);
  t.deepEqual([seenLate.length, seenLate.data.length, seenLate.length], [100, 0, 0]);
});

onEach('a transfer that somebody replaced later does not open the fence', async (t, proactor) => {
  const file = await open(fileOf(CONTENT), { proactor });
  const genuine = ArrayBuffer.prototype.transfer;
  ArrayBuffer.prototype.transfer = function (this: ArrayBuffer) { return this; };
  try {
    const buffer = Buffer.from(new ArrayBuffer(100));
    const reader = file.submitter();
    reader.submit(buffer);
    t.is(buffer.length, 0);
    sameBytes(t, (await reader.poll()).data, CONTENT.subarray(0, 100));
  } finally {
    ArrayBuffer.prototype.transfer = genuine;
  }
  await file.close();
});

// Red without the limit of `moveIn` (ts/memory/loan.ts): refused only after it has moved.
onEachAlone('S12: memory beyond 4 GiB is refused as a whole; a small view into it is a copy', {}, async (t, proactor) => {
  const file = await open(fileOf(CONTENT), { proactor });
  const memory = new ArrayBuffer(4 * 2 ** 30 + 4096);
  for (const options of [{}, { length: 1000 }]) {
    t.throws(() => file.submitter().submit(memory, options), { code: 'ERR_OUT_OF_RANGE' });
    t.is(memory.byteLength, 4 * 2 ** 30 + 4096, 'it stays with the caller');
  }
  const view = new Uint8Array(memory, 4 * 2 ** 30, 1000);
  sameBytes(t, (await fill(file, view)).data, CONTENT.subarray(0, 1000));
  sameBytes(t, view, CONTENT.subarray(0, 1000));
  t.is(proactor.stats().copies, 1);
});

// Red on the ring without both that keep it: an operation's own hold of its block, and `BlockTable::retire` waiting for the
// op's end. On `node` when nothing holds a call between two tries: the table of calls, its lane and its pause together.
onEachAlone('S1: everything is forgotten while a read waits: nothing is freed under it, and it comes to its end', {}, async (t, proactor) => {
  const path = freshPath('pipe');
  execFileSync('mkfifo', [path]);
  const pipe = await open(path, { flags: 'r+', proactor });
  const reader = pipe.submitter();
  (() => {
    reader.submit(alloc(2 ** 20, { proactor }));
  })();
  await collect();
  t.is(proactor.stats().inFlight, 1);
  fs.writeFileSync(path, 'came all the same');
  let came: string | undefined;
  void reader.poll().then(({ data }) => (came = data.toString()), (error: Error) => (came = error.message));
  await eventually(t, 'the read has ended', () => came !== undefined);
  t.is(came, 'came all the same');
  t.is(proactor.stats().blocksBusy, 0);
});
