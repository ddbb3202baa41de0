/** What nobody waits for: each case reports `done`, and the process is to end by itself then. */
import { fileURLToPath } from 'node:url';
import { Proactor, bind, connect, open, serve, sleep } from 'ritsu';
import { QUIET_MS, beginWriting, connected, done, kept, listening, pause } from './lifetime-parts.ts';

export const ENDS: Readonly<Record<string, (proactor: Proactor) => unknown>> = {
  'who waits for memory is aborted': async (proactor) => {
    const file = await open(fileURLToPath(import.meta.url), { proactor });
    const pool = proactor.createPool({ classes: [{ size: 4096, count: 1 }] });
    const reader = file.allocator({ allocator: pool });
    kept.push(await reader.read());
    await reader.read({ timeout: QUIET_MS }).catch(() => {});
    const acquire = (): Promise<Buffer> => new Promise(() => {});
    await file.allocator({ allocator: { acquire, release() {} } }).read({ timeout: QUIET_MS }).catch(done);
  },
  'a read is aborted while its bytes are being taken': async (proactor) => {
    const file = await open(fileURLToPath(import.meta.url), { proactor });
    const controller = new AbortController();
    const memory = { prepare: () => ({ memory: Buffer.alloc(100) }), complete: () => controller.abort() };
    await file.hybrid().read(memory, { position: 0, signal: controller.signal });
    kept.push(file);
    done();
  },
  'many reads are refused when their memory has come': async (proactor) => {
    const file = await open(fileURLToPath(import.meta.url), { proactor });
    const acquire = async (): Promise<Buffer> => Buffer.alloc(100);
    await file.allocator({ blockSize: 100, allocator: { acquire, release() {} } }).readMany([0, 100]).catch(done);
    kept.push(file);
  },
  'what is read ahead waits for memory, and is dropped': async (proactor) => {
    const file = await open(process.execPath, { proactor });
    const reader = file.allocator({ allocator: proactor.createPool({ classes: [{ size: 4096, count: 1 }] }) });
    const chunks = reader[Symbol.asyncIterator]();
    await chunks.next();
    kept.push(file, await chunks.next());
    await reader.close();
    done();
  },
  'a stream is forgotten while it is being written': async (proactor) => {
    let isCollected = false;
    process.once('warning', () => (isCollected = true));
    await beginWriting(proactor);
    for (let times = 0; times < 100 && !isCollected; times += 1) {
      globalThis.gc!();
      await pause();
    }
    if (isCollected) done();
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
};
