/**
 * Streams of a soak: what one side writes the other reads in styles that take turns, with aborts on both sides. At an orderly
 * end all has arrived, after a reset what did arrive is right.
 */
import { alloc, handOver, owned, pooled } from 'ritsu';
import type { AbortError, Bytes, Moved, Pipe, Proactor, Stream, WriteResult } from 'ritsu';
import type { Random } from '../support/random.ts';
import { Pattern, limits, pause } from './soak-tally.ts';
import type { Tally } from './soak-tally.ts';

type AnyStream = Stream | Pipe;
const CHUNK_MAX = 200_000;

/** How a way ends: `half-close` loses nothing, the others may cut it off anywhere. */
export type Ending = 'half-close' | 'reset' | 'destroy';

/** One direction of a stream, from its first byte to its last. */
export class Way {
  readonly #random: Random;
  readonly #tally: Tally;
  readonly #proactor: Proactor;
  readonly pattern: Pattern;
  sent = 0;
  received = 0;
  /** Leases that the reader keeps for a while, with where they belong. */
  #held: (readonly [bytes: Bytes, position: number])[] = [];

  constructor(random: Random, tally: Tally, proactor: Proactor, key: number) {
    this.#random = random;
    this.#tally = tally;
    this.#proactor = proactor;
    this.pattern = new Pattern(key);
  }

  /** Write so many bytes, more or less; whether the stream can still be written. */
  async write(stream: AnyStream, total: number): Promise<boolean> {
    const random = this.#random;
    while (this.sent < total) {
      const length = 1 + random.below(random.chance(0.3) ? CHUNK_MAX : 5000);
      try {
        const { bytesWritten } = await this.#writeOnce(stream, this.pattern.at(this.sent, length));
        this.sent += bytesWritten;
      } catch (error) {
        const { bytesTransferred, outcome } = error as AbortError;
        // After a prompt end the outcome tells all of it.
        this.sent += outcome === undefined ? (bytesTransferred ?? 0) : (await outcome).bytesTransferred;
        if (!this.#tally.isAborted(error)) {
          this.#tally.expected('write', error);
          return false;
        }
      }
    }
    return true;
  }

  #writeOnce(stream: AnyStream, data: Buffer): Promise<WriteResult> {
    const random = this.#random;
    const options = limits(random);
    const writer = stream.writer(random.chance(0.2) ? { zeroCopy: true } : {});
    if (random.chance(0.2)) {
      const middle = random.below(data.length);
      if (middle > 0) writer.push(data.subarray(0, middle));
      return writer.push(data.subarray(middle)).flush(options);
    }
    let memory: Buffer = data;
    if (random.chance(0.5)) {
      memory = alloc(data.length, { proactor: this.#proactor });
      memory.set(data);
    }
    return random.chance(0.5) ? writer.write(memory, options) : writer.writeAll(memory, options);
  }

  /** Read until the end, or until `until` bytes came; whether the end was an orderly one. */
  async read(stream: AnyStream, until = Infinity): Promise<boolean> {
    let before = -1;
    try {
      while (this.received < until) {
        const style = this.#random.below(4);
        if (style !== before) this.#tally.add('switches');
        before = style;
        try {
          if (!(await this.#readOnce(stream, style))) return true;
        } catch (error) {
          if (!this.#tally.isAborted(error)) throw error;
          // What a prompt end left to the kernel is the next read's.
        }
        if (this.#random.chance(0.02)) await pause(this.#random.below(20));
      }
      return true;
    } catch (error) {
      this.#tally.expected('read', error);
      return false;
    } finally {
      this.#release();
    }
  }

  async #readOnce(stream: AnyStream, style: number): Promise<boolean> {
    const random = this.#random;
    const options = limits(random);
    const size = 1 + random.below(random.chance(0.5) ? 65_536 : 3000);
    if (style === 0) return this.#take(await stream.allocator().read(options), true);
    if (style === 1) return this.#take(await stream.hybrid({ into: pooled({ pool: this.#proactor.pool, size }) }).pull(options), true);
    if (style === 2) return this.#take(await stream.hybrid().read(owned(alloc(size, { proactor: this.#proactor })), options), false);
    const reader = stream.submitter();
    reader.submit(alloc(size, { proactor: this.#proactor }), options);
    return this.#take(await reader.poll(), false);
  }

  #take(bytes: Bytes | null, isLease: boolean): boolean {
    if (bytes === null || bytes.length === 0) return false;
    const position = this.received;
    this.received += bytes.length; // a lease that was released has none
    this.#tally.verify('stream', this.pattern, bytes.data, position);
    if (isLease) {
      this.#tally.add('leases');
      this.#held.push([bytes, position]);
      // Kept for a moment only: whoever waits for a block must get one in the end.
      if (this.#random.chance(0.3)) setTimeout(() => this.#release(), this.#random.below(20));
      else this.#release();
    }
    return true;
  }

  /** Give the leases back; what they show must not have changed. */
  #release(): void {
    for (const [bytes, position] of this.#held.splice(0)) {
      if (!this.pattern.holds(bytes.data, position)) this.#tally.find(`a lease changed while it was held, at ${position}`);
      bytes.release();
    }
  }

  /** All that was sent has arrived. */
  settle(what: string): void {
    this.#tally.add('ways');
    if (this.sent === this.received) return;
    this.#tally.add('lostBytes', Math.abs(this.sent - this.received));
    this.#tally.find(`${what}: ${this.sent} bytes sent, ${this.received} received`);
  }
}

/** Both directions of a connection at once, and its end. */
export async function converse(random: Random, tally: Tally, proactor: Proactor, [near, far]: readonly [Stream, Stream], what: string): Promise<void> {
  const ending = random.pick<Ending>(['half-close', 'half-close', 'half-close', 'reset', 'destroy']);
  const ways = [0, 1].map(() => new Way(random, tally, proactor, random.bits()));
  const ends = [near, far] as const;
  const finished = await Promise.all(ways.map(async (way, index) => {
    const [from, to] = index === 0 ? [near, far] : [far, near];
    const reading = way.read(to);
    const isWhole = await way.write(from, random.below(random.chance(0.1) ? 3_000_000 : 300_000));
    if (ending === 'half-close' && isWhole) await from.shutdown();
    else if (index === 0) await cutOff(ending, from);
    return (await reading) && isWhole;
  }));
  tally.add(ending);
  if (ending === 'half-close') {
    for (const way of ways) way.settle(`${what}, ${ending}`);
    if (finished.includes(false)) tally.find(`${what}: it ended before its half-close`);
  }
  await Promise.all(ends.map((stream) => (random.chance(0.5) ? stream.close() : stream.destroy()).catch((error: unknown) => tally.expected('close', error))));
}

async function cutOff(ending: Ending, stream: Stream): Promise<void> {
  if (ending === 'reset' && 'reset' in stream) await (stream.reset as () => Promise<void>).call(stream);
  else await stream.destroy();
}

/** A connection that another thread reads to its end: `give` sends it there, and answers how many bytes that thread had. */
export async function passOn(random: Random, tally: Tally, proactor: Proactor, [near, far]: readonly [Stream, Stream], give: (moved: Moved, key: number, from: number) => Promise<number | undefined>): Promise<void> {
  const key = random.bits();
  const way = new Way(random, tally, proactor, key);
  const total = 100_000 + random.below(400_000);
  const writing = way.write(near, total).then((isWhole) => (isWhole ? near.shutdown() : undefined)).catch((error: unknown) => tally.expected('write', error));
  await way.read(far, random.below(50_000));
  const arrived = await give(await handOver(far), key, way.received);
  if (arrived === undefined) await near.destroy(); // that thread has ended
  await writing;
  tally.add('handedOver');
  if (arrived !== undefined) {
    way.received += arrived;
    tally.add('verifiedBytes', arrived);
    way.settle('handed over');
  }
  await near.destroy();
}
