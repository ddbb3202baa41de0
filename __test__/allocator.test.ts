/**
 * Description: a program's own `Allocator` and `IoBuffer`: asked once for each read, told once what came of it, whatever
 * happens; and what they do wrong hurts nobody else.
 */
import test from 'ava';
import { Proactor, alloc, open, owned, pooled } from 'ritsu';
import type { Allocator, BackendName, IoBuffer, IoMemory } from 'ritsu';
import { AVAILABLE, onEach, onEachAlone } from './support/backends.ts';
import { fileOf, randomBytes } from './support/files.ts';
import { eventually } from './support/net.ts';
import { sameBytes } from './support/same.ts';
import { CountingBuffer, RoundAllocator } from './support/styles.ts';

const CONTENT = randomBytes(50_000);

for (const isLater of [false, true]) {
  onEachAlone(`an allocator gets all its memory back, memory given ${isLater ? 'later' : 'at once'}`, {}, async (t, proactor) => {
    const file = await open(fileOf(CONTENT), { proactor });
    const allocator = new RoundAllocator(() => alloc(4096, { proactor }), isLater);
    const reader = file.allocator({ blockSize: 4096, allocator });
    const chunks: Buffer[] = [];
    for await (const bytes of reader) chunks.push(bytes.copy());
    sameBytes(t, Buffer.concat(chunks), CONTENT);
    t.is(await reader.read({ position: CONTENT.length }), null);
    const controller = new AbortController();
    const reading = reader.read({ signal: controller.signal, position: 0 });
    controller.abort();
    await reading.then((bytes) => bytes?.release(), (error: Error) => t.is(error.name, 'AbortError'));
    await file.close();
    await t.throwsAsync(async () => reader.read(), { code: 'ERR_RITSU_CLOSED' });
    const directory = await open('/tmp', { proactor });
    await t.throwsAsync(directory.allocator({ allocator, blockSize: 4096 }).read(), { code: 'EISDIR' });
    t.true(allocator.acquired >= 15, `${allocator.acquired}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
    t.is(allocator.out, 0, 'all of it');
  });
}

onEach('memory of a lease from a program\'s allocator is revoked by release as any other', async (t, proactor) => {
  const file = await open(fileOf(CONTENT), { proactor });
  const allocator = new RoundAllocator(() => Buffer.from(new ArrayBuffer(1000)));
  const bytes = await file.allocator({ allocator, blockSize: 1000 }).read();
  const view = bytes!.data;
  sameBytes(t, view, CONTENT.subarray(0, 1000));
  bytes!.release();
  t.is(view.length, 0);
  t.is(allocator.out, 0);
  bytes!.release();
  t.is(allocator.out, 0, 'once');
  await file.close();
});

const BROKEN: readonly (readonly [string, Allocator['acquire'], object])[] = [
  ['throws', () => { throw new Error('no memory'); }, { message: 'no memory' }],
  ['rejects', () => Promise.reject(new Error('no memory later')), { message: 'no memory later' }],
  ['gives nothing', () => undefined as never, { code: 'ERR_INVALID_ARG_TYPE' }],
  ['gives something else', () => 'memory' as never, { code: 'ERR_INVALID_ARG_TYPE' }],
  ['gives empty memory', () => Buffer.alloc(0), { code: 'ERR_INVALID_ARG_VALUE' }],
  ['promises something else', () => Promise.resolve(7 as never), { code: 'ERR_INVALID_ARG_TYPE' }],
];

for (const [name, acquire, expected] of BROKEN) {
  onEach(`an allocator that ${name}: the read fails, the next one does not`, async (t, proactor) => {
    const file = await open(fileOf(CONTENT), { proactor });
    let broken = true;
    const whole = new RoundAllocator(() => alloc(4096, { proactor }));
    const allocator: Allocator = {
      acquire: () => (broken ? acquire() : whole.acquire()),
      release: (memory) => whole.release(memory),
    };
    const reader = file.allocator({ allocator, blockSize: 4096 });
    await t.throwsAsync(async () => reader.read(), expected);
    await t.throwsAsync(async () => reader.read({ position: 4096 }), expected);
    broken = false;
    const bytes = await reader.read();
    sameBytes(t, bytes!.data, CONTENT.subarray(0, 4096), 'nothing was skipped');
    bytes!.release();
    t.is(whole.out, 0);
    await file.close();
  });
}

onEach('what is no allocator is refused', async (t, proactor) => {
  const file = await open(fileOf(CONTENT), { proactor });
  for (const wrong of [{}, { acquire() {} }, 'pool', 7]) {
    t.throws(() => file.allocator({ allocator: wrong as unknown as Allocator }), { code: 'ERR_INVALID_ARG_TYPE' });
  }
  for (const blockSize of [0, -1, 1.5, Number.NaN, 2 ** 31]) t.throws(() => file.allocator({ blockSize }), { code: 'ERR_OUT_OF_RANGE' });
  for (const readAhead of [-1, 65, 0.5]) t.throws(() => file.allocator({ readAhead }), { code: 'ERR_OUT_OF_RANGE' });
  await file.close();
});

onEach('an IoBuffer is told at the end of the file, and on errors, with its memory', async (t, proactor) => {
  const file = await open(fileOf(CONTENT), { proactor });
  const atEnd = new CountingBuffer(alloc(100, { proactor }));
  t.is(await file.hybrid().read(atEnd, { position: CONTENT.length }), null);
  t.deepEqual([atEnd.prepared, atEnd.completed, atEnd.errors, atEnd.take().length], [1, 1, 0, 100]);
  const directory = await open('/tmp', { proactor });
  const failing = new CountingBuffer(alloc(100, { proactor }));
  await t.throwsAsync(directory.hybrid().read(failing), { code: 'EISDIR' });
  t.deepEqual([failing.prepared, failing.completed, failing.errors, failing.take().length], [1, 1, 1, 100]);
  const kept = owned(alloc(100, { proactor }));
  await t.throwsAsync(directory.hybrid().read(kept), { code: 'EISDIR' });
  t.is(kept.take().length, 100);
  await Promise.all([file.close(), directory.close()]);
});

const WRONG_BUFFERS: readonly (readonly [string, unknown, string])[] = [
  ['nothing', undefined, 'ERR_INVALID_ARG_TYPE'],
  ['an object', {}, 'ERR_INVALID_ARG_TYPE'],
  ['a bare Buffer', Buffer.alloc(10), 'ERR_INVALID_ARG_TYPE'],
  ['prepare() gives nothing', { prepare() {}, complete() {} }, 'ERR_INVALID_ARG_TYPE'],
  ['prepare() gives a number', { prepare: () => 7, complete() {} }, 'ERR_INVALID_ARG_TYPE'],
  ['a pool that is none', { prepare: () => ({ pool: {}, size: 10 }), complete() {} }, 'ERR_INVALID_ARG_TYPE'],
  ['memory that is none', { prepare: () => ({ memory: 'm' }), complete() {} }, 'ERR_INVALID_ARG_TYPE'],
  ['a length beyond the memory', { prepare: () => ({ memory: new Uint8Array(5), length: 6 }), complete() {} }, 'ERR_OUT_OF_RANGE'],
  ['a size beyond the pool', { prepare: () => ({ pool: undefined, size: 2 ** 25 }), complete() {} }, 'ERR_INVALID_ARG_TYPE'],
];

onEach('what is no IoBuffer, or prepares nonsense, is refused, and the sequence goes on', async (t, proactor) => {
  const file = await open(fileOf(CONTENT), { proactor });
  const reader = file.hybrid();
  for (const [name, wrong, code] of WRONG_BUFFERS) {
    await t.throwsAsync(reader.read(wrong as IoBuffer), { code }, name);
  }
  const thrower: IoBuffer = { prepare(): IoMemory { throw new Error('not today'); }, complete() {} };
  await t.throwsAsync(reader.read(thrower), { message: 'not today' });
  const bytes = await reader.read(pooled({ pool: proactor.pool, size: 4096 }));
  sameBytes(t, bytes!.data, CONTENT.subarray(0, 4096));
  bytes!.release();
  await file.close();
});

onEach('an IoBuffer whose memory is refused is told so, with the memory', async (t, proactor) => {
  // Seen red: the error was thrown past it: an owned buffer said that a read has the memory, for ever.
  const file = await open(fileOf(CONTENT), { proactor });
  const reader = file.hybrid();
  const lease = (await file.allocator({ blockSize: 4096 }).read({ position: 0 }))!;
  const none = Buffer.alloc(0);
  const rows: readonly (readonly [Buffer, string, Buffer | undefined])[] = [[none, 'ERR_INVALID_ARG_VALUE', none], [lease.data, 'ERR_RITSU_NOT_OWNED', lease.data]];
  for (const [memory, code, back] of rows) {
    const into = owned(memory);
    t.is((await t.throwsAsync<Error & { buffer?: Buffer }>(reader.read(into), { code })).buffer, back);
    await t.throwsAsync(reader.readMany(into, [0, 1]), { code });
    t.is(into.take(), memory);
  }
  lease.release();
  const told: unknown[][] = [];
  const wishes: readonly unknown[] = [{ memory: CONTENT, length: -1 }, { memory: 'text' }, { pool: proactor.pool, size: 2 ** 40 }, { pool: {}, size: 1 }];
  for (const wish of wishes) {
    const into: IoBuffer = { prepare: () => wish as IoMemory, complete: (...given) => told.push(given) };
    const error = await t.throwsAsync(reader.read(into));
    t.deepEqual(told.splice(0), [[null, error, wish === wishes[0] ? CONTENT : undefined]]);
  }
  await file.close();
});

onEach('an IoBuffer that reads into part of its memory gets all of it back', async (t, proactor) => {
  const file = await open(fileOf(CONTENT), { proactor });
  const memory = alloc(1000, { proactor });
  let came = 0;
  const part: IoBuffer = {
    prepare: () => ({ memory: memory.subarray(500), length: 100 }),
    complete: (bytes) => (came = bytes!.length),
  };
  const bytes = await file.hybrid().read(part);
  t.is(came, 100);
  sameBytes(t, bytes!.data, CONTENT.subarray(0, 100));
  const whole = bytes!.take();
  t.is(whole.length, 1000);
  sameBytes(t, whole.subarray(500, 600), CONTENT.subarray(0, 100));
  await file.close();
});

onEach('an IoBuffer that throws when it is told of an end: that read has the error, the next ones go on', async (t, proactor) => {
  const file = await open(fileOf(CONTENT), { proactor });
  const reader = file.hybrid();
  const controller = new AbortController();
  const thrower: IoBuffer = {
    prepare: (): IoMemory => ({ memory: Buffer.from(new ArrayBuffer(1000)) }),
    complete: () => { throw new Error('not wanted'); },
  };
  const waiting = reader.read(thrower, { signal: controller.signal }); // it is not known yet what kind of file it is
  controller.abort();
  await t.throwsAsync(waiting, { message: 'not wanted' });
  const bytes = await reader.read(owned(Buffer.from(new ArrayBuffer(1000))));
  sameBytes(t, bytes!.data, CONTENT.subarray(0, 1000), 'from the beginning');
  await file.close();
});

onEach('an allocator that aborts the read it is asked for', async (t, proactor) => {
  const file = await open(fileOf(CONTENT), { proactor });
  const controller = new AbortController();
  const allocator = new RoundAllocator(() => {
    controller.abort();
    return Buffer.from(new ArrayBuffer(1000));
  });
  const plain = file.allocator({ blockSize: 1000 });
  (await plain.read())!.release(); // from here on its reads begin at once
  await t.throwsAsync(file.allocator({ allocator, blockSize: 1000 }).read({ signal: controller.signal }), { name: 'AbortError' });
  t.is(allocator.out, 0);
  const bytes = await plain.read();
  sameBytes(t, bytes!.data, CONTENT.subarray(1000, 2000), 'no byte was lost');
  bytes!.release();
  await file.close();
});

test.serial('an allocator that throws as its memory comes back for nobody: it is uncaught, and other reads go on', async (t) => {
  const listeners = process.listeners('uncaughtException'); // the process' own: one backend after the other
  process.removeAllListeners('uncaughtException');
  const caught: string[] = [];
  process.on('uncaughtException', ({ message }) => caught.push(message));
  for (const backend of AVAILABLE as BackendName[]) {
    const proactor = new Proactor({ backend });
    const file = await open(fileOf(CONTENT), { proactor });
    let isFull = false;
    const allocator: Allocator = {
      acquire: () => Buffer.from(new ArrayBuffer(1000)),
      release: () => { if (isFull) throw new Error(backend); },
    };
    let chunks = 0;
    for await (const bytes of file.allocator({ allocator, blockSize: 1000, readAhead: 2 })) {
      bytes.release();
      chunks += 1;
      if (chunks < 3) continue; // it is not known at the first whether the file can be read ahead
      await eventually(t, 'both that were read ahead are there', () => proactor.stats().inFlight === 0);
      isFull = true;
      break;
    }
    await eventually(t, 'both were told', () => caught.length === 2);
    t.deepEqual(caught.splice(0), [backend, backend]);
    const next = await file.allocator({ blockSize: 1000 }).read();
    sameBytes(t, next!.data, CONTENT.subarray(3000, 4000), 'nobody was given them');
    next!.release();
    await file.close();
    await proactor.destroy();
  }
  process.removeAllListeners('uncaughtException');
  for (const listener of listeners) process.on('uncaughtException', listener);
});
