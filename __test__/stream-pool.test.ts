/**
 * Description: memory of live streams is bounded and shared fairly. A slow consumer stops its peer; a group whose blocks
 * are all held makes streams wait, in order, without work; what is only stashed never starves anybody.
 *
 * What turns it red: the multishot not stopped when the stash is full (the peer sends it all); `BufferGroup.keep` waking
 * nobody, or everybody again and again; `wait` not spilling stashes; `recover` not serving who waits.
 */
import { on } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { eventually } from './support/net.ts';
import test from 'ava';
import type { ExecutionContext } from 'ava';
import { Proactor } from 'ritsu';
import type { Bytes, Stream } from 'ritsu';
import { onEachAlone } from './support/backends.ts';
import { collectUntil } from './support/collect.ts';
import { randomBytes } from './support/files.ts';
import { internals } from './support/internals.ts';
import { residentOutsideHeap } from './support/resident.ts';
import { sameBytes } from './support/same.ts';
import { pairOf, sendAll } from './support/streams.ts';

const MIB = 2 ** 20;

/** The rows of S41 one after the other: what one of them takes in would be counted as the other's. */
let measured = Promise.resolve();

// Seen red: `delivered` of ts/read/intake.ts did not stop the multishot when the stash was full, and ts/memory/group.ts
// provided all blocks at once. On `node`: `Connection` took what came although no read waited.
onEachAlone('S41: a slow consumer: the peer is slowed down, memory is bounded, and all of it arrives', {}, async (t, proactor) => {
  const { promise, resolve: done } = Promise.withResolvers<void>();
  const before = measured;
  measured = promise;
  await before;
  try {
    await slowConsumer(t, proactor);
  } finally {
    done();
  }
});

async function slowConsumer(t: ExecutionContext, proactor: Proactor): Promise<void> {
  const { stream, peer } = await pairOf(proactor);
  const content = randomBytes(64 * MIB, 8);
  const sending = sendAll(peer, content);
  const reader = stream.allocator();
  const chunks: Buffer[] = [];
  const take = async (): Promise<boolean> => {
    const bytes = await reader.read();
    if (bytes !== null) chunks.push(bytes.copy());
    bytes?.release();
    return bytes !== null;
  };
  await take();
  const before = residentOutsideHeap();
  await delay(300);
  t.true(proactor.stats().streamPool!.leased <= 17, `${proactor.stats().streamPool!.leased} blocks are held for a reader that sleeps`);
  t.true(peer.writableLength > 40 * MIB, `the peer keeps ${peer.writableLength} bytes`);
  const grown = residentOutsideHeap() - before;
  t.true(grown < 24 * MIB, `${grown} bytes more are resident`);
  while (await take()) if (chunks.length % 100 === 0) await delay(1);
  sameBytes(t, Buffer.concat(chunks), content);
  await sending;
  await stream.close();
}

// Seen red: `keep` of ts/memory/group.ts served nobody.
onEachAlone('S24: an exhausted group: streams wait without work, and each release lets one go on', { streamPool: { size: 4096, count: 2 } }, async (t, proactor) => {
  const pairs = await Promise.all(Array.from({ length: 100 }, () => pairOf(proactor)));
  const got: Bytes[] = [];
  const reads = pairs.map(async ({ stream, peer }, index) => {
    const read = stream.allocator().read();
    peer.write(String(index));
    const bytes = await read;
    got.push(bytes!);
    return bytes!.data.toString();
  });
  await eventually(t, 'two have their bytes', () => got.length >= 2);
  await delay(200);
  t.is(got.length, 2, 'as many as there are blocks');
  const { submitted, enters } = proactor.stats();
  await delay(300);
  t.true(proactor.stats().submitted - submitted === 0 && proactor.stats().enters === enters, 'nothing is asked again and again');
  for (let released = 0; released < 98; released += 1) {
    const { length } = got;
    got[released]!.release();
    while (got.length === length) await delay(1);
    t.is(got.length, length + 1, 'one release, one read');
  }
  t.deepEqual(await Promise.all(reads), pairs.map((_, index) => String(index)));
  for (const bytes of got) bytes.release();
  await Promise.all(pairs.map(({ stream }) => stream.close()));
  const { available, count, exhausted } = proactor.stats().streamPool!;
  t.is(available, count);
  t.true(exhausted > 0);
});

onEachAlone('who is armed and gets nothing does not hold up those behind it', { streamPool: { size: 4096, count: 1 } }, async (t, proactor) => {
  const lender = await pairOf(proactor);
  const lend = lender.stream.allocator().read();
  lender.peer.write('x');
  const lease = await lend;
  const silent = await Promise.all(Array.from({ length: 10 }, () => pairOf(proactor)));
  const waiting = silent.map(({ stream }) => stream.allocator().read());
  const { stream, peer } = await pairOf(proactor);
  const read = stream.allocator().read();
  peer.write('now');
  await delay(50);
  lease!.release();
  const bytes = await read;
  t.is(bytes?.data.toString(), 'now');
  for (const each of silent) each.peer.end();
  bytes?.release();
  t.deepEqual(await Promise.all(waiting), silent.map(() => null));
  await Promise.all([lender, ...silent, { stream }].map((each) => each.stream.close()));
});

onEachAlone('what is only stashed starves nobody', { streamPool: { size: 4096, count: 4 } }, async (t, proactor) => {
  const pairs = await Promise.all(Array.from({ length: 12 }, () => pairOf(proactor)));
  const readers = pairs.map(({ stream }) => stream.allocator());
  for (const [index, { peer }] of pairs.entries()) {
    const read = readers[index]!.read();
    peer.write('a');
    (await read)!.release();
    for (const part of ['b', 'c', 'd']) {
      peer.write(part);
      await delay(2); // each is a chunk of its own
    }
  }
  const seen = await Promise.all(
    readers.map(async (reader) => {
      let text = '';
      while (text.length < 3) {
        const bytes = await reader.read();
        text += bytes!.data.toString();
        bytes!.release();
      }
      return text;
    }),
  );
  t.deepEqual(seen, pairs.map(() => 'bcd'));
  await Promise.all(pairs.map(({ stream }) => stream.close()));
  t.is(proactor.stats().streamPool!.available, 4);
});

onEachAlone('what is stashed stays where it is when there is no memory to move it to, or not enough', { streamPool: { size: 4096, count: 6 } }, async (t, proactor, name) => {
  const { backend } = internals(proactor);
  const allocate = backend.allocate.bind(backend);
  let [calls, refusals] = [0, 0];
  backend.allocate = (size) => {
    calls += 1;
    if (calls % 3 === 1) return allocate(size); // the first block of a spill, and then no second
    refusals += 1;
    throw new RangeError('no memory');
  };
  const pairs = await Promise.all(Array.from({ length: 8 }, () => pairOf(proactor)));
  const contents = pairs.map((_, index) => randomBytes(3 * 4096, index + 40));
  for (const [index, { stream, peer }] of pairs.entries()) {
    const read = stream.allocator().read();
    peer.write('a');
    (await read)!.release();
    await sendAll(peer, contents[index]!);
    await delay(5); // it is stashed, as far as there are blocks; for the next one some of it is to be moved
  }
  const seen = await Promise.all(
    pairs.map(async ({ stream }) => {
      const parts: Buffer[] = [];
      for await (const bytes of stream.allocator()) parts.push(bytes.copy());
      return Buffer.concat(parts);
    }),
  );
  for (const [index, bytes] of seen.entries()) sameBytes(t, bytes, contents[index]!, `stream ${index}`);
  t.true(refusals > 0 || name === 'node', 'and that was tried'); // Node takes nothing before it is asked for
  backend.allocate = allocate;
  await Promise.all(pairs.map(({ stream }) => stream.close()));
  t.is(proactor.stats().streamPool!.available, 6);
});

onEachAlone('an idle connection holds no block', {}, async (t, proactor) => {
  const pairs = await Promise.all(Array.from({ length: 50 }, () => pairOf(proactor)));
  const reads = pairs.map(({ stream }) => stream.allocator().read());
  await delay(20);
  t.is(proactor.stats().streamPool!.leased, 0);
  t.true(proactor.stats().streamPool!.available === 256);
  for (const { peer } of pairs) peer.end();
  t.deepEqual(await Promise.all(reads), pairs.map(() => null));
  await Promise.all(pairs.map(({ stream }) => stream.close()));
});

async function forgets(stream: Stream): Promise<void> {
  await stream.allocator().read();
}

onEachAlone('leases that were forgotten come back, and who waits goes on', { streamPool: { size: 4096, count: 1 } }, async (t, proactor) => {
  const [first, second] = await Promise.all([pairOf(proactor), pairOf(proactor)]);
  const forgotten = forgets(first.stream);
  first.peer.write('x');
  await forgotten;
  let text = '';
  const read = second.stream.allocator().read().then((bytes) => {
    text = bytes!.data.toString();
    bytes!.release();
  });
  second.peer.write('y');
  t.true(await collectUntil(() => text === 'y'));
  await read;
  await Promise.all([first.stream.close(), second.stream.close()]);
  t.is(proactor.stats().streamPool!.available, 1);
});

onEachAlone('a lease whose memory was moved away is never shown again', { streamPool: { size: 4096, count: 2 } }, async (t, proactor) => {
  const { stream, peer } = await pairOf(proactor);
  const reader = stream.allocator();
  let read = reader.read();
  peer.write('mine');
  const bytes = await read;
  const stolen = Buffer.from(bytes!.data.buffer.transfer(), 0, 4);
  bytes!.release();
  for (let round = 0; round < 20; round += 1) {
    read = reader.read();
    peer.write('other');
    (await read)!.release();
    t.is(stolen.toString(), 'mine');
  }
  peer.destroy();
  await stream.close();
});

test('the warning of an exhausted group', async (t) => {
  const proactor = new Proactor({ backend: 'node', streamPool: { size: 4096, count: 1 } });
  const [first, second] = await Promise.all([pairOf(proactor), pairOf(proactor)]);
  const reads = [first, second].map(({ stream, peer }) => {
    const read = stream.allocator().read();
    peer.write('x');
    return read;
  });
  const alive = setInterval(() => {}, 1000); // what waits for a block keeps nobody alive
  for await (const [warning] of on(process, 'warning') as AsyncIterable<[Error & { code: string }]>) {
    // Other tests of this process may be short of blocks, too.
    if (warning.code === 'RITSU_POOL_EMPTY' && /of 4096 bytes: 1; all 1 blocks are held/.test(warning.message)) break;
  }
  clearInterval(alive);
  t.is(proactor.stats().streamPool?.waiting, 1);
  (await Promise.race(reads))!.release();
  for (const bytes of await Promise.all(reads)) bytes!.release();
  await proactor.close();
});

test('what a group is made of is checked', async (t) => {
  for (const streamPool of [{ size: 5000, count: 4 }, { size: 4096, count: 0 }, { size: 4096, count: 1.5 }, { size: 1024, count: 4 }]) {
    const proactor = new Proactor({ backend: 'node', streamPool });
    const { stream, peer } = await pairOf(proactor);
    await t.throwsAsync(async () => stream.allocator().read(), { code: 'ERR_OUT_OF_RANGE' });
    peer.destroy();
    await proactor.close();
  }
});

test('more idle connections than there are slots: a warning says so', async (t) => {
  const proactor = new Proactor({ backend: 'node', inFlightMax: 2 });
  const pairs = await Promise.all([pairOf(proactor), pairOf(proactor), pairOf(proactor)]);
  const alive = setInterval(() => {}, 1000);
  const reads = pairs.map(({ stream }) => stream.allocator().read());
  for await (const [warning] of on(process, 'warning') as AsyncIterable<[Error & { code: string }]>) {
    if (warning.code === 'RITSU_SLOTS_EMPTY') break;
  }
  clearInterval(alive);
  t.is(proactor.stats().waiting, 1);
  for (const { peer } of pairs) peer.end();
  t.deepEqual(await Promise.all(reads), [null, null, null]);
  await proactor.destroy();
});
