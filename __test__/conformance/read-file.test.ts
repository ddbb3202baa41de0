/**
 * Description: `readFile` gives what `node:fs/promises` gives, and fails as it fails; whatever ends it, the descriptor is closed and every
 * block is back.
 *
 * What turns it red: the bytes after the first block left out or in the wrong place; trusting a length of 0; a lease kept while another one
 * is waited for; a descriptor left open by an error.
 */
import * as fs from 'node:fs';
import { pathToFileURL } from 'node:url';
import { CancelScope, Proactor, readFile, writeFile } from 'ritsu';
import type { ReadFileOptions } from 'ritsu';
import { onEach, onReal, onRealAlone } from '../support/backends.ts';
import { fileOf, freshPath, openCount, randomBytes } from '../support/files.ts';
import { eventually } from '../support/net.ts';
import { sameBytes } from '../support/same.ts';
import { failureOf, feed, fifo, shapeOf, whole } from '../support/whole-file.ts';

const KIB = 1024;
const SIZES = [0, 1, 4096, 64 * KIB - 1, 64 * KIB, 64 * KIB + 1, 1088 * KIB, 3000 * KIB + 5];

onEach('readFile gives what Node gives, at every size and in every encoding', async (t, proactor) => {
  for (const size of SIZES) {
    const content = randomBytes(size, size + 1);
    const path = fileOf(content);
    const bytes = await readFile(path, { proactor });
    sameBytes(t, bytes, content, `${size} bytes`);
    t.true(Buffer.isBuffer(bytes));
    t.deepEqual([bytes.byteOffset, bytes.buffer.byteLength], [0, size], 'memory of its own');
    if (size > 0) t.is(structuredClone(bytes, { transfer: [bytes.buffer] }).length, size, 'and it can be sent to another thread');
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
    // Before Node 26 an error of a read, after the open, names no path.
    if (theirs.syscall === 'read' && theirs.path === undefined) Object.assign(theirs, { path: where, message: `${theirs.message} '${String(where)}'` });
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

// Seen red: memory was pinned, or let go, on a ring that was gone; with an error of no documented code, or as an exception of nobody's.
onRealAlone('a proactor that is closed, or destroyed, meanwhile: all of it, or ERR_RITSU_CLOSED', {}, async (t, _proactor, backend) => {
  const content = randomBytes(5_000_000);
  const path = fileOf(content);
  const codes = new Set<unknown>();
  for (let turn = 0; turn < 40; turn += 1) {
    const proactor = new Proactor({ backend });
    const reading = readFile(path, { proactor }).then((bytes) => bytes.equals(content), ({ code }: { code: string }) => code);
    for (let hop = 0; hop < turn % 20; hop += 1) await (hop % 3 === 0 ? new Promise(setImmediate) : undefined);
    await (turn % 2 === 0 ? proactor.close() : proactor.destroy());
    codes.add(await reading);
    t.is(proactor.stats().blocksBusy, 0);
  }
  t.deepEqual([...codes].filter((code) => code !== true && code !== 'ERR_RITSU_CLOSED'), []);
  t.is(openCount(path), 0);
});

// Seen red: the first block was kept while a long file was read.
onRealAlone('a long file keeps no block: a short one does not wait for it', { pool: { classes: [{ size: 64 * KIB, count: 1 }], whenEmpty: 'fail' } }, async (t, proactor) => {
  const long = fileOf(randomBytes(40 * KIB * KIB));
  const short = fileOf('short');
  const reading = readFile(long, { proactor });
  let isThere = false;
  void reading.then(() => (isThere = true));
  await eventually(t, 'it is past the first block', () => proactor.stats().completed > 4);
  while (!isThere) t.is(await readFile(short, { proactor, encoding: 'utf8' }), 'short');
  t.is((await reading).length, 40 * KIB * KIB);
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

onRealAlone('a signal, a time and a scope end it wherever it is, once', {}, async (t, proactor) => {
  const path = fileOf('content');
  t.is((await failureOf(readFile(path, { proactor, signal: AbortSignal.abort('why') }))).cause, 'why');
  t.is((await failureOf(readFile(path, { proactor, timeout: 0 }))).name, 'TimeoutError');
  t.is((await failureOf(readFile(path, Object.create({ proactor, timeout: 0 }) as ReadFileOptions))).name, 'TimeoutError', 'of a prototype');
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
