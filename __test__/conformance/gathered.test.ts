/**
 * Description: many small writes that are not awaited one by one. Those that wait their turn may go in one operation, and
 * nobody can tell: their bytes come in order, each is told its own count, each can be aborted for itself.
 *
 * What turns it red: a count that is dealt to the wrong write; an abort that takes the others along, or that ends a write
 * whose memory the kernel still reads; a write that is begun again although it was written; a share that nobody goes on with.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { ExecutionContext } from 'ava';
import type { Proactor, Stream } from 'ritsu';
import { alloc, remoteProactor } from 'ritsu';
import { onEach, onEachAlone, onRealAlone } from '../support/backends.ts';
import { Random } from '../support/random.ts';
import { sameBytes } from '../support/same.ts';
import { sized } from '../support/size.ts';
import { closeAll, tcpPair, unixPair } from '../support/net.ts';

/** Two ends of a connection. */
async function ends(proactor: Proactor, transport: 'tcp' | 'unix'): Promise<{ from: Stream; to: Stream; close: () => Promise<void> }> {
  const { inside, outside, listener } = await (transport === 'tcp' ? tcpPair(proactor) : unixPair(proactor));
  return { from: inside, to: outside, close: () => closeAll(inside, outside, listener) };
}

async function receive(stream: Stream, pauses: Random): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const bytes of stream.allocator({ blockSize: 16_384 })) {
    chunks.push(bytes.copy());
    if (pauses.chance(0.05)) await delay(1);
  }
  return Buffer.concat(chunks);
}

interface Written {
  readonly content: Buffer;
  readonly count: number;
}

/** A write, perhaps aborted; what of it was told to be written. */
async function writeOne(t: ExecutionContext, writing: Promise<{ bytesWritten: number }>, content: Buffer): Promise<Written> {
  try {
    const { bytesWritten } = await writing;
    t.is(bytesWritten, content.length);
    return { content, count: bytesWritten };
  } catch (error) {
    const { name, bytesTransferred, rest } = error as Error & { bytesTransferred: number; rest: Buffer };
    t.is(name, 'AbortError');
    t.true(content.subarray(bytesTransferred).equals(rest));
    return { content, count: bytesTransferred };
  }
}

/** So many writes of all sizes and kinds of memory, some of them aborted: what arrives is what each of them was told. */
async function abortAtRandom(t: ExecutionContext, proactor: Proactor, transport: 'tcp' | 'unix', seed: number): Promise<void> {
  const random = new Random(seed);
  const { from, to, close } = await ends(proactor, transport);
  const received = receive(to, random);
  const writer = from.writer();
  const all: Promise<Written>[] = [];
  for (let index = 0; index < sized(300, 3000); index += 1) {
    const memory = alloc(random.pick([1, 100, 4000, 4096, 20_000, 70_000]), { proactor });
    const content = Buffer.alloc(memory.length, index + 1);
    content.copy(memory);
    const abort = random.chance(0.3) ? new AbortController() : undefined;
    const data = random.chance(0.5) ? memory : content;
    all.push(writeOne(t, writer.writeAll(data, { signal: abort?.signal }), content));
    if (abort !== undefined && random.chance(0.5)) setTimeout(() => abort.abort(), random.below(4));
    else if (abort !== undefined) setImmediate(() => abort.abort());
    if (random.chance(0.1)) await delay(random.below(3));
  }
  const written = await Promise.all(all);
  await from.shutdown();
  sameBytes(t, await received, Buffer.concat(written.map(({ content, count }) => content.subarray(0, count))));
  const { pool, blocksBusy } = proactor.stats();
  t.is(pool.reduce((sum, { leased }) => sum + leased, 0), 0);
  t.is(blocksBusy, 0);
  await close();
}

for (const transport of ['tcp', 'unix'] as const) {
  for (const seed of [1, 2, 3]) {
    onEachAlone(`aborts at random: what arrives is what each was told: ${transport}, seed ${seed}`, {}, async (t, proactor) => {
      await abortAtRandom(t, proactor, transport, seed);
    });
  }
}

onEachAlone('with one slot to spare, writes wait for it, and can be aborted', { inFlightMax: 4 }, async (t, proactor) => {
  await abortAtRandom(t, proactor, 'tcp', 4);
});

onRealAlone('through a handle to a proactor, too', {}, async (t, proactor) => {
  const remote = await remoteProactor(proactor.share());
  await abortAtRandom(t, remote, 'tcp', 5);
  await remote.close();
});

onEach('each is told in the order of the calls', async (t, proactor) => {
  const { from, to, close } = await ends(proactor, 'tcp');
  const received = receive(to, new Random(5));
  const writer = from.writer();
  const order: number[] = [];
  await Promise.all(Array.from({ length: 50 }, (_, index) => writer.writeAll(`${index};`).then(() => order.push(index))));
  t.deepEqual(order, [...order.keys()]);
  await writer.end();
  t.is((await received).toString(), order.map((index) => `${index};`).join(''));
  await close();
});

onEach('a peer that goes, and a destroy: every one fails, and gets its memory back', async (t, proactor) => {
  for (const isOurs of [true, false]) {
    const { from, to, close } = await ends(proactor, 'tcp');
    const writer = from.writer();
    const writes = Array.from({ length: 2000 }, () => writer.writeAll(alloc(4096, { proactor })));
    const settled = Promise.allSettled(writes);
    await delay(20);
    await (isOurs ? from : to).destroy();
    for (const { status, reason } of (await settled) as { status: string; reason?: { buffers: Buffer[]; bytesTransferred: number } }[]) {
      if (status === 'rejected') t.is(reason!.buffers[0]!.length, 4096);
    }
    await t.throwsAsync(writes.at(-1)!);
    await close();
  }
});
