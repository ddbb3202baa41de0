/**
 * Description: `writeFile` leaves in the file what `node:fs/promises` would leave, gives memory back, and says how far it came; whatever ends
 * it, the descriptor is closed.
 *
 * What turns it red: a file that is begun anew although it can be seen that the data cannot be written; an error of the program's own that
 * is told as another one; a piece that is waited for although the signal has aborted; memory that no error brings back.
 */
import * as fs from 'node:fs';
import { CancelScope, alloc, open, readFile, writeFile } from 'ritsu';
import type { Bytes, FileContent, WriteResult } from 'ritsu';
import { onEach, onEachAlone, onReal, onRealAlone } from '../support/backends.ts';
import { fileOf, freshPath, openCount, randomBytes } from '../support/files.ts';
import { eventually } from '../support/net.ts';
import { sameBytes } from '../support/same.ts';
import { failureOf, fifo, whole } from '../support/whole-file.ts';
import type { Failed } from '../support/whole-file.ts';

/** Takes what is there now; how many bytes that was. */
function readableOf(fd: number): number {
  try {
    return fs.readSync(fd, Buffer.alloc(1 << 20));
  } catch (error) {
    if ((error as Failed).code === 'EAGAIN') return 0;
    throw error;
  }
}

/** A view of memory that is elsewhere by now. */
function moved(): Uint8Array {
  const view = new Uint8Array(8);
  view.buffer.transfer();
  return view;
}

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

onRealAlone('what gives the pieces may fail, in whatever way, or never go on', {}, async (t, proactor) => {
  const path = freshPath();
  const scope = new CancelScope();
  const { signal } = scope;
  for (const what of [null, undefined, 'text', 5, Object.freeze(new Error('frozen'))]) {
    function* failing(): Generator<string> {
      yield 'one';
      throw what;
    }
    const [outcome] = await Promise.allSettled([writeFile(path, failing(), { proactor, signal })]);
    t.true(outcome.status === 'rejected' && Object.is(outcome.reason, what), String(what));
  }
  t.is(scope.running, 0);
  function deepHere(): never {
    throw Object.assign(new Error('deep'), { bytesTransferred: 500 });
  }
  const deep = await failureOf(writeFile(path, { [Symbol.iterator]: () => ({ next: deepHere }) }, { proactor }));
  t.true(deep.stack?.includes('deepHere'), deep.stack);
  t.like(deep, { bytesTransferred: 500 });
  let [asked, left] = [0, 0];
  const never = (): AsyncIterable<string> => ({
    [Symbol.asyncIterator]: () => ({ next: () => ((asked += 1), new Promise(() => {})), return: () => ((left += 1), new Promise(() => {})) }),
  });
  t.is((await failureOf(writeFile(path, never(), { proactor, timeout: 20 }))).name, 'TimeoutError');
  const ended = failureOf(writeFile(path, never(), { proactor, signal }));
  const before = asked;
  await eventually(t, 'it waits', () => asked > before);
  t.like(await scope.cancel('enough'), { aborted: 1, failed: 5 });
  t.deepEqual([(await ended).name, left], ['AbortError', asked]); // a busy machine may not come to ask the first
  await whole(t, proactor);
});

onEach('a writeFile that is refused leaves the file as it was', async (t, proactor) => {
  const path = fileOf('content');
  const bad: [data: unknown, options: object, code: string][] = [
    [5, {}, 'ERR_INVALID_ARG_TYPE'], [null, {}, 'ERR_INVALID_ARG_TYPE'], [undefined, {}, 'ERR_INVALID_ARG_TYPE'], [{}, {}, 'ERR_INVALID_ARG_TYPE'],
    ['x', { encoding: 'utf9' }, 'ERR_INVALID_ARG_VALUE'], ['x', { flag: 'zz' }, 'ERR_INVALID_ARG_VALUE'], ['x', { mode: '9' }, 'ERR_INVALID_ARG_VALUE'],
    ['x', { flush: 1 }, 'ERR_INVALID_ARG_TYPE'], ['x', { flag: 'wx' }, 'EEXIST'], ['x', { timeout: 0 }, 'ERR_RITSU_TIMEOUT'],
    ['x', { signal: AbortSignal.abort() }, 'ABORT_ERR'], [moved(), {}, 'ERR_RITSU_BUFFER_DETACHED'],
  ];
  const file = await open(path, { proactor });
  const released = (await file.allocator().read())!;
  released.release();
  await file.close();
  bad.push([released, {}, 'ERR_RITSU_RELEASED']);
  for (const [data, options, code] of bad) {
    const error = await failureOf(writeFile(path, data as string, { ...options, proactor }));
    t.is(error.code, code, Object.keys(options).join());
    t.is(fs.readFileSync(path, 'utf8'), 'content', code);
  }
  t.is(openCount(path), 0);
});

onReal('a writeFile that fails half-way says how far it came, and gives all memory back', async (t, proactor) => {
  const memory = alloc(10, { proactor });
  const full = (await failureOf(writeFile('/dev/full', memory, { proactor }))) as Failed & WriteResult & { bytesTransferred: number };
  t.deepEqual([full.code, full.syscall, full.bytesTransferred, full.rest.length, full.buffers.length], ['ENOSPC', 'write', 0, 10, 1]);
  const much = randomBytes(3_000_000);
  const part = (await failureOf(writeFile('/dev/full', much, { proactor }))) as Failed & WriteResult & { bytesTransferred: number };
  t.is(part.bytesTransferred, 0);
  sameBytes(t, part.rest, much, 'all of it is left');
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
