/**
 * Description: what the `node` backend does to files, by its records: descriptor ids, a close that waits for what came
 * before it, order at the file's own position, and what Node lacks.
 */
import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import test from 'ava';
import { NONE, Opcode } from '../../dist/op.js';
import { fileOf, freshPath, openCount } from '../support/files.ts';
import { Bench } from '../support/node-bench.ts';

const EBADF = -9;
const EISDIR = -21;
const EINVAL = -22;
const EOPNOTSUPP = -95;

test('a close waits for what holds the descriptor, and its id means nothing from then on', async (t) => {
  const bench = new Bench();
  const path = fileOf('content');
  const descriptor = await bench.open(path);
  const reads = [0, 1, 2].map((blockId) => bench.submit(Opcode.READ, { descriptor, blockId, length: 7, position: 0 }));
  const close = bench.submit(Opcode.CLOSE, { descriptor });
  bench.backend.cancel(close.operation);
  const late = bench.submit(Opcode.FSYNC, { descriptor });
  t.is((await late).result, EBADF);
  t.deepEqual((await Promise.all([...reads, close])).map(({ result }) => result), [7, 7, 7, 0]);
  t.is(bench.order.at(-1), close.operation.slot);
  const next = await bench.open(path);
  t.is(next & 0xfffff, descriptor & 0xfffff, 'the place is used again');
  t.is(next >>> 20, (descriptor >>> 20) + 1, 'with another generation');
  t.is((await bench.submit(Opcode.FSYNC, { descriptor })).result, EBADF);
  t.is((await bench.submit(Opcode.CLOSE, { descriptor: next })).result, 0);
  t.is(bench.backend.counters().descriptorsOpen, 0);
});

test('a close waits for a read that waits for its peer', async (t) => {
  const bench = new Bench();
  const path = freshPath('fifo');
  execFileSync('mkfifo', [path]);
  const descriptor = await bench.open(path);
  const read = bench.submit(Opcode.READ, { descriptor, blockId: 0, length: 10, position: -1 });
  const close = bench.submit(Opcode.CLOSE, { descriptor });
  await new Promise((resolve) => setTimeout(resolve, 50));
  t.deepEqual(bench.order.slice(1), [], 'both wait');
  t.is(openCount(path), 2, 'the file, and its twin that never waits');
  fs.writeFileSync(path, 'came');
  t.deepEqual([(await read).result, (await close).result], [4, 0]);
  t.is(bench.text(0, 4), 'came');
  t.is(openCount(path), 0);
});

test('a read of no bytes still asks whether the file can be read', async (t) => {
  const bench = new Bench();
  const read = async (descriptor: number): Promise<number> =>
    (await bench.submit(Opcode.READ, { descriptor, blockId: 0, length: 0, position: 0 })).result;
  t.is(await read(await bench.open(fileOf('content'))), 0);
  t.is(await read(await bench.open('/tmp', fs.constants.O_RDONLY)), EISDIR);
});

test('descriptor ids of 5000 generations are all different until they wrap', async (t) => {
  const bench = new Bench();
  const path = fileOf('');
  const ids = new Set<number>();
  for (let round = 0; round < 4096; round += 1) {
    const descriptor = await bench.open(path);
    t.false(ids.has(descriptor));
    ids.add(descriptor);
    await bench.submit(Opcode.CLOSE, { descriptor });
  }
  const again = await bench.open(path);
  t.true(ids.has(again), 'the 4097th is the first again');
  t.is((await bench.submit(Opcode.FSYNC, { descriptor: again })).result, 0);
  t.true([...ids].every((id) => id !== NONE && id >= 0));
});

test("reads at the file's own position, and writes that append, do not overtake each other", async (t) => {
  const bench = new Bench();
  const path = fileOf('');
  const all = bench.blocks.map(({ id }) => id);
  const appending = await bench.open(path, fs.constants.O_RDWR | fs.constants.O_APPEND);
  for (const [index, { memory }] of bench.blocks.entries()) Buffer.from(memory!).write(`${index}`);
  for (const position of [-1, 0]) {
    await Promise.all(all.map((blockId) => bench.submit(Opcode.WRITE, { descriptor: appending, blockId, length: 1, position })));
  }
  t.is(fs.readFileSync(path, 'utf8'), '01230123');
  const descriptor = await bench.open(path);
  await Promise.all(all.map((blockId) => bench.submit(Opcode.READ, { descriptor, blockId, length: 2, position: -1 })));
  t.is(all.map((_, index) => bench.text(index, 2)).join(''), '01230123');
});

test('fallocate: longer, never shorter; other modes and nonsense are refused as a file system would', async (t) => {
  const bench = new Bench();
  const path = fileOf('content');
  const descriptor = await bench.open(path);
  const allocate = async (flags: number, position: number, extra: number, on = descriptor): Promise<number> =>
    (await bench.submit(Opcode.FALLOCATE, { descriptor: on, flags, position, extra })).result;
  t.is(await allocate(0, 0, 3), 0);
  t.is(fs.statSync(path).size, 7);
  t.is(await allocate(1, 0, 1000), 0);
  t.is(fs.statSync(path).size, 7);
  t.is(await allocate(0, 5, 10), 0);
  t.is(fs.readFileSync(path, 'latin1'), `content${'\0'.repeat(8)}`);
  t.deepEqual([await allocate(0, -1, 5), await allocate(0, 0, 0), await allocate(3, 0, 5)], [EINVAL, EINVAL, EOPNOTSUPP]);
  t.is(await allocate(0, 0, 5, await bench.open(path, fs.constants.O_RDONLY)), EBADF);
  t.is((await bench.submit(Opcode.FTRUNCATE, { descriptor, extra: -1 })).result, EINVAL);
});

test.serial('what somebody put into node:fs later does not see the data', async (t) => {
  const bench = new Bench();
  const descriptor = await bench.open(fileOf('content'));
  const { default: mutable } = fs as unknown as { default: Record<string, unknown> };
  const genuine = { read: mutable['read'], write: mutable['write'] };
  const spied: string[] = [];
  Object.assign(mutable, { read: () => spied.push('read'), write: () => spied.push('write') });
  syncBuiltinESMExports();
  try {
    for (const opcode of [Opcode.READ, Opcode.WRITE]) {
      t.is((await bench.submit(opcode, { descriptor, blockId: 0, length: 7, position: 0 })).result, 7);
    }
  } finally {
    Object.assign(mutable, genuine);
    syncBuiltinESMExports();
  }
  t.deepEqual(spied, []);
});

test('statx by path follows a link or does not', async (t) => {
  const bench = new Bench();
  const path = freshPath('link');
  fs.symlinkSync(fileOf('content'), path);
  const argument = Buffer.from(path);
  t.is((await bench.submit(Opcode.STATX, { argument })).numbers[8], 7);
  t.is((await bench.submit(Opcode.STATX, { argument, flags: 1 })).numbers[1]! & 0o170000, 0o120000);
  t.is((await bench.submit(Opcode.STATX, { argument: Buffer.from(`${path}x`) })).result, -2);
});
