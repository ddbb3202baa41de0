/**
 * Description: what a read gives, style x backend: the file's bytes, at the place asked for, in order, with `node:fs` as
 * the oracle.
 */
import * as fs from 'node:fs';
import test from 'ava';
import type { ExecutionContext } from 'ava';
import { open } from 'ritsu';
import type { File, Proactor } from 'ritsu';
import { BACKENDS, onEach } from '../support/backends.ts';
import { fileOf, randomBytes, sparseFile } from '../support/files.ts';
import { sameBytes } from '../support/same.ts';
import { STYLES, readAll } from '../support/styles.ts';
import type { Next, StyleRow } from '../support/styles.ts';

const SIZES = [0, 1, 4095, 4096, 4097, 65_536, 1_048_579];
const GIB = 2 ** 30;

type StyleBody = (t: ExecutionContext, file: File, next: Next, path: string) => Promise<void>;

/** One test for each style and backend, on a file with this content and a reader of blocks of `size` bytes. */
function eachStyle(name: string, content: () => Uint8Array | string, size: number, body: StyleBody): void {
  for (const style of STYLES) {
    onEach(`${name}: ${style.name}`, async (t, proactor) => {
      const path = fileOf(content());
      const file = await open(path, { proactor });
      await body(t, file, style.reader(file, proactor, size), path);
      await file.close();
    });
  }
}

async function readWhole(t: ExecutionContext, proactor: Proactor, style: StyleRow, size: number): Promise<void> {
  const content = randomBytes(size, size + 1);
  const file = await open(fileOf(content), { proactor });
  for (const block of [4096, 65_536]) {
    const came = await readAll(style.reader(file, proactor, block));
    // A second reader goes on where the first stopped: at the end.
    sameBytes(t, came, block === 4096 ? content : Buffer.alloc(0), `${size} bytes by ${block}`);
  }
  await file.close();
}

for (const style of STYLES) {
  onEach(`whole files of many sizes, byte by byte: ${style.name}`, async (t, proactor) => {
    for (const size of SIZES) await readWhole(t, proactor, style, size);
  });
}

eachStyle('positional reads, anywhere and in any order', () => randomBytes(100_000), 4096, async (t, _file, next, path) => {
  const fd = fs.openSync(path, 'r');
  for (const position of [0, 1, 99_999, 4096, 8191, 0, 50_001, 95_904]) {
    const expected = Buffer.alloc(4096);
    const length = fs.readSync(fd, expected, 0, 4096, position);
    sameBytes(t, await next({ position }), expected.subarray(0, length), `position ${position}`);
    sameBytes(t, await next({ position: BigInt(position) }), expected.subarray(0, length), `position ${position}n`);
  }
  fs.closeSync(fd);
});

eachStyle('a positional read leaves the sequence alone', () => randomBytes(30_000), 4096, async (t, _file, next, path) => {
  const content = fs.readFileSync(path);
  sameBytes(t, await next(), content.subarray(0, 4096));
  sameBytes(t, await next({ position: 20_000 }), content.subarray(20_000, 24_096));
  sameBytes(t, await next({ position: null }), content.subarray(4096, 8192), 'null: the sequence goes on');
});

eachStyle('at and beyond the end there is nothing', () => randomBytes(5000), 4096, async (t, _file, next) => {
  for (const position of [5000, 5001, 8192, 2 ** 40, 2 ** 53 - 1 - 4096]) t.is(await next({ position }), null, `${position}`);
  t.is((await readAll(next)).length, 5000);
  t.is(await next(), null);
  t.is(await next(), null, 'again');
});

eachStyle('several outstanding come in order', () => randomBytes(50_000), 4096, async (t, _file, next, path) => {
  const content = fs.readFileSync(path);
  const chunks = await Promise.all(Array.from({ length: 16 }, () => next()));
  chunks.forEach((chunk, index) => {
    const expected = content.subarray(index * 4096, (index + 1) * 4096);
    sameBytes(t, chunk, expected.length === 0 ? null : expected, `chunk ${index}`);
  });
});

eachStyle('several positional outstanding answer their own caller', () => randomBytes(200_000), 4096, async (t, _f, next, path) => {
  const content = fs.readFileSync(path);
  const positions = Array.from({ length: 40 }, (_, index) => (index * 7919) % 190_000);
  const chunks = await Promise.all(positions.map((position) => next({ position })));
  chunks.forEach((chunk, index) => {
    const position = positions[index]!;
    sameBytes(t, chunk, content.subarray(position, position + 4096), `position ${position}`);
  });
});

eachStyle('a file that grows is read on from its old end', () => 'first', 4096, async (t, _file, next, path) => {
  sameBytes(t, await next(), Buffer.from('first'));
  t.is(await next(), null);
  fs.appendFileSync(path, 'second');
  sameBytes(t, await next(), Buffer.from('second'));
  t.is(await next(), null);
  const more = randomBytes(10_000);
  fs.appendFileSync(path, more);
  sameBytes(t, await readAll(next), more);
});

eachStyle('a file cut short ends there', () => randomBytes(20_000), 4096, async (t, _file, next, path) => {
  t.is((await next())!.length, 4096);
  fs.truncateSync(path, 6000);
  t.is((await next())!.length, 6000 - 4096);
  t.is(await next(), null);
});

const PIECES = [
  [4 * GIB - 4, randomBytes(8, 2)],
  [5 * GIB + 1, randomBytes(5000, 3)],
  [2 ** 42, randomBytes(100, 4)],
] as const;

for (const style of STYLES) {
  onEach(`positions beyond 4 GiB are exact: ${style.name}`, async (t, proactor) => {
    const file = await open(sparseFile(PIECES), { proactor });
    const next = style.reader(file, proactor, 4096);
    for (const [position, content] of PIECES) {
      const came = await next({ position });
      sameBytes(t, came!.subarray(0, Math.min(4096, content.length)), content.subarray(0, 4096), `position ${position}`);
    }
    sameBytes(t, await next({ position: 4 * GIB - 4 + 6 }).then((came) => came!.subarray(0, 2)), PIECES[0][1].subarray(6));
    t.is(await next({ position: 2 ** 42 + 100 }), null);
    await file.close();
  });
}

/** Pseudorandom, so that a failure can be repeated. */
function dice(seed: number): (sides: number) => number {
  let state = seed;
  return (sides) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return (state >>> 8) % sides;
  };
}

onEach('styles take turns at random on one file: nothing is lost, repeated or reordered', async (t, proactor) => {
  const content = randomBytes(700_001, 9);
  const path = fileOf(content);
  for (let seed = 1; seed <= 10; seed += 1) {
    const roll = dice(seed);
    const file = await open(path, { proactor });
    const readers = STYLES.flatMap((style) => [1, 4096, 10_000].map((size) => style.reader(file, proactor, size)));
    const chunks: Buffer[] = [];
    for (let ended = false; !ended; ) {
      const turns = Array.from({ length: 1 + roll(6) }, () => {
        const reader = readers[roll(readers.length)]!;
        return reader();
      });
      for (const chunk of await Promise.all(turns)) {
        ended = chunk === null;
        if (chunk !== null) chunks.push(chunk);
      }
    }
    sameBytes(t, Buffer.concat(chunks), content, `seed ${seed}`);
    await file.close();
  }
});

onEach('iteration ends early or not, and the next reader goes on after what was consumed', async (t, proactor) => {
  const content = randomBytes(100_000);
  const file = await open(fileOf(content), { proactor });
  const chunks: Buffer[] = [];
  for await (const bytes of file.allocator({ blockSize: 4096, readAhead: 8 })) {
    chunks.push(bytes.copy());
    if (chunks.length === 3) break;
  }
  for await (const bytes of file.submitter({ blockSize: 10_000 })) {
    chunks.push(bytes.copy());
    if (chunks.length === 5) break;
  }
  for await (const bytes of file.hybrid()) chunks.push(bytes.copy());
  t.deepEqual(chunks.slice(0, 5).map((chunk) => chunk.length), [4096, 4096, 4096, 10_000, 10_000]);
  sameBytes(t, Buffer.concat(chunks), content);
  await file.close();
});

onEach('iteration lends a chunk until the loop goes on', async (t, proactor) => {
  const content = randomBytes(20_000);
  const file = await open(fileOf(content), { proactor });
  const views: Buffer[] = [];
  for (const reader of [file.allocator({ blockSize: 4096 }), file.submitter({ blockSize: 4096 }), file.hybrid()]) {
    for await (const bytes of reader) {
      for (const earlier of views) t.is(earlier.length, 0, `${reader.style}: an earlier chunk`);
      t.true(bytes.data.length > 0);
      views.push(bytes.data);
      if (reader.style !== 'hybrid' && views.length % 2 === 0) break;
    }
  }
  t.true(views.every((view) => view.length === 0));
  await file.close();
});

test('the rows are there: every style, on every backend', (t) => {
  t.deepEqual(BACKENDS, ['uring', 'node', 'simulated']);
  t.is(new Set(STYLES.map((style) => style.name.split(',')[0])).size, 3);
});
