/**
 * Description: either thread of a remote handle ends at every stage of an operation: before it is asked for, while it is
 * queued, in flight, and answered but not delivered. Guests share the owner fairly, and cannot make it heap things up.
 *
 * What turns it red: a descriptor that was opened for a guest that is gone (`Guest.#keep` adding it to a set that nobody
 * closes any more); a CLOSE that a guest's end cancels; a slot or a block that an answer that never came keeps; records of
 * one guest that are all begun before another's; a message for each operation; connections that are accepted for a guest that does not take them; an
 * owner that cannot close for a guest that goes on asking, or for what it closes on a guest's behalf (ERR_RITSU_BUSY); memory
 * that a handle does not give back whose owner no longer answers.
 */
import { once } from 'node:events';
import * as net from 'node:net';
import { Worker } from 'node:worker_threads';
import type { MessagePort } from 'node:worker_threads';
import { Proactor, RitsuError, alloc, connect, listen, open, owned, remoteProactor, sleep } from 'ritsu';
import type { BackendName, TimeoutError } from 'ritsu';
import type { ExecutionContext } from 'ava';
import { onEachAlone } from '../support/backends.ts';
import { fileOf, openCount, randomBytes } from '../support/files.ts';
import { internals } from '../support/internals.ts';
import { eventually, pause } from '../support/net.ts';
import { sized } from '../support/size.ts';
import type { StagesData } from '../programs/remote-stages.ts';

const OPENS = 40;
const STAGES = ['before it asks', 'queued', 'in flight', 'not delivered'] as const;
type Stage = (typeof STAGES)[number];

function gate(): Int32Array {
  return new Int32Array(new SharedArrayBuffer(4));
}

/** This thread does nothing for a while. */
function sleepDeeply(milliseconds: number): void {
  Atomics.wait(gate(), 0, 0, milliseconds);
}

async function isIdle(t: ExecutionContext, proactor: Proactor): Promise<void> {
  await eventually(t, 'the owner has nothing of the guest’s', () => {
    const { inFlight, descriptorsOpen, blocksBusy } = proactor.stats();
    return inFlight + descriptorsOpen + blocksBusy === 0;
  });
}

async function guestAt(t: ExecutionContext, proactor: Proactor, stage: Stage, path: string): Promise<Worker> {
  const data: StagesData = { port: proactor.share(), path, gate: stage === 'not delivered' ? gate() : undefined };
  const worker = new Worker(new URL('../programs/remote-stages.ts', import.meta.url), { workerData: data, transferList: [data.port] });
  await once(worker, 'message');
  if (stage === 'before it asks') return worker;
  worker.postMessage('go');
  if (stage === 'queued') sleepDeeply(30); // it asks meanwhile
  else await once(worker, 'message');
  if (stage !== 'not delivered') return worker;
  // All but the accept are answered; it has heard of none.
  await eventually(t, 'it is answered', () => proactor.stats().descriptorsOpen >= OPENS + 2 && proactor.stats().inFlight === 1);
  return worker;
}

for (const stage of STAGES) {
  onEachAlone(`the guest ends: ${stage}`, {}, async (t, proactor) => {
    const path = fileOf(randomBytes(5000));
    for (let round = 0; round < sized(3, 40); round += 1) {
      const worker = await guestAt(t, proactor, stage, path);
      await worker.terminate();
      await isIdle(t, proactor);
      t.is(openCount(path), 0);
    }
  });

  onEachAlone(`the owner ends: ${stage}`, {}, async (t, _proactor, backend) => {
    const worker = new Worker(new URL('../programs/remote-owner.ts', import.meta.url), { workerData: backend });
    const [port] = (await once(worker, 'message')) as [MessagePort];
    const remote = await remoteProactor(port);
    const path = fileOf(randomBytes(5000));
    const file = await open(path, { proactor: remote });
    const server = net.createServer().listen(0, '127.0.0.1');
    t.teardown(() => server.close());
    await once(server, 'listening');
    const stream = await connect((server.address() as net.AddressInfo).port, { host: '127.0.0.1', proactor: remote });
    const asleep = once(worker, 'message');
    if (stage === 'queued') worker.postMessage(gate());
    if (stage === 'queued') await asleep;
    if (stage === 'before it asks') await worker.terminate();
    const reads = Array.from({ length: 10 }, (_, index) => file.hybrid().read(owned(alloc(100, { proactor: remote })), { position: index }));
    const submitter = stream.submitter();
    for (let count = 0; count < 5; count += 1) {
      reads.push(stream.hybrid().read(owned(alloc(100, { proactor: remote }))));
      submitter.submit(alloc(100, { proactor: remote }));
      reads.push(submitter.poll());
    }
    const opens = Array.from({ length: 10 }, () => open(path, { proactor: remote }));
    internals(remote).backend.flush();
    if (stage === 'not delivered') sleepDeeply(100);
    const ended = worker.terminate();
    for (const outcome of await Promise.allSettled([...reads, ...opens])) {
      if (outcome.status === 'fulfilled') continue; // it was quicker
      t.true(outcome.reason instanceof RitsuError);
      t.is((outcome.reason as RitsuError).code, 'ERR_RITSU_CLOSED');
    }
    for (const read of reads) {
      const memory = await read.then((bytes) => bytes!.take(), ({ buffer }: { buffer: Uint8Array }) => buffer);
      t.is(memory.buffer.byteLength > 0 && memory.length, 100, 'the memory is here');
    }
    await ended;
    const { inFlight, blocksBusy } = remote.stats();
    t.deepEqual({ inFlight, blocksBusy }, { inFlight: 0, blocksBusy: 0 });
    await remote.close();
    await eventually(t, 'what it had open is closed', () => openCount(path) === 0);
  });
}

onEachAlone('a sleeping owner is woken once for all that a turn asks, and so is who asked', {}, async (t, _proactor, backend) => {
  const worker = new Worker(new URL('../programs/remote-owner.ts', import.meta.url), { workerData: backend });
  t.teardown(() => worker.terminate());
  const [port] = (await once(worker, 'message')) as [MessagePort];
  const remote = await remoteProactor(port);
  const turns = async (): Promise<number> => {
    worker.postMessage('turns');
    const [count] = (await once(worker, 'message')) as [number];
    return count;
  };
  // What Node does while a thread begins (it compiles) turns the loop, too.
  let begun = await turns();
  for (let tries = 0, last = 0; tries < 100 && begun - last > 3; tries += 1) {
    await pause(50);
    last = begun;
    begun = await turns();
  }
  const batches = sized(300, 5000);
  const counted: number[] = [];
  // One turn of its loop to take a message and begin what it asks, one to wait again, and a few for Node. Once in hundreds of
  // runs there are thousands more, which V8 may ask for (see `programs/refused.ts`); a wake-up for each operation would be there each time.
  for (let before = { ...remote.stats(), turns: begun }; counted.length < 3; ) {
    for (let batch = 0; batch < batches; batch += 1) await Promise.all(Array.from({ length: 64 }, () => remote.nop()));
    const after = { ...remote.stats(), turns: await turns() };
    t.is(after.enters - before.enters, batches, 'messages there');
    t.true(after.wakes - before.wakes <= batches * 2, `${after.wakes - before.wakes} messages back`);
    counted.push(after.turns - before.turns);
    t.log(`${batches} batches: ${after.enters - before.enters} wakes there, ${after.wakes - before.wakes} back, ${after.turns - before.turns} turns`);
    if (counted.at(-1)! <= batches * 3 + 20) break;
    before = after;
  }
  t.true(counted.at(-1)! <= batches * 3 + 20, `${counted.join(', ')} turns of the owner's loop`);
  await remote.close();
  worker.postMessage('close');
  await once(worker, 'exit');
});

onEachAlone('who has asked for one operation waits for a few turns, however many another has asked for', {}, async (t, proactor) => {
  const greedy = await remoteProactor(proactor.share(), { inFlightMax: 30_000 });
  const modest = await remoteProactor(proactor.share());
  let before = 0;
  const all = Array.from({ length: 30_000 }, () => greedy.nop().then(() => (before += 1)));
  await modest.nop();
  t.true(before <= 5000, `${before} of the other one's came first`);
  await Promise.all(all);
  await Promise.all([greedy.close(), modest.close()]);
});

onEachAlone('connections wait in the kernel while the guest that accepts them is busy', {}, async (t, proactor) => {
  const path = fileOf('x');
  const data: StagesData = { port: proactor.share(), path, gate: gate() };
  const worker = new Worker(new URL('../programs/remote-stages.ts', import.meta.url), { workerData: data, transferList: [data.port] });
  const [port] = (await once(worker, 'message')) as [number];
  worker.postMessage('go');
  await once(worker, 'message');
  const sockets = Array.from({ length: 100 }, () => net.connect({ port, host: '127.0.0.1' }).on('error', () => {}));
  await Promise.all(sockets.map((socket) => once(socket, 'connect')));
  await pause(100);
  const { descriptorsOpen } = proactor.stats();
  t.true(descriptorsOpen <= OPENS + 3, `${descriptorsOpen} descriptors are open`);
  for (const socket of sockets) socket.destroy();
  await worker.terminate();
  await isIdle(t, proactor);
});

onEachAlone('an owner closes although a guest goes on asking', {}, async (t, _proactor, backend) => {
  const owner = new Proactor({ backend: backend as BackendName });
  const remote = await remoteProactor(owner.share());
  let asked = 0;
  const lanes = Array.from({ length: 100 }, async () => {
    for (;;) {
      await remote.nop();
      asked += 1;
    }
  });
  const ends = Promise.allSettled(lanes);
  await eventually(t, 'it asks', () => asked >= lanes.length, 30_000);
  await owner.close();
  for (const outcome of await ends) t.like(outcome, { reason: { code: 'ERR_RITSU_CLOSED' } });
  t.is(remote.stats().inFlight, 0);
});

for (const how of ['close', 'destroy'] as const) {
  onEachAlone(`an owner closes what its guests had opened, and ends: ${how}`, {}, async (t, _proactor, backend) => {
    const path = fileOf('x');
    const owner = new Proactor({ backend: backend as BackendName });
    const remote = await remoteProactor(owner.share());
    const files = await Promise.all(Array.from({ length: 4 }, () => open(path, { proactor: remote })));
    const sleeping = sleep(60_000, { proactor: remote });
    await remote.nop(); // the owner has begun it
    const ended = owner[how]();
    await t.throwsAsync(sleeping, { code: 'ERR_RITSU_CLOSED' });
    await t.notThrowsAsync(ended);
    t.is(owner.stats().inFlight, 0);
    t.is(openCount(path), 0);
    await Promise.all(files.map((file) => file.close()));
  });
}

onEachAlone('who gives an owner up that does not answer has its memory back', {}, async (t, _proactor, backend) => {
  const worker = new Worker(new URL('../programs/remote-owner.ts', import.meta.url), { workerData: backend });
  t.teardown(() => worker.terminate());
  const [port] = (await once(worker, 'message')) as [MessagePort];
  const remote = await remoteProactor(port, { inFlightMax: 4 });
  const listener = await listen({ port: 0, host: '127.0.0.1', proactor: remote });
  const [inside, outside] = await Promise.all([listener.accept(), connect(listener.address().port, { host: '127.0.0.1', proactor: remote })]);
  const file = await open(fileOf(randomBytes(5000)), { proactor: remote });
  const asleep = once(worker, 'message');
  worker.postMessage(gate());
  await asleep;
  const submitter = outside.submitter();
  const memory = (): Buffer => alloc(100, { proactor: remote });
  const abort = new AbortController();
  const reads = [inside, file].flatMap((resource) => Array.from({ length: 4 }, () => resource.hybrid().read(owned(memory()), { signal: abort.signal })));
  for (let count = 0; count < 4; count += 1) submitter.submit(memory());
  reads.push(...Array.from({ length: 4 }, () => submitter.poll()));
  const prompt = inside.hybrid().read(owned(memory()), { timeout: 1, prompt: true });
  const late = await t.throwsAsync<TimeoutError>(prompt, { name: 'TimeoutError' });
  const ends = Promise.allSettled(reads);
  abort.abort();
  await remote.destroy({ deadline: 20 });
  for (const outcome of await ends) {
    t.like(outcome, { status: 'rejected' });
    t.is((outcome as { reason: { buffer?: Buffer } }).reason.buffer?.length, 100);
  }
  t.is((await late.outcome)?.buffers.length ?? 1, 1);
  const { inFlight, blocksBusy, waiting } = remote.stats();
  t.deepEqual({ inFlight, blocksBusy, waiting }, { inFlight: 0, blocksBusy: 0, waiting: 0 });
  await Promise.all([inside, outside, listener, file].map((resource) => resource.close().catch(() => {})));
});
