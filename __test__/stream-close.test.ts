/**
 * Description: the end of a stream. `close` waits for nothing that waits for the peer, but for writes that were called;
 * `destroy` for those neither. What was forgotten is closed. All memory goes back.
 *
 * What turns it red: an armed operation that `close` does not cancel (it never resolves); a stash not released; an
 * `Intake` that refers to its `Stream` (it is never collected); `Proactor.close` not dismissing its residents.
 */
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { alloc, open } from 'ritsu';
import type { Proactor } from 'ritsu';
import type { Stream } from 'ritsu';
import { onEach, onEachAlone } from './support/backends.ts';
import { collectUntil } from './support/collect.ts';
import { fileOf, randomBytes } from './support/files.ts';
import { pairOf, receiveAll } from './support/streams.ts';

const CLOSED = { code: 'ERR_RITSU_CLOSED' };

onEachAlone('close: reads that wait fail, with their memory; everything new is refused', {}, async (t, proactor) => {
  for (const style of ['allocator', 'submit', 'both'] as const) {
    const { stream, peer } = await pairOf(proactor);
    const submitter = stream.submitter();
    const failing: Promise<unknown>[] = [];
    if (style !== 'submit') failing.push(t.throwsAsync(stream.allocator().read(), CLOSED));
    for (const length of style === 'allocator' ? [] : [10, 20]) {
      submitter.submit(alloc(length, { proactor }));
      failing.push(t.throwsAsync(submitter.poll(), CLOSED).then((error) => t.like(error, { buffer: { length } })));
    }
    await delay(5);
    const ended = once(peer, 'end');
    peer.resume();
    const closing = stream.close();
    t.is(stream.close(), closing, 'the same promise');
    t.true(stream.closed);
    t.is(stream.fd, -1);
    await Promise.all([...failing, closing, ended, stream.destroy(), stream[Symbol.asyncDispose]()]);
    await t.throwsAsync(stream.allocator().read(), CLOSED);
    t.throws(() => submitter.submit(alloc(1, { proactor })), CLOSED);
    await t.throwsAsync(stream.writer().write('x'), CLOSED);
    await t.throwsAsync(stream.shutdown(), CLOSED);
    peer.destroy();
  }
  const { inFlight, descriptorsOpen, blocksBusy, streamPool } = proactor.stats();
  t.deepEqual({ inFlight, descriptorsOpen, blocksBusy }, { inFlight: 0, descriptorsOpen: 0, blocksBusy: 0 });
  t.is(streamPool!.available, streamPool!.count);
});

onEachAlone('close gives up what is stashed', {}, async (t, proactor) => {
  const { stream, peer } = await pairOf(proactor);
  const first = stream.allocator().read();
  peer.write('x');
  (await first)!.release();
  for (let part = 0; part < 5; part += 1) {
    peer.write('stashed');
    await delay(5);
  }
  await stream.close();
  t.is(proactor.stats().streamPool!.available, 256);
});

onEachAlone('close lets writes finish that were called; destroy does not', {}, async (t, proactor) => {
  const content = randomBytes(8_000_000, 4);
  const { stream, peer } = await pairOf(proactor);
  const writer = stream.writer();
  const writes = Promise.all([writer.writeAll(content), writer.writeAll('the end')]);
  const closing = stream.close();
  const received = await receiveAll(peer);
  t.is(received.length, content.length + 7);
  t.deepEqual((await writes).map(({ bytesWritten }) => bytesWritten), [content.length, 7]);
  await closing;

  const other = await pairOf(proactor);
  const buffer = alloc(8_000_000, { proactor });
  const cut = t.throwsAsync(other.stream.writer().writeAll(buffer), CLOSED);
  const queued = t.throwsAsync(other.stream.writer().writeAll('never'), CLOSED);
  await delay(20);
  await other.stream.destroy();
  const { bytesTransferred, rest, buffers } = (await cut) as unknown as { bytesTransferred: number; rest: Buffer; buffers: Buffer[] };
  t.is(bytesTransferred + rest.length, 8_000_000);
  t.is(buffers[0]?.length, 8_000_000, 'the memory is back');
  t.like(await queued, { bytesTransferred: 0 });
  t.is(proactor.stats().blocksBusy, 0);
});

onEachAlone('closing the proactor closes streams, armed or not', {}, async (t, proactor) => {
  const pairs = await Promise.all(Array.from({ length: 3 }, () => pairOf(proactor)));
  const [armed, direct] = pairs;
  const reading = t.throwsAsync(armed!.stream.allocator().read(), CLOSED);
  const submitter = direct!.stream.submitter();
  submitter.submit(alloc(10, { proactor }));
  const polling = t.throwsAsync(submitter.poll(), CLOSED);
  await delay(5);
  await Promise.all([proactor.close(), reading, polling]);
  for (const { stream, peer } of pairs) {
    t.true(stream.closed);
    await stream.close();
    peer.destroy();
  }
});

onEachAlone('destroying the proactor, too', {}, async (t, proactor) => {
  const { stream, peer } = await pairOf(proactor);
  const reading = t.throwsAsync(stream.allocator().read(), CLOSED);
  const writing = t.throwsAsync(stream.writer().writeAll(randomBytes(8_000_000)), CLOSED);
  await delay(5);
  await Promise.all([proactor.destroy(), reading, writing]);
  await stream.close();
  peer.destroy();
  t.is(proactor.stats().inFlight, 0);
});

async function forget(proactor: Proactor): Promise<{ ended: Promise<unknown>; fd: number }> {
  const { stream, peer } = await pairOf(proactor);
  const reader = stream.allocator();
  const read = reader.read();
  peer.write('x');
  (await read)!.release(); // and it stays armed
  peer.resume();
  return { ended: once(peer, 'end'), fd: stream.fd };
}

onEachAlone('a stream that was forgotten is closed, with a warning', {}, async (t, proactor) => {
  const warned: string[] = [];
  const listen = (warning: Error & { code?: string }): void => {
    if (warning.code === 'RITSU_UNCLOSED') warned.push(warning.message);
  };
  process.on('warning', listen);
  const { ended, fd } = await forget(proactor);
  let isOver = false;
  void ended.then(() => (isOver = true));
  t.true(await collectUntil(() => isOver && warned.length > 0));
  t.true(warned.includes(`closing file descriptor ${fd}, which was collected without having been closed`));
  t.true(await collectUntil(() => proactor.stats().descriptorsOpen === 0));
  t.is(proactor.stats().streamPool!.leased, 0);

  const path = fileOf('x');
  await (async () => void (await open(path, { proactor })))();
  t.true(await collectUntil(() => proactor.stats().descriptorsOpen === 0 && warned.length > 1), 'a file, too');
  process.off('warning', listen);
});

async function readOnly(proactor: Proactor): Promise<{ read: Promise<string>; write: (text: string) => void }> {
  const { stream, peer } = await pairOf(proactor);
  const read = stream.allocator().read().then((bytes) => bytes!.data.toString());
  return { read, write: (text) => void peer.write(text) };
}

onEachAlone('a stream is not forgotten while one of its reads waits, or a reader is held', {}, async (t, proactor) => {
  const { read, write } = await readOnly(proactor);
  await collectUntil(() => false, 5);
  write('still here');
  t.is(await read, 'still here');
  const held = await (async () => {
    const pair = await pairOf(proactor);
    return { reader: pair.stream.allocator(), peer: pair.peer };
  })();
  await collectUntil(() => false, 5);
  held.peer.write('and here');
  t.is((await held.reader.read())!.data.toString(), 'and here');
});

onEach('double close and use after close of many', async (t, proactor) => {
  const pairs = await Promise.all(Array.from({ length: 30 }, () => pairOf(proactor)));
  const streams: Stream[] = pairs.map(({ stream }) => stream);
  const reads = streams.map((stream) => t.throwsAsync(stream.allocator().read(), CLOSED));
  await Promise.all([...streams.map((stream) => stream.destroy()), ...streams.map((stream) => stream.close()), ...reads]);
  for (const { peer } of pairs) peer.destroy();
});

const KEEPING = `
  import net from 'node:net';
  import { Proactor, alloc, connect } from 'ritsu';
  const [backend, style, unref] = process.argv.slice(1);
  const server = net.createServer(() => {}).listen(0, '127.0.0.1', async () => {
    const proactor = new Proactor({ backend });
    const stream = await connect({ port: server.address().port, host: '127.0.0.1', proactor });
    server.unref();
    if (unref === 'before') stream.unref();
    if (style === 'allocator') stream.allocator().read().catch(() => {});
    else { const reader = stream.submitter(); reader.submit(alloc(9, { proactor })); reader.poll().catch(() => {}); }
    if (unref === 'after') stream.unref();
    setTimeout(() => process.exit(7), 1000).unref();
    setTimeout(() => {}, 30);
  });
  server.on('connection', (socket) => socket.unref());
`;

onEach('unref: a read that waits does not keep the process alive', (t, _proactor, backend) => {
  for (const [style, unref, code] of [['allocator', 'never', 7], ['allocator', 'before', 0], ['allocator', 'after', 0], ['submit', 'before', 0]] as const) {
    let status = 0;
    try {
      execFileSync(process.execPath, ['--input-type=module', '-e', KEEPING, backend, style, unref], { stdio: 'pipe' });
    } catch (error) {
      ({ status } = error as { status: number });
    }
    t.is(status, code, `${style}, unref ${unref}`);
  }
  return Promise.resolve();
});
