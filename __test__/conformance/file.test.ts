/**
 * Description: what else a file does: stat, truncate, allocate, sync, close; and what each says after close or to a
 * directory. `node:fs` is the oracle.
 */
import * as fs from 'node:fs';
import { alloc, open } from 'ritsu';
import type { File } from 'ritsu';
import { onEach, onEachAlone } from '../support/backends.ts';
import { fileOf, freshPath, openCount, randomBytes } from '../support/files.ts';
import { sameBytes } from '../support/same.ts';
import { STYLES } from '../support/styles.ts';

const GIB = 2 ** 30;

interface SystemFailure extends Error {
  readonly code: string;
  readonly errno: number;
  readonly syscall: string;
}

const FIELDS = ['dev', 'mode', 'nlink', 'uid', 'gid', 'rdev', 'blksize', 'ino', 'size', 'blocks'] as const;
const TIMES = ['atimeMs', 'mtimeMs', 'ctimeMs', 'birthtimeMs'] as const;
const DATES = ['atime', 'mtime', 'ctime', 'birthtime'] as const;
const KINDS = ['isFile', 'isDirectory', 'isSymbolicLink', 'isFIFO', 'isSocket', 'isCharacterDevice', 'isBlockDevice'] as const;

const STAT_PATHS: readonly (readonly [string, () => string])[] = [
  ['a file', () => fileOf(randomBytes(12_345))],
  ['an empty file', () => fileOf('')],
  ['a directory', () => '/usr'],
  ['a character device', () => '/dev/null'],
  ['a file of procfs', () => '/proc/version'],
  ['a sparse file', () => { const path = fileOf('x'); fs.truncateSync(path, 5 * GIB); return path; }],
];

for (const [name, make] of STAT_PATHS) {
  onEach(`stat equals node:fs, field by field: ${name}`, async (t, proactor) => {
    const path = make();
    if (path !== '/usr' && !path.startsWith('/dev') && !path.startsWith('/proc')) fs.utimesSync(path, 1234.5678, 987654321.25);
    const file = await open(path, { proactor });
    const theirs = fs.fstatSync(file.fd);
    const ours = await file.stat();
    for (const field of FIELDS) t.is(ours[field], theirs[field], field);
    for (const field of TIMES) t.true(Math.abs(ours[field] - theirs[field]) < 0.001, `${field}: ${ours[field]}, ${theirs[field]}`);
    for (const field of DATES) t.is(ours[field].getTime(), theirs[field].getTime(), field);
    for (const kind of KINDS) t.is(ours[kind](), theirs[kind](), kind);
    await file.close();
  });
}

onEach('many stats at once each answer for their own file', async (t, proactor) => {
  const files = await Promise.all(Array.from({ length: 20 }, (_, index) => open(fileOf(Buffer.alloc(index * 100)), { proactor })));
  const stats = await Promise.all(files.flatMap((file) => [file.stat(), file.stat()]));
  stats.forEach((stat, index) => t.is(stat.size, Math.floor(index / 2) * 100));
  await Promise.all(files.map((file) => file.close()));
});

onEach('truncate: shorter, longer, beyond 4 GiB, to nothing', async (t, proactor) => {
  const paths = [fileOf('0123456789'), fileOf('0123456789')] as const;
  const file = await open(paths[0], { flags: 'r+', proactor });
  for (const length of [5, 5, 100, 4 * GIB + 3, 7, 0]) {
    await file.truncate(length);
    fs.truncateSync(paths[1], length);
    t.is(fs.statSync(paths[0]).size, length);
    if (length <= 100) sameBytes(t, fs.readFileSync(paths[0]), fs.readFileSync(paths[1]));
  }
  await file.truncate(3n);
  t.is(fs.statSync(paths[0]).size, 3);
  await file.truncate();
  t.is(fs.statSync(paths[0]).size, 0);
  for (const wrong of [-1, 1.5, Number.NaN, 2 ** 53]) await t.throwsAsync(file.truncate(wrong), { code: 'ERR_OUT_OF_RANGE' });
  await t.throwsAsync(file.truncate('5' as never), { code: 'ERR_INVALID_ARG_TYPE' });
  await file.close();
});

onEach('truncate of a file opened to read fails as in node:fs: EINVAL', async (t, proactor) => {
  const path = fileOf('kept');
  const file = await open(path, { proactor });
  const oracle = await fs.promises.open(path);
  const theirs = await t.throwsAsync<SystemFailure>(oracle.truncate(1));
  const ours = await t.throwsAsync<SystemFailure>(file.truncate(1));
  t.deepEqual([ours.code, ours.errno, ours.syscall, ours.message], [theirs.code, theirs.errno, theirs.syscall, theirs.message]);
  await Promise.all([file.close(), oracle.close()]);
});

onEach('allocate makes a file longer, never shorter, and keeps what it has', async (t, proactor) => {
  const path = fileOf('content');
  const file = await open(path, { flags: 'r+', proactor });
  await file.allocate(0, 3);
  t.is(fs.statSync(path).size, 7);
  await file.allocate(5, 100);
  t.is(fs.statSync(path).size, 105);
  t.is(fs.readFileSync(path, 'latin1'), `content${'\0'.repeat(98)}`);
  await file.allocate(0, 1_000_000, { keepSize: true });
  t.is(fs.statSync(path).size, 105);
  await t.throwsAsync(file.allocate(0, 0), { code: 'ERR_OUT_OF_RANGE' });
  await t.throwsAsync(file.allocate(-1, 5), { code: 'ERR_OUT_OF_RANGE' });
  await file.close();
  const readOnly = await open(path, { proactor });
  await t.throwsAsync(readOnly.allocate(0, 5), { code: 'EBADF' });
  await readOnly.close();
});

onEach('sync and datasync resolve, on a directory too', async (t, proactor) => {
  const file = await open(freshPath(), { flags: 'w', proactor });
  await file.writer().write('x');
  t.is(await file.sync(), undefined);
  t.is(await file.datasync(), undefined);
  await file.close();
  const directory = await open('/tmp', { proactor });
  await directory.sync();
  await directory.close();
  const device = await open('/dev/null', { proactor });
  const theirs = t.throws<SystemFailure>(() => fs.fsyncSync(device.fd));
  const ours = await t.throwsAsync<SystemFailure>(device.sync());
  t.deepEqual([ours.code, ours.syscall, ours.message], [theirs.code, theirs.syscall, theirs.message]);
  await device.close();
});

const LATE: readonly (readonly [string, (file: File) => Promise<unknown> | unknown])[] = [
  ['allocator', (file) => file.allocator().read()],
  ['submitter', (file) => file.submitter().submit(Buffer.alloc(10))],
  ['hybrid', (file) => file.hybrid().pull()],
  ['write', (file) => file.writer().write('x')],
  ['stat', (file) => file.stat()],
  ['truncate', (file) => file.truncate()],
  ['allocate', (file) => file.allocate(0, 1)],
  ['sync', (file) => file.sync()],
  ['datasync', (file) => file.datasync()],
];

onEach('after close everything is refused: ERR_RITSU_CLOSED, and no reused number is touched', async (t, proactor) => {
  const file = await open(fileOf('first'), { flags: 'r+', proactor });
  const { fd } = file;
  await file.close();
  const other = await open(fileOf('second'), { flags: 'r+', proactor });
  if (other.fd === fd) t.log('the number was used again');
  for (const [name, late] of LATE) {
    await t.throwsAsync<SystemFailure>(async () => late(file), { code: 'ERR_RITSU_CLOSED' }, name);
  }
  t.is(file.fd, -1);
  t.true(file.closed);
  t.is(fs.readFileSync(other.path, 'utf8'), 'second');
  await other.close();
});

onEachAlone('close is ordered behind what was submitted before, and again gives the same promise', {}, async (t, proactor) => {
  const content = randomBytes(50_000);
  const file = await open(fileOf(content), { proactor });
  const reader = file.allocator({ blockSize: 4096 });
  const reads = Array.from({ length: 8 }, (_, index) => reader.read({ position: index * 4096 }));
  const closing = file.close();
  t.is(file.close(), closing);
  for (const [index, read] of reads.entries()) {
    const bytes = await read;
    sameBytes(t, bytes!.copy(), content.subarray(index * 4096, (index + 1) * 4096));
    bytes!.release();
  }
  await closing;
  t.is(proactor.stats().descriptorsOpen, 0);
  t.is(openCount(file.path), 0);
});

onEach('memory that comes after the close: the read that waited for it is refused', async (t, proactor) => {
  const file = await open(fileOf('content'), { proactor });
  const gate = Promise.withResolvers<void>();
  let released = 0;
  const acquire = async (): Promise<Buffer> => {
    await gate.promise;
    return alloc(4096, { proactor });
  };
  const reader = file.allocator({ allocator: { acquire, release: () => (released += 1) }, blockSize: 4096 });
  const reads = [reader.read(), reader.read({ position: 0 })];
  const refused = reads.map((read) => t.throwsAsync(read, { code: 'ERR_RITSU_CLOSED' }));
  await file.close();
  gate.resolve();
  await Promise.all(refused);
  await new Promise((resolve) => setTimeout(resolve, 20));
  t.is(released, 2, 'and the memory goes back');
});

for (const style of STYLES.filter(({ name }) => !name.includes('of the program'))) {
  onEach(`close is ordered behind the first reads of a sequence, too: ${style.name}`, async (t, proactor) => {
    const content = randomBytes(10_000);
    const file = await open(fileOf(content), { proactor });
    const next = style.reader(file, proactor, 4096);
    const reads = [next(), next()];
    const closing = file.close();
    const [first, second] = await Promise.all(reads);
    sameBytes(t, first, content.subarray(0, 4096));
    sameBytes(t, second, content.subarray(4096, 8192));
    await closing;
  });
}

onEach('opened, used and closed 500 times, no descriptor is left', async (t, proactor) => {
  const path = fileOf('x');
  for (let round = 0; round < 10; round += 1) {
    const files = await Promise.all(Array.from({ length: 50 }, () => open(path, { proactor })));
    t.is(openCount(path), 50);
    await Promise.all(files.map(async (file) => {
      (await file.allocator().read())!.release();
      await file.close();
    }));
  }
  t.is(openCount(path), 0);
});

onEach('a directory can be opened and closed, not read: EISDIR, as node:fs has it', async (t, proactor) => {
  const directory = await open('/tmp', { proactor });
  const oracle = await fs.promises.open('/tmp');
  const theirs = await t.throwsAsync<SystemFailure>(oracle.read(Buffer.alloc(10)));
  const reads = [
    () => directory.allocator().read(),
    () => directory.allocator().read({ position: 0 }),
    () => directory.hybrid().pull(),
    async () => {
      const reader = directory.submitter();
      reader.submit(Buffer.from(new ArrayBuffer(10)));
      await reader.poll();
    },
  ];
  for (const read of reads) {
    const ours = await t.throwsAsync<SystemFailure>(read);
    t.deepEqual([ours.code, ours.errno, ours.syscall, ours.message], [theirs.code, theirs.errno, theirs.syscall, theirs.message]);
  }
  await Promise.all([directory.close(), oracle.close()]);
});

onEach('a file opened to write is not read: EBADF, and the memory comes back on the error', async (t, proactor) => {
  const file = await open(fileOf('x'), { flags: 'a', proactor });
  await t.throwsAsync(file.allocator().read(), { code: 'EBADF' });
  const reader = file.submitter();
  const buffer = Buffer.from(new ArrayBuffer(100)).fill('k');
  reader.submit(buffer);
  t.is(buffer.length, 0);
  const error = await t.throwsAsync<SystemFailure & { buffer: Buffer }>(reader.poll(), { code: 'EBADF' });
  t.is(error.buffer.toString(), 'k'.repeat(100));
  await file.close();
});
