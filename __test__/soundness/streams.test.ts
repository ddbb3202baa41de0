/**
 * Description: counts of reads and writes that come short, and reads that somebody gave up.
 *
 * What turns it red: a count that is taken for what was asked; `writeAll` that does not go on, or goes on after an error
 * without saying how far it came; an end that is taken for a short read; a read that was left behind and is overtaken by a
 * later one.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import test from 'ava';
import { alloc, pipe } from 'ritsu';
import type { Bytes } from 'ritsu';
import { BACKENDS, onReal, proactorOf } from '../support/backends.ts';
import { endedWith, reported, runProgram } from '../support/child.ts';
import { freshPath, randomBytes } from '../support/files.ts';
import { disposed, tcpPair } from '../support/net.ts';
import { sameBytes } from '../support/same.ts';
import { STREAM_STYLES, pairOf, readToEnd } from '../support/streams.ts';
import { textOf } from '../support/sources.ts';

const ODD = [1, 2, 3, 7, 511, 4095, 4097, 65_535, 65_537, 100_003];

for (const style of STREAM_STYLES) {
  onReal(`S34: pieces of odd sizes through a pipe: every count is exact, and the end comes once all is read: ${style.name}`, async (t, proactor) => {
    // Seen red: `complete` in ts/transfer.ts did not go on after a short write.
    const path = freshPath('fifo');
    execFileSync('mkfifo', [path]);
    const [input, output] = await Promise.all([pipe(path, { flags: 'r', proactor }), pipe(path, { flags: 'w', proactor })]);
    const pieces = ODD.map((size) => randomBytes(size, size));
    const writing = (async () => {
      const writer = output.writer();
      for (const piece of pieces) t.is((await writer.writeAll(piece)).bytesWritten, piece.length);
      await writer.end();
    })();
    sameBytes(t, await readToEnd(style.reader(input, proactor, 777)), Buffer.concat(pieces));
    await writing;
    await input.close();
  });
}

onReal('S34: eight MiB are sent whole by writeAll, and in part by write, which says what is left', async (t, proactor) => {
  // Seen red: `complete` in ts/transfer.ts did not go on after a short write, and `send` of StreamWriter asked for no WAIT_ALL.
  const pair = await disposed(t, tcpPair(proactor));
  const content = randomBytes(8 * 2 ** 20, 8);
  const received: Buffer[] = [];
  const receiving = (async () => {
    await delay(50); // the buffers of the sockets are full by now
    for await (const bytes of pair.inside.allocator()) received.push(bytes.copy());
  })();
  const writer = pair.outside.writer();
  const { bytesWritten, rest } = await writer.write(content);
  t.is(bytesWritten + rest.length, content.length);
  sameBytes(t, rest, content.subarray(bytesWritten));
  t.is((await writer.writeAll(rest)).bytesWritten, rest.length);
  t.is((await writer.writeAll(content)).bytesWritten, content.length);
  await writer.end();
  await receiving;
  sameBytes(t, Buffer.concat(received), Buffer.concat([content, content]));
});

onReal('S34: a read of no bytes is refused, so that no bytes always are the end', async (t, proactor) => {
  // Seen red: `lend` in ts/memory/loan.ts took a length of 0.
  const { stream, peer } = await pairOf(proactor);
  const reader = stream.submitter();
  t.throws(() => reader.submit(alloc(8, { proactor }), { length: 0 }), { code: 'ERR_OUT_OF_RANGE' });
  t.throws(() => reader.submit(new Uint8Array(0)), { message: /empty|length|range|0/ });
  t.is((await stream.writer().write('')).bytesWritten, 0);
  peer.end('all');
  reader.submit(alloc(8, { proactor }));
  t.is((await reader.poll()).data.toString(), 'all');
  for (let count = 0; count < 2; count += 1) {
    reader.submit(alloc(8, { proactor }));
    t.is((await reader.poll()).length, 0);
  }
  await stream.close();
});

const isRoot = process.getuid?.() === 0;
/** A file system of a megabyte, which only the program sees and which goes with it. */
const disk = (folder: string): string[] => ['unshare', '-m', 'sh', '-c', 'mount -t tmpfs -o size=1m ritsu "$0" && exec "$@"', folder];

for (const backend of BACKENDS) {
  const isPossible = isRoot && (backend !== 'uring' || process.env['RITSU_BACKEND'] !== 'node');
  // Seen red: `complete` in ts/transfer.ts did not count what was written before the error.
  (isPossible ? test : test.skip)(`${backend}: on a small disk: S34: a disk that is full: ENOSPC, and how much there was room for`, async (t) => {
    const folder = freshPath('disk');
    fs.mkdirSync(folder);
    t.is(spawnSync(disk(folder)[0]!, [...disk(folder).slice(1), 'true']).status, 0, 'a disk can be mounted');
    const ended = await runProgram('small-disk', [`${folder}/file`], { wrapper: disk(folder), env: { RITSU_BACKEND: backend } });
    endedWith(t, ended, 0);
    const { short, rest, code, transferred, size, equal, later } = reported(ended) as Record<string, number>;
    t.is(short! + rest!, 3 * 2 ** 20);
    t.true(short! > 0 && short! <= 2 ** 20);
    t.like({ code, transferred, equal }, { code: 'ENOSPC' as unknown as number, transferred: short!, equal: true as unknown as number });
    t.is(size, short);
    t.is(later, 'ENOSPC' as unknown as number);
  });
}

/** Numbers of four digits, slowly. */
const NUMBERS = 60;

/** Asks `next` for what is there until all numbers have come. */
async function collect(next: () => Promise<string | undefined>): Promise<number[]> {
  let text = '';
  while (text.length < NUMBERS * 4) text += (await next()) ?? '';
  return Array.from({ length: NUMBERS }, (_, index) => Number(text.slice(index * 4, index * 4 + 4)));
}

const LATE = Symbol('late');

onReal('S40: reads that lost a race against a timer: no gap in what a slow sender counts', async (t, proactor) => {
  // Seen red: `first` of ts/read/stream-read.ts did not pass over reads that had ended.
  const { stream, peer } = await pairOf(proactor);
  const expected = Array.from({ length: NUMBERS }, (_, index) => index);
  let number = 0;
  const timer = setInterval(() => {
    if (number < 3 * NUMBERS) peer.write(String(number % NUMBERS).padStart(4, '0'));
    number += 1;
  }, 5);
  const reader = stream.allocator();
  let losers = 0;
  const lost = (): undefined => void (losers += 1);
  // 1. The read is kept, and raced again: it belongs to the reader, not to the race.
  let pending: Promise<Bytes | null> | undefined;
  const kept = await collect(async () => {
    pending ??= reader.read();
    const winner = await Promise.race([pending, delay(2, LATE)]);
    if (typeof winner === 'symbol') return lost();
    pending = undefined;
    return textOf(winner);
  });
  t.deepEqual(kept, expected);
  // 2. The read is ended by a signal when it has lost; its bytes, if they came all the same, are the next read's.
  const ended = await collect(async () => {
    const abort = new AbortController();
    const read = reader.read({ signal: abort.signal, prompt: true });
    const winner = await Promise.race([read, delay(2, LATE)]);
    if (typeof winner !== 'symbol') return textOf(winner);
    abort.abort();
    return read.then(textOf, lost);
  });
  t.deepEqual(ended, expected);
  // 3. The deadline is the read's own.
  const timed = await collect(() => reader.read({ timeout: 2 }).then(textOf, lost));
  t.deepEqual(timed, expected);
  clearInterval(timer);
  t.true(losers > 20, `${losers} lost`);
  peer.destroy();
  await stream.close();
});

onReal('S40: a read that was left behind keeps its place: the first bytes are its own, the next are the next one’s', async (t, proactor) => {
  // Seen red: `StreamReads` in ts/read/stream-read.ts served the read that came last.
  const { stream, peer } = await pairOf(proactor);
  const reader = stream.allocator();
  const loser = reader.read();
  t.is(await Promise.race([loser, delay(10, LATE)]), LATE as never);
  const next = reader.read();
  peer.write('first');
  t.is(textOf(await loser), 'first');
  peer.write('second');
  t.is(textOf(await next), 'second');
  peer.destroy();
  await stream.close();
});

test.after.always('nothing is in flight', (t) => {
  for (const backend of BACKENDS.filter((name) => name !== 'uring' || process.env['RITSU_BACKEND'] !== 'node')) t.is(proactorOf(backend).stats().inFlight, 0);
});
