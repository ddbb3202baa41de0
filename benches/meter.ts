/**
 * What every JavaScript engine does around one read: draw the next block, take a latency now and then, add the bytes to
 * the answer. The same few nanoseconds for all of them, so that ratios compare engines.
 */
import { createHash } from 'node:crypto';
import type { Hash } from 'node:crypto';
import { performance } from 'node:perf_hooks';
import { BlockOrder, blockChecksum, contentWord, sampleEvery } from './plan.ts';
import type { Plan } from './plan.ts';

export class Meter {
  readonly #order: BlockOrder;
  readonly #blockSize: number;
  readonly #every: number;
  readonly #verifier: Verifier | undefined;
  readonly #samples: Float64Array;
  #sampleCount = 0;
  #checksum = 0;
  #bytes = 0;
  #position = 0;
  #finished = 0;

  constructor(plan: Plan, operations: number, seed: number) {
    this.#order = new BlockOrder(plan, operations, seed);
    this.#blockSize = plan.blockSize;
    this.#every = sampleEvery(plan);
    this.#verifier = plan.verify ? new Verifier(plan.contentSeed) : undefined;
    // A stream may cut the file into smaller chunks than asked; the rest goes without samples then.
    this.#samples = new Float64Array(Math.ceil(operations / this.#every) + 1);
  }

  get bytes(): number {
    return this.#bytes;
  }

  get checksum(): number {
    return this.#checksum >>> 0;
  }

  /** The next block to read, or -1 when the pass is over. */
  next(): number {
    return this.#order.next();
  }

  /** The time when a sampled read starts, else 0. To be called right after `next`, or between two chunks. */
  start(): number {
    return (this.#order.issued - 1) % this.#every === 0 ? performance.now() : 0;
  }

  /** A block came: `length` bytes in `data`, from `offset` on. */
  finish(started: number, data: Uint8Array, length: number, block: number, offset = 0): void {
    this.#sample(started);
    this.#bytes += length;
    const first = wordAt(data, offset);
    const last = wordAt(data, offset + length - 4);
    this.#checksum = (this.#checksum + blockChecksum(first, last, block)) | 0;
    if (this.#verifier !== undefined) this.#verifier.check(data.subarray(offset, offset + length), block * this.#blockSize);
  }

  /** An operation without data ended. */
  finishEmpty(started: number): void {
    this.#sample(started);
  }

  /** As `start`, for readers that draw no blocks but take what the file brings next. */
  startChunk(): number {
    this.#finished += 1;
    return (this.#finished - 1) % this.#every === 0 ? performance.now() : 0;
  }

  /** The next bytes of the file in order, in whatever pieces the engine brings them. */
  finishChunk(started: number, data: Uint8Array): void {
    const block = this.#position / this.#blockSize;
    this.#position += data.length;
    if (data.length === this.#blockSize && Number.isInteger(block)) this.finish(started, data, data.length, block);
    else this.#finishPiece(started, data, this.#position - data.length);
  }

  /** Sampled latencies in microseconds, ascending. */
  latencies(): Float64Array {
    return this.#samples.subarray(0, this.#sampleCount).sort();
  }

  /** The sha256 of all bytes; undefined where nothing is verified or not everything came in order. */
  digest(): string | undefined {
    return this.#verifier?.digest(this.#bytes);
  }

  #sample(started: number): void {
    if (started === 0 || this.#sampleCount === this.#samples.length) return;
    this.#samples[this.#sampleCount] = (performance.now() - started) * 1000;
    this.#sampleCount += 1;
  }

  /** A piece that is not one block: adds the first and last words that lie in it. Streams cut at words. */
  #finishPiece(started: number, data: Uint8Array, position: number): void {
    this.#sample(started);
    this.#bytes += data.length;
    const size = this.#blockSize;
    const end = position + data.length;
    for (let block = Math.floor(position / size); block * size < end; block += 1) {
      for (const word of [block * size, block * size + size - 4]) {
        if (word < position || word + 4 > end) continue;
        this.#checksum = (this.#checksum + (wordAt(data, word - position) ^ block)) | 0;
      }
    }
    this.#verifier?.check(data, position);
  }
}

/** A little-endian word. Four loads of bytes: engines whose data is a new view each time would pay for a DataView. */
function wordAt(data: Uint8Array, offset: number): number {
  return (data[offset]! | (data[offset + 1]! << 8) | (data[offset + 2]! << 16) | (data[offset + 3]! << 24)) | 0;
}

/** Compares every word with the content function and hashes what comes in order. */
class Verifier {
  readonly #contentSeed: number;
  readonly #hash: Hash = createHash('sha256');
  #hashedTo = 0;

  constructor(contentSeed: number) {
    this.#contentSeed = contentSeed;
  }

  check(data: Uint8Array, position: number): void {
    const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
    for (let offset = 0; offset < data.length; offset += 4) {
      if (view.getInt32(offset, true) !== contentWord(this.#contentSeed, (position + offset) / 4)) {
        throw new Error(`the byte at ${position + offset} is not the file's`);
      }
    }
    if (position !== this.#hashedTo) return;
    this.#hash.update(data);
    this.#hashedTo += data.length;
  }

  /** The sha256 of `bytes` bytes from 0 on; undefined when some of them came out of order, which lanes may do. */
  digest(bytes: number): string | undefined {
    return this.#hashedTo === bytes ? this.#hash.digest('hex') : undefined;
  }
}
