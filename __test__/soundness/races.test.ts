/**
 * Description: aborts that race with bytes. A sender counts; readers of all styles ask, and every read is aborted at a moment
 * of its own: in the same turn, in a microtask, some turns later. What the reads delivered, put together, must be what was
 * sent, byte by byte; then the pools must be whole.
 *
 * What turns it red: bytes that came for a read that was aborted, and are dropped; a cancel's completion that is believed
 * instead of its target's; a block that is not given back.
 */
import { execFileSync } from 'node:child_process';
import { connect, listen, pipe } from 'ritsu';
import type { Proactor, Stream } from 'ritsu';
import type { ExecutionContext } from 'ava';
import { onEachAlone } from '../support/backends.ts';
import { freshPath } from '../support/files.ts';
import { Random } from '../support/random.ts';
import { sized } from '../support/size.ts';
import { STREAM_STYLES } from '../support/streams.ts';
import type { Next } from '../support/streams.ts';

/** Reads that are aborted, on each transport and backend. */
const RACES = sized(2000, 100_000);
const SEED = sized(23, Date.now() % 2 ** 31);

interface Way {
  readonly from: Stream;
  readonly to: Stream;
}

const WAYS: readonly (readonly [name: string, open: (proactor: Proactor) => Promise<Way>])[] = [
  ['TCP', async (proactor) => {
    const listener = await listen({ port: 0, host: '127.0.0.1', proactor });
    const [from, to] = await Promise.all([connect({ port: listener.address().port, host: '127.0.0.1', proactor }), listener.accept()]);
    await listener.close();
    return { from, to };
  }],
  ['a Unix socket', async (proactor) => {
    const path = freshPath('socket');
    const listener = await listen({ path, proactor });
    const [from, to] = await Promise.all([connect({ path, proactor }), listener.accept()]);
    await listener.close();
    return { from, to };
  }],
  ['a pipe', async (proactor) => {
    const path = freshPath('fifo');
    execFileSync('mkfifo', [path]);
    const [to, from] = await Promise.all([pipe(path, { flags: 'r', proactor }), pipe(path, { flags: 'w', proactor })]);
    return { from, to };
  }],
];

/** Sends the numbers 0, 1, 2 .. as 32 bits each; byte `index` of what was sent follows from its place. */
class Sender {
  readonly #writer: ReturnType<Stream['writer']>;
  readonly #under = new Set<Promise<unknown>>();
  sent = 0;

  constructor(stream: Stream) {
    this.#writer = stream.writer();
  }

  send(numbers: number): void {
    if (this.#under.size > 8) return; // the reader is behind
    const words = Uint32Array.from({ length: numbers }, (_, index) => this.sent / 4 + index);
    this.sent += words.byteLength;
    const writing = this.#writer.writeAll(new Uint8Array(words.buffer)).finally(() => this.#under.delete(writing));
    this.#under.add(writing);
  }

  async end(): Promise<void> {
    await Promise.all(this.#under);
    await this.#writer.end();
  }
}

/** Checks each byte against its place in what was sent. */
class Receiver {
  received = 0;

  take(bytes: Uint8Array): void {
    for (const byte of bytes) {
      const expected = (Math.floor(this.received / 4) >>> (8 * (this.received % 4))) & 0xff;
      if (byte !== expected) throw new Error(`byte ${this.received} is ${byte} and not ${expected}: lost, repeated or out of order`);
      this.received += 1;
    }
  }
}

const MOMENTS: readonly ((abort: () => void) => void)[] = [
  (abort) => abort(),
  queueMicrotask,
  setImmediate,
  (abort) => setImmediate(() => setImmediate(abort)),
  (abort) => setImmediate(() => setImmediate(() => setImmediate(() => setImmediate(abort)))),
];

interface Tally {
  won: number;
  aborted: number;
}

/** One read, or some at once, each of them aborted; their bytes in the order of the calls. */
async function race(nexts: readonly Next[], random: Random, receiver: Receiver, tally: Tally): Promise<number> {
  const reads = Array.from({ length: random.chance(0.2) ? 1 + random.below(3) : 1 }, () => {
    const abort = new AbortController();
    const read = random.pick(nexts)({ signal: abort.signal, prompt: random.chance(0.3) });
    random.pick(MOMENTS)(() => abort.abort());
    return read;
  });
  for (const read of await Promise.allSettled(reads)) {
    if (read.status === 'fulfilled') {
      receiver.take(read.value!);
      tally.won += 1;
    } else if ((read.reason as Error).name === 'AbortError') tally.aborted += 1;
    else throw read.reason;
  }
  return reads.length;
}

function isWhole(t: ExecutionContext, proactor: Proactor): void {
  const { pool, streamPool, blocksBusy, inFlight, leakedBytes, descriptorsOpen } = proactor.stats();
  t.deepEqual({ blocksBusy, inFlight, leakedBytes, descriptorsOpen }, { blocksBusy: 0, inFlight: 0, leakedBytes: 0, descriptorsOpen: 0 });
  for (const { available, count } of [...pool, streamPool!]) t.is(available, count, 'blocks');
}

for (const [name, open] of WAYS) {
  onEachAlone(`S23: reads are aborted at random: what was delivered is what was sent, each byte once: ${name}`, {}, async (t, proactor) => {
    // Seen red: `answered` in ts/read/intake.ts did not keep the bytes of a read that was given up (`#keepBytes`).
    t.timeout(sized(60_000, 600_000));
    const { from, to } = await open(proactor);
    const random = new Random(SEED);
    const [sender, receiver, tally] = [new Sender(from), new Receiver(), { won: 0, aborted: 0 }];
    const nexts = STREAM_STYLES.flatMap((style) => [3, 64, 5000].map((size) => style.reader(to, proactor, size)));
    const started = performance.now();
    for (let races = 0; races < RACES; ) {
      if (random.chance(0.6)) sender.send(1 + random.below(20));
      races += await race(nexts, random, receiver, tally);
    }
    const ended = sender.end();
    for (let chunk = await nexts[0]!(); chunk !== null; chunk = await nexts[0]!()) receiver.take(chunk);
    await ended;
    t.is(receiver.received, sender.sent);
    t.true(tally.won > RACES / 20 && tally.aborted > RACES / 20, JSON.stringify(tally));
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    t.log(`seed ${SEED}: ${tally.won} won, ${tally.aborted} aborted, ${receiver.received} bytes, ${seconds} s`);
    await Promise.all([from.close(), to.close()]);
    isWhole(t, proactor);
  });
}
