/**
 * Description: AsyncWrite of files: what is on the disk afterwards, what the result says, and that what could not be
 * written is said. `node:fs` reads back.
 */
import { execFile } from 'node:child_process';
import * as fs from 'node:fs';
import { promisify } from 'node:util';
import { alloc, open } from 'ritsu';
import type { Writable } from 'ritsu';
import { onEach, onEachAlone, onReal } from '../support/backends.ts';
import { fileOf, freshPath, randomBytes } from '../support/files.ts';
import { sameBytes } from '../support/same.ts';

const GIB = 2 ** 30;

interface WriteFailure extends Error {
  readonly code: string;
  readonly errno: number;
  readonly syscall: string;
  readonly bytesTransferred: number;
  readonly rest: Buffer;
  readonly buffers: readonly Buffer[];
}

const KINDS: readonly (readonly [string, (content: Buffer) => Writable])[] = [
  ['a Buffer', (content) => Buffer.from(content)],
  ['a Uint8Array', (content) => Uint8Array.from(content)],
  ['a view with an offset', (content) => new Uint8Array(Buffer.concat([Buffer.from('xyz'), content, Buffer.from('x')])).subarray(3, -1)],
  ['a DataView', (content) => new DataView(Uint8Array.from(content).buffer)],
  ['an ArrayBuffer', (content) => Uint8Array.from(content).buffer],
  ['Float64Array', (content) => new Float64Array(Uint8Array.from(content).buffer)],
  ['a string', (content) => content.toString('latin1').replace(/[^\0-~]/g, 'é')],
];

for (const [name, make] of KINDS) {
  onEach(`write and writeAll: ${name}`, async (t, proactor) => {
    for (const size of [8, 4096, 100_000]) {
      const path = freshPath();
      const file = await open(path, { flags: 'w', proactor });
      const writer = file.writer();
      const content = randomBytes(size, 5);
      const data = make(content);
      const expected = typeof data === 'string' ? Buffer.from(data) : content;
      const written = await writer.write(data);
      t.is(written.bytesWritten, expected.length);
      t.is(written.rest.length, 0);
      t.is((await writer.writeAll(make(content))).bytesWritten, expected.length);
      sameBytes(t, fs.readFileSync(path), Buffer.concat([expected, expected]), `${size} bytes`);
      await file.close();
    }
  });
}

onEachAlone('memory of alloc() moves into the write and comes back', {}, async (t, proactor) => {
  const path = freshPath();
  const file = await open(path, { flags: 'w', proactor });
  const content = randomBytes(10_000);
  const buffer = alloc(10_000, { proactor });
  buffer.set(content);
  const before = proactor.stats().copies;
  const writing = file.writer().write(buffer);
  t.is(buffer.length, 0, 'the kernel has it');
  const { bytesWritten, buffers } = await writing;
  t.is(bytesWritten, 10_000);
  t.is(buffers.length, 1);
  sameBytes(t, buffers[0], content);
  t.is(proactor.stats().copies, before, 'nothing was copied');
  sameBytes(t, fs.readFileSync(path), content);
  await file.close();
});

onEach('a lease can be written without a copy, and goes back to the pool', async (t, proactor) => {
  const content = randomBytes(4096);
  const path = freshPath();
  const [from, to] = await Promise.all([open(fileOf(content), { proactor }), open(path, { flags: 'w', proactor })]);
  const bytes = await from.allocator({ blockSize: 4096 }).read();
  const { data } = bytes!;
  const writing = to.writer().write(bytes!);
  t.is(data.length, 0, 'the lease moved into the write');
  t.is((await writing).bytesWritten, 4096);
  sameBytes(t, fs.readFileSync(path), content);
  await Promise.all([from.close(), to.close()]);
});

// Red when `Parcel` (ts/memory/parcel.ts) copies later than at the call.
onEach('S8: what is changed after write() is not written', async (t, proactor) => {
  const path = freshPath();
  const file = await open(path, { flags: 'w', proactor });
  const data = Buffer.from('as it was');
  const writing = file.writer().write(data);
  data.fill('x');
  await writing;
  const pushed = Buffer.from(', and pushed');
  const writer = file.writer();
  writer.push(pushed);
  pushed.fill('y');
  await writer.flush();
  t.is(fs.readFileSync(path, 'utf8'), 'as it was, and pushed');
  await file.close();
});

onEach('writes without a position follow each other, awaited or not', async (t, proactor) => {
  const path = freshPath();
  const file = await open(path, { flags: 'w', proactor });
  const writer = file.writer();
  const pieces = Array.from({ length: 50 }, (_, index) => randomBytes(1 + ((index * 997) % 9000), index + 1));
  await Promise.all(pieces.map((piece) => writer.write(piece)));
  sameBytes(t, fs.readFileSync(path), Buffer.concat(pieces));
  await file.close();
});

onEach('positions: holes, overwriting, beyond 4 GiB, bigint', async (t, proactor) => {
  const path = freshPath();
  const file = await open(path, { flags: 'w+', proactor });
  const writer = file.writer();
  await writer.write('tail', { position: 100 });
  await writer.write('head', { position: 0 });
  await writer.write('ea', { position: 1n });
  await writer.write('far', { position: 4 * GIB + 1 });
  const oracle = freshPath();
  const fd = fs.openSync(oracle, 'w');
  for (const [text, position] of [['tail', 100], ['head', 0], ['far', 4 * GIB + 1]] as const) fs.writeSync(fd, text, position);
  fs.closeSync(fd);
  t.is(fs.statSync(path).size, fs.statSync(oracle).size);
  const readBack = (from: string, position: number): string => {
    const other = fs.openSync(from, 'r');
    const bytes = Buffer.alloc(110);
    const length = fs.readSync(other, bytes, 0, 110, position);
    fs.closeSync(other);
    return bytes.toString('latin1', 0, length);
  };
  for (const position of [0, 4 * GIB - 50]) t.is(readBack(path, position), readBack(oracle, position));
  await file.close();
});

onEach('a writer with a start begins there', async (t, proactor) => {
  const path = fileOf('0123456789');
  const file = await open(path, { flags: 'r+', proactor });
  const writer = file.writer({ start: 3 });
  await writer.write('ab');
  await writer.write('c');
  t.is(fs.readFileSync(path, 'utf8'), '012abc6789');
  await file.close();
});

for (const flags of ['a', 'a+', 'as']) {
  onEach(`appending goes to the end, whatever others append: ${flags}`, async (t, proactor) => {
    const path = fileOf('begin ');
    const file = await open(path, { flags, proactor });
    const writer = file.writer();
    await Promise.all(['one ', 'two ', 'three '].map((text) => writer.write(text)));
    fs.appendFileSync(path, 'other ');
    await writer.write('four');
    t.is(fs.readFileSync(path, 'utf8'), 'begin one two three other four');
    await file.close();
  });
}

onEach('memory of alloc() that was pushed comes back, all of it, in order', async (t, proactor) => {
  const path = freshPath();
  const file = await open(path, { flags: 'w', proactor });
  const writer = file.writer();
  const pieces = [5000, 3, 100].map((size) => randomBytes(size, size));
  for (const piece of pieces) {
    const memory = alloc(piece.length, { proactor });
    memory.set(piece);
    writer.push(memory).push('|');
    t.is(memory.length, 0);
  }
  const { buffers } = await writer.flush();
  t.is(buffers.length, 3);
  pieces.forEach((piece, index) => sameBytes(t, buffers[index], piece));
  sameBytes(t, fs.readFileSync(path), Buffer.concat(pieces.flatMap((piece) => [piece, Buffer.from('|')])));
  await file.close();
});

onEachAlone('what was pushed is written as one vectored operation, in order', {}, async (t, proactor) => {
  const path = freshPath();
  const file = await open(path, { flags: 'w', proactor });
  const writer = file.writer();
  const pieces: Buffer[] = [];
  for (let index = 0; index < 40; index += 1) {
    const piece = randomBytes((index * 613) % 5000, index + 1);
    pieces.push(piece);
    writer.push(piece);
  }
  const before = proactor.stats().submitted;
  t.is((await writer.flush()).bytesWritten, Buffer.concat(pieces).length);
  t.is(proactor.stats().submitted, before + 1);
  sameBytes(t, fs.readFileSync(path), Buffer.concat(pieces));
  t.is((await writer.flush()).bytesWritten, 0, 'nothing was left');
  writer.push('at the place given');
  await writer.flush({ position: 7 });
  t.is(fs.readFileSync(path).subarray(7, 25).toString(), 'at the place given');
  await file.close();
});

onEach('end() writes what was pushed, waits, and takes nothing more', async (t, proactor) => {
  const path = freshPath();
  const file = await open(path, { flags: 'w', proactor });
  const writer = file.writer();
  void writer.write('written ');
  writer.push('pushed');
  await writer.end();
  t.is(fs.readFileSync(path, 'utf8'), 'written pushed');
  for (const late of [() => writer.write('x'), () => writer.writeAll('x'), () => writer.flush(), async () => writer.push('x')]) {
    await t.throwsAsync<WriteFailure>(late, { code: 'ERR_RITSU_CLOSED' });
  }
  await writer.end();
  await file.close();
});

onEach('a file that was opened to read is not written: EBADF, as node:fs has it', async (t, proactor) => {
  const path = fileOf('kept');
  const file = await open(path, { proactor });
  const oracle = await fs.promises.open(path);
  const theirs = await t.throwsAsync<WriteFailure>(oracle.write('x'));
  const ours = await t.throwsAsync<WriteFailure>(file.writer().write('x'));
  t.deepEqual([ours.code, ours.errno, ours.syscall, ours.message], [theirs.code, theirs.errno, theirs.syscall, theirs.message]);
  t.is(ours.bytesTransferred, 0);
  t.is(ours.rest.toString(), 'x', 'what was not written');
  await Promise.all([file.close(), oracle.close()]);
});

onEach('a full device: ENOSPC, as node:fs has it, with the memory back', async (t, proactor) => {
  const file = await open('/dev/full', { flags: 'w', proactor });
  const oracle = await fs.promises.open('/dev/full', 'w');
  const theirs = await t.throwsAsync<WriteFailure>(oracle.write('x'));
  const buffer = alloc(5000, { proactor });
  buffer.fill('z');
  for (const attempt of [() => file.writer().write(buffer), () => file.writer().writeAll('z'), () => file.writer().push('z').flush()]) {
    const ours = await t.throwsAsync<WriteFailure>(attempt);
    t.deepEqual([ours.code, ours.errno, ours.message], [theirs.code, theirs.errno, theirs.message]);
    t.true(ours.rest.length > 0 && ours.rest.every((byte) => byte === 0x7a));
    t.deepEqual(ours.buffers.map((each) => each.toString('latin1')), ours.rest.length === 5000 ? ['z'.repeat(5000)] : []);
  }
  await Promise.all([file.close(), oracle.close()]);
});

const CHILD = `
import { open, Proactor } from 'ritsu';
process.on('SIGXFSZ', () => {});
const proactor = new Proactor({ backend: process.argv[1] });
const file = await open(process.argv[2], { flags: 'w', proactor });
const writer = file.writer();
const content = Buffer.alloc(10000, 'q');
const short = await writer.write(content, { position: 5000 });
const error = await writer.writeAll(content, { position: 5000 }).catch((error) => error);
const beyond = await writer.write(content, { position: 8192 }).catch((error) => error);
console.log(JSON.stringify({
  written: short.bytesWritten, rest: short.rest.length, restOk: short.rest.every((byte) => byte === 113),
  code: error.code, transferred: error.bytesTransferred, left: error.rest?.length, beyond: beyond.code,
}));
`;

onReal('a short write says so, and writeAll goes on until the error: EFBIG', async (t, _proactor, backend) => {
  const path = freshPath();
  const parameters = ['--fsize=8192', process.execPath, '--input-type=module', '-e', CHILD, backend, path];
  const { stdout } = await promisify(execFile)('prlimit', parameters, { cwd: new URL('../..', import.meta.url) });
  t.deepEqual(JSON.parse(stdout), {
    written: 3192,
    rest: 6808,
    restOk: true,
    code: 'EFBIG',
    transferred: 3192,
    left: 6808,
    beyond: 'EFBIG',
  });
  t.is(fs.statSync(path).size, 8192);
});

const WRONG: readonly (readonly [string, unknown])[] = [
  ['undefined', undefined],
  ['null', null],
  ['a number', 7],
  ['an array', [1, 2]],
  ['an object with a length', { length: 3 }],
  ['a bigint', 7n],
];

onEach('data of the wrong type are refused, and nothing is written', async (t, proactor) => {
  const path = freshPath();
  const file = await open(path, { flags: 'w', proactor });
  const writer = file.writer();
  for (const [name, data] of WRONG) {
    await t.throwsAsync(writer.write(data as Writable), { code: 'ERR_INVALID_ARG_TYPE' }, name);
    t.throws(() => writer.push(data as Writable), { code: 'ERR_INVALID_ARG_TYPE' }, name);
  }
  await writer.end();
  t.is(fs.statSync(path).size, 0);
  await file.close();
});
