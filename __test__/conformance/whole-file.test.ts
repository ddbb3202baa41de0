/**
 * Description: whole files by one call. `readFile` gives what `node:fs/promises` gives, and fails as it fails; `writeFile` leaves in the
 * file what Node would leave; whatever ends them, the descriptor is closed and every block is back.
 *
 * What turns it red: the bytes after the first block left out or in the wrong place; trusting a length of 0; a file that is begun anew
 * although the data are not to be written; a lease kept while another one is waited for; a descriptor left open by an error.
 */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import * as fs from 'node:fs';
import { pathToFileURL } from 'node:url';
import type { ExecutionContext } from 'ava';
import { CancelScope, alloc, open, readFile, writeFile } from 'ritsu';
import type { Bytes, FileContent, Proactor, ReadFileOptions, WriteResult } from 'ritsu';
import { onEach, onEachAlone, onReal, onRealAlone } from '../support/backends.ts';
import { fileOf, freshPath, openCount, randomBytes } from '../support/files.ts';
import { eventually } from '../support/net.ts';
import { sameBytes } from '../support/same.ts';

const KIB = 1024;
const SIZES = [0, 1, 4096, 64 * KIB - 1, 64 * KIB, 64 * KIB + 1, 1088 * KIB, 3000 * KIB + 5];

type Failed = Error & { code?: string; errno?: number; syscall?: string; path?: string };

function shapeOf({ name, code, errno, syscall, path, message }: Failed): object {
  return { name, code, errno, syscall, path, message };
}

async function failureOf(work: Promise<unknown>): Promise<Failed> {
  try {
    await work;
  } catch (error) {
    return error as Failed;
  }
  throw new Error('it did not fail');
}

async function whole(t: ExecutionContext, proactor: Proactor): Promise<void> {
  const held = (): number => proactor.stats().pool.reduce((sum, { leased }) => sum + leased, 0);
  await eventually(t, 'every block is back, and nothing open', () => held() === 0 && proactor.stats().descriptorsOpen === 0);
}

function fifo(): string {
  const path = freshPath('fifo');
  execFileSync('mkfifo', [path]);
  return path;
}

/** Takes what is there now; how many bytes that was. */
function readableOf(fd: number): number {
  try {
    return fs.readSync(fd, Buffer.alloc(1 << 20));
  } catch (error) {
    if ((error as Failed).code === 'EAGAIN') return 0;
    throw error;
  }
}

/** Write into a FIFO, by a process: a thread of Node's pool would wait there for its reader, who may want one, too. */
async function feed(path: string, content: Uint8Array): Promise<void> {
  const [code] = (await once(spawn('sh', ['-c', 'cat "$0" > "$1"', fileOf(content), path]), 'exit')) as [number];
  if (code !== 0) throw new Error(`cat ended with ${code}`);
}

onEach('readFile gives what Node gives, at every size and in every encoding', async (t, proactor) => {
  for (const size of SIZES) {
    const content = randomBytes(size, size + 1);
    const path = fileOf(content);
    const bytes = await readFile(path, { proactor });
    sameBytes(t, bytes, content, `${size} bytes`);
    t.true(Buffer.isBuffer(bytes));
    for (const encoding of ['utf8', 'hex', 'base64', 'latin1', 'utf16le'] as const) {
      t.true((await readFile(path, { encoding, proactor })) === fs.readFileSync(path, encoding), `${size} bytes as ${encoding}`);
    }
    t.is(openCount(path), 0);
  }
});

onEach('paths, flags and encodings as Node takes them', async (t, proactor) => {
  const path = fileOf('content');
  t.is((await readFile(pathToFileURL(path), { proactor })).toString(), 'content');
  t.is(await readFile(Buffer.from(path), { proactor, encoding: 'utf8' }), 'content');
  t.is((await readFile(path, { proactor, encoding: 'buffer' as never })).toString(), 'content');
  t.is((await readFile(path, { proactor, encoding: null, flag: fs.constants.O_RDWR })).toString(), 'content');
  t.is(await readFile(path, 'utf8'), 'content'); // by the thread's own proactor
  const fresh = freshPath();
  t.is((await readFile(fresh, { proactor, flag: 'a+' })).length, 0);
  t.true(fs.existsSync(fresh));
});

onEach('readFile fails as Node fails', async (t, proactor) => {
  const path = fileOf('content');
  const large = freshPath('large');
  fs.writeFileSync(large, '');
  fs.truncateSync(large, 2 ** 31);
  const rows: [path: unknown, options?: object][] = [
    [freshPath('missing')], [fs.realpathSync('/tmp')], [`${path}\0`], [large], [path, { encoding: 'utf9' }], [path, { flag: 'q' }],
    [path, { flag: 'wx' }], [`${path}/below`], [path, { flag: 'w' }],
  ];
  for (const [where, options] of rows) {
    const [ours, theirs] = await Promise.all([
      failureOf(readFile(where as string, { ...options, proactor } as ReadFileOptions)),
      failureOf(fs.promises.readFile(where as string, options as object)),
    ]);
    t.deepEqual(shapeOf(ours), shapeOf(theirs), `${String(where)} ${JSON.stringify(options)}`);
  }
  t.is((await failureOf(readFile(5 as never))).code, 'ERR_INVALID_ARG_TYPE');
  t.is((await failureOf(readFile(path, 5 as never))).code, 'ERR_INVALID_ARG_TYPE');
  t.is((await failureOf(readFile(path, { proactor: {} as never }))).code, 'ERR_INVALID_ARG_TYPE');
  t.is((await failureOf(readFile(path, { signal: {} as never }))).code, 'ERR_INVALID_ARG_TYPE');
  fs.rmSync(large);
  await whole(t, proactor);
});

// Seen red: a length of 0 was believed.
onReal('what does not say its length is read to its end', async (t, proactor) => {
  t.deepEqual(await readFile('/proc/version', { proactor }), fs.readFileSync('/proc/version'));
  const cpus = await readFile('/proc/cpuinfo', { proactor, encoding: 'latin1' });
  t.is(cpus.split('\n').length, fs.readFileSync('/proc/cpuinfo', 'latin1').split('\n').length);
  const path = fifo();
  const content = randomBytes(300_000);
  const reading = readFile(path, { proactor });
  const fed = feed(path, content);
  sameBytes(t, await reading, content);
  await fed;
});

onReal('a file that is cut while it is read: what was there', async (t, proactor) => {
  const content = randomBytes(24 * KIB * KIB);
  const path = fileOf(content);
  const reading = readFile(path, { proactor });
  await eventually(t, 'it is open', () => openCount(path) > 0);
  fs.truncateSync(path, 5 * KIB * KIB + 7);
  const bytes = await reading;
  t.true(bytes.length >= 5 * KIB * KIB + 7 && bytes.length <= content.length, `${bytes.length}`);
  sameBytes(t, bytes, content.subarray(0, bytes.length));
});

// Seen red: the first block was kept while the next one was waited for.
onRealAlone('many at once, of every kind, through two blocks', { pool: { classes: [{ size: 64 * KIB, count: 2 }] } }, async (t, proactor) => {
  const contents = [10, 64 * KIB, 64 * KIB + 1, 700_000].map((size) => randomBytes(size, size));
  const paths = contents.map((content) => fileOf(content));
  const fifos = Array.from({ length: 3 }, fifo);
  const fed = fifos.map((path) => feed(path, contents[3]!));
  const reads = Array.from({ length: 40 }, (_, index) => readFile(paths[index % 4]!, { proactor }));
  const ends = fifos.map((path) => readFile(path, { proactor }));
  for (const [index, bytes] of (await Promise.all(reads)).entries()) sameBytes(t, bytes, contents[index % 4]!);
  for (const bytes of await Promise.all(ends)) sameBytes(t, bytes, contents[3]!);
  await Promise.all(fed);
  t.deepEqual(await readFile('/proc/version', { proactor }), fs.readFileSync('/proc/version'));
  await whole(t, proactor);
});

onEach('what was read is ordinary memory: it does not move into a write', async (t, proactor) => {
  const path = fileOf(randomBytes(200_000));
  const bytes = await readFile(path, { proactor });
  for (const name of ['one', 'two']) {
    const copy = freshPath(name);
    t.is((await writeFile(copy, bytes, { proactor })).bytesWritten, bytes.length);
    sameBytes(t, fs.readFileSync(copy), bytes);
  }
  t.is(bytes.length, 200_000);
});

onRealAlone('a signal, a time and a scope end it wherever it is, once', {}, async (t, proactor) => {
  const path = fileOf('content');
  t.is((await failureOf(readFile(path, { proactor, signal: AbortSignal.abort('why') }))).cause, 'why');
  t.is((await failureOf(readFile(path, { proactor, timeout: 0 }))).name, 'TimeoutError');
  const waiting = fifo();
  const keeper = fs.openSync(waiting, 'r+'); // there is a writer, and it writes nothing
  const late = await failureOf(readFile(waiting, { proactor, timeout: 30 }));
  t.is(late.name, 'TimeoutError');
  t.true(late.message.includes('readFile'), late.message);
  const scope = new CancelScope();
  const reads = [1, 2].map(() => failureOf(readFile(waiting, { proactor, signal: scope.signal })));
  t.is(scope.running, 2);
  await new Promise((resolve) => setTimeout(resolve, 20));
  t.deepEqual(await scope.cancel(), { completed: 0, aborted: 2, failed: 0 });
  for (const { name } of await Promise.all(reads)) t.is(name, 'AbortError');
  const inner = new CancelScope();
  await readFile(path, { proactor, signal: inner.signal });
  await writeFile(freshPath(), 'x', { proactor, signal: inner.signal });
  await failureOf(readFile('/missing', { proactor, signal: inner.signal }));
  t.deepEqual(await inner.settled(), { completed: 2, aborted: 0, failed: 1 });
  fs.writeSync(keeper, 'x');
  fs.closeSync(keeper);
  await whole(t, proactor);
});

onRealAlone('prompt: it rejects at once, and says later what became of the memory', {}, async (t, proactor) => {
  const path = fifo();
  const keeper = fs.openSync(path, fs.constants.O_RDWR | fs.constants.O_NONBLOCK);
  const memory = alloc(400_000, { proactor });
  const abort = new AbortController();
  const writing = failureOf(writeFile(path, memory, { proactor, signal: abort.signal, prompt: true }));
  await eventually(t, 'the pipe is full', () => readableOf(keeper) > 0);
  abort.abort('now');
  const error = (await writing) as Failed & { outcome: Promise<{ bytesTransferred: number; buffers: Buffer[] }> };
  t.deepEqual([error.name, error.cause], ['AbortError', 'now']);
  let drained = 0;
  const draining = setInterval(() => (drained += readableOf(keeper)), 5); // Node takes no write back
  const { bytesTransferred, buffers } = await error.outcome;
  await eventually(t, 'the file is closed', () => proactor.stats().descriptorsOpen === 0);
  clearInterval(draining);
  t.deepEqual([buffers.length, buffers[0]!.length], [1, 400_000]);
  t.true(bytesTransferred > 0 && bytesTransferred <= 400_000 && drained <= bytesTransferred, `${bytesTransferred}, ${drained}`);
  fs.closeSync(keeper);
});

onEachAlone('nothing is begun once the proactor is closed', {}, async (t, proactor) => {
  const path = fileOf('content');
  await proactor.close();
  t.is((await failureOf(readFile(path, { proactor }))).code, 'ERR_RITSU_CLOSED');
  t.is((await failureOf(writeFile(path, 'x', { proactor }))).code, 'ERR_RITSU_CLOSED');
  t.is(fs.readFileSync(path, 'utf8'), 'content');
});

const PIECES: readonly FileContent[] = [
  '', 'text äöü', Buffer.from('bytes'), new Uint16Array([1, 2, 3]), new DataView(new ArrayBuffer(5)), new ArrayBuffer(7), [], ['a', Buffer.from('b'), ''],
  randomBytes(3_000_001),
];

onEach('writeFile leaves in the file what Node leaves', async (t, proactor) => {
  for (const data of PIECES) {
    const [ours, theirs] = [fileOf('what was there before'), fileOf('what was there before')];
    const { bytesWritten, rest, buffers } = await writeFile(ours, data, { proactor });
    await fs.promises.writeFile(theirs, data instanceof ArrayBuffer ? new Uint8Array(data) : (data as string));
    const [left, expected] = [fs.readFileSync(ours), fs.readFileSync(theirs)];
    sameBytes(t, left, expected);
    t.deepEqual([bytesWritten, rest.length, buffers.length], [expected.length, 0, 0]);
    t.is(openCount(ours), 0);
  }
  const path = freshPath();
  async function* later(): AsyncGenerator<string | Uint8Array> {
    yield 'one ';
    await new Promise((resolve) => setTimeout(resolve, 5));
    yield new Uint8Array([0x32]);
  }
  await writeFile(path, later(), { proactor, flush: true });
  await writeFile(path, 'ff', { proactor, encoding: 'hex', flag: 'a' });
  sameBytes(t, fs.readFileSync(path), Buffer.concat([Buffer.from('one 2'), Buffer.from([0xff])]));
  const made = freshPath();
  await writeFile(made, 'x', { proactor, mode: 0o600 });
  t.is(fs.statSync(made).mode & 0o777, 0o600);
});

onEach('memory of alloc() and Bytes move into a writeFile, and come back', async (t, proactor) => {
  const path = freshPath();
  const memory = alloc(100_000, { proactor });
  memory.fill(7);
  const { buffers, bytesWritten } = await writeFile(path, memory.subarray(10, 90_010), { proactor });
  t.deepEqual([memory.length, buffers.length, buffers[0]!.length, bytesWritten], [0, 1, 100_000, 90_000]);
  const file = await open(path, { proactor });
  const bytes = (await file.allocator().read({ position: 0 })) as Bytes;
  const { length } = bytes;
  const copy = freshPath();
  t.is((await writeFile(copy, [bytes, buffers[0]!], { proactor })).bytesWritten, length + 100_000);
  t.true(bytes.released);
  t.is(fs.statSync(copy).size, length + 100_000);
  await file.close();
});

onEach('a writeFile that is refused leaves the file as it was', async (t, proactor) => {
  const path = fileOf('content');
  const bad: [data: unknown, options: object, code: string][] = [
    [5, {}, 'ERR_INVALID_ARG_TYPE'], [null, {}, 'ERR_INVALID_ARG_TYPE'], [undefined, {}, 'ERR_INVALID_ARG_TYPE'], [{}, {}, 'ERR_INVALID_ARG_TYPE'],
    ['x', { encoding: 'utf9' }, 'ERR_INVALID_ARG_VALUE'], ['x', { flag: 'zz' }, 'ERR_INVALID_ARG_VALUE'], ['x', { mode: '9' }, 'ERR_INVALID_ARG_VALUE'],
    ['x', { flush: 1 }, 'ERR_INVALID_ARG_TYPE'], ['x', { flag: 'wx' }, 'EEXIST'], ['x', { timeout: 0 }, 'ERR_RITSU_TIMEOUT'],
    ['x', { signal: AbortSignal.abort() }, 'ABORT_ERR'],
  ];
  for (const [data, options, code] of bad) {
    const error = await failureOf(writeFile(path, data as string, { ...options, proactor }));
    t.is(error.code, code, `${String(data)} ${JSON.stringify(options)}`);
    t.is(fs.readFileSync(path, 'utf8'), 'content', code);
  }
  t.is(openCount(path), 0);
});

onReal('a writeFile that fails half-way says how far it came, and gives all memory back', async (t, proactor) => {
  const memory = alloc(10, { proactor });
  const full = (await failureOf(writeFile('/dev/full', memory, { proactor }))) as Failed & WriteResult & { bytesTransferred: number };
  t.deepEqual([full.code, full.syscall, full.bytesTransferred, full.rest.length, full.buffers.length], ['ENOSPC', 'write', 0, 10, 1]);
  const path = freshPath();
  const stop = new Error('no more');
  function* failing(): Generator<Uint8Array> {
    yield full.buffers[0]!;
    throw stop;
  }
  const error = await failureOf(writeFile(path, failing(), { proactor }));
  t.is(error, stop);
  t.like(error, { bytesTransferred: 10 });
  t.is((error as Failed & WriteResult).buffers[0]!.length, 10);
  t.is(openCount(path), 0);
  const wrong = await failureOf(writeFile(path, ['x', 5] as string[], { proactor }));
  t.deepEqual([wrong.code, fs.readFileSync(path, 'utf8')], ['ERR_INVALID_ARG_TYPE', 'x']);
});
