/**
 * `toWeb`: readers, writers and connections as streams of the web. The peer is a socket of Node's.
 *
 * What turns it red: a byte lost or twice between two kinds of reader; memory that grows with what is not consumed; a
 * buffer that the consumer brings and the kernel does not fill; an abort that waits for a peer who does not read; a
 * connection that both directions have left and that stays open.
 */
import type { ExecutionContext } from 'ava';
import { once } from 'node:events';
import { setTimeout as pause } from 'node:timers/promises';
import { gunzipSync } from 'node:zlib';
import { open } from 'ritsu';
import type { Proactor } from 'ritsu';
import { toWeb } from 'ritsu/streams';
import { onEach, onEachAlone } from '../support/backends.ts';
import { fileOf, freshPath, randomBytes } from '../support/files.ts';
import { eventually } from '../support/net.ts';
import { pairOf, receiveAll, sendAll } from '../support/streams.ts';
import type { Pair, Transport } from '../support/streams.ts';

const content = randomBytes(5_000_011);
const LARGE = randomBytes(32 * 2 ** 20, 5);
/** What a stream stashes (16), and what comes before it is stopped: over a Unix socket, whose buffer is small, little. */
const BLOCKS_MAX = 24;

async function gather(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const chunk of chunks) parts.push(chunk);
  return Buffer.concat(parts);
}

/** A connection on both sides; gone with the test. */
async function connection(t: ExecutionContext, proactor: Proactor, transport: Transport = 'tcp'): Promise<Pair> {
  const pair = await pairOf(proactor, transport);
  t.teardown(async () => {
    pair.peer.destroy();
    await pair.stream.destroy();
  });
  return pair;
}

onEachAlone('a consumer that stands still holds few blocks, and gets every byte', {}, async (t, proactor) => {
  const at = await connection(t, proactor, 'unix');
  const sending = sendAll(at.peer, LARGE);
  const { readable } = toWeb(at.stream);
  const reader = readable.getReader();
  const parts = [(await reader.read()).value!];
  await pause(200); // nobody reads
  t.true(proactor.stats().streamPool!.leased <= BLOCKS_MAX);
  t.true(at.peer.writableLength > 0, 'the peer is slowed down');
  reader.releaseLock();
  for await (const chunk of readable) {
    parts.push(chunk);
    if (parts.length % 50 === 0) t.true(proactor.stats().streamPool!.leased <= BLOCKS_MAX);
  }
  await sending;
  t.true(Buffer.concat(parts).equals(LARGE));
  t.is(proactor.stats().streamPool!.leased, 0);
});

onEachAlone('a writer waits for a peer that does not read, and nothing piles up', {}, async (t, proactor) => {
  const at = await connection(t, proactor);
  const { writable } = toWeb(at.stream);
  const writer = writable.getWriter();
  let written = 0;
  const writing = (async () => {
    for (; written < LARGE.length; written += 2 ** 18) {
      await writer.ready;
      writer.write(LARGE.subarray(written, written + 2 ** 18)).catch((error: Error) => t.fail(error.message));
    }
    await writer.close();
  })();
  let stalled = -1;
  while (written !== stalled) {
    stalled = written;
    await pause(200);
  }
  t.true(stalled < LARGE.length);
  const { inFlight, waiting } = proactor.stats();
  t.true(inFlight + waiting <= 1, 'one write at a time');
  t.true((await receiveAll(at.peer)).equals(LARGE));
  await writing;
});

onEachAlone('a reader with buffers of its own: the kernel fills them, and none is copied', {}, async (t, proactor) => {
  const at = await connection(t, proactor);
  const sending = sendAll(at.peer, content);
  const reader = toWeb(at.stream).readable.getReader({ mode: 'byob' });
  const parts: Buffer[] = [];
  for (let buffer = new Uint8Array(100_003); ; ) {
    const { value, done } = await reader.read(buffer);
    parts.push(Buffer.from(value!));
    if (done) break;
    t.is(value.buffer.byteLength, 100_003);
    buffer = new Uint8Array(value.buffer); // the same memory, again and again
  }
  await sending;
  t.true(Buffer.concat(parts).equals(content));
  t.is(proactor.stats().copies, 0);
});

onEach('buffers that cannot be moved, that must be filled, that wait together', async (t, proactor) => {
  for (const ofReader of [false, true]) {
    const at = await connection(t, proactor);
    const readable = ofReader ? toWeb(at.stream.allocator()) : toWeb(at.stream).readable;
    const reader = readable.getReader({ mode: 'byob' });
    const send = (text: string): boolean => at.peer.write(text);
    const string = ({ value }: { value: ArrayBufferView | undefined }): string => Buffer.from(value!.buffer as ArrayBuffer, value!.byteOffset, value!.byteLength).toString();

    const part = reader.read(new Uint8Array(new ArrayBuffer(20), 5, 10));
    send('a part');
    t.is(string(await part), 'a part');

    const full = reader.read(new Uint8Array(9), { min: 9 });
    for (const piece of ['in ', 'pie', 'ces']) {
      send(piece);
      await pause(20);
    }
    t.is(string(await full), 'in pieces');

    const waiting = [reader.read(new Uint8Array(4)), reader.read(new Uint8Array(4)), reader.read(new Uint8Array(4))];
    send('12345678');
    t.is(string(await waiting[0]!) + string(await waiting[1]!), '12345678');
    send('9');
    t.is(string(await waiting[2]!), '9');

    const wide = reader.read(new Uint16Array(8));
    send('odd');
    t.is(string(await wide), 'od');
    reader.releaseLock();
    const text = readable.getReader();
    t.is(string(await text.read()), 'd');
    text.releaseLock();

    const last = readable.getReader({ mode: 'byob' });
    const ends = [last.read(new Uint8Array(4)), last.read(new Uint8Array(new ArrayBuffer(8), 1, 4))];
    at.peer.end();
    t.deepEqual((await Promise.all(ends)).map(({ done, value }) => [done, value?.length]), [[true, 0], [true, 0]]);
  }
});

onEach('pipeTo: an echo, which closes the connection when both sides have ended', async (t, proactor) => {
  const { stream, peer } = await connection(t, proactor);
  const { readable, writable } = toWeb(stream);
  const echo = readable.pipeTo(writable);
  const [came] = await Promise.all([receiveAll(peer), sendAll(peer, content)]);
  t.true(came.equals(content));
  await echo;
  t.true(stream.closed);
});

onEach('pipeThrough: a file, compressed, to a connection', async (t, proactor) => {
  const at = await connection(t, proactor);
  const file = await open(fileOf(content), { proactor });
  const gzip = new CompressionStream('gzip') as unknown as TransformStream<Uint8Array, Uint8Array>;
  const [came] = await Promise.all([
    receiveAll(at.peer),
    toWeb(file.allocator()).pipeThrough(gzip).pipeTo(toWeb(at.stream.writer())),
  ]);
  t.true(gunzipSync(came).equals(content));
  t.false(file.closed, 'of a reader alone, the file stays open');
  t.false(at.stream.closed, 'of a writer alone, the stream is half-closed');
  await file.close();
});

onEach('a file as the body of a Response, and text into a file', async (t, proactor) => {
  const source = await open(fileOf(content), { proactor });
  const body = toWeb(source.hybrid());
  t.true(Buffer.from(await new Response(body).arrayBuffer()).equals(content));
  await source.close();

  const target = await open(freshPath(), { flags: 'w+', proactor });
  const writer = toWeb(target.writer()).getWriter();
  void writer.write('one, ');
  void writer.write(Buffer.from('two'));
  await writer.close();
  t.is((await gather(toWeb(target.submitter()))).toString(), 'one, two');
  await target.close();
});

onEach('leaving a loop: what belongs to a connection closes it, what belongs to a reader ends the reader', async (t, proactor) => {
  const { stream, peer } = await connection(t, proactor);
  const over = once(peer.resume(), 'end');
  peer.write('hello');
  for await (const chunk of toWeb(stream).readable) {
    t.is(Buffer.from(chunk).toString(), 'hello');
    break;
  }
  t.true(stream.closed);
  await over;

  const at = await connection(t, proactor);
  at.peer.write('first');
  const reader = at.stream.allocator();
  for await (const chunk of toWeb(reader)) {
    t.is(Buffer.from(chunk).toString(), 'first');
    break;
  }
  await t.throwsAsync(reader.read(), { code: 'ERR_RITSU_CLOSED' });
  at.peer.write('second');
  const bytes = await at.stream.allocator().read();
  t.is(bytes!.data.toString(), 'second');
  bytes!.release();
});

onEach('cancel and abort end what waits: a read with a buffer, a write to a peer that does not read', async (t, proactor) => {
  const first = await connection(t, proactor);
  const reader = toWeb(first.stream).readable.getReader({ mode: 'byob' });
  const read = reader.read(new Uint8Array(10));
  await pause(20);
  await reader.cancel();
  t.deepEqual(await read, { value: undefined, done: true });
  t.true(first.stream.closed);

  const second = await connection(t, proactor);
  const writer = toWeb(second.stream).writable.getWriter();
  const write = writer.write(LARGE);
  await pause(50);
  const aborted = writer.abort(new Error('enough'));
  await t.throwsAsync(write, { code: 'ERR_RITSU_CLOSED' });
  await aborted;
  await t.throwsAsync(writer.closed, { message: 'enough' });
  t.true(second.stream.closed);
  const came = await receiveAll(second.peer).catch(() => Buffer.alloc(0));
  t.true(came.length < LARGE.length);
});

onEach('an abort of a writer alone does not say that all was written', async (t, proactor) => {
  const at = await connection(t, proactor);
  let ended = false;
  at.peer.resume().on('end', () => (ended = true));
  const writer = toWeb(at.stream.writer()).getWriter();
  await writer.write('half of ');
  await writer.abort();
  await pause(50);
  t.false(ended);
  await at.stream.close();
  await eventually(t, 'the owner ends it', () => ended);
});

onEach('a reset by the peer is the error of both directions, and of pipeTo', async (t, proactor) => {
  const first = await connection(t, proactor);
  const pair = toWeb(first.stream);
  const read = pair.readable.getReader().read();
  first.peer.resetAndDestroy();
  await t.throwsAsync(read, { code: 'ECONNRESET' });
  const writer = pair.writable.getWriter();
  await t.throwsAsync(writer.write('x'), { code: 'ECONNRESET' });
  await t.throwsAsync(writer.closed, { code: 'ECONNRESET' });
  await eventually(t, 'it is closed, though nobody cancels', () => first.stream.closed);

  const second = await connection(t, proactor);
  const { readable, writable } = toWeb(second.stream);
  const echo = readable.pipeTo(writable);
  second.peer.write('x');
  await once(second.peer, 'readable');
  second.peer.resetAndDestroy();
  await t.throwsAsync(echo, { code: 'ECONNRESET' });
  await eventually(t, 'pipeTo gives the connection up', () => second.stream.closed);
});

onEach('what is neither a reader, a writer nor a stream is refused', async (t) => {
  for (const wrong of [undefined, null, 'text', {}, new ReadableStream()]) {
    t.throws(() => toWeb(wrong as never), { code: 'ERR_INVALID_ARG_TYPE', instanceOf: TypeError });
  }
});
