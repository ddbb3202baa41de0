/**
 * Description: `close()` finishes what was begun, `destroy()` cancels it; both once, from anywhere, and then everything
 * new is refused with ERR_RITSU_CLOSED. Memory that a cancelled operation had comes back on its error.
 *
 * What turns it red: the `open` check of `start` or `submit` removed (operations hang on a ring that is gone); `#closed`
 * not kept (a second close throws ERR_RITSU_BUSY or ERR_RITSU_PROACTOR_CLOSED); `pool.refuse` not called at the end
 * (reads that wait for a block never settle); waiting operations not cancelled by `destroy` (it never resolves);
 * a page with a late cancel taken for an operation (ERR_RITSU_BUSY); a read that waits for an answer to what was refused.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import test from 'ava';
import type { ExecutionContext } from 'ava';
import { Proactor, alloc, backendInfo, open, owned, sleep } from 'ritsu';
import type { BackendName, Bytes, File } from 'ritsu';
import { onEachAlone } from './support/backends.ts';
import { fileOf, freshPath, randomBytes, sparseFile } from './support/files.ts';
import { internals } from './support/internals.ts';
import { pause } from './support/net.ts';
import { sameBytes } from './support/same.ts';

const CONTENT = randomBytes(4096 * 64);
const CLOSED = { code: 'ERR_RITSU_CLOSED' };

function readAllOf(file: File, proactor: Proactor): Promise<Bytes>[] {
  const reader = file.submitter();
  return Array.from({ length: 64 }, (_, index) => {
    reader.submit(alloc(4096, { proactor }), { position: index * 4096 });
    return reader.poll();
  });
}

async function refusesEverything(t: ExecutionContext, proactor: Proactor, file: File): Promise<void> {
  await t.throwsAsync(open(freshPath(), { proactor }), CLOSED, 'open');
  await t.throwsAsync(proactor.nop(), CLOSED, 'nop');
  await t.throwsAsync(sleep(1, { proactor }), CLOSED, 'sleep');
  await t.throwsAsync(async () => file.allocator().read(), CLOSED, 'read');
  await t.throwsAsync(file.stat(), CLOSED, 'stat');
  await t.throwsAsync(file.writer().write(Buffer.alloc(3)), CLOSED, 'write');
  t.throws(() => proactor.createPool(), CLOSED, 'createPool');
  const memory = Buffer.alloc(3);
  t.throws(() => file.submitter().submit(memory), CLOSED, 'submit');
  t.is(memory.length, 3, 'a buffer that was refused stays with its owner');
}

onEachAlone('close: what was begun finishes, what is new is refused', {}, async (t, proactor) => {
  const file = await open(fileOf(CONTENT), { proactor });
  const reads = readAllOf(file, proactor);
  const closing = proactor.close();
  await refusesEverything(t, proactor, file);
  const chunks = await Promise.all(reads);
  await closing;
  sameBytes(t, Buffer.concat(chunks.map((bytes) => bytes.data)), CONTENT);
  t.is(proactor.stats().inFlight, 0);
  t.is(proactor.open, false);
  await refusesEverything(t, proactor, file);
});

onEachAlone('close and destroy: again, together and in any order', {}, async (t, proactor) => {
  await proactor.nop();
  const first = proactor.close();
  t.is(proactor.close(), first, 'the same promise');
  await Promise.all([first, proactor.destroy(), proactor[Symbol.asyncDispose](), proactor.close(), proactor.destroy()]);
  await proactor.close();
  await proactor.destroy();
  t.is(proactor.stats().inFlight, 0);
});

onEachAlone('destroy: pending operations are cancelled and their memory comes back', {}, async (t, proactor) => {
  const file = await open(fileOf(CONTENT), { proactor });
  const sleeping = t.throwsAsync(sleep(60_000, { proactor }), CLOSED);
  const reads = readAllOf(file, proactor);
  const settled = Promise.allSettled(reads);
  await proactor.destroy();
  await sleeping;
  for (const result of await settled) {
    if (result.status === 'fulfilled') t.is(result.value.take().length, 4096);
    else t.like(result.reason as object, { ...CLOSED, buffer: { length: 4096 } });
  }
  await refusesEverything(t, proactor, file);
});

onEachAlone('destroy: operations that wait for a slot or a block', { inFlightMax: 2, pool: { classes: [{ size: 4096, count: 1 }] } }, async (t, proactor) => {
  const file = await open(fileOf(CONTENT), { proactor });
  const reader = file.allocator({ blockSize: 4096 });
  const lease = await reader.read();
  const reads = [1, 2, 3].map((index) => t.throwsAsync(reader.read({ position: index * 4096 }), CLOSED));
  const sleeps = [1, 2, 3, 4].map(() => t.throwsAsync(sleep(60_000, { proactor }), CLOSED));
  await nextTurn(); // two sleeps have the slots now
  const ended = proactor.destroy();
  await Promise.all([...reads, ...sleeps, ended]);
  t.is(proactor.stats().waiting, 0);
  // The lease outlives the proactor, and may go back to it.
  sameBytes(t, lease!.data, CONTENT.subarray(0, 4096));
  lease!.release();
  t.is(lease!.length, 0);
});

onEachAlone('close from a continuation of an operation of its own', {}, async (t, proactor) => {
  const nops = Array.from({ length: 10 }, () => proactor.nop());
  await nops[0];
  await proactor.close();
  t.deepEqual(await Promise.all(nops), nops.map(() => 0));
});

onEachAlone('destroy from a continuation of an operation of its own', {}, async (t, proactor) => {
  const sleeping = t.throwsAsync(sleep(60_000, { proactor }), CLOSED);
  await proactor.nop();
  await proactor.destroy();
  await sleeping;
  t.is(proactor.stats().inFlight, 0);
});

onEachAlone('a file of a closed proactor is closed', {}, async (t, proactor) => {
  const file = await open(fileOf(CONTENT), { proactor });
  const left = await open(fileOf(CONTENT), { proactor });
  await proactor.close();
  await file.close();
  await file.close();
  t.true(file.closed);
  t.is(file.fd, -1);
  await t.throwsAsync(async () => left.allocator().read(), CLOSED);
});

test('node: what node:fs answers past the deadline goes nowhere', async (t) => {
  const path = sparseFile([[2 ** 28 - 1, Buffer.from('x')]]);
  const proactor = new Proactor({ backend: 'node' });
  const file = await open(path, { proactor });
  const reading = t.throwsAsync(file.allocator({ allocator: { acquire: () => Buffer.alloc(2 ** 28), release: () => {} }, blockSize: 2 ** 28 }).read(), CLOSED);
  await pause(1); // `node:fs` has it now
  await proactor.destroy({ deadline: 0 });
  await reading;
  while (proactor.stats().inFlight > 0) await pause(10);
  const { inFlight, stale } = proactor.stats();
  t.deepEqual({ inFlight, stale }, { inFlight: 0, stale: 0 });
});

onEachAlone('close: right after an abort that came too late', {}, async (t, proactor) => {
  const file = await open(fileOf(CONTENT), { proactor });
  for (let round = 0; round < 50; round += 1) {
    const own = new Proactor({ backend: internals(proactor).backend.name as BackendName });
    const other = await open(file.path, { proactor: own });
    const abort = new AbortController();
    // Both are done at once, so the second is over when the first one's completion asks for its end.
    const first = other.hybrid().read({ prepare: () => ({ memory: alloc(10, { proactor: own }) }), complete: () => abort.abort() }, { position: 0 });
    const second = other.hybrid().read(owned(alloc(10, { proactor: own })), { position: 0, signal: abort.signal });
    const closing = own.close();
    await first;
    const memory = await second.then((bytes) => bytes!.take(), ({ buffer }: { buffer: Buffer }) => buffer);
    t.is(memory.length, 10);
    await t.notThrowsAsync(closing);
  }
});

onEachAlone('owned memory comes back on the error of a read that is refused at once, too', {}, async (t, proactor) => {
  const file = await open(fileOf(CONTENT), { proactor });
  const refused = async (options: object): Promise<void> => {
    const memory = alloc(100, { proactor });
    const error = await t.throwsAsync<Error & { buffer: Buffer }>(file.hybrid().read(owned(memory), options));
    t.is(error.buffer.buffer, memory.buffer);
    t.is(error.buffer.length, 100);
  };
  await refused({ signal: AbortSignal.abort() });
  await refused({ timeout: 0 });
  const memory = owned(alloc(100, { proactor }));
  await file.close();
  await refused({});
  await proactor.close();
  const error = await t.throwsAsync<Error & { buffer: Buffer }>(file.hybrid().read(memory), CLOSED);
  t.is(error.buffer.length, 100);
  t.is(memory.take().length, 100, 'and the buffer can still be asked');
});

for (const how of ['close', 'destroy'] as const) {
  onEachAlone(`the first read of a file, whose own buffer or options end the proactor: ${how}`, {}, async (t, proactor) => {
    const backend = internals(proactor).backend.name as BackendName;
    const ways: readonly (readonly [name: string, pull: (file: File, own: Proactor) => Promise<Bytes | null>])[] = [
      ['hybrid', (file, own) => {
        const memory = Buffer.alloc(4096);
        const prepare = (): { memory: Buffer } => {
          void own[how]();
          return { memory };
        };
        return file.hybrid({ into: { prepare, complete: () => {} } }).pull();
      }],
      ['submit', (file, own) => {
        const options = { get length(): number {
          void own[how]();
          return 10;
        } };
        return file.submitter().pull(options as object);
      }],
    ];
    for (const [name, pull] of ways) {
      const own = new Proactor({ backend });
      const file = await open(fileOf(CONTENT), { proactor: own });
      const ended = await Promise.race([pull(file, own).catch((error: Error) => error), pause(5000)]);
      t.like(ended, CLOSED, name);
      await own.destroy();
    }
  });
}

onEachAlone('destroy: its deadline is nothing to a proactor that has ended before', {}, async (t, proactor) => {
  const sleeping = t.throwsAsync(sleep(60_000, { proactor }), { code: 'ERR_RITSU_CLOSED' });
  const destroyed = [proactor.destroy({ deadline: 1 }), proactor.destroy({ deadline: 1 })];
  const until = performance.now() + 20;
  while (performance.now() < until); // both deadlines pass before anything ends
  await Promise.all(destroyed); // an error of the second would be nobody's
  await sleeping;
  await pause(10);
});

onEachAlone('destroy with a wrong deadline is refused', {}, async (t, proactor) => {
  await t.throwsAsync(proactor.destroy({ deadline: -1 }), { code: 'ERR_OUT_OF_RANGE' });
  await t.throwsAsync(proactor.destroy({ deadline: Number.NaN }), { code: 'ERR_OUT_OF_RANGE' });
  await t.throwsAsync(proactor.destroy({ deadline: '1' as never }), { code: 'ERR_INVALID_ARG_TYPE' });
  t.true(proactor.open, 'and nothing was closed');
  t.is(await proactor.nop(), 0);
});

test('the proactor of the thread is made anew when it was closed', async (t) => {
  const first = Proactor.current();
  t.throws(() => Proactor.configure({}), { code: 'ERR_RITSU_UNAVAILABLE' });
  await first.close();
  t.throws(() => Proactor.configure({ backend: first as never }), { code: 'ERR_INVALID_ARG_VALUE' });
  t.throws(() => Proactor.configure(null as never), { code: 'ERR_INVALID_ARG_TYPE' });
  Proactor.configure({ entries: 8 });
  const second = Proactor.current();
  t.not(second, first);
  t.is(await second.nop(), 0);
  t.is(backendInfo().backend, second.info.backend);
  await second.close();
});
