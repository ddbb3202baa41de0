/**
 * Description: signals and timeouts on everything that takes them. An operation that rejects with an AbortError never
 * happened; one that won anyway resolves; the caller's memory comes back on every path.
 */
import { execFileSync } from 'node:child_process';
import { getEventListeners } from 'node:events';
import * as fs from 'node:fs';
import { alloc, open, owned, pooled } from 'ritsu';
import type { Bytes, CancelOptions, File, Proactor } from 'ritsu';
import { onEach, onEachAlone, onReal, onRealAlone } from '../support/backends.ts';
import { fileOf, freshPath, openCount, randomBytes } from '../support/files.ts';
import { sameBytes } from '../support/same.ts';
import { CountingBuffer } from '../support/styles.ts';

interface Ended extends Error {
  readonly code: string;
  readonly bytesTransferred: number;
  readonly buffer?: Buffer;
}

type Work = (file: File, options: CancelOptions, proactor: Proactor) => Promise<unknown>;

/** Submits a buffer of the caller's and polls for it. */
async function submitAndPoll(file: File, buffer: Buffer, options: CancelOptions): Promise<Bytes> {
  const reader = file.submitter();
  reader.submit(buffer, options);
  return reader.poll();
}

const WORKS: readonly (readonly [string, Work])[] = [
  ['open', (file, options, proactor) => open(file.path, { ...options, proactor }).then((other) => other.close())],
  ['allocator read', async (file, options) => (await file.allocator().read(options))?.release()],
  ['allocator read at a position', async (file, options) => (await file.allocator().read({ ...options, position: 5 }))?.release()],
  ['submit', (file, options) => submitAndPoll(file, Buffer.from(new ArrayBuffer(100)), options)],
  ['hybrid, pooled', async (file, options, { pool }) => (await file.hybrid().read(pooled({ pool }), options))?.release()],
  ['hybrid, owned', (file, options, proactor) => file.hybrid().read(owned(alloc(100, { proactor })), options)],
  ['hybrid, own class', (file, options) => file.hybrid().read(new CountingBuffer(Buffer.from(new ArrayBuffer(9))), options)],
  ['write', (file, options) => file.writer().write('x', options)],
  ['writeAll', (file, options) => file.writer().writeAll('x', options)],
  ['flush', (file, options) => file.writer().push('x').push(Buffer.alloc(9999)).flush(options)],
  ['stat', (file, options) => file.stat(options)],
  ['truncate', (file, options) => file.truncate(3, options)],
  ['allocate', (file, options) => file.allocate(0, 10_000, options)],
  ['sync', (file, options) => file.sync(options)],
  ['datasync', (file, options) => file.datasync(options)],
];

for (const [name, work] of WORKS) {
  onEachAlone(`a signal that has aborted: ${name} never happens`, {}, async (t, proactor) => {
    const path = fileOf('unchanged');
    const file = await open(path, { flags: 'r+', proactor });
    const before = proactor.stats().submitted;
    const error = await t.throwsAsync<Ended>(async () => work(file, { signal: AbortSignal.abort('why') }, proactor), {
      name: 'AbortError',
      code: 'ABORT_ERR',
    });
    t.is(error.cause, 'why');
    t.is(error.bytesTransferred, 0);
    t.is(proactor.stats().submitted, before, 'nothing was submitted');
    t.is(fs.readFileSync(path, 'utf8'), 'unchanged');
    sameBytes(t, (await file.allocator().read())!.data, Buffer.from('unchanged'), 'the sequence is where it was');
  });

  onEachAlone(`a signal of the wrong type is refused: ${name}`, {}, async (t, proactor) => {
    const file = await open(fileOf('unchanged'), { flags: 'r+', proactor });
    for (const options of [{ signal: {} }, { signal: 'abort' }, { timeout: 'soon' }]) {
      const attempt = async (): Promise<unknown> => work(file, options as unknown as CancelOptions, proactor);
      await t.throwsAsync(attempt, { code: 'ERR_INVALID_ARG_TYPE' }, `${name} ${JSON.stringify(options)}`);
    }
    for (const timeout of [-1, 1.5, Number.NaN, 2 ** 31]) {
      await t.throwsAsync(async () => work(file, { timeout }, proactor), { code: 'ERR_OUT_OF_RANGE' }, `${timeout}`);
    }
    t.is(fs.readFileSync(file.path, 'utf8'), 'unchanged');
    t.is(proactor.stats().inFlight, 0);
  });

  onEach(`a signal that is never used leaves nothing behind: ${name}`, async (t, proactor) => {
    const file = await open(fileOf('content'), { flags: 'r+', proactor });
    const { signal } = new AbortController();
    const working = work(file, { signal, timeout: 60_000 }, proactor);
    const during = getEventListeners(signal, 'abort').length;
    await working;
    t.true(during > 0, 'the signal was listened to');
    t.is(getEventListeners(signal, 'abort').length, 0);
    await file.close();
  });
}

onEach('an abort while it is in flight: each read won, whole, or never happened', async (t, proactor) => {
  const content = randomBytes(1_000_000);
  const file = await open(fileOf(content), { proactor });
  let won = 0;
  for (let round = 0; round < 200; round += 1) {
    const controller = new AbortController();
    const position = (round * 4999) % 900_000;
    const reading = file.allocator().read({ position, signal: controller.signal });
    if (round % 3 === 0) controller.abort(round);
    else if (round % 3 === 1) queueMicrotask(() => controller.abort(round));
    else setImmediate(() => controller.abort(round));
    try {
      const bytes = await reading;
      won += 1;
      sameBytes(t, bytes!.data, content.subarray(position, position + 65_536));
      bytes!.release();
    } catch (error) {
      t.is((error as Ended).name, 'AbortError');
      t.is((error as Ended).cause, round);
      t.is((error as Ended).bytesTransferred, 0);
    }
  }
  t.log(`${won} of 200 won`);
  await file.close();
});

onEach('sequential reads that are aborted at random: the bytes delivered are the file', async (t, proactor) => {
  const content = randomBytes(400_000, 3);
  const file = await open(fileOf(content), { proactor });
  const reader = file.allocator({ blockSize: 4096 });
  const chunks: Buffer[] = [];
  let aborted = 0;
  for (let round = 0, ended = false; !ended; round += 1) {
    const controllers = Array.from({ length: 4 }, () => new AbortController());
    const reads = controllers.map(({ signal }) => reader.read({ signal }));
    if (round % 2 === 0) controllers[round % 4]!.abort();
    for (const result of await Promise.allSettled(reads)) {
      if (result.status === 'rejected') {
        t.is((result.reason as Ended).name, 'AbortError');
        aborted += 1;
      } else if (result.value === null) ended = true;
      else {
        chunks.push(result.value.copy());
        result.value.release();
      }
    }
  }
  sameBytes(t, Buffer.concat(chunks), content);
  t.log(`${aborted} aborted`);
  await file.close();
});

onEach('the buffer comes back: on the result or on err.buffer', async (t, proactor) => {
  const content = randomBytes(50_000);
  const file = await open(fileOf(content), { proactor });
  let buffer = alloc(10_000, { proactor });
  for (let round = 0; round < 100; round += 1) {
    const controller = new AbortController();
    const reader = file.submitter();
    reader.submit(buffer, { signal: controller.signal, position: round });
    t.is(buffer.length, 0);
    if (round % 2 === 0) controller.abort();
    else setImmediate(() => controller.abort());
    try {
      buffer = (await reader.poll()).take();
      sameBytes(t, buffer, content.subarray(round, round + 10_000));
    } catch (error) {
      t.is((error as Ended).name, 'AbortError');
      buffer = (error as Ended).buffer! as Buffer<ArrayBuffer>;
    }
    t.is(buffer.length, 10_000);
  }
  await file.close();
});

onEach('an IoBuffer is told once of the abort, and has its memory again', async (t, proactor) => {
  const file = await open(fileOf('content'), { proactor });
  const controller = new AbortController();
  const into = new CountingBuffer(Buffer.from(new ArrayBuffer(100)));
  const reading = file.hybrid().read(into, { signal: controller.signal, position: 0 });
  controller.abort();
  const outcome = await reading.then(() => 'won', (error: Ended) => error.name);
  t.deepEqual([into.prepared, into.completed, into.errors], [1, 1, outcome === 'won' ? 0 : 1]);
  t.is(into.take().length, 100);
  await file.close();
});

const WHENS: readonly (readonly [string, (abort: () => void) => void])[] = [
  ['in the same turn', (abort) => abort()],
  ['in a microtask', queueMicrotask],
  ['in the next turn', setImmediate],
  ['later', (abort) => setTimeout(abort, 30)],
];

for (const [when, later] of WHENS) {
  onRealAlone(`a read of a pipe that has nothing, aborted ${when}: it ends, and no byte is lost`, {}, async (t, proactor) => {
    const path = freshPath('pipe');
    execFileSync('mkfifo', [path]);
    const pipe = await open(path, { flags: 'r+', proactor });
    const readers = [pipe.allocator(), pipe.hybrid(), pipe.allocator()];
    for (const [index, reader] of readers.entries()) {
      const controller = new AbortController();
      const reading = reader.pull({ signal: controller.signal });
      later(() => controller.abort());
      await t.throwsAsync(reading, { name: 'AbortError' });
      await pipe.writer().write(`kept ${index}`);
      const bytes = await reader.pull({ timeout: 5000 });
      t.is(bytes!.data.toString(), `kept ${index}`);
      bytes!.release();
    }
    await pipe.close();
  });
}

onRealAlone('a read of a pipe that has nothing: a timeout ends it, and the next read waits again', {}, async (t, proactor) => {
  const path = freshPath('pipe');
  execFileSync('mkfifo', [path]);
  const pipe = await open(path, { flags: 'r+', proactor });
  const reader = pipe.allocator();
  const late = reader.read({ timeout: 20 });
  await t.throwsAsync(late, { name: 'TimeoutError', code: 'ERR_RITSU_TIMEOUT' });
  const held = reader.read();
  setTimeout(() => void pipe.writer().write('later'), 20);
  t.is((await held)!.data.toString(), 'later');
  await pipe.close();
});

onReal('a pipe that was opened non-blocking is waited for as any other', async (t, proactor) => {
  const path = freshPath('pipe');
  execFileSync('mkfifo', [path]);
  const pipe = await open(path, { flags: fs.constants.O_RDWR | fs.constants.O_NONBLOCK, proactor });
  await t.throwsAsync(pipe.allocator().read({ timeout: 20 }), { name: 'TimeoutError' });
  const reading = pipe.allocator().read();
  setTimeout(() => fs.writeFileSync(path, 'came'), 20);
  const bytes = await reading;
  t.is(bytes!.data.toString(), 'came');
  bytes!.release();
  await pipe.close();
  t.is(openCount(path), 0);
});

onReal('reads that wait on pipes do not keep others waiting', async (t, proactor) => {
  const pipes = await Promise.all(Array.from({ length: 8 }, () => {
    const path = freshPath('pipe');
    execFileSync('mkfifo', [path]);
    return open(path, { flags: 'r+', proactor });
  }));
  const controller = new AbortController();
  const waiting = pipes.map((pipe) => pipe.allocator().read({ signal: controller.signal }).catch((error: Error) => error.name));
  const file = await open(fileOf('here'), { proactor, timeout: 5000 });
  const bytes = await file.allocator().read({ timeout: 5000 });
  t.is(bytes!.data.toString(), 'here');
  bytes!.release();
  controller.abort();
  t.deepEqual(await Promise.all(waiting), pipes.map(() => 'AbortError'));
  await Promise.all([...pipes, file].map((each) => each.close()));
});

// Seen red without `#ending` of ts/proactor.ts: a read that follows from a cancelled question (what kind of file it is) was begun
// all the same; on the ring it held `destroy` until its deadline, on `node` it failed with ECANCELED.
onRealAlone('a proactor that is destroyed begins nothing more', {}, async (t, proactor) => {
  t.timeout(20_000);
  const path = freshPath('pipe');
  execFileSync('mkfifo', [path]);
  const pipe = await open(path, { flags: 'r+', proactor });
  const outcome = t.throwsAsync(pipe.allocator().read(), { code: 'ERR_RITSU_CLOSED' });
  await proactor.destroy({ deadline: 60_000 }); // it is not needed
  await outcome;
  t.is(proactor.stats().inFlight, 0);
});

onRealAlone('a proactor that is destroyed ends what waits', {}, async (t, proactor) => {
  const path = freshPath('pipe');
  execFileSync('mkfifo', [path]);
  const pipe = await open(path, { flags: 'r+', proactor });
  const reading = pipe.allocator().read();
  const outcome = t.throwsAsync(reading, { code: 'ERR_RITSU_CLOSED' });
  await new Promise((resolve) => setTimeout(resolve, 20));
  await proactor.destroy();
  await outcome;
  t.is(proactor.stats().inFlight, 0);
  await t.throwsAsync(open(path, { proactor }), { code: 'ERR_RITSU_CLOSED' });
});
