/**
 * Description: ready(): waiting for a descriptor of somebody else's, which is not touched.
 *
 * What turns it red: bytes that are read; a wait that does not end when the descriptor is ready, hung up, aborted or out of
 * time; the owner's descriptor closed; a duplicate left open.
 */
import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import { execFileSync } from 'node:child_process';
import type { Proactor } from 'ritsu';
import { ready } from 'ritsu';
import { onEach } from '../support/backends.ts';
import type { Body } from '../support/backends.ts';
import { freshPath, openCount } from '../support/files.ts';
import { eventually, pause } from '../support/net.ts';

/** Both ends of a pipe, as integers. */
function fifo(): { readonly path: string; readonly readEnd: number; readonly writeEnd: number } {
  const path = freshPath('fifo');
  execFileSync('mkfifo', [path]);
  // Opened for both first: neither end then waits for the other.
  const both = openSync(path, 'r+');
  const readEnd = openSync(path, 'r');
  const writeEnd = openSync(path, 'w');
  closeSync(both);
  return { path, readEnd, writeEnd };
}

/** Node's own modules cannot wait for a descriptor without reading it: that backend says so. */
function onRing(name: string, body: (...args: Parameters<Body>) => Promise<void>): void {
  onEach(name, async (t, proactor: Proactor, backend) => {
    if (backend === 'uring') return body(t, proactor, backend);
    const { readEnd, writeEnd } = fifo();
    await t.throwsAsync(ready(readEnd, 'readable', { proactor }), { code: 'ENOTSUP' });
    closeSync(readEnd);
    closeSync(writeEnd);
  });
}

onRing('readable, writable, hung up', async (t, proactor) => {
  const { path, readEnd, writeEnd } = fifo();
  t.deepEqual(await ready(writeEnd, 'writable', { proactor }), ['writable']);
  t.deepEqual(await ready(writeEnd, ['readable', 'writable'], { proactor }), ['writable']);
  const waiting = ready(readEnd, 'readable', { proactor });
  await pause(20);
  writeSync(writeEnd, 'x');
  t.deepEqual(await waiting, ['readable']);
  t.deepEqual(await ready(readEnd, 'readable', { proactor }), ['readable'], 'nothing was read');
  t.is(readSync(readEnd, Buffer.alloc(10)), 1);
  const again = ready(readEnd, undefined, { proactor });
  closeSync(writeEnd);
  t.deepEqual(await again, ['hangup']);
  await eventually(t, 'duplicates are closed', () => openCount(path) === 1);
  t.is(readSync(readEnd, Buffer.alloc(10)), 0, 'the descriptor is the owner’s');
  closeSync(readEnd);
});

onRing('an abort and a timeout end it', async (t, proactor) => {
  const { readEnd, writeEnd } = fifo();
  await t.throwsAsync(ready(readEnd, 'readable', { timeout: 20, proactor }), { name: 'TimeoutError' });
  const controller = new AbortController();
  setTimeout(() => controller.abort(), 20);
  await t.throwsAsync(ready(readEnd, 'readable', { signal: controller.signal, proactor }), { name: 'AbortError' });
  const waiting = ready(readEnd, 'readable', { timeout: 5000, proactor });
  closeSync(readEnd);
  writeSync(writeEnd, 'x');
  t.deepEqual(await waiting, ['readable'], 'it waits on a duplicate');
  closeSync(writeEnd);
});

onEach('wrong arguments', async (t, proactor) => {
  await t.throwsAsync(ready(-1, 'readable', { proactor }), { code: 'ERR_OUT_OF_RANGE' });
  await t.throwsAsync(ready(1.5, 'readable', { proactor }), { code: 'ERR_OUT_OF_RANGE' });
  await t.throwsAsync(ready('0' as never, 'readable', { proactor }), { code: 'ERR_INVALID_ARG_TYPE' });
  for (const events of ['read', [], ['readable', 'x'], 7]) {
    await t.throwsAsync(ready(0, events as never, { proactor }), { code: 'ERR_INVALID_ARG_VALUE' });
  }
});

onRing('a descriptor that is not open', async (t, proactor) => {
  await t.throwsAsync(ready(999_999, 'readable', { proactor }), { code: 'EBADF' });
});
