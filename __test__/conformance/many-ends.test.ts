/**
 * Description: many reads as one, where they do not simply come: aborted, waiting for slots or memory, refused, wrong arguments.
 *
 * What turns it red: memory that is given back before the last place is read, or twice, or not at all; places that are read although
 * it was aborted; an argument that is looked at after memory was moved.
 */
import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import { dirname } from 'node:path';
import { alloc, open, owned, pooled } from 'ritsu';
import type { Bytes, IoBuffer, Positions } from 'ritsu';
import { onEach, onEachAlone, onReal, onRealAlone } from '../support/backends.ts';
import { collectUntil } from '../support/collect.ts';
import { fileOf, freshPath, randomBytes } from '../support/files.ts';
import { internals } from '../support/internals.ts';
import { disposed, tcpPair } from '../support/net.ts';
import { sameBytes } from '../support/same.ts';
import { RoundAllocator } from '../support/styles.ts';

const EACH = 4096;
const SIZE = 300_000;
const content = randomBytes(SIZE, 3);

onEachAlone('aborted before it is handed over, or after, and destroyed: it is one operation, and one answer', { inFlightMax: 4 }, async (t, proactor, backend) => {
  const file = await open(fileOf(content), { proactor });
  const positions = Array.from({ length: 60 }, (_, index) => index * EACH);
  const reader = file.allocator({ blockSize: EACH });
  const inUse = (): number[] => proactor.stats().pool.map(({ count, available }) => count - available);
  const whole = (await reader.readMany(positions))!;
  sameBytes(t, whole.data, content.subarray(0, 60 * EACH));
  whole.release();
  for (const isHandedOver of [false, true]) {
    const before = proactor.stats().cancel;
    const abort = new AbortController();
    const aborted = reader.readMany(positions, { signal: abort.signal });
    if (isHandedOver) internals(proactor).backend.flush();
    abort.abort();
    const name = await aborted.then((bytes) => bytes!.release(), (error: Error) => error.name);
    // A ring may have read all of them while it took them. Node is given a few at a time.
    if (!isHandedOver || backend === 'node') t.is(name, 'AbortError');
    else t.true(name === 'AbortError' || name === undefined, name as string);
    const { won, lost, withdrawn } = proactor.stats().cancel;
    t.is(won + lost + withdrawn - before.won - before.lost - before.withdrawn, 1, 'counted once');
    t.deepEqual(inUse(), [0, 0, 0, 0, 0]);
  }
  const ended = reader.readMany(positions);
  await proactor.destroy();
  await t.throwsAsync(ended, { code: 'ERR_RITSU_CLOSED' });
  t.deepEqual(inUse(), [0, 0, 0, 0, 0]);
});

onEach('prompt: the promise rejects at once, the memory comes when the last place is read', async (t, proactor) => {
  const file = await open(fileOf(content), { proactor });
  const abort = new AbortController();
  const memory = alloc(3 * EACH, { proactor });
  const reading = file.hybrid().readMany(owned(memory), [0, EACH, 9], { signal: abort.signal, prompt: true });
  internals(proactor).backend.flush();
  abort.abort();
  const error = await t.throwsAsync<Error & { outcome?: Promise<{ buffers: Buffer[] }>; buffer?: Buffer }>(reading, { name: 'AbortError' });
  const { buffers } = (await error.outcome) ?? { buffers: [error.buffer!] };
  t.deepEqual(buffers.map(({ length }) => length), [3 * EACH]);
  await file.close();
});

onEach('while it is in flight its memory is nobody else’s', async (t, proactor) => {
  const file = await open(fileOf(content), { proactor });
  const reader = file.submitter();
  const memory = alloc(4 * EACH, { proactor });
  reader.submitMany(memory, [0, EACH]);
  t.is(memory.length, 0);
  t.throws(() => reader.submit(memory), { code: 'ERR_RITSU_BUFFER_IN_FLIGHT' });
  t.throws(() => reader.submitMany(memory, [0]), { code: 'ERR_RITSU_BUFFER_IN_FLIGHT' });
  const bytes = await reader.poll();
  t.deepEqual(bytes.lengths, [2 * EACH, 2 * EACH]);
  t.is(bytes.take().length, 4 * EACH);
  await file.close();
});

onEach('an error of the system is that of all: with its call, and the memory', async (t, proactor) => {
  const file = await open(freshPath(), { flags: 'w', proactor });
  const memory = alloc(2 * EACH, { proactor });
  const error = await t.throwsAsync<Error & { buffer?: Buffer }>(file.hybrid().readMany(owned(memory), [0, EACH]), { code: 'EBADF' });
  t.like(error, { syscall: 'read', errno: -9 });
  t.is(error.buffer?.length, 2 * EACH);
  await t.throwsAsync(file.allocator().readMany([0, 1]), { code: 'EBADF' });
  await file.close();
});

onEach('bad arguments: each has its error, and no memory is moved', async (t, proactor) => {
  const file = await open(fileOf(content), { proactor });
  const memory = alloc(2 * EACH, { proactor });
  const [allocator, submitter, hybrid] = [file.allocator({ blockSize: EACH }), file.submitter(), file.hybrid()];
  const rows: readonly (readonly [unknown, string])[] = [
    [undefined, 'ERR_INVALID_ARG_TYPE'], ['12', 'ERR_INVALID_ARG_TYPE'], [{ length: 1, 0: 0 }, 'ERR_INVALID_ARG_TYPE'],
    [new DataView(new ArrayBuffer(8)), 'ERR_INVALID_ARG_TYPE'], [[], 'ERR_OUT_OF_RANGE'], [new Float64Array(1025), 'ERR_OUT_OF_RANGE'],
    [[0, -1], 'ERR_OUT_OF_RANGE'], [[0.5], 'ERR_OUT_OF_RANGE'], [[Number.NaN], 'ERR_OUT_OF_RANGE'], [[2n ** 60n], 'ERR_OUT_OF_RANGE'],
    [['0'], 'ERR_INVALID_ARG_TYPE'], [[0, undefined, 1], 'ERR_INVALID_ARG_TYPE'],
  ];
  for (const [given, code] of rows) {
    const positions = given as Positions;
    await t.throwsAsync(allocator.readMany(positions), { code }, String(given));
    t.throws(() => submitter.submitMany(memory, positions), { code }, String(given));
    const error = await t.throwsAsync<Error & { buffer?: Buffer }>(hybrid.readMany(owned(memory), positions), { code }, String(given));
    t.is(error.buffer?.length, memory.length);
  }
  const beside = { position: 0 } as never;
  await t.throwsAsync(allocator.readMany([0], beside), { code: 'ERR_INVALID_ARG_VALUE' });
  await t.throwsAsync(allocator.readMany(new Float64Array(1024)), { code: 'ERR_OUT_OF_RANGE', message: /largest block/ });
  for (const length of [0, -1, 1.5, EACH + 1]) t.throws(() => submitter.submitMany(memory, [0, 1], { length }), { code: 'ERR_OUT_OF_RANGE' });
  t.throws(() => submitter.submitMany(memory, [0], { length: '1' as never }), { code: 'ERR_INVALID_ARG_TYPE' });
  t.is(memory.length, 2 * EACH, 'it was not moved');
  t.is(submitter.outstanding, 0);
  const short = await t.throwsAsync<Error & { buffer?: Buffer }>(hybrid.readMany(owned(memory), [0, 1], { length: EACH + 1 }), { code: 'ERR_OUT_OF_RANGE' });
  t.is(short.buffer?.length, 2 * EACH);
  const few = new RoundAllocator(() => alloc(EACH, { proactor }));
  await t.throwsAsync(file.allocator({ blockSize: EACH, allocator: few }).readMany([0, 1]), { code: 'ERR_OUT_OF_RANGE' });
  t.is(few.out, 0);
  await allocator.close();
  await t.throwsAsync(allocator.readMany([0]), { code: 'ERR_RITSU_CLOSED' });
  await file.close();
  await t.throwsAsync(hybrid.readMany(pooled({ pool: proactor.pool }), [0]), { code: 'ERR_RITSU_CLOSED' });
  t.throws(() => submitter.submitMany(short.buffer!, [0]), { code: 'ERR_RITSU_CLOSED' });
  t.is(short.buffer!.length, 2 * EACH);
});

onReal('a stream has no positions', async (t, proactor) => {
  const { inside: stream } = await disposed(t, tcpPair(proactor));
  const expected = { code: 'ERR_INVALID_ARG_VALUE', message: /a stream has no positions/ };
  await t.throwsAsync(stream.allocator().readMany([0]), expected);
  await t.throwsAsync(stream.hybrid().readMany(pooled({ pool: proactor.pool }), [0]), expected);
  t.throws(() => stream.submitter().submitMany(alloc(10, { proactor }), [0]), expected);
});

onEachAlone('one waits for memory, and its file is closed', { pool: { classes: [{ size: 8192, count: 1 }] } }, async (t, proactor) => {
  const file = await open(fileOf(content), { proactor });
  const reader = file.allocator({ blockSize: EACH });
  const first = (await reader.readMany([0, EACH]))!;
  const abort = new AbortController();
  const aborted = reader.readMany([0, EACH], { signal: abort.signal });
  const waiting = reader.readMany([0, EACH]);
  abort.abort();
  await t.throwsAsync(aborted, { name: 'AbortError' });
  first.release();
  const second = (await waiting)!;
  const refused = reader.readMany([0, EACH]);
  const closing = file.close();
  await t.throwsAsync(refused, { code: 'ERR_RITSU_CLOSED' });
  second.release();
  await closing;
  t.deepEqual(proactor.stats().pool.map(({ available }) => available), [1]);
});

onEachAlone('aborted by the buffer that is told of them: they are its own, and it is told once', {}, async (t, proactor) => {
  // Seen red: without `ANSWERED` in `cancel` of ts/inflight.ts they came, and it was rejected all the same.
  const file = await open(fileOf(content), { proactor });
  const { inside, outside } = await disposed(t, tcpPair(proactor));
  const reads: readonly ((into: IoBuffer, signal: AbortSignal) => Promise<Bytes | null>)[] = [
    (into, signal) => file.hybrid().readMany(into, [0, EACH], { signal }),
    (into, signal) => inside.hybrid().read(into, { signal }), // from the stash, so it has no slot
  ];
  await outside.writer().writeAll('stashed');
  const safe = inside.allocator({ raceSafe: true });
  await safe.read();
  await safe.close();
  for (const read of reads) {
    const abort = new AbortController();
    const told: (Error | undefined)[] = [];
    const complete = (_bytes: Bytes | null, error?: Error): void => {
      told.push(error);
      abort.abort();
    };
    const bytes = await read({ prepare: () => ({ pool: proactor.pool, size: 2 * EACH }), complete }, abort.signal);
    t.true(bytes!.length > 0);
    t.deepEqual(told, [undefined]);
    bytes!.release();
  }
  t.like(proactor.stats().cancel, { won: 0, withdrawn: 0 });
  await file.close();
});

onRealAlone('without the fence its memory is moved away: nobody else notices', { fence: false }, async (t, proactor) => {
  // Seen red: the zeros behind a short read were written without a look whether the memory is there; on the ring no other
  // operation of the batch was answered any more. And `startReadMany` of ts/backend/node/calls.ts went on with a view of nothing, which
  // `node:fs` refuses by an exception that nobody caught.
  const file = await open(fileOf(content.subarray(0, EACH + 10)), { proactor });
  const known = await file.allocator({ blockSize: EACH }).readMany([0]); // from here on the file is known, and a call begins at once
  known!.release();
  const reader = file.submitter();
  for (const count of [2, 40]) {
    const memory = alloc(count * EACH, { proactor });
    reader.submitMany(memory, Array.from({ length: count }, (_, index) => (index % 2) * EACH));
    const others = Array.from({ length: 20 }, () => proactor.nop());
    internals(proactor).backend.flush(); // Node has begun with the first of them
    memory.buffer.transfer();
    t.deepEqual(await Promise.all(others), Array.from({ length: 20 }, () => 0));
    await reader.poll().catch(() => {});
    t.is(proactor.stats().inFlight, 0);
  }
  await file.close();
});

onRealAlone('a lease that is forgotten comes back, whichever place brought something', { pool: { classes: [{ size: 8192, count: 2 }] } }, async (t, proactor) => {
  const file = await open(fileOf(content.subarray(0, EACH)), { proactor });
  const reader = file.allocator({ blockSize: EACH });
  const forget = async (positions: Positions): Promise<number> => (await reader.readMany(positions))!.data.length;
  for (const positions of [[0, EACH], [EACH, 0]]) t.is(await forget(positions), 2 * EACH);
  t.true(await collectUntil(() => proactor.stats().pool[0]!.available === 2), JSON.stringify(proactor.stats().pool));
  await file.close();
});

onReal('a directory is what the system says it is: EISDIR, as one read of it', async (t, proactor) => {
  const file = await open(dirname(freshPath()), { proactor });
  await t.throwsAsync(file.allocator().read({ position: 0 }), { code: 'EISDIR' });
  await t.throwsAsync(file.allocator().read(), { code: 'EISDIR' });
  await t.throwsAsync(file.allocator().readMany([0]), { code: 'EISDIR' });
  await file.close();
});

onReal('a FIFO has no positions: ESPIPE, and no byte is taken', async (t, proactor) => {
  // Seen red: `#armMany` of ts/read/file-source.ts did not ask.
  const path = freshPath('fifo');
  execFileSync('mkfifo', [path]);
  const file = await open(path, { flags: 'r+', proactor });
  const sink = await fs.promises.open(path, 'r+');
  await sink.write('abcd');
  const memory = alloc(8, { proactor });
  const error = await t.throwsAsync<Error & { buffer?: Buffer }>(file.hybrid().readMany(owned(memory), [0, 4]), { code: 'ESPIPE' });
  t.is(error.buffer?.length, 8);
  await t.throwsAsync(file.allocator().readMany([0]), { code: 'ESPIPE' });
  const bytes = await file.allocator().read();
  t.is(bytes!.data.toString(), 'abcd');
  bytes!.release();
  await sink.close();
  await file.close();
});
