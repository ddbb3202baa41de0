/**
 * Ends this process, or a worker of it, while one kind of operation is in flight: `ending-ops <op> <how> <path> <fifo>`.
 * Reports the time just before, and what a worker ended with.
 */
import { setImmediate as nextTurn, setTimeout as delay } from 'node:timers/promises';
import { Worker, isMainThread, parentPort, workerData } from 'node:worker_threads';
import { Proactor, alloc, connect, listen, open, owned, pipe, pooled, remoteProactor, sleep } from 'ritsu';
import type { BackendName, TcpStream } from 'ritsu';
import { report } from './report.ts';

const [op = '', how = '', path = '', fifo = ''] = isMainThread ? process.argv.slice(2) : (workerData as string[]);
const HOST = '127.0.0.1';
const MEGABYTES = 32 << 20;
const backend = (process.env['RITSU_BACKEND'] || 'uring') as BackendName;
const proactor = new Proactor({ backend });
/** The page cache is quick: on `node` there are more reads than it begins at once, so that some are left two turns later. */
const [reads, readBytes] = backend === 'node' ? [2048, 4096] : [32, 1 << 20];
/** What must not be collected while it is waited for. */
const kept: unknown[] = [];

async function connection(): Promise<readonly [TcpStream, TcpStream]> {
  const listener = await listen({ port: 0, host: HOST, proactor });
  const pair = await Promise.all([connect({ port: listener.address().port, host: HOST, proactor }), listener.accept()]);
  kept.push(listener, ...pair);
  return pair;
}

/** Each begins an operation that does not end by itself, or not soon. */
const OPS: Readonly<Record<string, () => Promise<Promise<unknown>[]>>> = {
  'a direct read': async () => {
    const file = await open(path, { direct: true, proactor });
    kept.push(file);
    return Array.from({ length: reads }, (_, index) => file.hybrid().read(owned(alloc(readBytes, { proactor })), { position: index * readBytes }));
  },
  'a read of a pipe': async () => {
    const empty = await pipe(fifo, { flags: 'r+', proactor });
    kept.push(empty);
    return [empty.hybrid().read(owned(alloc(100, { proactor })))];
  },
  'a receive': async () => {
    const [near, far] = await connection();
    return [near.allocator().read(), far.hybrid().read(pooled({ pool: proactor.pool }))];
  },
  'an accept': async () => {
    const listener = await listen({ port: 0, host: HOST, proactor });
    kept.push(listener);
    return [listener.accept()];
  },
  'a connect': async () => {
    // Nobody accepts: once its queue is full, who connects waits.
    const listener = await listen({ port: 0, host: HOST, backlog: 1, proactor });
    kept.push(listener);
    return Array.from({ length: 8 }, () => connect({ port: listener.address().port, host: HOST, proactor }).then((stream) => kept.push(stream)));
  },
  'a write to a full socket': async () => [(await connection())[0].writer().writeAll(alloc(MEGABYTES, { proactor }))],
  'a sleep': async () => [sleep(60_000, { proactor })],
  'a zero-copy send': async () => [(await connection())[0].writer({ zeroCopy: true }).writeAll(alloc(MEGABYTES, { proactor }))],
  'a stream that is passed on': async () => {
    const [[near, far], [other]] = [await connection(), await connection()];
    const [idle] = await connection();
    const sending = far.writer().writeAll(alloc(MEGABYTES, { proactor })); // until nothing more goes in: nobody reads the other end
    return [near.pipeTo(other), sending, idle.pipeTo(idle)];
  },
  'a remote operation': async () => {
    const remote = await remoteProactor(proactor.share());
    kept.push(remote);
    return [sleep(60_000, { proactor: remote })];
  },
};

function fail(): never {
  throw new Error('on purpose');
}

/** Also in a worker, where `process.exit` ends only that. */
const ENDINGS: Readonly<Record<string, () => void>> = {
  'process.exit': () => process.exit(7),
  'an uncaught error': () => void setImmediate(fail),
  'an unhandled rejection': () => void Promise.reject(new Error('on purpose')),
  SIGTERM: () => void process.kill(process.pid, 'SIGTERM'),
  'destroyed by itself': () => void proactor.destroy(),
  /** Somebody else does it, and it shall live until then. */
  terminate: () => void setInterval(() => {}, 1000),
};

async function begin(): Promise<void> {
  const waiting = await OPS[op]!();
  for (const each of waiting) each.catch(() => {});
  // Two turns: the kernel has it. What goes through a port takes a few more.
  await nextTurn();
  await nextTurn();
  for (let tries = 0; tries < 1000 && proactor.stats().inFlight === 0; tries += 1) await delay(1);
}

async function inWorker(ending: string): Promise<void> {
  const worker = new Worker(new URL(import.meta.url), { workerData: [op, ending, path, fifo] });
  let error: string | undefined;
  worker.on('error', (raised: Error) => (error = raised.message));
  worker.on('message', (inFlight: number) => {
    report({ at: Date.now(), inFlight });
    if (ending === 'terminate') void worker.terminate();
  });
  const exitCode = await new Promise<number>((resolve) => worker.on('exit', resolve));
  report({ exitCode, error });
  await proactor.close();
}

if (isMainThread && how.startsWith('a worker: ')) {
  if (how === 'a worker: ended while it begins') {
    const worker = new Worker(new URL(import.meta.url), { workerData: [op, 'terminate', path, fifo] });
    await new Promise((resolve) => worker.on('online', resolve));
    report({ at: Date.now(), inFlight: 1 });
    report({ exitCode: await worker.terminate() });
    await proactor.close();
  } else await inWorker(how.slice('a worker: '.length));
} else {
  await begin();
  const { inFlight } = proactor.stats();
  if (isMainThread) report({ at: Date.now(), inFlight });
  else parentPort!.postMessage(inFlight);
  ENDINGS[how]?.();
}
