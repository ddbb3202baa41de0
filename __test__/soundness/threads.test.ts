/**
 * Description: what goes wrong between threads: a cancel that ends somebody else's work, a wake-up that is lost, work that is
 * queued at a thread that is gone.
 *
 * What turns it red: a cancel that finds its target by a slot of the wrong side; records of a guest that are left in the
 * queue when its turn is over; promises that nobody settles when the owner's thread has ended.
 */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import type { MessagePort } from 'node:worker_threads';
import { Proactor, alloc, open, owned, remoteProactor } from 'ritsu';
import type { BackendName, Bytes } from 'ritsu';
import type { ExecutionContext } from 'ava';
import type { LanesData } from '../programs/remote-lanes.ts';
import { onRealAlone } from '../support/backends.ts';
import { fileOf } from '../support/files.ts';
import { eventually, pause, tcpPair } from '../support/net.ts';
import { Random } from '../support/random.ts';
import { sized } from '../support/size.ts';

async function isIdle(t: ExecutionContext, proactor: Proactor): Promise<void> {
  await eventually(t, 'the owner has nothing of anybody’s', () => {
    const { inFlight, descriptorsOpen, blocksBusy } = proactor.stats();
    return inFlight + descriptorsOpen + blocksBusy === 0;
  });
}

onRealAlone('S29: an abort at a remote handle is sent to the ring that has the operation, and to no other', {}, async (t, first, backend) => {
  // Seen red: `#beginOne` of ts/remote/guest.ts did not pass the cancel on.
  const second = new Proactor({ backend });
  const handles = await Promise.all([first, second].map((proactor) => remoteProactor(proactor.share())));
  const pairs = await Promise.all([...handles, first, second].map((proactor) => tcpPair(proactor)));
  const aborts = pairs.map(() => new AbortController());
  const order: number[] = [];
  const reads = pairs.map(({ inside }, index) => {
    const into = owned(Buffer.from(new ArrayBuffer(8)));
    const read = inside.hybrid().read(into, { signal: aborts[index]!.signal });
    void read.catch(() => order.push(index));
    return read;
  });
  // Not in its queue: what has not been handed over is withdrawn, and no ring hears of it.
  const readsOf = (proactor: Proactor): number => [...proactor.inflight()].filter(({ opcode }) => opcode === 'READ').length;
  for (const proactor of [first, second]) await eventually(t, 'both reads are with it', () => readsOf(proactor) === 2);
  // To ask for the figures hands over what was written down this turn.
  const before = [first, second].map((proactor) => proactor.stats().cancelsSent);
  aborts[1]!.abort();
  await t.throwsAsync(reads[1]!, { name: 'AbortError' });
  if (backend === 'uring') {
    const sent = (): number[] => [first, second].map((proactor, index) => proactor.stats().cancelsSent - before[index]!);
    await eventually(t, 'the second ring has sent a cancel', () => sent()[1]! > 0);
    t.is(sent()[0], 0);
  }
  for (const { outside } of pairs) await outside.writer().writeAll('received');
  const rest = await Promise.all([reads[0]!, reads[2]!, reads[3]!]);
  t.deepEqual(rest.map((bytes) => bytes!.data.toString()), ['received', 'received', 'received']);
  const kept = (await pairs[1]!.inside.allocator().read()) as Bytes;
  t.is(kept.data.toString(), 'received', 'the aborted read took nothing');
  kept.release();
  t.deepEqual(order, [1]);
  for (const pair of pairs) await pair[Symbol.asyncDispose]();
  await Promise.all(handles.map((handle) => handle.close()));
  await isIdle(t, first);
  await second.close();
});

interface Said {
  readonly settled?: number;
  readonly inFlight?: number;
  readonly stalled?: object;
}

/** A guest, from its start to its end; `dies` ends it early. */
async function lanes(t: ExecutionContext, proactor: Proactor, data: Omit<LanesData, 'port'>, dies: number | undefined): Promise<void> {
  const port = proactor.share();
  const worker = new Worker(new URL('../programs/remote-lanes.ts', import.meta.url), { workerData: { ...data, port }, transferList: [port] });
  let said: Said = {};
  worker.on('message', (message: Said) => {
    said = { ...said, ...message };
    if (message.stalled !== undefined) void worker.terminate();
  });
  const exited = once(worker, 'exit') as Promise<[number]>;
  if (dies !== undefined) {
    await once(worker, 'online');
    await pause(dies);
    await worker.terminate();
  }
  await exited;
  t.is(said.stalled, undefined, 'a second without an answer');
  if (dies === undefined) t.deepEqual([said.settled, said.inFlight], [data.count, 0]);
}

onRealAlone('S38: no wake-up between threads is lost: four guests pause and die at random, and no second passes without an answer', {}, async (t, proactor) => {
  // Seen red: `begin` of ts/remote/guest.ts said that nothing was left when its turn was over.
  t.timeout(sized(60_000, 600_000));
  const count = sized(20_000, 1_000_000);
  const random = new Random(sized(38, Date.now() % 2 ** 31));
  const started = performance.now();
  let isOver = false;
  const deaths = (async () => {
    let died = 0;
    for (; !isOver; died += 1) await lanes(t, proactor, { count: 1e9, seed: random.below(1e9) }, random.below(200));
    return died;
  })();
  await Promise.all([1, 2, 3, 4].map(() => lanes(t, proactor, { count, seed: random.below(1e9) }, undefined)));
  isOver = true;
  const died = await deaths;
  t.true(died > 0);
  t.log(`4 x ${count} answers, ${died} deaths, ${((performance.now() - started) / 1000).toFixed(1)} s`);
  await isIdle(t, proactor);
});

onRealAlone('S39: a thread that ends with work in its queue: every promise rejects, every buffer comes back', {}, async (t, _proactor, backend: BackendName) => {
  // Seen red: `#lose` of ts/remote/remote.ts answered what was out, but not what had waited for a slot.
  const worker = new Worker(new URL('../programs/remote-owner.ts', import.meta.url), { workerData: backend });
  const [port] = (await once(worker, 'message')) as [MessagePort];
  const remote = await remoteProactor(port, { inFlightMax: 64 });
  const [pair, file] = await Promise.all([tcpPair(remote), open(fileOf('x'.repeat(1000)), { proactor: remote })]);
  worker.postMessage('block');
  await pause(100); // it takes nothing in any more
  const reads = Array.from({ length: 100 }, (_, index) => {
    const reader = file.submitter();
    reader.submit(alloc(100 + index, { proactor: remote }), { position: index });
    const read = reader.poll();
    read.catch(() => {}); // looked at below
    return read;
  });
  const mine = alloc(5000, { proactor: remote });
  const writing = pair.outside.writer().writeAll(mine);
  writing.catch(() => {});
  const nops = Promise.allSettled(Array.from({ length: 100 }, () => remote.nop(7)));
  await pause(20);
  t.true(remote.stats().inFlight > 0);
  await worker.terminate();
  for (const [index, read] of reads.entries()) t.like(await t.throwsAsync(read), { code: 'ERR_RITSU_CLOSED', buffer: { length: 100 + index } });
  const error = await t.throwsAsync<Error & { code: string; buffers: readonly Buffer[] }>(writing);
  t.is(error.code, 'ERR_RITSU_CLOSED');
  t.deepEqual(error.buffers.map(({ length }) => length), [5000]);
  for (const nop of await nops) t.like((nop as PromiseRejectedResult).reason, { code: 'ERR_RITSU_CLOSED' });
  const { inFlight, waiting, blocksBusy } = remote.stats();
  t.deepEqual({ inFlight, waiting, blocksBusy }, { inFlight: 0, waiting: 0, blocksBusy: 0 });
  await remote.close();
});
