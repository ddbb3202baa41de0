/**
 * Description: what was pushed and never flushed: closing the file or stream gives the pool its memory back and says that it was not
 * written, and the data stay with their writer. And writes that were called before `close()`: they are done before it.
 *
 * What turns it red: a `close` that does not `withdraw` (`ts/unflushed.ts`), or does so when the writer has its own memory; a list that is
 * still known when it was flushed; a file that does not `follow` its writes, or does not wait for them.
 */
import * as fs from 'node:fs';
import test from 'ava';
import { Proactor, alloc, handOver, open } from 'ritsu';
import type { AsyncWrite, File } from 'ritsu';
import { NO_FAULTS, simulate } from 'ritsu/testing';
import { onEach, onEachAlone, onReal, onRealAlone } from '../support/backends.ts';
import { collectUntil } from '../support/collect.ts';
import { fileOf, freshPath, randomBytes } from '../support/files.ts';
import { disposed, tcpPair } from '../support/net.ts';

interface Warning extends Error {
  readonly code?: string;
}

interface WriteFailure extends Error {
  readonly code: string;
  readonly rest: Buffer;
  readonly buffers: readonly Buffer[];
}

const warnings: Warning[] = [];
const listen = (warning: Warning): void => void warnings.push(warning);
process.on('warning', listen);
test.after.always(() => void process.off('warning', listen));

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function leased(proactor: Proactor): number {
  return proactor.stats().pool.reduce((sum, { leased: count }) => sum + count, 0);
}

/** How often it was said of that one. */
async function said(what: string): Promise<number> {
  await turn();
  return warnings.filter(({ code, message }) => code === 'RITSU_UNFLUSHED' && message.includes(what)).length;
}

onEachAlone('a file that is closed gives back what was pushed to its writers, and says so', {}, async (t, proactor) => {
  const path = freshPath('pushed');
  const source = await open(fileOf(randomBytes(6000)), { proactor });
  const lease = (await source.allocator({ blockSize: 8192 }).read({ position: 0 }))!;
  const file = await open(path, { flags: 'w', proactor });
  const [one, other] = [file.writer(), file.writer()];
  one.push('abc').push(lease);
  other.push(randomBytes(5000, 2));
  t.true(leased(proactor) >= 2);
  const closed = file.close();
  t.is(leased(proactor), 0, 'at once');
  t.throws(() => one.push('more'), { code: 'ERR_RITSU_CLOSED' });
  await closed;
  t.is(await said(`11003 bytes that were pushed to a writer of '${path}'`), 1);

  const failure = await t.throwsAsync<WriteFailure>(() => one.flush(), { code: 'ERR_RITSU_CLOSED' });
  t.deepEqual(failure.rest, Buffer.concat([Buffer.from('abc'), randomBytes(6000)]));
  const ended = await t.throwsAsync<WriteFailure>(() => other.end(), { code: 'ERR_RITSU_CLOSED' });
  t.deepEqual(ended.rest, randomBytes(5000, 2));
  t.is(leased(proactor), 0);
  t.is(fs.statSync(path).size, 0);
  await source.close();
});

onEach('the caller’s own memory stays the writer’s, and comes back when that is asked', async (t, proactor) => {
  const file = await open(freshPath(), { flags: 'w', proactor });
  const writer = file.writer().push(alloc(4096, { proactor }).fill(7));
  await file.close();
  const failure = await t.throwsAsync<WriteFailure>(() => writer.flush(), { code: 'ERR_RITSU_CLOSED' });
  t.is(failure.buffers.length, 1);
  t.true(failure.buffers[0]!.every((byte) => byte === 7) && failure.buffers[0]!.length === 4096);
});

onEachAlone('memory that the program has moved away meanwhile, which it can without the fence, is zeros', { fence: false }, async (t, proactor) => {
  const source = await open(fileOf(randomBytes(6000)), { proactor });
  const lease = (await source.allocator({ blockSize: 8192 }).read({ position: 0 }))!;
  const { data } = lease;
  const file = await open(freshPath(), { flags: 'w', proactor });
  const writer = file.writer().push('abc').push(lease);
  data.buffer.transfer();
  await file.close();
  const { rest } = await t.throwsAsync<WriteFailure>(() => writer.flush(), { code: 'ERR_RITSU_CLOSED' });
  t.deepEqual(rest, Buffer.concat([Buffer.from('abc'), Buffer.alloc(6000)]));
  await source.close();
});

onEach('what was flushed, and a writer without anything, is not spoken of', async (t, proactor) => {
  const path = freshPath('flushed');
  const file = await open(path, { flags: 'w', proactor });
  const writer = file.writer().push('abc');
  file.writer();
  await writer.flush();
  writer.push('def');
  const flushed = writer.flush();
  await Promise.all([flushed, file.close()]);
  t.is(fs.readFileSync(path, 'latin1'), 'abcdef');
  t.is(await said(path), 0);
});

onRealAlone('a stream that is closed gives back what was pushed, and says so; one that is destroyed only gives it back', {}, async (t, proactor, backend) => {
  const size = backend === 'node' ? 2000 : 1000;
  for (const [end, times] of [['close', 1], ['destroy', 0]] as const) {
    const { inside: stream } = await disposed(t, tcpPair(proactor));
    const before = leased(proactor);
    const writer = stream.writer().push('x'.repeat(size + times));
    t.is(leased(proactor), before + 1);
    await stream[end]();
    t.is(leased(proactor), before);
    t.is(await said(`${size + times} bytes that were pushed to a writer of a stream`), times);
    const failure = await t.throwsAsync<WriteFailure>(() => writer.flush(), { code: 'ERR_RITSU_CLOSED' });
    t.is(failure.rest.length, size + times);
  }
});

test('a file that nobody closed gives them back when it is collected', async (t) => {
  const proactor = new Proactor();
  const path = freshPath('forgotten');
  await (async () => void (await open(path, { flags: 'w', proactor })).writer().push('abc'))();
  t.is(leased(proactor), 1);
  t.true(await collectUntil(() => leased(proactor) === 0, 200));
  t.is(await said(path), 1);
  await proactor.close();
});

async function wroteAll(file: File, write: (writer: AsyncWrite) => Promise<unknown>[]): Promise<PromiseSettledResult<unknown>[]> {
  const writes = write(file.writer());
  const closed = file.close();
  const results = await Promise.allSettled(writes);
  await closed;
  return results;
}

onEach('writes that were called before close() are done before it, in order', async (t, proactor) => {
  const path = freshPath();
  const parts = Array.from({ length: 20 }, (_, index) => randomBytes(1 + index * 3000, index + 1));
  const results = await wroteAll(await open(path, { flags: 'w', proactor }), (writer) => parts.map((part) => writer.writeAll(part)));
  t.true(results.every(({ status }) => status === 'fulfilled'), JSON.stringify(results.find(({ status }) => status === 'rejected')));
  t.deepEqual(fs.readFileSync(path), Buffer.concat(parts));
});

test('a write at a position that comes short is done before close(), too', async (t) => {
  const { proactor } = simulate({ seed: 'short', faults: { ...NO_FAULTS, short: 0.9 } });
  const path = freshPath();
  for (let round = 0; round < 30; round += 1) {
    const file = await open(path, { flags: 'w', proactor });
    const write = file.writer().writeAll(randomBytes(5000, round + 1), { position: 0 });
    const [{ bytesWritten }] = await Promise.all([write, file.close()]);
    t.is(bytesWritten, 5000);
  }
  await proactor.close();
});

onReal('what has writes under way, or something pushed, is not handed over', async (t, proactor) => {
  for (const options of [undefined, { position: 0 }]) {
    const path = freshPath();
    const file = await open(path, { flags: 'w', proactor });
    const writer = file.writer();
    const writes = ['abc', 'def', 'ghi'].map((text) => writer.writeAll(text, options));
    await t.throwsAsync(() => handOver(file), { code: 'ERR_RITSU_IN_USE' });
    await Promise.all(writes);
    writer.push('jkl');
    await t.throwsAsync(() => handOver(file), { code: 'ERR_RITSU_IN_USE' });
    await Promise.all([writer.flush(), file.close()]);
    t.is(fs.readFileSync(path).length, options === undefined ? 12 : 3);
  }
});

onEach('after close() was called a write is refused, and those before it are not', async (t, proactor) => {
  const path = freshPath();
  const file = await open(path, { flags: 'w', proactor });
  const writer = file.writer();
  const writes = [writer.writeAll('abc'), writer.writeAll('def')];
  const closed = file.close();
  await t.throwsAsync(() => writer.writeAll('ghi'), { code: 'ERR_RITSU_CLOSED' });
  await Promise.all([...writes, closed]);
  t.is(fs.readFileSync(path, 'latin1'), 'abcdef');
});
