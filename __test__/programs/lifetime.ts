/**
 * How long a process lives: `lifetime <case>`. Each has something that waits and was told to keep nothing alive, and then does what must
 * be waited for all the same. Reports `done` when that has happened; a process that ends before was not kept.
 */
import { Worker, isMainThread, workerData } from 'node:worker_threads';
import { fileURLToPath } from 'node:url';
import type { MessagePort } from 'node:worker_threads';
import { Proactor, bind, connect, listen, remoteProactor, sleep } from 'ritsu';
import type { TcpListener, TcpStream } from 'ritsu';
import { report } from './report.ts';

const QUIET_MS = 50;
/** Peers, which would end the connection if they were collected. */
const kept: unknown[] = [];
const done = (): void => report({ done: true });
const pause = (): Promise<unknown> => new Promise((resolve) => setTimeout(resolve, QUIET_MS));

async function listening(proactor: Proactor): Promise<TcpListener> {
  return listen({ port: 0, host: '127.0.0.1', proactor });
}

/** One that waits for a connection, and keeps nothing alive by that. */
async function idleListener(proactor: Proactor): Promise<TcpListener> {
  const listener = (await listening(proactor)).unref();
  listener.accept().catch(() => {});
  await pause();
  return listener;
}

/** One that waits for bytes, and keeps nothing alive by that. */
async function idleStream(proactor: Proactor): Promise<TcpStream> {
  const listener = await listening(proactor);
  const [stream, peer] = await Promise.all([listener.accept(), connect({ ...listener.address(), host: '127.0.0.1', proactor })]);
  kept.push(peer);
  await listener.close();
  stream.unref();
  stream.allocator().pull().catch(() => {});
  await pause();
  return stream;
}

/** Fires only if something else keeps the process alive, as `what` shall do from now on. */
function staysFor(what: { ref(): unknown }): void {
  what.ref();
  setTimeout(() => {
    done();
    process.exit();
  }, 4 * QUIET_MS).unref();
}

const CASES: Readonly<Record<string, (proactor: Proactor) => unknown>> = {
  'a listener is referenced again': async (proactor) => staysFor(await idleListener(proactor)),
  'a stream is referenced again': async (proactor) => staysFor(await idleStream(proactor)),
  'a listener is closed': async (proactor) => (await idleListener(proactor)).close().then(done),
  'the proactor of a listener is closed': async (proactor) => idleListener(proactor).then(() => proactor.close()).then(done),
  'a stream is closed': async (proactor) => (await idleStream(proactor)).close().then(done),
  'the proactor of a stream is closed': async (proactor) => idleStream(proactor).then(() => proactor.close()).then(done),
  'datagrams are closed': async (proactor) => {
    const socket = (await bind({ port: 0, host: '127.0.0.1', proactor })).unref();
    socket.allocator().pull().catch(() => {});
    await pause();
    await socket.close();
    done();
  },
  'a sleep is aborted': async (proactor) => {
    const controller = new AbortController();
    const sleeping = sleep(60_000, { proactor, ref: false, signal: controller.signal });
    await pause();
    controller.abort();
    await sleeping.catch(done);
  },
};

const UNUSED = 'another thread’s proactor is never used';

/** The same in a worker, on the proactor of the main thread. */
function inWorker(name: string): void {
  const port = Proactor.current().share();
  new Worker(fileURLToPath(import.meta.url), { workerData: { name, port }, transferList: [port] }).on('exit', () => report({ ended: true }));
}

if (isMainThread) {
  const [name = '', where] = process.argv.slice(2);
  if (where === 'remote') inWorker(name);
  else await CASES[name]!(new Proactor());
} else {
  const { name, port } = workerData as { readonly name: string; readonly port: MessagePort };
  const proactor = await remoteProactor(port);
  if (name === UNUSED) done();
  else await CASES[name]!(proactor);
}
