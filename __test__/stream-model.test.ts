/**
 * Description: the order of a stream's bytes against a model of the kernel that a seed decides: readers of all styles
 * take turns, reads are aborted, blocks run out, the consumer is slow. Whatever happens, the bytes of the reads that
 * resolved, in the order of their calls, are the stream; nothing is lost, repeated or reordered, and the group is whole
 * in the end.
 *
 * What turns it red: `Intake.#arrived` handing a chunk to a read although others are stashed before it; a stop that
 * throws away what the multishot still delivers; `answered` treating ECANCELED as the stream's end; `BufferGroup.keep`
 * not waking who waits; `Stash.fill` forgetting the rest of a chunk.
 */
import test from 'ava';
import type { ExecutionContext } from 'ava';
import { Intake } from '../dist/read/intake.js';
import { AllocatorReader } from '../dist/read/allocator.js';
import { HybridReader } from '../dist/read/hybrid.js';
import { StreamSource } from '../dist/read/stream-source.js';
import { SubmitReader } from '../dist/read/submit.js';
import { owned, pooled } from '../dist/buffer.js';
import type { Bytes } from '../dist/memory/bytes.js';
import { KernelModel, byteAt } from './support/kernel-model.ts';
import type { KernelOptions } from './support/kernel-model.ts';
import { Random } from './support/random.ts';
import { sized } from './support/size.ts';

interface Bench {
  readonly kernel: KernelModel;
  readonly intake: Intake;
  readonly source: StreamSource;
}

function benchOf(random: Random, options: KernelOptions): Bench {
  const kernel = new KernelModel(random, options);
  const channel = { proactor: kernel.host, descriptor: 7, kind: 'tcp' } as const;
  const intake = new Intake(channel);
  const source = new StreamSource({}, { ...channel, intake, closed: false });
  return { kernel, intake, source };
}

type Read = (options: { signal?: AbortSignal }) => Promise<Bytes | null>;

function readersOf({ kernel, source }: Bench, random: Random): Read[] {
  const { host } = kernel;
  const submit = (size: number): Read => {
    const reader = new SubmitReader(source);
    return (options) => {
      reader.submit(new Uint8Array(size), options);
      return reader.poll();
    };
  };
  const hybrid = new HybridReader(source);
  const own = host.pool;
  const spare = { acquire: () => Buffer.alloc(3000), release() {} };
  const other = { classes: [{ size: 4096, count: 2 }], hugePages: false };
  const pool = new (own.constructor as new (host: object, options: object) => typeof own)(host, other);
  const readers = [
    new AllocatorReader(source),
    new AllocatorReader(source, { blockSize: 700 }),
    new AllocatorReader(source, { allocator: pool }),
    new AllocatorReader(source, { allocator: spare }),
  ].map((reader): Read => (options) => reader.read(options));
  return [
    ...readers,
    submit(1 + random.below(5000)),
    submit(50),
    (options) => hybrid.read(owned(new Uint8Array(1 + random.below(2000))), options),
    (options) => hybrid.read(pooled({ pool: own, size: 4096 }), options),
  ];
}

interface Outcome {
  bytes?: Buffer | null;
  error?: Error;
}

/** Take the bytes out and give the memory back, now or later. */
async function consume(read: Promise<Bytes | null>, outcome: Outcome, held: Bytes[], random: Random): Promise<void> {
  try {
    const bytes = await read;
    outcome.bytes = bytes === null ? null : bytes.copy();
    if (bytes !== null && random.chance(0.3)) held.push(bytes);
    else bytes?.release();
  } catch (error) {
    outcome.error = error as Error;
  }
}

function check(t: ExecutionContext, outcomes: readonly Outcome[], seed: number): { position: number; aborted: number } {
  let position = 0;
  let aborted = 0;
  for (const { bytes, error } of outcomes) {
    if (error !== undefined) {
      if (error.name === 'AbortError') aborted += 1;
      else t.fail(`seed ${seed}: ${error.stack}`);
    }
    for (const byte of bytes ?? []) {
      if (byte !== byteAt(position)) {
        t.fail(`seed ${seed}: byte ${position} is ${byte}, not ${byteAt(position)}`);
        return { position: -1, aborted };
      }
      position += 1;
    }
  }
  return { position, aborted };
}

/** Readers at random until the end of the stream. */
async function run(t: ExecutionContext, seed: number, options: KernelOptions): Promise<number> {
  const random = new Random(seed);
  const bench = benchOf(random, options);
  const { kernel, intake } = bench;
  const readers = readersOf(bench, random);
  const outcomes: Outcome[] = [];
  const held: Bytes[] = [];
  const running: Promise<void>[] = [];
  let keepsAlive = true;
  const isOver = (): boolean => outcomes.some(({ bytes }) => bytes === null || bytes?.length === 0);
  for (let round = 0; !isOver(); round += 1) {
    if (round > 200_000) return t.fail(`seed ${seed}: no progress; flow ${intake.flow}, ${kernel.delivered} delivered`);
    for (let count = random.below(3); count > 0; count -= 1) {
      const abort = new AbortController();
      const outcome: Outcome = {};
      outcomes.push(outcome);
      running.push(consume(random.pick(readers)({ signal: abort.signal }), outcome, held, random));
      if (random.chance(0.1)) setImmediate(() => abort.abort());
      if (random.chance(0.05)) abort.abort();
    }
    if (random.chance(0.05)) intake.keepAlive((keepsAlive = random.chance(0.5)));
    const isHeld = (keepsAlive && !intake.isIdle) || kernel.isCancelling;
    if (kernel.keepsAlive !== isHeld) return t.fail(`seed ${seed}: the process is ${isHeld ? 'not ' : ''}kept alive; flow ${intake.flow}`);
    for (let steps = random.below(6); steps > 0; steps -= 1) kernel.step();
    while (held.length > 0 && random.chance(0.5)) held.splice(random.below(held.length), 1)[0]!.release();
    if (random.chance(0.3)) await new Promise((resolve) => setImmediate(resolve));
    else await Promise.resolve();
  }
  for (const bytes of held.splice(0)) bytes.release();
  const closed = intake.close();
  for (let steps = 0; steps < 1000 && !kernel.idle; steps += 1) {
    kernel.step();
    await Promise.resolve();
  }
  await closed;
  await Promise.all(running);
  for (const bytes of held) bytes.release();
  const read = outcomes.filter(({ error }) => (error as { code?: string } | undefined)?.code !== 'ERR_RITSU_CLOSED');
  const { position, aborted } = check(t, read, seed);
  t.is(position, options.length, `seed ${seed}: bytes`);
  t.is(kernel.most, 1, `seed ${seed}: one operation at a time`);
  const { available, count, waiting } = kernel.host.streamGroup.stats();
  t.deepEqual({ available, waiting }, { available: count, waiting: 0 }, `seed ${seed}: the group is whole`);
  for (const each of kernel.host.pool.stats()) t.is(each.available, each.count, `seed ${seed}: the pool is whole`);
  return aborted;
}

const ROWS: readonly (readonly [string, Omit<KernelOptions, 'length'>])[] = [
  ['multishot', { blocks: 64, blockSize: 4096 }],
  ['a tiny group', { blocks: 2, blockSize: 4096 }],
  ['a group of one', { blocks: 1, blockSize: 4096 }],
  ['one shot', { blocks: 8, blockSize: 4096, multishot: false }],
  ['a descriptor that cannot be polled', { blocks: 8, blockSize: 4096, refusesMultishot: true }],
  ['a descriptor that is non-blocking', { blocks: 8, blockSize: 4096, nonBlocking: true }],
  ['no buffer select', { blocks: 4, blockSize: 4096, selects: false }],
  ['blocks larger than reads', { blocks: 4, blockSize: 16_384 }],
];

for (const [name, options] of ROWS) {
  test(`styles take turns at random, reads are aborted, consumers are slow: ${name}`, async (t) => {
    let aborted = 0;
    for (let seed = 1; seed <= sized(20, 400); seed += 1) aborted += await run(t, seed, { ...options, length: 150_000 });
    t.true(aborted > 0);
  });
}
