/**
 * Description: a reader that is race-safe has one read at a time: who asks for the next bytes gets that one, until its bytes
 * were touched. (What becomes of it when the reader closes: `race-safe-close.test.ts`.)
 *
 * What turns it red: two reads at once; a `Bytes` that was touched and is given again, or was not and is gone; a limit of a
 * later call that is not heeded, or piles up.
 */
import { getEventListeners } from 'node:events';
import type { Bytes } from 'ritsu';
import { onEach } from '../support/backends.ts';
import { randomBytes } from '../support/files.ts';
import { sameBytes } from '../support/same.ts';
import { fileFor, streamOf, textOf } from '../support/sources.ts';
import { RoundAllocator } from '../support/styles.ts';

const raceSafe = { raceSafe: true };

onEach('who asks while a read waits gets the same promise, whichever way', async (t, proactor) => {
  // Seen red: `next` of RaceSafeReads began another read while one waited.
  const { stream, send } = await streamOf(t, proactor);
  const reader = stream.allocator(raceSafe);
  const first = reader.read();
  t.is(reader.read(), first);
  t.is(reader.pull(), first);
  t.is(reader.read({ position: null }), first);
  await send('once');
  const bytes = await first;
  t.is(await reader.read(), bytes);
  t.is(reader.read(), first, 'it has its bytes, and nobody has touched them');
  t.is(textOf(bytes), 'once');
  const next = reader.read();
  t.not(next, first);
  await send('again');
  t.is(textOf(await next), 'again');
});

const TOUCHES: readonly (readonly [string, (bytes: Bytes, peer: { write(bytes: Bytes): Promise<unknown> }) => unknown])[] = [
  ['its data was looked at', (bytes) => bytes.data],
  ['it was copied', (bytes) => bytes.copy()],
  ['it was released', (bytes) => bytes.release()],
  ['it was written', (bytes, writer) => writer.write(bytes)],
];
for (const [name, touch] of TOUCHES) {
  for (const own of [false, true]) {
    onEach(`the next read is another once ${name}${own ? ', in memory of the program that is copied' : ''}`, async (t, proactor) => {
      // Seen red: `touched` of Bytes was false for what was not released; and true for what was never looked at.
      const { stream, peer, send } = await streamOf(t, proactor);
      const allocator = own ? new RoundAllocator(() => Buffer.alloc(1002).subarray(1, -1)) : undefined;
      const reader = stream.allocator({ ...raceSafe, allocator });
      await send('one');
      const bytes = (await reader.read())!;
      t.deepEqual([bytes.length, bytes.address, bytes.truncated, bytes.released, bytes.touched], [3, undefined, false, false, false]);
      t.is(await reader.read(), bytes, 'none of that touches');
      await touch(bytes, stream.writer());
      t.true(bytes.touched);
      await send('two');
      const next = await reader.read();
      t.not(next, bytes);
      t.is(textOf(next), 'two');
      bytes.release();
      await peer.destroy();
    });
  }
}

onEach('after the end, and after an error, a read is begun anew', async (t, proactor) => {
  // Seen red: `isOver` of ts/read/race-safe.ts looked at neither `failed` nor null.
  const { stream, peer, send } = await streamOf(t, proactor);
  const reader = stream.allocator(raceSafe);
  const failing = reader.read({ timeout: 1 });
  await t.throwsAsync(failing, { name: 'TimeoutError' });
  const next = reader.read();
  t.not(next, failing);
  await send('last');
  await peer.writer().end();
  t.is(textOf(await next), 'last');
  const end = reader.read();
  t.is(await end, null);
  t.not(reader.read(), end);
  t.is(await reader.read(), null);
});

onEach('a limit of a later call ends the one read; wrong ones are refused', async (t, proactor) => {
  // Seen red: `next` of RaceSafeReads did not call `watch`; `read` of AllocatorReader let a wrong option pass.
  const { stream, send } = await streamOf(t, proactor);
  const reader = stream.allocator(raceSafe);
  for (const prompt of [false, true]) {
    const abort = new AbortController();
    const first = reader.read();
    t.is(reader.read({ signal: abort.signal, prompt }), first);
    await t.throwsAsync(reader.read({ signal: AbortSignal.abort('before') }), { name: 'AbortError' });
    await t.throwsAsync(reader.read({ timeout: 0 }), { name: 'TimeoutError' });
    await t.throwsAsync(reader.read({ signal: {} as never }), { code: 'ERR_INVALID_ARG_TYPE' });
    await t.throwsAsync(reader.read({ timeout: -1 }), { code: 'ERR_OUT_OF_RANGE' });
    t.is(reader.read(), first, 'it goes on');
    abort.abort('enough');
    t.is((await t.throwsAsync(first, { name: 'AbortError' })).cause, 'enough');
    const timed = reader.read({ timeout: 60_000, prompt });
    t.is(reader.read({ timeout: 2, prompt }), timed, 'a shorter one');
    await t.throwsAsync(timed, { name: 'TimeoutError' });
  }
  await send('kept');
  t.is(textOf(await reader.read()), 'kept');
});

onEach('limits that come with each round do not pile up', async (t, proactor) => {
  // Seen red: `add` of Limits took each signal for a new one; `alsoStop` in ts/cancel.ts called one in the other.
  const { stream, send } = await streamOf(t, proactor);
  const file = await fileFor(t, proactor, 'of a file');
  const same = new AbortController();
  for (const reader of [stream.allocator(raceSafe), file.allocator(raceSafe)]) {
    const first = reader.read({ signal: same.signal, timeout: 60_000 });
    const signals = Array.from({ length: 20_000 }, () => new AbortController().signal);
    for (const signal of signals) {
      void reader.read({ signal: same.signal, timeout: 60_000 });
      void reader.read({ signal });
    }
    t.is(getEventListeners(same.signal, 'abort').length, 1);
    if (reader.read() === first) await send('of a stream');
    t.regex(textOf(await first), /^of a/);
    t.is(getEventListeners(same.signal, 'abort').length, 0);
    t.is(getEventListeners(signals.at(-1)!, 'abort').length, 0);
  }
});

onEach('a read at a position is one of its own', async (t, proactor) => {
  // Seen red: `read` of AllocatorReader asked RaceSafeReads whatever the position.
  const file = await fileFor(t, proactor, 'abcdefghij');
  const reader = file.allocator({ ...raceSafe, blockSize: 4 });
  const first = reader.read();
  const there = reader.read({ position: 6 });
  const again = reader.read({ position: 6 });
  t.not(there, first);
  t.not(there, again);
  t.is(textOf(await there), 'ghij');
  t.is(textOf(await again), 'ghij');
  t.is(reader.read(), first);
  t.is(textOf(await first), 'abcd');
  t.is(textOf(await reader.read()), 'efgh');
});

onEach('iteration takes the same read, and reads nothing ahead', async (t, proactor) => {
  // Seen red: iteration of AllocatorReader did not ask RaceSafeReads.
  const content = randomBytes(40_000, 7);
  const file = await fileFor(t, proactor, content);
  const reader = file.allocator({ ...raceSafe, blockSize: 4096, readAhead: 8 });
  const first = await reader.read();
  const parts: Buffer[] = [];
  for await (const bytes of reader) {
    if (parts.length === 0) t.is(bytes, first!, 'nobody had touched it');
    parts.push(bytes.copy());
    if (parts.length === 3) break;
  }
  t.true(first!.released);
  const other = await file.allocator({ blockSize: 4096 }).read();
  parts.push(other!.copy());
  other!.release();
  for await (const bytes of reader) {
    t.is(await reader.read(), bytes, 'a read within the loop is the chunk of the loop, until that is touched');
    parts.push(bytes.copy());
  }
  sameBytes(t, Buffer.concat(parts), content);
});

onEach('two readers of one stream have a read each, in the order of their calls', async (t, proactor) => {
  // Seen red: the streams' source had one RaceSafeReads for all its readers.
  const { stream, send } = await streamOf(t, proactor);
  const [one, two] = [stream.allocator(raceSafe), stream.allocator(raceSafe)];
  const [first, second] = [one.read(), two.read()];
  t.not(first, second);
  await send('one');
  t.is((await first)!.length, 3);
  await send('two');
  t.is(textOf(await two.read()), 'two');
  t.is(textOf(await one.read()), 'one');
});

onEach('the option is a boolean, and no reader has it that was not asked to', async (t, proactor) => {
  // Seen red: the constructor of AllocatorReader did not check it; and took it to be true.
  const { stream, send } = await streamOf(t, proactor);
  for (const wrong of [1, 'yes', null, {}]) {
    t.throws(() => stream.allocator({ raceSafe: wrong as never }), { code: 'ERR_INVALID_ARG_TYPE', message: /"raceSafe" argument/ });
  }
  for (const options of [undefined, {}, { raceSafe: undefined }, { raceSafe: false }]) {
    const reader = stream.allocator(options);
    const [first, second] = [reader.read(), reader.read()];
    t.not(first, second);
    await send('1');
    t.is((await first)!.length, 1);
    await send('2');
    t.is(textOf(await second), '2');
    t.is(textOf(await first), '1');
  }
});
