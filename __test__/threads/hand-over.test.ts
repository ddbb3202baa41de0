/**
 * Description: a connection, a pipe or a file moves to another thread, with what came and nobody read.
 *
 * What turns it red: bytes that stay behind, or come twice; an old object that still works; a descriptor that is open
 * afterwards (taken, not taken, or sent to a thread that died); a move while somebody reads or writes.
 */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { setTimeout as delay } from 'node:timers/promises';
import { alloc, handOver, listen, open, owned, pipe, takeOver } from 'ritsu';
import type { Moved } from 'ritsu';
import { onEachAlone } from '../support/backends.ts';
import { fileOf, openCount } from '../support/files.ts';
import { closeAll, eventually, nodeConnect, tcpPair, unixPair } from '../support/net.ts';

interface Taken {
  readonly text?: string;
  readonly again?: string;
  readonly remotePort?: number;
  readonly path?: string;
  readonly code?: string;
}

async function taker(backend: string, dies?: 'with it' | 'half-way'): Promise<Worker> {
  const worker = new Worker(new URL('../programs/takes-over.ts', import.meta.url), { workerData: { backend, dies } });
  await once(worker, 'message');
  return worker;
}

async function send(worker: Worker, moved: Moved): Promise<Taken> {
  worker.postMessage(moved);
  const [taken] = (await once(worker, 'message')) as [Taken];
  return taken;
}

async function end(worker: Worker): Promise<void> {
  worker.postMessage('end');
  await once(worker, 'exit');
}

onEachAlone('a TCP connection, with what nobody read', {}, async (t, proactor, backend) => {
  const listener = await listen({ port: 0, host: '127.0.0.1', proactor });
  const socket = await nodeConnect({ port: listener.address().port, host: '127.0.0.1' });
  const { localPort } = socket;
  const stream = await listener.accept();
  const reader = stream.allocator();
  socket.write('read here;');
  const first = await reader.read();
  t.is(first!.data.toString(), 'read here;');
  first!.release();
  socket.write('stashed;');
  await delay(50);
  if (backend === 'node') {
    await t.throwsAsync(handOver(stream), { code: 'ERR_RITSU_UNAVAILABLE' });
    const bytes = await reader.read();
    t.is(bytes!.data.toString(), 'stashed;', 'nothing has changed');
    bytes!.release();
    socket.destroy();
    await closeAll(stream, listener);
    return;
  }
  const worker = await taker(backend);
  const moved = await handOver(stream);
  t.is(Buffer.from(moved.rest).toString(), 'stashed;');
  t.true(stream.closed);
  await t.throwsAsync(reader.read(), { code: 'ERR_RITSU_CLOSED' });
  await t.throwsAsync(stream.writer().write('x'), { code: 'ERR_RITSU_CLOSED' });
  await t.throwsAsync(handOver(stream), { code: 'ERR_RITSU_CLOSED' });
  const answer = once(socket, 'data') as Promise<[Buffer]>;
  const ended = once(socket, 'end');
  socket.write('sent later\n');
  const taken = await send(worker, moved);
  t.like(taken, { text: 'stashed;sent later\n', again: 'ERR_RITSU_CLOSED', remotePort: localPort });
  t.is((await answer)[0].toString(), '19 bytes');
  await ended;
  await eventually(t, 'only the listener is open', () => proactor.stats().descriptorsOpen === 1);
  await end(worker);
  await listener.close();
});

onEachAlone('not while somebody reads or writes', {}, async (t, proactor, backend) => {
  const code = backend === 'node' ? 'ERR_RITSU_UNAVAILABLE' : 'ERR_RITSU_IN_USE';
  const pair = await tcpPair(proactor);
  const reading = pair.inside.hybrid().read(owned(alloc(10, { proactor })));
  await t.throwsAsync(handOver(pair.inside), { code });
  await pair.outside.writer().writeAll('x');
  t.is((await reading)!.data.toString(), 'x');
  const writing = pair.outside.writer().writeAll(Buffer.alloc(8 << 20));
  await t.throwsAsync(handOver(pair.outside), { code });
  for (let left = 8 << 20; left > 0; ) {
    const bytes = await pair.inside.allocator().read();
    left -= bytes!.length;
    bytes!.release();
  }
  t.is((await writing).bytesWritten, 8 << 20);
  await pair[Symbol.asyncDispose]();
  for (const wrong of [undefined, {}, 7]) await t.throwsAsync(handOver(wrong as never), { code: 'ERR_INVALID_ARG_TYPE' });
  const whole = { kind: 'tcp', fd: 99, state: new Int32Array(new SharedArrayBuffer(4)), rest: new Uint8Array(), path: undefined, flags: 0, offload: false, position: 0 } as const;
  const forged = [{}, { ...whole, kind: 'udp' }, { ...whole, state: new Int32Array(1) }, { ...whole, rest: 'x' }, { ...whole, path: 7 }, { ...whole, fd: 'x' }];
  for (const wrong of forged) await t.throwsAsync(takeOver(wrong as never, { proactor }), { code: 'ERR_INVALID_ARG_TYPE' });
  for (const wrong of [{ fd: -1 }, { flags: 0.5 }, { position: -1 }]) await t.throwsAsync(takeOver({ ...whole, ...wrong }, { proactor }), { code: 'ERR_OUT_OF_RANGE' });
  await t.throwsAsync(takeOver(whole, null as never), { code: 'ERR_INVALID_ARG_TYPE' });
  t.is(Atomics.load(whole.state, 0), 0, 'what was refused can still be taken');
});

onEachAlone('a file goes on where it was; also one whose name is gone', {}, async (t, proactor, backend) => {
  const worker = await taker(backend);
  const path = fileOf('0123456789');
  const file = await open(path, { flags: 'r+', proactor });
  const reader = file.allocator({ blockSize: 4 });
  (await reader.read())!.release();
  const taken = await send(worker, await handOver(file));
  t.like(taken, { text: '456789', path, again: 'ERR_RITSU_CLOSED' });
  await t.throwsAsync(file.stat(), { code: 'ERR_RITSU_CLOSED' });
  await eventually(t, 'nothing is open here', () => proactor.stats().descriptorsOpen === 0 && openCount(path) === 0);
  await end(worker);
});

onEachAlone('a Unix connection, and a pipe', {}, async (t, proactor, backend) => {
  if (backend === 'node') {
    t.pass('as for TCP');
    return;
  }
  const worker = await taker(backend);
  const pair = await unixPair(proactor);
  await pair.outside.writer().writeAll('unix\n');
  t.like(await send(worker, await handOver(pair.inside)), { text: 'unix\n' });
  await closeAll(pair.outside, pair.listener);
  const own = await pipe('/dev/zero', { proactor });
  const moved = await handOver(own);
  t.is(moved.kind, 'pipe');
  const again = await takeOver(moved, { proactor });
  const bytes = await again.hybrid().read(owned(alloc(5, { proactor })));
  t.is(bytes!.length, 5);
  await again.close();
  await eventually(t, 'nothing is open', () => proactor.stats().descriptorsOpen === 0);
  await end(worker);
});

onEachAlone('nobody takes it: the proactor’s end closes it; the thread it was sent to may have died', {}, async (t, proactor, backend) => {
  const worker = await taker(backend, 'with it');
  const path = fileOf('x');
  const moved = await handOver(await open(path, { proactor }));
  worker.postMessage(moved);
  await once(worker, 'exit');
  t.is(openCount(path), 1);
  await proactor.close();
  await eventually(t, 'it is closed', () => openCount(path) === 0);
  await t.throwsAsync(takeOver(moved), { code: 'ERR_RITSU_CLOSED' });
});

for (const stage of ['before it is sent', 'queued', 'looked at', 'half-way', 'taken'] as const) {
  onEachAlone(`the thread it is for ends: ${stage}`, {}, async (t, proactor, backend) => {
    const path = fileOf('x');
    const worker = await taker(backend, stage === 'half-way' ? stage : stage === 'looked at' ? 'with it' : undefined);
    const exited = once(worker, 'exit');
    const moved = await handOver(await open(path, { proactor }), { to: worker });
    if (stage === 'before it is sent') await worker.terminate();
    else worker.postMessage(moved);
    if (stage === 'queued') void worker.terminate();
    if (stage === 'taken') await once(worker, 'message').then(() => worker.terminate());
    await exited;
    await eventually(t, 'it is closed', () => proactor.stats().descriptorsOpen === 0 && openCount(path) === 0);
    await t.throwsAsync(takeOver(moved, { proactor }), { code: 'ERR_RITSU_CLOSED' });
  });
}

onEachAlone('to a thread that has ended, or to what is none', {}, async (t, proactor, backend) => {
  const worker = await taker(backend);
  await worker.terminate();
  const path = fileOf('x');
  const file = await open(path, { proactor });
  for (const to of [7, {}, null]) await t.throwsAsync(handOver(file, { to } as never), { code: 'ERR_INVALID_ARG_TYPE' });
  t.false(file.closed, 'nothing has changed');
  const moved = await handOver(file, { to: worker });
  await eventually(t, 'it is closed', () => openCount(path) === 0);
  await t.throwsAsync(takeOver(moved, { proactor }), { code: 'ERR_RITSU_CLOSED' });
});
