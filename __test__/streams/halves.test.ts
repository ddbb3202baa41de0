/**
 * `toReadable` and `toWritable`: readers and writers as streams of Node's, with `pipeline`, `compose` and node:zlib. The
 * peer is a socket of Node's.
 *
 * What turns it red: a byte lost, twice or out of order; memory that grows with what is not consumed; an error of the
 * peer's that a pipeline does not see; a loop that is left and goes on reading.
 */
import type { ExecutionContext } from 'ava';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { setTimeout as pause } from 'node:timers/promises';
import { createGunzip, createGzip, gunzipSync, gzipSync } from 'node:zlib';
import { open } from 'ritsu';
import type { AsyncRead, Proactor, Stream } from 'ritsu';
import { toReadable, toWritable } from 'ritsu/streams';
import { onEach, onEachAlone } from '../support/backends.ts';
import { fileOf, freshPath, randomBytes } from '../support/files.ts';
import { eventually } from '../support/net.ts';
import { pairOf, receiveAll, sendAll } from '../support/streams.ts';
import type { Pair, Transport } from '../support/streams.ts';

const content = randomBytes(5_000_011);
const LARGE = randomBytes(32 * 2 ** 20, 5);
/** What a stream stashes (16), and what comes before it is stopped: over a Unix socket, whose buffer is small, little. */
const BLOCKS_MAX = 24;

/** A connection on both sides; gone with the test. */
async function connection(t: ExecutionContext, proactor: Proactor, transport: Transport = 'tcp'): Promise<Pair> {
  const pair = await pairOf(proactor, transport);
  t.teardown(async () => {
    pair.peer.destroy();
    await pair.stream.destroy();
  });
  return pair;
}

const READERS: readonly (readonly [string, (stream: Stream) => AsyncRead])[] = [
  ['allocator', (stream) => stream.allocator()],
  ['submit', (stream) => stream.submitter()],
  ['hybrid', (stream) => stream.hybrid()],
];

for (const [style, readerOf] of READERS) {
  onEach(`${style}: from a connection to a file, through pipeline`, async (t, proactor) => {
    const { stream, peer } = await connection(t, proactor);
    const path = freshPath();
    const file = await open(path, { flags: 'w', proactor });
    await Promise.all([pipeline(toReadable(readerOf(stream)), toWritable(file.writer())), sendAll(peer, content)]);
    t.true(readFileSync(path).equals(content));
    t.false(file.closed, 'the end of a writer leaves the file open');
    await file.close();
  });
}

onEach('a file, compressed by node:zlib, to a connection, whose other direction goes on', async (t, proactor) => {
  const { stream, peer } = await connection(t, proactor);
  const file = await open(fileOf(content), { proactor });
  const came: Buffer[] = [];
  const ended = once(peer.on('data', (chunk: Buffer) => came.push(chunk)).resume(), 'end');
  await pipeline(toReadable(file.allocator({ blockSize: 100_000 })), createGzip({ level: 1 }), toWritable(stream.writer()));
  await ended;
  t.true(gunzipSync(Buffer.concat(came)).equals(content));
  await file.close();
  t.false(stream.closed, 'the end of a writer half-closes the stream');
  peer.end('and thanks');
  t.is(String(await buffer(toReadable(stream.allocator()))), 'and thanks');
});

onEach('compose, with node:zlib in between', async (t, proactor) => {
  const { stream, peer } = await connection(t, proactor);
  const sending = sendAll(peer, gzipSync(content, { level: 1 }));
  const text = toReadable(stream.hybrid()).compose(createGunzip());
  t.true((await buffer(text as Readable)).equals(content));
  await sending;
});

onEachAlone('a consumer that stands still holds few blocks, and gets every byte', {}, async (t, proactor) => {
  const { stream, peer } = await connection(t, proactor, 'unix');
  const sending = sendAll(peer, LARGE);
  const readable = toReadable(stream.allocator(), { highWaterMark: 2 ** 18 });
  const parts: Buffer[] = [];
  for await (const chunk of readable) {
    parts.push(chunk as Buffer);
    if (parts.length % 100 !== 1) continue;
    await pause(50);
    t.true(proactor.stats().streamPool!.leased <= BLOCKS_MAX);
    t.true(readable.readableLength < 2 ** 19);
    if (parts.length === 1) t.true(peer.writableLength > 0, 'the peer is slowed down');
  }
  await sending;
  t.true(Buffer.concat(parts).equals(LARGE));
  t.is(proactor.stats().streamPool!.leased, 0);
});

onEachAlone('a writable waits for a peer that does not read, and writes what has waited together', {}, async (t, proactor) => {
  const { stream, peer } = await connection(t, proactor);
  const writable = toWritable(stream.writer());
  let written = 0;
  while (writable.write(LARGE.subarray(written, written + 2 ** 16)) || (await drained(writable))) written += 2 ** 16;
  t.true(written < LARGE.length);
  t.true(proactor.stats().inFlight <= 2);
  const before = proactor.stats().submitted;
  const small = Array.from({ length: 1000 }, (_, index) => Buffer.from(`${index},`));
  for (const piece of small) writable.write(piece);
  writable.end();
  const came = await receiveAll(peer);
  t.true(came.equals(Buffer.concat([LARGE.subarray(0, written + 2 ** 16), ...small])));
  t.true(proactor.stats().submitted - before < 100, 'a thousand small writes are few of ours');
});

/** Whether it drains soon. */
async function drained(writable: NodeJS.EventEmitter): Promise<boolean> {
  return Promise.race([once(writable, 'drain').then(() => true), pause(500, false)]);
}

onEach('much that has waited goes in one vectored write, all of it', async (t, proactor) => {
  const { stream, peer } = await connection(t, proactor);
  const writable = toWritable(stream.writer(), { highWaterMark: 2 ** 24 });
  writable.cork();
  for (let at = 0; at < content.length; at += 300_000) writable.write(content.subarray(at, at + 300_000));
  writable.uncork();
  writable.end('the end');
  t.true((await receiveAll(peer)).equals(Buffer.concat([content, Buffer.from('the end')])));
});

onEachAlone('leaving a loop ends the reader; the stream goes on, and nothing is held', {}, async (t, proactor) => {
  const { stream, peer } = await connection(t, proactor);
  peer.write('first');
  const reader = stream.allocator();
  const readable = toReadable(reader);
  for await (const chunk of readable) {
    t.is(String(chunk), 'first');
    break;
  }
  t.true(readable.destroyed);
  await t.throwsAsync(reader.read(), { code: 'ERR_RITSU_CLOSED' });
  t.false(stream.closed);
  t.is(proactor.stats().streamPool!.leased, 0);
  await stream.writer().writeAll('still here');
  t.is(String((await once(peer.resume(), 'data'))[0]), 'still here');
});

onEach('an error of the peer’s is the pipeline’s, in both directions', async (t, proactor) => {
  const reading = await connection(t, proactor);
  const path = freshPath();
  const sink = await open(path, { flags: 'w', proactor });
  const received = pipeline(toReadable(reading.stream.allocator()), toWritable(sink.writer()));
  reading.peer.write('x');
  await eventually(t, 'it has come', () => readFileSync(path).length === 1);
  reading.peer.resetAndDestroy();
  await t.throwsAsync(received, { code: 'ECONNRESET' });
  await sink.close();

  const writing = await connection(t, proactor);
  writing.peer.once('readable', () => writing.peer.resetAndDestroy());
  const endless = Readable.from((function* () {
    for (;;) yield Buffer.alloc(65_536);
  })());
  const error = await t.throwsAsync(pipeline(endless, toWritable(writing.stream.writer())));
  t.regex((error as NodeJS.ErrnoException).code ?? '', /^(EPIPE|ECONNRESET)$/);
  t.true(endless.destroyed);
});

onEach('a pipeline that is aborted reads no more, and its end is not told for the end of the data', async (t, proactor) => {
  const { stream, peer } = await connection(t, proactor);
  const file = await open(fileOf(LARGE), { proactor });
  const abort = new AbortController();
  const sending = pipeline(toReadable(file.allocator()), toWritable(stream.writer()), { signal: abort.signal });
  await once(peer, 'readable'); // and nothing is read of it
  abort.abort();
  await t.throwsAsync(sending, { name: 'AbortError' });
  let ended = false;
  peer.on('end', () => (ended = true)).resume();
  await pause(100);
  t.false(ended);
  await stream.destroy();
  await eventually(t, 'the owner of the stream ends it', () => ended || peer.destroyed);
  await file.close();
});
