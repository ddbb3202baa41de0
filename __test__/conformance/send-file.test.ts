/**
 * Description: `sendFile`: a file's bytes arrive at the peer, all of them and in order, whatever becomes of the file, the
 * peer or the signal meanwhile; the count says what went; no block is left out of its pool.
 *
 * What turns it red: a block that is sent from the wrong place after one that came short; blocks read ahead that are not
 * given back; a count that leaves out what was sent before an error; a time that begins again with each block.
 */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import * as fs from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import type { ExecutionContext } from 'ava';
import { CancelScope, Proactor, listen, open } from 'ritsu';
import type { BackendName, Stream, TimeoutError } from 'ritsu';
import { onEach, onEachAlone } from '../support/backends.ts';
import { fileOf, freshPath, randomBytes } from '../support/files.ts';
import { closeAll, disposed, drain, eventually, nodeConnect, tcpPair, unixPair } from '../support/net.ts';
import { sameBytes } from '../support/same.ts';
import { sized } from '../support/size.ts';

const MIB = 2 ** 20;
const CONTENT = randomBytes(300_001);

const leased = (proactor: Proactor): number => proactor.stats().pool.reduce((sum, each) => sum + each.leased, 0);

/** Every block is back: those that were sent when the kernel has let go. */
async function whole(t: ExecutionContext, proactor: Proactor): Promise<void> {
  await eventually(t, 'all blocks are back', () => leased(proactor) === 0 && proactor.stats().blocksBusy === 0);
}

for (const [name, pairOf] of [['TCP', tcpPair], ['Unix', unixPair]] as const) {
  onEach(`a part of a file, or all of it: ${name}`, async (t, proactor) => {
    const file = await open(fileOf(CONTENT), { proactor });
    const head = await file.allocator({ blockSize: 4096 }).read();
    head?.release();
    const rows: readonly (readonly [position: number | bigint | undefined, length: number | undefined])[] = [
      [undefined, undefined], [0, 0], [0, 1], [1, 65_536], [65_535, 65_537], [131_072n, undefined], [300_000, 10], [300_001, undefined],
      [299_000, 2 ** 40], [2 ** 40, 5],
    ];
    for (const [position, length] of rows) {
      const pair = await pairOf(proactor);
      const { inside, outside } = pair as { readonly inside: Stream; readonly outside: Stream };
      const sending = inside.sendFile(file, { position, length }).then(async (sent) => {
        await inside.shutdown();
        return sent;
      });
      const came = await drain(outside.allocator());
      const from = Number(position ?? 0);
      const expected = CONTENT.subarray(from, length === undefined ? undefined : from + length);
      sameBytes(t, came, expected, `from ${position} so many: ${length}`);
      t.is(await sending, expected.length);
      await pair[Symbol.asyncDispose]();
    }
    const next = await file.allocator({ blockSize: 4096 }).read();
    sameBytes(t, next!.data, CONTENT.subarray(4096, 8192), "the file's own place is where it was");
    next!.release();
    await file.close();
  });
}

/** A large file of bytes that do not repeat; its digest. */
function largeFile(path: string, size: number): string {
  const hash = createHash('sha256');
  const fd = fs.openSync(path, 'w');
  const part = randomBytes(4 * MIB);
  for (let at = 0; at < size; at += part.length) {
    part.writeUInt32LE(at / MIB, (at / MIB) % (part.length - 4));
    hash.update(part);
    fs.writeSync(fd, part);
  }
  fs.closeSync(fd);
  return hash.digest('hex');
}

onEachAlone('a large file: 64 MiB, or 1 GiB in a full run', {}, async (t, proactor) => {
  t.timeout(sized(60_000, 600_000));
  const size = sized(64 * MIB, 1024 * MIB);
  const path = freshPath('large');
  const digest = largeFile(path, size);
  const pair = await disposed(t, tcpPair(proactor));
  const file = await open(path, { proactor });
  const sending = pair.inside.sendFile(file).then(async (sent) => {
    await pair.inside.shutdown();
    return sent;
  });
  const hash = createHash('sha256');
  for await (const bytes of pair.outside.allocator()) hash.update(bytes.data);
  t.is(await sending, size);
  t.is(hash.digest('hex'), digest);
  await file.close();
  await whole(t, proactor);
  fs.rmSync(path);
});

onEachAlone('a file that shrinks meanwhile: what was there came, and the count says how much', {}, async (t, proactor) => {
  const content = randomBytes(24 * MIB);
  const path = fileOf(content);
  const pair = await disposed(t, tcpPair(proactor));
  const file = await open(path, { proactor });
  const sending = pair.inside.sendFile(file, { length: content.length }).then(async (sent) => {
    await pair.inside.shutdown();
    return sent;
  });
  const parts: Buffer[] = [];
  let length = 0;
  let isCut = false;
  for await (const bytes of pair.outside.allocator()) {
    parts.push(bytes.copy());
    length += bytes.length;
    if (isCut || length < 2 * MIB) continue;
    isCut = true;
    fs.truncateSync(path, MIB); // shorter than what has come: the place of the next read lies beyond the end
  }
  t.true(isCut);
  t.is(await sending, length);
  t.true(length >= 2 * MIB && length < content.length, `${length} bytes`);
  sameBytes(t, Buffer.concat(parts), content.subarray(0, length));
  await file.close();
  await whole(t, proactor);
});

onEachAlone('an abort, and a peer that goes: the count is what arrived, and all blocks come back', {}, async (t, proactor) => {
  const content = randomBytes(32 * MIB);
  const file = await open(fileOf(content), { proactor });
  const listener = await listen({ port: 0, host: '127.0.0.1', proactor });
  const { port } = listener.address();

  const reader = await nodeConnect({ port, host: '127.0.0.1' });
  const stream = await listener.accept();
  const abort = new AbortController();
  const parts: Buffer[] = [];
  reader.on('data', (chunk: Buffer) => parts.push(chunk));
  reader.once('data', () => {
    reader.pause(); // the buffers fill up, and the send waits
    setTimeout(() => abort.abort('enough'), 100);
    setTimeout(() => reader.resume(), 400);
  });
  const error = await t.throwsAsync<Error & { bytesTransferred: number }>(stream.sendFile(file, { signal: abort.signal }), { name: 'AbortError' });
  t.is(error.cause, 'enough');
  const { bytesTransferred } = error;
  t.true(bytesTransferred > 0 && bytesTransferred < content.length, `${bytesTransferred} bytes`);
  const ended = once(reader, 'end');
  await stream.shutdown();
  await ended;
  sameBytes(t, Buffer.concat(parts), content.subarray(0, bytesTransferred), 'what arrived');
  await whole(t, proactor);

  const leaving = await nodeConnect({ port, host: '127.0.0.1' });
  const other = await listener.accept();
  leaving.once('data', () => leaving.resetAndDestroy());
  const broken = await t.throwsAsync<NodeJS.ErrnoException & { bytesTransferred: number }>(other.sendFile(file));
  t.true(['EPIPE', 'ECONNRESET'].includes(broken.code ?? ''), broken.code);
  t.true(broken.bytesTransferred > 0);
  await whole(t, proactor);
  await closeAll(stream, other, listener);
  await file.close();
});

onEachAlone('an abort while it waits for a block', { pool: { classes: [{ size: 65_536, count: 1 }] } }, async (t, proactor) => {
  const pair = await disposed(t, tcpPair(proactor));
  const file = await open(fileOf(CONTENT), { proactor });
  const held = await file.allocator().read();
  const abort = new AbortController();
  const sending = pair.inside.sendFile(file, { signal: abort.signal });
  setTimeout(() => abort.abort('enough'), 20);
  t.like(await t.throwsAsync(sending, { name: 'AbortError' }), { cause: 'enough', bytesTransferred: 0 });
  held?.release();
  t.is(await pair.inside.sendFile(file, { length: 10 }), 10);
  await file.close();
  await whole(t, proactor);
});

/** Reads what comes, a little at a time: each block goes soon, all of it takes long. Ends with its stream. */
async function readSlowly(stream: Stream): Promise<number> {
  let length = 0;
  for (let bytes = await stream.allocator().read(); bytes !== null; bytes = await stream.allocator().read()) {
    length += bytes.length;
    bytes.release();
    await delay(5);
  }
  return length;
}

onEachAlone('the time is that of the whole transfer, as is the signal in its scope', {}, async (t, proactor) => {
  const file = await open(fileOf(randomBytes(64 * MIB)), { proactor });
  for (const [name, prompt] of [['settled', false], ['prompt', true]] as const) {
    const pair = await disposed(t, tcpPair(proactor));
    const scope = new CancelScope();
    const came = readSlowly(pair.outside);
    const began = performance.now();
    const sending = pair.inside.sendFile(file, { timeout: 300, signal: scope.signal, prompt });
    t.is(scope.running, 1, 'one operation');
    const error = await t.throwsAsync<TimeoutError>(sending, { name: 'TimeoutError', code: 'ERR_RITSU_TIMEOUT' }, name);
    t.true(performance.now() - began < 5000, `${name}: after ${performance.now() - began} ms`);
    const { aborted, completed, failed } = await scope.settled();
    t.deepEqual({ aborted, completed, failed }, { aborted: 1, completed: 0, failed: 0 });
    const { bytesTransferred, outcome } = error;
    t.true(bytesTransferred < 64 * MIB, `${bytesTransferred} bytes`);
    await pair.inside.shutdown();
    const arrived = await came;
    t.is(arrived, (await outcome)?.bytesTransferred ?? bytesTransferred);
  }
  const pair = await disposed(t, tcpPair(proactor));
  t.like(await t.throwsAsync(pair.inside.sendFile(file, { timeout: 0 })), { name: 'TimeoutError', bytesTransferred: 0 });
  await file.close();
  await whole(t, proactor);
});

onEach('wrong arguments, and what is closed', async (t, proactor) => {
  const pair = await disposed(t, tcpPair(proactor));
  const { inside } = pair;
  const file = await open(fileOf(CONTENT), { proactor });
  await t.throwsAsync(inside.sendFile('access.log' as never), { code: 'ERR_INVALID_ARG_TYPE' });
  for (const wrong of [{ position: -1 }, { position: 1.5 }, { length: -1 }, { length: Number.NaN }]) {
    await t.throwsAsync(inside.sendFile(file, wrong), { code: 'ERR_OUT_OF_RANGE' }, JSON.stringify(wrong));
  }
  await t.throwsAsync(inside.sendFile(file, { signal: AbortSignal.abort('before') }), { name: 'AbortError' });
  await file.close();
  const again = await open(fileOf(CONTENT), { proactor });
  await inside.close();
  await t.throwsAsync(inside.sendFile(again), { code: 'ERR_RITSU_CLOSED' });
  await again.close();
});

onEachAlone('a pool of small blocks; and what cannot begin leaves nothing that waits for its time', {}, async (t, proactor, backend) => {
  const other = new Proactor({ backend: backend as BackendName, pool: { classes: [{ size: 4096, count: 4 }], hugePages: false } });
  const file = await open(fileOf(CONTENT), { proactor: other });
  const pair = await disposed(t, tcpPair(proactor));
  const came = drain(pair.outside.allocator());
  t.is(await pair.inside.sendFile(file, { position: 1 }), CONTENT.length - 1);
  await pair.inside.shutdown();
  sameBytes(t, await came, CONTENT.subarray(1), 'all of it');

  await other.destroy();

  const ended = new Proactor({ backend: backend as BackendName });
  const neverRead = await open(fileOf(CONTENT), { proactor: ended });
  await ended.destroy(); // without ever having made its pool: now it cannot
  const scope = new CancelScope();
  const sending = pair.inside.sendFile(neverRead, { timeout: 60_000, signal: scope.signal });
  await t.throwsAsync(sending, { code: 'ERR_RITSU_CLOSED' });
  t.is(scope.running, 0);
});
