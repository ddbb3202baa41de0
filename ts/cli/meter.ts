/**
 * What is done around each read, the same for every engine: tell the next block, take a latency now and then, hold the
 * bytes against the reference. Two strengths: `thorough` checks every byte and is not timed; else what costs next to
 * nothing, so that the timed passes cannot go wrong unseen either.
 */
import { createHash } from 'node:crypto';
import type { Hash } from 'node:crypto';
import { createHistogram, performance } from 'node:perf_hooks';
import { crc32 } from 'node:zlib';
import { TRACE_START, probeOf, traced } from './content.js';
import type { Reference } from './content.js';
import type { RandomPlan, SequentialPlan } from './plan.js';

/** Bytes that are not the file's. */
export class WrongBytes extends Error {}

/** A clock reading costs as much as a tenth of a small read. Not a power of two: it would meet the same lane always. */
const SAMPLE_EVERY = 17;
const SAMPLE_ALL_FROM = 65_536;

export abstract class Meter {
  bytes = 0;
  operations = 0;
  protected readonly every: number;
  readonly #histogram = createHistogram();

  constructor(blockSize: number) {
    this.every = blockSize < SAMPLE_ALL_FROM ? SAMPLE_EVERY : 1;
  }

  /** Microseconds; NaN when nothing was sampled. */
  percentile(percentile: number): number {
    return this.#histogram.count === 0 ? Number.NaN : this.#histogram.percentile(percentile) / 1000;
  }

  /** Throws when the pass did not read all that it should. */
  abstract verify(): void;

  protected sample(started: number): void {
    if (started !== 0) this.#histogram.record(Math.max(1, Math.round((performance.now() - started) * 1e6)));
  }
}

export class RandomMeter extends Meter {
  readonly #plan: RandomPlan;
  readonly #reference: Reference;
  readonly #thorough: boolean;
  readonly #lastBlock: number;
  readonly #lastLength: number;
  #issued = 0;
  #end: number;

  constructor(plan: RandomPlan, reference: Reference, thorough: boolean) {
    super(plan.blockSize);
    this.#plan = plan;
    this.#reference = reference;
    this.#thorough = thorough;
    this.#end = plan.order.length;
    this.#lastBlock = reference.probes.length - 1;
    this.#lastLength = plan.size - this.#lastBlock * plan.blockSize;
  }

  /** The next block's index, or -1 when all were given out. */
  next(): number {
    if (this.#issued === this.#end) return -1;
    this.#issued += 1;
    return this.#plan.order[this.#issued - 1]!;
  }

  /** Give out no more blocks. */
  stop(): void {
    this.#end = this.#issued;
  }

  /** The time if the block just given out is sampled, else 0. */
  start(): number {
    return (this.#issued - 1) % this.every === 0 ? performance.now() : 0;
  }

  /** A block came: `length` bytes at the front of `data`. */
  finish(started: number, data: Uint8Array, length: number, block: number): void {
    this.sample(started);
    this.operations += 1;
    this.bytes += length;
    const expected = block === this.#lastBlock ? this.#lastLength : this.#plan.blockSize;
    if (length !== expected) this.#wrong(block, `${length} bytes came, not ${expected}`);
    if (probeOf(data, length) !== this.#reference.probes[block]) this.#wrong(block, 'other bytes came');
    if (this.#thorough && crc32(data.subarray(0, length)) !== this.#reference.checksums[block]) {
      this.#wrong(block, 'its crc32 differs');
    }
  }

  verify(): void {
    const planned = this.#plan.order.length;
    if (this.operations !== planned) throw new WrongBytes(`${this.operations} reads were answered, not ${planned}`);
  }

  #wrong(block: number, what: string): never {
    this.stop();
    const start = block * this.#plan.blockSize;
    throw new WrongBytes(`the block at byte ${start} is not the file's: ${what}`);
  }
}

export class SequentialMeter extends Meter {
  readonly #plan: SequentialPlan;
  readonly #reference: Reference;
  readonly #thorough: boolean;
  #hash: Hash | undefined;
  #trace = TRACE_START;
  #position = 0;
  #asked = 0;
  #laps = 0;

  constructor(plan: SequentialPlan, reference: Reference, thorough: boolean) {
    super(plan.blockSize);
    this.#plan = plan;
    this.#reference = reference;
    this.#thorough = thorough;
    this.#hash = thorough ? createHash('sha256') : undefined;
  }

  /** How often the file is to be read: once where every byte is checked. */
  get laps(): number {
    return this.#thorough ? 1 : this.#plan.laps;
  }

  /** The part that is done, 0 to 1. */
  get done(): number {
    return this.bytes / (this.#plan.size * this.laps);
  }

  /** The time if the next chunk is sampled, else 0. */
  start(): number {
    this.#asked += 1;
    return (this.#asked - 1) % this.every === 0 ? performance.now() : 0;
  }

  /** The next bytes of the file, in whatever pieces the engine brings them. */
  finish(started: number, data: Uint8Array): void {
    this.sample(started);
    this.operations += 1;
    this.bytes += data.length;
    this.#trace = traced(this.#trace, data, this.#position);
    this.#position += data.length;
    this.#hash?.update(data);
  }

  /** The engine came to the end of the file. */
  endLap(): void {
    const { size, trace, digest } = this.#reference;
    if (this.#position !== size) throw new WrongBytes(`${this.#position} bytes came, not ${size}`);
    if (this.#trace !== trace) throw new WrongBytes('other bytes came: their checksum differs');
    const actual = this.#hash?.digest('hex') ?? digest;
    if (actual !== digest) throw new WrongBytes(`the sha256 of what came is ${actual}, not ${digest}`);
    this.#hash = undefined;
    this.#trace = TRACE_START;
    this.#position = 0;
    this.#laps += 1;
  }

  verify(): void {
    if (this.#laps !== this.laps) throw new WrongBytes(`the file was read ${this.#laps} times, not ${this.laps}`);
  }
}
