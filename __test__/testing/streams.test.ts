/**
 * Description: the bytes of a live stream under everything that a ring may do. Both ends are ours: one writes with
 * writes of all kinds, aborts some and waits for none; the other reads in all styles, aborts some reads, keeps leases,
 * is slow. What was delivered is what was sent, and in the end the pools are whole and nothing is open.
 *
 * What turns it red: an intake that loses what a stopped multishot still delivers; a cancel whose completion is believed
 * instead of the target's; a partial send that reports another count than was sent; a block not given back.
 */
import test from 'ava';
import { alloc, connect, listen, owned, pooled } from 'ritsu';
import type { Bytes, Proactor, Stream, WriteResult } from 'ritsu';
import type { SimulationOptions } from 'ritsu/testing';
import type { Random } from '../support/random.ts';
import { runSeed, seedsOf } from '../support/simulated.ts';
import type { Program } from '../support/simulated.ts';
import { sized } from '../support/size.ts';
import { RoundAllocator } from '../support/styles.ts';

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Byte `index` of each stream: it says where it belongs. */
function byteAt(index: number): number {
  return (Math.imul(index, 0x9e3779b1) >>> 24) ^ (index & 0xff);
}

const CONTENT = Buffer.from(Uint8Array.from({ length: 200_000 }, (_, index) => byteAt(index)));

type Options = { readonly signal?: AbortSignal; readonly prompt?: boolean };
type Read = (options: Options) => Promise<Bytes | null>;

function readersOf(stream: Stream, proactor: Proactor, random: Random): Read[] {
  const submit = (size: number): Read => {
    const reader = stream.submitter();
    return async (options) => {
      reader.submit(alloc(size, { proactor }), options);
      return reader.poll();
    };
  };
  const pool = proactor.createPool({ classes: [{ size: 4096, count: 2 }], hugePages: false });
  const allocator = new RoundAllocator(() => alloc(3000, { proactor }), true);
  const readers = [{}, { blockSize: 700 }, { allocator: pool, blockSize: 4096 }, { allocator }].map((options): Read => {
    const reader = stream.allocator(options);
    return (limits) => reader.read(limits);
  });
  const hybrid = stream.hybrid();
  return [
    ...readers,
    submit(1 + random.below(5000)),
    submit(50),
    (options) => hybrid.read(owned(new Uint8Array(1 + random.below(2000))), options),
    (options) => hybrid.read(pooled({ pool: proactor.pool, size: 4096 }), options),
  ];
}

/** Abort now, in this turn, in a later one, or never. */
function limitsOf(random: Random, rate: number): Options {
  if (!random.chance(rate)) return {};
  const abort = new AbortController();
  const prompt = random.chance(0.3);
  if (random.chance(0.1)) abort.abort();
  else if (random.chance(0.3)) queueMicrotask(() => abort.abort());
  else {
    let turns = random.below(6);
    const later = (): void => {
      if (turns === 0) abort.abort();
      else setImmediate(later);
      turns -= 1;
    };
    setImmediate(later);
  }
  return { signal: abort.signal, prompt };
}

interface Outcome {
  bytes?: Buffer | null;
}

/** Read to the end; the bytes of the reads that resolved, in the order of their calls. */
async function receive(stream: Stream, proactor: Proactor, random: Random): Promise<Buffer> {
  const readers = readersOf(stream, proactor, random);
  const outcomes: Outcome[] = [];
  const held: Bytes[] = [];
  let isOver = false;
  let waiting = 0;
  const take = async (read: Promise<Bytes | null>, outcome: Outcome): Promise<void> => {
    try {
      const bytes = await read;
      outcome.bytes = bytes === null ? null : bytes.copy();
      if (bytes === null || bytes.length === 0) isOver = true;
      if (bytes !== null && random.chance(0.2)) held.push(bytes);
      else bytes?.release();
    } catch (error) {
      if ((error as Error).name !== 'AbortError') throw error;
      const { outcome: late } = error as { outcome?: Promise<unknown> };
      await late;
    } finally {
      waiting -= 1;
    }
  };
  const running: Promise<void>[] = [];
  const isSlow = random.chance(0.3);
  while (!isOver) {
    for (let count = waiting > 8 ? 0 : random.below(3); count > 0; count -= 1) {
      waiting += 1;
      const outcome: Outcome = {};
      outcomes.push(outcome);
      running.push(take(random.pick(readers)(limitsOf(random, 0.2)), outcome));
    }
    while (held.length > 0 && random.chance(0.5)) held.splice(random.below(held.length), 1)[0]!.release();
    for (let turns = isSlow ? random.below(20) : 1; turns > 0; turns -= 1) await nextTurn();
  }
  for (const bytes of held.splice(0)) bytes.release();
  await Promise.all(running);
  for (const bytes of held) bytes.release();
  return Buffer.concat(outcomes.map(({ bytes }) => bytes ?? Buffer.alloc(0)));
}

/** Write about so many bytes, and end; how many went. An abort tells how much of its write did. */
async function send(stream: Stream, proactor: Proactor, random: Random, total: number): Promise<Buffer> {
  const writers = [stream.writer(), stream.writer({ zeroCopy: true })];
  const sent: Buffer[] = [];
  let given = 0;
  while (given < total) {
    const data = CONTENT.subarray(given, given + 1 + random.below(random.chance(0.2) ? 40_000 : 3000));
    given += data.length;
    const memory = random.chance(0.5) ? alloc(data.length, { proactor }) : Buffer.alloc(data.length);
    memory.set(data);
    const writer = random.pick(writers);
    const limits = limitsOf(random, 0.2);
    const count = await written(random.chance(0.7) ? writer.writeAll(memory, limits) : writer.write(memory, limits));
    sent.push(data.subarray(0, count));
    if (random.chance(0.1)) await nextTurn();
  }
  await stream.shutdown();
  return Buffer.concat(sent);
}

async function written(write: Promise<WriteResult>): Promise<number> {
  try {
    return (await write).bytesWritten;
  } catch (error) {
    const { name, bytesTransferred, outcome } = error as {
      name: string; bytesTransferred?: number; outcome?: Promise<{ bytesTransferred: number }>;
    };
    if (name !== 'AbortError') throw error;
    return outcome === undefined ? bytesTransferred! : (await outcome).bytesTransferred;
  }
}

function check(sent: Buffer, received: Buffer): void {
  if (sent.equals(received)) return;
  const at = sent.findIndex((byte, index) => byte !== received[index]);
  throw new Error(`${sent.length} bytes were sent, ${received.length} received; the first that differs is ${at}`);
}

const optionsOf = (random: Random): SimulationOptions => ({
  streamPool: { size: 4096, count: random.pick([1, 2, 8, 64]) },
  pool: { classes: [{ size: 4096, count: 4 }], hugePages: false },
  sendBuffer: random.pick([100, 4096, 65_536]),
  receiveBuffer: random.pick([100, 4096, 65_536]),
  faults: {
    reorder: random.pick([0, 0.5, 1]),
    delay: random.pick([0, 0.1, 0.5]),
    short: random.pick([0, 0.3, 0.9]),
    cancelLoses: random.pick([0, 0.5, 1]),
    endEarly: random.pick([0, 0.05, 0.5]),
    emptyGroup: random.pick([0, 0.02, 0.3]),
    interrupt: random.pick([0, 0.2]),
    notReady: random.pick([0, 0.2]),
  },
});

function conversation(transport: 'tcp' | 'unix', length: number): Program<number> {
  return async (simulation, random) => {
    const { proactor } = simulation;
    const path = '\0conversation';
    const listener = await (transport === 'unix' ? listen({ path, proactor }) : listen({ port: 0, host: '127.0.0.1', proactor }));
    const address = listener.address();
    const target = typeof address === 'string' ? { path: address } : { port: address.port, host: '127.0.0.1' };
    const [near, far]: Stream[] = await Promise.all([connect({ ...target, proactor }) as Promise<Stream>, listener.accept() as Promise<Stream>]);
    const [there, arrived, back, returned] = await Promise.all([
      send(near!, proactor, random, length),
      receive(far!, proactor, random),
      send(far!, proactor, random, length / 4),
      receive(near!, proactor, random),
    ]);
    check(there, arrived);
    check(back, returned);
    await Promise.all([near!.close(), far!.close(), listener.close()]);
    return there.length + back.length;
  };
}

for (const transport of ['tcp', 'unix'] as const) {
  test(`${transport}: what was delivered is what was sent, whatever the ring does`, async (t) => {
    let bytes = 0;
    for (const seed of seedsOf(sized(150, 5000))) bytes += await runSeed(seed, optionsOf, conversation(transport, 20_000));
    t.true(bytes > 0);
  });
}
