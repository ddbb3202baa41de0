/**
 * How long a process lives: `lifetime <case>`. In most cases something waits and was told to keep nothing alive, and then what must be
 * waited for is done all the same. In the others nothing waits in the end. Reports `done` when that has happened: a process that ends
 * before was not kept, one that does not end afterwards was.
 */
import { Worker, isMainThread, workerData } from 'node:worker_threads';
import { fileURLToPath } from 'node:url';
import type { MessagePort } from 'node:worker_threads';
import { Proactor, bind, connect, listen, open, remoteProactor, serve, sleep } from 'ritsu';
import type { TcpListener, TcpStream } from 'ritsu';
import { report } from './report.ts';

const QUIET_MS = 50;
/** Peers, which would end the connection if they were collected. */
const kept: unknown[] = [];
const done = (): void => report({ done: true, at: Date.now() });
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

async function connected(proactor: Proactor, other = proactor): Promise<{ readonly stream: TcpStream; readonly peer: TcpStream }> {
  const listener = await listening(proactor);
  const [peer, stream] = await Promise.all([listener.accept(), connect({ ...listener.address(), host: '127.0.0.1', proactor: other })]);
  kept.push(peer);
  await listener.close();
  return { stream, peer };
}

/** One that waits for bytes, and keeps nothing alive by that. */
async function idleStream(proactor: Proactor): Promise<TcpStream> {
  const { stream } = await connected(proactor);
  stream.unref();
  stream.allocator().pull().catch(() => {});
  await pause();
  return stream;
}

/** One that keeps nothing alive, has much to write, and a peer that reads it all if the process lives so long. */
async function heavyStream(proactor: Proactor): Promise<TcpStream> {
  const { stream, peer } = await connected(new Proactor(), proactor);
  const reads = async (): Promise<void> => {
    for await (const bytes of peer.allocator()) bytes.release();
  };
  setTimeout(() => void reads().catch(() => {}), 4 * QUIET_MS).unref();
  stream.unref();
  for (let times = 0; times < 3; times += 1) stream.writer().writeAll(Buffer.alloc(16 * 2 ** 20)).catch(() => {});
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
  'a proactor is unreferenced, and closed': async (proactor) => {
    const listener = await listening(proactor);
    listener.accept().catch(() => {});
    await pause();
    proactor.unref();
    await proactor.close();
    done();
  },
  'a proactor is closed while a sleep that keeps nothing alive goes on': async (proactor) => {
    void sleep(4 * QUIET_MS, { proactor, ref: false }).then(done);
    await proactor.close();
  },
  'a write is referenced again': async (proactor) => {
    const { stream } = await connected(proactor);
    stream.unref();
    stream.writer().writeAll(Buffer.alloc(64 * 2 ** 20)).catch(() => {});
    await pause();
    staysFor(stream);
  },
  'datagrams are referenced again': async (proactor) => {
    const socket = (await bind({ port: 0, host: '127.0.0.1', proactor })).unref();
    socket.allocator().pull().catch(() => {});
    await pause();
    staysFor(socket);
  },
  'who waits behind others that keep nothing alive': async () => {
    const small = new Proactor({ inFlightMax: 2 });
    for (let index = 0; index < 3; index += 1) void sleep(4 * QUIET_MS, { proactor: small, ref: false });
    await sleep(1, { proactor: small });
    done();
  },
  'a write is waited for': async (proactor) => {
    const stream = (await heavyStream(proactor)).ref();
    await stream.writer().writeAll('the last one');
    done();
    await stream.close(); // the peer's reads end with it
  },
  'a stream is closed that is still being written': async (proactor) => {
    const stream = await heavyStream(proactor);
    await stream.close();
    done();
  },
  'a proactor is closed while writes wait that keep nothing alive': async (proactor) => {
    await heavyStream(proactor);
    await proactor.close();
    done();
  },
  'a proactor is unreferenced while it is being closed': async (proactor) => {
    const stream = await heavyStream(proactor);
    const closed = proactor.close();
    stream.unref();
    proactor.unref();
    await closed;
    done();
  },
  'a proactor is unreferenced, and its listener closed': async (proactor) => {
    const listener = await listening(proactor);
    listener.accept().catch(() => {});
    await pause();
    proactor.unref();
    await listener.close();
    done();
  },
  'who waits for memory': async (proactor) => {
    const file = await open(fileURLToPath(import.meta.url), { proactor });
    const pool = proactor.createPool({ classes: [{ size: 4096, count: 1 }] });
    const reader = file.allocator({ allocator: pool });
    const first = await reader.read();
    setTimeout(() => first!.release(), QUIET_MS).unref();
    (await reader.read())!.release();
    done();
  },
  'who waits for memory of an allocator of its own': async (proactor) => {
    const file = await open(fileURLToPath(import.meta.url), { proactor });
    const acquire = (): Promise<Buffer> => new Promise((resolve) => setTimeout(() => resolve(Buffer.alloc(100)), QUIET_MS).unref());
    (await file.allocator({ allocator: { acquire, release() {} } }).read())!.release();
    done();
  },
  'who waits for memory is aborted': async (proactor) => {
    const file = await open(fileURLToPath(import.meta.url), { proactor });
    const pool = proactor.createPool({ classes: [{ size: 4096, count: 1 }] });
    const reader = file.allocator({ allocator: pool });
    kept.push(await reader.read());
    await reader.read({ timeout: QUIET_MS }).catch(() => {});
    const acquire = (): Promise<Buffer> => new Promise(() => {});
    await file.allocator({ allocator: { acquire, release() {} } }).read({ timeout: QUIET_MS }).catch(done);
  },
  'nothing is waited for any more on the proactor beside': async (proactor) => {
    // Made later, it has its look at a turn before.
    const beside = new Proactor();
    void sleep(60_000, { proactor: beside });
    for (let times = 0; times < 10; times += 1) await pause(); // what Node does by itself after its start turns the loop, too
    await proactor.nop();
    beside.unref();
    done();
  },
  'a listener has accepted, and nobody waits': async (proactor) => {
    const listener = await listening(proactor);
    const [stream, peer] = await Promise.all([listener.accept(), connect({ ...listener.address(), host: '127.0.0.1', proactor })]);
    kept.push(listener, stream, peer);
    done();
  },
  'a stream has been read, and nobody waits': async (proactor) => {
    const { stream, peer } = await connected(proactor);
    const read = stream.allocator().read();
    await peer.writer().writeAll('x');
    (await read)!.release();
    kept.push(stream);
    done();
  },
  'an accept is aborted, and nobody waits': async (proactor) => {
    const listener = await listening(proactor);
    await listener.accept({ timeout: QUIET_MS }).catch(done);
    kept.push(listener);
  },
  'a read is aborted, and nobody waits': async (proactor) => {
    const { stream } = await connected(proactor);
    await stream.allocator().read({ timeout: QUIET_MS }).catch(done);
    kept.push(stream);
  },
  'a listener is unreferenced while it waits': async (proactor) => {
    const listener = await listening(proactor);
    listener.accept().catch(() => {});
    await pause();
    listener.unref();
    done();
  },
  'a stream is unreferenced while it waits': async (proactor) => {
    const { stream } = await connected(proactor);
    stream.submitter().submit(Buffer.alloc(100));
    await pause();
    stream.unref();
    kept.push(stream);
    done();
  },
  'datagrams are unreferenced while a read waits': async (proactor) => {
    const socket = await bind({ port: 0, host: '127.0.0.1', proactor });
    socket.allocator().pull().catch(() => {});
    await pause();
    socket.unref();
    done();
  },
  'a datagram came, and nobody waits': async (proactor) => {
    const socket = await bind({ port: 0, host: '127.0.0.1', proactor });
    const read = socket.allocator().read();
    await socket.send('x', socket.address().port, '127.0.0.1');
    (await read)!.release();
    kept.push(socket);
    done();
  },
  'who waits for a slot is aborted': async () => {
    const small = new Proactor({ inFlightMax: 2 });
    for (let index = 0; index < 2; index += 1) void sleep(60_000, { proactor: small, ref: false });
    await sleep(1, { proactor: small, signal: AbortSignal.timeout(QUIET_MS) }).catch(done);
  },
  'a crew is closed that was about to start a worker anew': async (proactor) => {
    const failing = new Int32Array(new SharedArrayBuffer(4));
    const file = new URL('crew-worker.ts', import.meta.url);
    const crew = await serve(file, { listen: { port: 0, host: '127.0.0.1' }, workers: 1, data: { failing }, proactor });
    failing[0] = 1;
    for (let times = 0; times < 4; times += 1) await crew.restart().catch(() => {}); // each waits longer before it tries again
    await crew.close();
    if (!process.getActiveResourcesInfo().includes('Timeout')) done();
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
