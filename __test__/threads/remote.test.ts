/**
 * Description: a handle to another thread's proactor: everything as on one's own, and what becomes of it when either thread
 * ends.
 *
 * What turns it red: memory that goes to the other thread and does not come back; a descriptor that outlives the guest who
 * opened it; a promise that never settles since the owner has gone; more out at once than `inFlightMax`; a guest that
 * keeps another one from its turn.
 */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { MessageChannel, Worker } from 'node:worker_threads';
import { Proactor, RitsuError, alloc, open, owned, pooled, remoteProactor } from 'ritsu';
import type { ExecutionContext } from 'ava';
import { onEachAlone } from '../support/backends.ts';
import { fileOf, openCount, randomBytes } from '../support/files.ts';
import { internals } from '../support/internals.ts';
import { eventually } from '../support/net.ts';
import { sized } from '../support/size.ts';
import type { GuestData } from '../programs/remote-guest.ts';

interface Message {
  readonly result?: Record<string, unknown>;
  readonly end?: Record<string, unknown>;
  readonly hanging?: boolean;
}

function startGuest(proactor: Proactor, data: Omit<GuestData, 'port'>): Worker {
  const port = proactor.share();
  return new Worker(new URL('../programs/remote-guest.ts', import.meta.url), { workerData: { ...data, port }, transferList: [port] });
}

/** The guest's result, after it has ended well. */
async function guest(t: ExecutionContext, proactor: Proactor, data: Omit<GuestData, 'port'>): Promise<Record<string, unknown>> {
  const worker = startGuest(proactor, data);
  const messages: Message[] = [];
  worker.on('message', (message: Message) => messages.push(message));
  const [code] = (await once(worker, 'exit')) as [number];
  t.is(code, 0);
  t.deepEqual(messages.at(-1)?.end, { inFlight: 0, blocksBusy: 0, whole: true });
  return messages.at(-2)!.result!;
}

async function isIdle(t: ExecutionContext, proactor: Proactor): Promise<void> {
  await eventually(t, 'the owner has nothing of the guest’s', () => {
    const { inFlight, descriptorsOpen, blocksBusy } = proactor.stats();
    return inFlight + descriptorsOpen + blocksBusy === 0;
  });
}

onEachAlone('files: every style, writes, errors', {}, async (t, proactor) => {
  const content = randomBytes(700_000, 4);
  const path = fileOf(content);
  const digest = createHash('sha256').update(content).digest('hex');
  const result = await guest(t, proactor, { task: 'files', path });
  t.deepEqual(result['digests'], [digest, digest, digest, digest]);
  t.is(result['size'], content.length);
  t.is(result['mine'], content.subarray(5, 15).toString('hex'));
  const there = [content.subarray(5, 15), content.subarray(699_995), Buffer.alloc(5), content.subarray(20, 30)];
  t.deepEqual(result['places'], { bytes: Buffer.concat(there).toString('hex'), lengths: [10, 5, 10] });
  t.is(result['bytesWritten'], 6);
  t.is(result['written'], 'written remotelyabc');
  t.like(result['absent'], { code: 'ENOENT', message: "ENOENT: no such file or directory, open '/nonexistent'" });
  await isIdle(t, proactor);
});

onEachAlone('sockets, options, timers, limits', {}, async (t, proactor) => {
  const result = await guest(t, proactor, { task: 'sockets' });
  t.like(result, { same: true, ports: true, slept: true });
  t.like(result['timedOut'], { name: 'TimeoutError', buffer: 9 });
  t.like(result['refused'], { code: 'ECONNREFUSED', message: 'connect ECONNREFUSED 127.0.0.1:1' });
  await isIdle(t, proactor);
});

onEachAlone('one guest’s operations keep their order', {}, async (t, proactor) => {
  t.deepEqual(await guest(t, proactor, { task: 'inOrder', path: fileOf(''), count: 2000 }), { lines: true });
});

onEachAlone('four guests: all is answered, no more is out than may be, everybody has a turn', {}, async (t, proactor) => {
  const count = sized(20_000, 1_000_000);
  const started = performance.now();
  const results = await Promise.all([1, 2, 3, 4].map(() => guest(t, proactor, { task: 'nops', count })));
  for (const { done, out, most, enters } of results as Record<string, number>[]) {
    t.true(done! >= count);
    t.is(out, 0);
    t.true(most! <= 64, `${most} in flight`);
    t.true(enters! < count / 4, `${enters} messages for ${count}`);
  }
  t.log(`${Math.round((count * 4) / (performance.now() - started))} a millisecond`);
  await isIdle(t, proactor);
});

onEachAlone('a guest’s thread is terminated: what it asked for ends, what it opened is closed', {}, async (t, proactor) => {
  const path = fileOf('x');
  for (let round = 0; round < sized(5, 50); round += 1) {
    const worker = startGuest(proactor, { task: 'hang', path });
    const [message] = (await once(worker, 'message')) as [Message];
    t.true(message.hanging);
    await eventually(t, 'it has something in flight here', () => proactor.stats().inFlight > 0);
    await worker.terminate();
    await isIdle(t, proactor);
    t.is(openCount(path), 0);
  }
});

onEachAlone('the owner’s thread is terminated: a typed error, and all memory is here', {}, async (t, _proactor, backend) => {
  for (const how of ['terminate', 'proactor']) {
    const worker = new Worker(new URL('../programs/remote-owner.ts', import.meta.url), { workerData: backend });
    const [port] = (await once(worker, 'message')) as [MessagePort];
    const remote = await remoteProactor(port);
    const file = await open(fileOf(randomBytes(9000)), { proactor: remote });
    const kept = await file.allocator().read();
    const reading = file.hybrid().read(owned(alloc(100, { proactor: remote })), { position: 0 });
    const sleeping = remote.nop();
    if (how === 'terminate') void worker.terminate();
    else worker.postMessage('close');
    const outcomes = await Promise.allSettled([reading, sleeping, once(worker, 'exit')]);
    for (const outcome of outcomes.slice(0, 2)) {
      if (outcome.status === 'fulfilled') continue; // it was quicker
      t.true(outcome.reason instanceof RitsuError);
      t.like(outcome.reason, { code: 'ERR_RITSU_CLOSED' });
    }
    if (outcomes[0].status === 'rejected') t.like(outcomes[0].reason, { buffer: { length: 100 } });
    await t.throwsAsync(open('/dev/null', { proactor: remote }), { code: 'ERR_RITSU_CLOSED' });
    await t.throwsAsync(file.stat(), { code: 'ERR_RITSU_CLOSED' });
    t.is(kept!.length, 9000);
    kept!.release();
    await eventually(t, 'the pool is whole', () => remote.stats().pool.every(({ available, count }) => available === count));
    t.is(remote.stats().inFlight, 0);
    await remote.close();
  }
});

onEachAlone('what is no port; a port used twice; a proactor that is closed', {}, async (t, proactor) => {
  for (const wrong of [undefined, 7, {}, proactor]) await t.throwsAsync(remoteProactor(wrong as never), { code: 'ERR_INVALID_ARG_TYPE' });
  const { port1, port2 } = new MessageChannel();
  port2.close();
  await t.throwsAsync(remoteProactor(port1), { code: 'ERR_RITSU_CLOSED' });
  const shared = proactor.share();
  const remote = await remoteProactor(shared);
  t.is(remote.info.backend, 'remote');
  await t.throwsAsync(remoteProactor(shared), { code: 'ERR_RITSU_CLOSED' });
  t.is(await remote.nop(5), 5, 'the second try did not disturb it');
  await remote.close();
  await isIdle(t, proactor);
  const other = new Proactor({ backend: internals(proactor).backend.name as 'node' });
  await other.close();
  t.throws(() => other.share(), { code: 'ERR_RITSU_CLOSED' });
});

onEachAlone('pooled() without a pool takes memory of the proactor that is read', {}, async (t, proactor) => {
  const remote = await remoteProactor(proactor.share());
  const file = await open(fileOf('content'), { proactor: remote });
  const bytes = await file.hybrid().read(pooled());
  t.is(bytes!.data.toString(), 'content');
  bytes!.release();
  await file.close();
  await remote.close();
});
