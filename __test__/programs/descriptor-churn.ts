/**
 * Opens and closes all that has a descriptor, some of it twice, beside a thread that opens files as fast as it can and
 * looks whether each stays what it was: `descriptor-churn <backend> <rounds>`. Whatever is closed once too often hits
 * a file of that thread's.
 */
import * as fs from 'node:fs';
import { once } from 'node:events';
import { Worker, isMainThread, parentPort, workerData } from 'node:worker_threads';
import { Proactor, connect, listen, open, pipe } from 'ritsu';
import type { BackendName } from 'ritsu';
import { report } from './report.ts';

const HELD = 40;
const PATHS = ['/dev/null', '/dev/zero', '/proc/self/stat', '/proc/version'];

function surpriseOf(fd: number, device: number): string | undefined {
  try {
    const now = fs.fstatSync(fd).ino;
    fs.closeSync(fd);
    return now === device ? undefined : `${fd} is another file`;
  } catch (error) {
    return `${fd}: ${(error as NodeJS.ErrnoException).code}`;
  }
}

/** Holds a few files at a time, and gives up the oldest for a new one, until told to stop. */
function openMany(stop: Int32Array): void {
  const held: (readonly [fd: number, inode: number])[] = [];
  const surprises: (string | undefined)[] = [];
  let opened = 0;
  parentPort!.postMessage('begins');
  for (; Atomics.load(stop, 0) === 0; opened += 1) {
    const fd = fs.openSync(PATHS[opened % PATHS.length]!, 'r');
    held.push([fd, fs.fstatSync(fd).ino]);
    if (held.length > HELD) surprises.push(surpriseOf(...held.shift()!));
  }
  for (const each of held) surprises.push(surpriseOf(...each));
  parentPort!.postMessage({ opened, surprises: [...new Set(surprises.filter((each) => each !== undefined))].slice(0, 10) });
}

async function twice(resource: { close(): Promise<void>; destroy?(): Promise<void> }): Promise<void> {
  await Promise.all([resource.close(), resource.close(), resource.destroy?.()]);
  await resource.close();
}

async function round(proactor: Proactor): Promise<void> {
  const listener = await listen({ port: 0, host: '127.0.0.1', proactor });
  const [inside, outside] = await Promise.all([listener.accept(), connect({ port: listener.address().port, host: '127.0.0.1', proactor })]);
  const raw = fs.openSync('/dev/null', 'r');
  const [file, input] = await Promise.all([open('/dev/zero', { proactor }), pipe(raw, { proactor })]);
  const abort = new AbortController();
  const aborted = open('/dev/null', { proactor, signal: abort.signal, prompt: true }).then(twice, () => {});
  abort.abort();
  const read = inside.allocator().read().then((bytes) => bytes?.release(), () => {});
  (await file.allocator({ blockSize: 4096 }).read())?.release();
  fs.closeSync(raw);
  await Promise.all([read, aborted, ...[inside, outside, file, input, listener].map(twice)]);
}

/** Numbers in use, without the one that lists them. */
function numbers(): string[] {
  return fs.readdirSync('/proc/self/fd').filter((fd) => fs.existsSync(`/proc/self/fd/${fd}`));
}

async function churn(backend: BackendName, rounds: number): Promise<void> {
  const proactor = new Proactor({ backend });
  const stop = new Int32Array(new SharedArrayBuffer(4));
  await round(proactor);
  const before = numbers();
  const worker = new Worker(new URL(import.meta.url), { workerData: stop });
  await once(worker, 'message');
  const told = once(worker, 'message') as Promise<[{ opened: number; surprises: string[] }]>;
  const over = once(worker, 'exit');
  for (let index = 0; index < rounds; index += 1) await round(proactor);
  Atomics.store(stop, 0, 1);
  const [said] = await told;
  await over;
  report({ ...said, before, after: numbers() });
  await proactor.close();
}

if (isMainThread) await churn(process.argv[2] as BackendName, Number(process.argv[3]));
else openMany(workerData as Int32Array);
