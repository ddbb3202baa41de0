/** What must be waited for: each case reports `done` when it was. */
import { closeSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Proactor, bind, open, sleep } from 'ritsu';
import { QUIET_MS, connected, done, heavyStream, idleListener, idleStream, listening, pause, staysFor } from './lifetime-parts.ts';

export const WAITS: Readonly<Record<string, (proactor: Proactor) => unknown>> = {
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
  'a close that fails, and nobody looks, is an unhandled rejection': async (proactor) => {
    const file = await open(fileURLToPath(import.meta.url), { proactor });
    process.once('unhandledRejection', (error) => (error as NodeJS.ErrnoException).code === 'EBADF' && done());
    closeSync(file.fd);
    void file.close();
  },
  'a sleep is aborted': async (proactor) => {
    const controller = new AbortController();
    const sleeping = sleep(60_000, { proactor, ref: false, signal: controller.signal });
    await pause();
    controller.abort();
    await sleeping.catch(done);
  },
};
