/**
 * Description: the `node` backend by its records, as the boundary of the ring has them: what is refused and how, whose
 * block is whose, and that nothing settles from inside a call.
 */
import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import test from 'ava';
import { NodeBackend } from '../../dist/backend/node.js';
import { NONE, Opcode, REFUSED, SELECTED, UNREF } from '../../dist/op.js';
import type { Operation } from '../../dist/op.js';
import { fileOf, freshPath, openCount } from '../support/files.ts';
import { Bench, NOTHING, parts } from '../support/node-bench.ts';
import type { Answer, Fields } from '../support/node-bench.ts';

const FAULT_OPCODE = -10001;
const FAULT_BLOCK = -10003;
const FAULT_RANGE = -10004;
const FAULT_ARGUMENT = -10005;
const FAULT_CLOSED = -10006;
const EBADF = -9;
const ENOBUFS = -105;
const ECANCELED = -125;

const REFUSALS: readonly (readonly [string, number, Fields, number])[] = [
  ['an opcode that does not exist', 99, {}, FAULT_OPCODE],
  ['CANCEL, which has no slot', Opcode.CANCEL, {}, FAULT_OPCODE],
  ['a descriptor that does not exist', Opcode.FSYNC, { descriptor: 7 }, EBADF],
  ['no descriptor', Opcode.FSYNC, {}, EBADF],
  ['a close of nothing', Opcode.CLOSE, { descriptor: 1 << 20 }, EBADF],
  ['a path with a null byte', Opcode.OPEN, { argument: Buffer.from('a\0b') }, FAULT_ARGUMENT],
  ['no path', Opcode.OPEN, {}, FAULT_ARGUMENT],
  ['a block that does not exist', Opcode.READ, { descriptor: 0, blockId: 77, length: 1 }, FAULT_BLOCK],
  ['no block', Opcode.WRITE, { descriptor: 0, length: 1 }, FAULT_BLOCK],
  ['a range beyond the block', Opcode.READ, { descriptor: 0, blockId: 0, offset: 1, length: 4096 }, FAULT_RANGE],
  ['parts of half a triple', Opcode.READV, { descriptor: 0, argument: parts(0, 0) }, FAULT_ARGUMENT],
  ['no parts', Opcode.WRITEV, { descriptor: 0 }, FAULT_ARGUMENT],
  ['more than 1024 parts', Opcode.WRITEV, { descriptor: 0, argument: new Uint8Array(12 * 1025) }, FAULT_ARGUMENT],
  ['a part of a block that does not exist', Opcode.WRITEV, { descriptor: 0, argument: parts(0, 0, 1, 9, 0, 1) }, FAULT_BLOCK],
  ['a part beyond its block', Opcode.READV, { descriptor: 0, argument: parts(0, 4096, 1) }, FAULT_RANGE],
  ['a group that does not exist', Opcode.READ_SELECT, { descriptor: 0, target: 5, length: 10 }, FAULT_BLOCK],
  ['a block of another group', Opcode.READ_SELECT, { descriptor: 0, target: 0, blockId: 4, length: 10 }, FAULT_BLOCK],
  ['a delay below zero', Opcode.TIMEOUT, { extra: -1 }, FAULT_ARGUMENT],
  ['a delay that is no number', Opcode.TIMEOUT, { extra: Number.NaN }, FAULT_ARGUMENT],
];

for (const [name, opcode, fields, expected] of REFUSALS) {
  test(`refused, and nothing taken: ${name}`, async (t) => {
    const bench = new Bench();
    t.is(await bench.open(fileOf('content')), 0);
    const { result, flags } = await bench.submit(opcode, fields);
    t.is(result, expected);
    t.is(flags, REFUSED);
    const counters = bench.backend.counters();
    t.is(counters.faults, expected < -4095 ? 1 : 0);
    t.is(counters.blocksBusy + counters.blocksProvided, 0);
    for (const block of bench.blocks) {
      t.is((await bench.submit(Opcode.READ, { descriptor: 0, blockId: block.id, length: 10, position: 0 })).result, 7);
    }
  });
}

test('nothing settles inside encode, cancel or flush', async (t) => {
  const bench = new Bench();
  const answers = [
    bench.submit(Opcode.NOP),
    bench.submit(99),
    bench.submit(Opcode.TIMEOUT, { extra: 0 }),
    bench.submit(Opcode.NOP, { extra: -5 }),
  ];
  bench.within(() => bench.backend.flush());
  const sleeping = bench.submit(Opcode.TIMEOUT, { extra: 10_000 });
  bench.within(() => bench.backend.flush());
  bench.within(() => bench.backend.cancel(sleeping.operation));
  t.deepEqual((await Promise.all([...answers, sleeping])).map(({ result }) => result), [0, FAULT_OPCODE, 0, -5, ECANCELED]);
  t.is(bench.settledInside, 0);
});

test('what is cancelled in its own turn was never begun; a cancel of an old generation does nothing', async (t) => {
  const bench = new Bench();
  const descriptor = await bench.open(fileOf('content'));
  const read = bench.submit(Opcode.READ, { descriptor, blockId: 0, length: 7, position: 0 });
  const other = bench.submit(Opcode.READ, { descriptor, blockId: 1, length: 7, position: 0 });
  bench.backend.cancel(read.operation);
  bench.backend.cancel(Object.assign(Object.create(other.operation) as Operation<unknown>, { generation: 4 }));
  t.is((await read).result, ECANCELED);
  t.is((await other).result, 7);
  t.is(bench.text(0, 7), '\0'.repeat(7));
  t.is(bench.backend.counters().withdrawn, 1);
});

test('a slot that is taken: the record is dropped and counted', async (t) => {
  const bench = new Bench();
  const first = bench.submit(Opcode.NOP, { extra: 3 });
  bench.backend.encode(first.operation);
  t.is((await first).result, 3);
  t.is(bench.backend.counters().faults, 1);
  t.is(bench.backend.counters().completed, 1);
});

test('a block has one operation at a time, but one operation may name it often', async (t) => {
  const bench = new Bench();
  const descriptor = await bench.open(fileOf('abcdefgh'));
  const first = bench.submit(Opcode.READ, { descriptor, blockId: 2, length: 8, position: 0 });
  const second = bench.submit(Opcode.READ, { descriptor, blockId: 2, length: 8, position: 0 });
  t.is(bench.backend.counters().blocksBusy, 1);
  t.deepEqual([(await second).result, (await first).result], [FAULT_BLOCK, 8]);
  const argument = parts(2, 100, 3, 2, 0, 3, 3, 0, 2);
  t.is((await bench.submit(Opcode.READV, { descriptor, argument, position: 0 })).result, 8);
  t.is(Buffer.from(bench.blocks[2]!.memory!, 100, 3).toString() + bench.text(2, 3) + bench.text(3, 2), 'abcdefgh');
  t.is(bench.backend.counters().blocksBusy, 0);
});

test('a select takes the block that was provided first; an end or error takes none', async (t) => {
  const bench = new Bench();
  const { group } = bench;
  const descriptor = await bench.open(fileOf('content'));
  const select = (blockId: number, position: number): Promise<Answer> =>
    bench.submit(Opcode.READ_SELECT, { descriptor, target: group, blockId, length: 4096, position });
  t.is((await select(NONE, 0)).result, ENOBUFS);
  const atEnd = await select(3, 100);
  t.deepEqual([atEnd.result, atEnd.flags, atEnd.block], [0, 0, NONE]);
  t.is(bench.backend.counters().blocksProvided, 1);
  t.is((await select(3, 0)).result, FAULT_BLOCK, 'provided twice');
  const first = await select(1, 0);
  t.deepEqual([first.result, first.flags, first.block], [7, SELECTED, 3]);
  t.is(bench.text(3, 7), 'content');
  const surplus = await select(NONE, 3);
  t.deepEqual([surplus.result, surplus.block, bench.text(1, 4)], [4, 1, 'tent']);
  const directory = await bench.open('/tmp', fs.constants.O_RDONLY);
  const failed = await bench.submit(Opcode.READ_SELECT, { descriptor: directory, target: group, blockId: 0, length: 10 });
  t.deepEqual([failed.result, failed.flags], [-21, 0]);
  t.is(bench.backend.counters().blocksProvided, 1);
  t.is((await select(NONE, 0)).block, 0);
});

test('a pinned ArrayBuffer is a block until it is unpinned, not while it is busy', async (t) => {
  const bench = new Bench();
  const descriptor = await bench.open(fileOf('content'));
  const memory = new ArrayBuffer(100);
  const blockId = bench.backend.pin(memory);
  const read = bench.submit(Opcode.READ, { descriptor, blockId, offset: 10, length: 50, position: 0 });
  t.throws(() => bench.backend.unpin(blockId), { instanceOf: RangeError });
  t.is((await read).result, 7);
  t.is(Buffer.from(memory, 10, 7).toString(), 'content');
  bench.backend.unpin(blockId);
  t.throws(() => bench.backend.unpin(blockId), { instanceOf: RangeError });
  t.is((await bench.submit(Opcode.READ, { descriptor, blockId, length: 1, position: 0 })).result, FAULT_BLOCK);
});

test('after close everything is refused, and no file is left open', async (t) => {
  const bench = new Bench();
  const path = fileOf('content');
  await bench.open(path);
  await bench.open(path);
  await bench.backend.close();
  t.is((await bench.submit(Opcode.NOP)).result, FAULT_CLOSED);
  t.is((await bench.submit(Opcode.OPEN, { argument: Buffer.from(path) })).result, FAULT_CLOSED);
  t.is(bench.backend.counters().descriptorsOpen, 0);
});

test('abandon ends what can be ended, says what is left, and leaks no descriptor', async (t) => {
  const bench = new Bench();
  const path = freshPath('fifo');
  execFileSync('mkfifo', [path]);
  const descriptor = await bench.open(path);
  const reading = bench.submit(Opcode.READ, { descriptor, blockId: 0, length: 7, position: -1 });
  const sleeping = bench.submit(Opcode.TIMEOUT, { extra: 10_000 });
  await new Promise((resolve) => setTimeout(resolve, 50));
  const opening = bench.submit(Opcode.OPEN, { argument: Buffer.from(path), flags: fs.constants.O_RDWR });
  bench.backend.flush();
  const left = bench.backend.abandon(0);
  t.true(left >= 1 && left <= 2, `${left}`);
  t.deepEqual([(await reading).result, (await sleeping).result], [ECANCELED, ECANCELED]);
  await opening;
  await new Promise((resolve) => setTimeout(resolve, 50));
  t.is(openCount(path), 0);
});

test('deliveries come in batches, and a large one lets others have their turn', async (t) => {
  const bench = new Bench();
  const answers = Array.from({ length: 3000 }, () => bench.submit(Opcode.NOP));
  await Promise.all(answers);
  const { dispatches, budgetYields, completed } = bench.backend.counters();
  t.is(completed, 3000);
  t.is(dispatches, 3);
  t.is(budgetYields, 2);
  t.deepEqual(bench.order, bench.order.toSorted((a, b) => a - b));
});

test('an exception of whoever is told does not keep others from being told', async (t) => {
  let told = 0;
  const backend = new NodeBackend(() => {
    told += 1;
    if (told === 1) throw new Error('thrown while settling');
  });
  const caught: string[] = [];
  const listeners = process.listeners('uncaughtException');
  process.removeAllListeners('uncaughtException');
  process.once('uncaughtException', (error) => caught.push(error.message));
  for (let slot = 0; slot < 10; slot += 1) {
    backend.encode({ ...NOTHING, opcode: Opcode.NOP, slot, generation: 0, options: UNREF } as unknown as Operation<unknown>);
  }
  await new Promise((resolve) => setTimeout(resolve, 50));
  for (const listener of listeners) process.on('uncaughtException', listener);
  t.deepEqual(caught, ['thrown while settling']);
  t.is(told, 10);
});
