/**
 * A thread that asks another thread's proactor: the worker of `__test__/threads/remote.test.ts`. What it does is its
 * `workerData.task`; it posts what came of it.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';
import type { MessagePort } from 'node:worker_threads';
import { alloc, connect, listen, open, owned, pooled, remoteProactor, sleep } from 'ritsu';
import type { Proactor } from 'ritsu';

export interface GuestData {
  readonly port: MessagePort;
  readonly task: keyof typeof TASKS;
  readonly path?: string;
  readonly count?: number;
}

const { port, task, path = '', count = 0 } = workerData as GuestData;

function digest(parts: readonly Uint8Array[]): string {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest('hex');
}

async function errorOf(promise: Promise<unknown>): Promise<object> {
  const error = (await promise.catch((thrown: unknown) => thrown)) as NodeJS.ErrnoException & { buffer?: Buffer };
  return { name: error.name, code: error.code, message: error.message, buffer: error.buffer?.length };
}

async function files(remote: Proactor): Promise<object> {
  const file = await open(path, { flags: 'r+', proactor: remote });
  const digests: string[] = [];
  for (const reader of [file.allocator(), file.submitter(), file.hybrid()]) {
    const parts: Buffer[] = [];
    for (let position = 0; ; ) {
      const bytes = await reader.pull({ position });
      if (bytes === null || bytes.length === 0) break;
      parts.push(bytes.copy());
      position += bytes.length;
      bytes.release();
    }
    digests.push(digest(parts));
  }
  const chunks: Buffer[] = [];
  for await (const bytes of file.allocator({ blockSize: 5000 })) chunks.push(bytes.copy());
  digests.push(digest(chunks));
  const own = await file.hybrid().read(owned(Buffer.from(new ArrayBuffer(10))), { position: 5 });
  const mine = own!.take();
  const many = await file.allocator({ blockSize: 10 }).readMany([5, 699_995, 20]);
  const places = { bytes: many!.data.toString('hex'), lengths: many!.lengths };
  many!.release();
  const { size } = await file.stat();
  const writer = file.writer({ position: 0 } as never);
  await writer.writeAll('written remotely');
  writer.push('a').push(Buffer.from('bc')).push(alloc(3, { proactor: remote }));
  const { bytesWritten } = await writer.flush();
  await file.sync();
  const absent = await errorOf(open('/nonexistent', { proactor: remote }));
  await file.close();
  return { digests, size, bytesWritten, places, mine: mine.toString('hex'), absent, written: readFileSync(path, 'latin1').slice(0, 19) };
}

async function sockets(remote: Proactor): Promise<object> {
  const listener = await listen({ port: 0, host: '127.0.0.1', proactor: remote });
  const target = { port: listener.address().port, host: '127.0.0.1', proactor: remote };
  const [inside, outside] = await Promise.all([listener.accept(), connect(target)]);
  const sent = Buffer.alloc(3_000_000, 'remote');
  const parts: Buffer[] = [];
  const receiving = (async () => {
    for await (const bytes of inside.allocator()) parts.push(bytes.copy());
  })();
  outside.setNoDelay(true);
  await outside.writer().writeAll(sent);
  await outside.shutdown();
  await receiving;
  const same = Buffer.concat(parts).equals(sent);
  const ports = inside.localPort === outside.remotePort && inside.remotePort === outside.localPort;
  const timedOut = await errorOf(outside.hybrid().read(owned(alloc(9, { proactor: remote })), { timeout: 20 }));
  const refused = await errorOf(connect({ ...target, port: 1 }));
  await Promise.all([inside.close(), outside.close(), listener.close()]);
  const started = performance.now();
  await sleep(30, { proactor: remote });
  return { same, ports, timedOut, refused, slept: performance.now() - started >= 29 };
}

/** Never ends by itself: a read that waits, a timer, an open file. */
async function hang(remote: Proactor): Promise<object> {
  const file = await open(path, { proactor: remote });
  const listener = await listen({ port: 0, host: '127.0.0.1', proactor: remote });
  const [inside] = await Promise.all([listener.accept(), connect({ port: listener.address().port, host: '127.0.0.1', proactor: remote })]);
  const waiting = [inside.hybrid().read(pooled({ pool: remote.pool })), listener.accept(), sleep(1e6, { proactor: remote })];
  void Promise.allSettled(waiting);
  parentPort!.postMessage({ hanging: file.fd >= 0 });
  await Promise.race(waiting);
  return {};
}

async function nops(remote: Proactor): Promise<object> {
  let out = 0;
  let most = 0;
  let done = 0;
  const lane = async (): Promise<void> => {
    while (done < count) {
      done += 1;
      out += 1;
      if (done % 97 === 0) most = Math.max(most, remote.stats().inFlight);
      const result = await remote.nop(done);
      if (result < 0) throw new Error(String(result));
      out -= 1;
      if (done % 1999 === 0) await delay(1); // the owner falls asleep now and then
    }
  };
  await Promise.all(Array.from({ length: 200 }, lane));
  const { enters, wakes } = remote.stats();
  return { done, out, most, enters, wakes };
}

async function inOrder(remote: Proactor): Promise<object> {
  const file = await open(path, { flags: 'a', proactor: remote });
  const writer = file.writer();
  await Promise.all(Array.from({ length: count }, (_, index) => writer.writeAll(`${index}\n`)));
  await file.close();
  return { lines: readFileSync(path, 'utf8').split('\n').slice(0, -1).every((line, index) => line === String(index)) };
}

const TASKS = { files, sockets, hang, nops, inOrder };

const remote = await remoteProactor(port, task === 'nops' ? { inFlightMax: 64 } : {});
parentPort!.postMessage({ result: await TASKS[task](remote) });
const { inFlight, blocksBusy, pool } = remote.stats();
parentPort!.postMessage({ end: { inFlight, blocksBusy, whole: pool.every(({ available, count: all }) => available === all) } });
await remote.close();
