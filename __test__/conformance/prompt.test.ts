/**
 * Description: `prompt`: an abort rejects at once, and what the operation does afterwards is lost to nobody.
 *
 * What turns it red: bytes of a stream that came too late for their read and are dropped; a file position that moves by a
 * read that was given up; a descriptor that is opened for nobody and stays open; memory that does not come back.
 */
import * as fs from 'node:fs';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { AbortError, alloc, listen, open, owned } from 'ritsu';
import type { IoBuffer, LateOutcome, Proactor, TcpListener, TcpStream } from 'ritsu';
import { onEach, onEachAlone, onReal, onRealAlone } from '../support/backends.ts';
import { fileOf, openCount, randomBytes } from '../support/files.ts';
import { internals } from '../support/internals.ts';
import { closeAll, disposed, eventually, nodeConnect, tcpPair } from '../support/net.ts';
import { sameBytes } from '../support/same.ts';

interface Prompt extends Error {
  readonly bytesTransferred: number;
  readonly outcome?: Promise<LateOutcome>;
  readonly buffer?: Buffer;
}

/** Abort it in this turn, and see that the promise rejects in this turn, too. */
async function abortNow(abort: AbortController, promise: Promise<unknown>): Promise<Prompt> {
  let isNextTurn = false;
  setImmediate(() => {
    isNextTurn = true;
  });
  abort.abort('now');
  const error = await promise.then(
    () => new Error('it resolved'),
    (failure: Prompt) => failure,
  );
  if (isNextTurn) throw new Error('the rejection came in a later turn');
  if (!(error instanceof AbortError) || error.cause !== 'now') throw error;
  return error as Prompt;
}

/** Memory whose completion is a call in the middle of a batch of completions. */
function calling(memory: Buffer, completed: () => void): IoBuffer {
  return { prepare: () => ({ memory }), complete: () => completed() };
}

onRealAlone('a stream’s bytes that come too late are the next read’s', {}, async (t, proactor) => {
  const [first, second] = await Promise.all([unread(proactor), unread(proactor)]);
  const abort = new AbortController();
  const before = first.stream.hybrid().read(calling(alloc(10, { proactor }), () => abort.abort('now')));
  const read = second.stream.hybrid().read(owned(alloc(100, { proactor })), { signal: abort.signal, prompt: true });
  await proactor.nop(); // they are in the kernel now
  first.socket.write('first'); // Node sends it in this turn
  second.socket.write('too late');
  const error = await t.throwsAsync<Prompt>(read, { name: 'AbortError' });
  t.is(error.cause, 'now');
  t.is(error.bytesTransferred, 0);
  const { buffers, bytesTransferred } = (await error.outcome) ?? { buffers: [error.buffer!], bytesTransferred: 0 };
  t.is(bytesTransferred, 0);
  t.deepEqual(buffers.map(({ length }) => length), [100], 'the memory is back');
  const bytes = await second.stream.allocator().read();
  t.is(bytes!.data.toString(), 'too late');
  bytes!.release();
  t.is((await before)!.data.toString(), 'first');
  t.like(proactor.stats().cancel, { late: 1, won: 0, lost: 0 });
  await closeAll(first.stream, second.stream, first.listener, second.listener);
});

onEach('a file’s read at a position: its memory comes later', async (t, proactor) => {
  const file = await open(fileOf(randomBytes(100_000)), { proactor });
  for (const memory of [alloc(50_000, { proactor }), Buffer.from(new ArrayBuffer(50_000))]) {
    const abort = new AbortController();
    const read = file.hybrid().read(owned(memory), { position: 0, signal: abort.signal, prompt: true });
    internals(proactor).backend.flush(); // the disk has it: no cancel ends it
    const error = await abortNow(abort, read);
    t.is(error.bytesTransferred, 0);
    const { buffers } = (await error.outcome) ?? { buffers: [error.buffer!] };
    t.deepEqual(buffers.map(({ length }) => length), [50_000]);
  }
  await file.close();
});

onEach('a file’s reads in order go on where they were', async (t, proactor) => {
  const content = randomBytes(600_000, 8);
  const file = await open(fileOf(content), { proactor });
  const chunks: Buffer[] = [];
  const outcomes: (Promise<LateOutcome> | undefined)[] = [];
  const readers = [file.allocator({ blockSize: 4096 }), file.hybrid(), file.submitter({ blockSize: 5000 })];
  for (let round = 0, ended = false; !ended; round += 1) {
    const abort = new AbortController();
    const reads = readers.map((reader) => reader.pull({ signal: abort.signal, prompt: true }));
    internals(proactor).backend.flush();
    if (round % 2 === 0) abort.abort();
    else if (round % 3 === 0) setImmediate(() => abort.abort());
    for (const result of await Promise.allSettled(reads)) {
      if (result.status === 'rejected') outcomes.push((result.reason as Prompt).outcome);
      else if (result.value === null) ended = true;
      else {
        chunks.push(result.value.copy());
        result.value.release();
      }
    }
  }
  sameBytes(t, Buffer.concat(chunks), content);
  t.true(outcomes.length > 0);
  for (const outcome of outcomes) await outcome;
  await file.close();
});

onEachAlone('what is opened for nobody is closed', {}, async (t, proactor) => {
  const path = fileOf('x');
  for (let round = 0; round < 50; round += 1) {
    const abort = new AbortController();
    const opening = open(path, { signal: abort.signal, prompt: true, proactor });
    internals(proactor).backend.flush();
    await abortNow(abort, opening);
  }
  await eventually(t, 'the descriptors are closed', () => openCount(path) === 0 && proactor.stats().descriptorsOpen === 0);
});

interface Full {
  readonly listener: TcpListener;
  readonly socket: Socket;
  readonly stream: TcpStream;
}

/** A connection whose peer does not read. */
async function unread(proactor: Proactor): Promise<Full> {
  const listener = await listen({ port: 0, host: '127.0.0.1', proactor });
  const socket = await nodeConnect({ port: listener.address().port, host: '127.0.0.1' });
  socket.pause();
  const stream = await listener.accept();
  return { listener, socket, stream };
}

onReal('a write: how much of it went is told when the kernel has let go', async (t, proactor) => {
  const { listener, socket, stream } = await unread(proactor);
  const data = alloc(16 << 20, { proactor });
  data.set(randomBytes(1 << 20));
  const expected = Buffer.from(data);
  const abort = new AbortController();
  const writing = stream.writer().writeAll(data, { signal: abort.signal, prompt: true });
  await proactor.nop();
  const error = await abortNow(abort, writing);
  const parts: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => parts.push(chunk)).resume();
  const { bytesTransferred, buffers } = (await error.outcome)!;
  t.is(buffers[0]?.length, 16 << 20, 'the memory is back');
  const ended = once(socket, 'end');
  await stream.shutdown();
  await ended;
  sameBytes(t, Buffer.concat(parts), expected.subarray(0, bytesTransferred), 'what arrived is what was said');
  await closeAll(stream, listener);
});

onEach('a timeout is prompt, too; and before the kernel saw it, nothing is late', async (t, proactor) => {
  const pair = await disposed(t, tcpPair(proactor));
  const late = await t.throwsAsync<Prompt>(pair.inside.hybrid().read(owned(alloc(10, { proactor })), { timeout: 10, prompt: true }), {
    name: 'TimeoutError',
    code: 'ERR_RITSU_TIMEOUT',
  });
  t.is((await late.outcome)?.buffers.length ?? 1, 1);
  const error = await t.throwsAsync<Prompt>(pair.inside.allocator().read({ timeout: 10, prompt: true }), { name: 'TimeoutError' });
  t.is(error.outcome, undefined, 'it only waited');
  const file = await open(fileOf('x'), { proactor });
  const aborted = await t.throwsAsync<Prompt>(file.allocator().read({ signal: AbortSignal.abort(), prompt: true }));
  t.is(aborted.outcome, undefined);
  await file.close();
});

onEach('a prompt that is no boolean', async (t, proactor) => {
  const file = await open(fileOf('x'), { proactor });
  const wrong = { prompt: 'yes' as never };
  await t.throwsAsync(file.allocator().read(wrong), { code: 'ERR_INVALID_ARG_TYPE', message: /options\.prompt/ });
  await t.throwsAsync(file.stat(wrong), { code: 'ERR_INVALID_ARG_TYPE' });
  await t.throwsAsync(open(file.path, { ...wrong, proactor }), { code: 'ERR_INVALID_ARG_TYPE' });
  t.is(fs.readFileSync(file.path, 'utf8'), 'x');
  await file.close();
});
