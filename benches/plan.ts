/**
 * The plan that every engine follows, and the answer that every engine must give.
 *
 * The file's content, the order of the blocks and the checksum are functions of two seeds, so the right answer is known
 * without reading the file. `crates/ritsu/examples/raw_ring.rs` mirrors `contentWord`, `BlockOrder` and the checksum;
 * when one changes, so must the other, or the comparison fails (it does not go wrong silently).
 */
import { createHash } from 'node:crypto';
import { closeSync, fsyncSync, mkdirSync, openSync, readSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';

/** `files`: the path is a folder of small files, which are read as wholes, at random. */
export type PlanMode = 'random' | 'sequential' | 'files' | 'nop';

/** One measured piece of work. Travels to the engine's process as JSON. */
export interface Plan {
  readonly mode: PlanMode;
  readonly path: string;
  readonly fileSize: number;
  readonly blockSize: number;
  /** Reads outstanding at a time. */
  readonly depth: number;
  readonly operations: number;
  /** Done before the measured ones, in another order; 0 for none. */
  readonly warmUpOperations: number;
  /** Engines in JavaScript do those again and again for this long: V8 goes on making code faster for a second and more. */
  readonly warmUpSeconds: number;
  readonly seed: number;
  readonly contentSeed: number;
  readonly direct: boolean;
  /** Compare every byte with the content function, besides the checksum. Too dear to be timed. */
  readonly verify: boolean;
  /** Also measure what the engine allocates and collects; costs a little, so only where asked. */
  readonly observeMemory: boolean;
}

/** What a table tells of an engine. Latencies are NaN where there are none. */
export interface Measurement {
  readonly operations: number;
  readonly bytes: number;
  readonly seconds: number;
  /** User and system time of the whole process: kernel threads of a polled ring and pool threads included. */
  readonly cpuSeconds: number;
  readonly p50Us: number;
  readonly p99Us: number;
  readonly p999Us: number;
  readonly maximumRssBytes: number;
  readonly allocatedBytesPerOperation?: number;
  readonly collectionMsPerMillion?: number;
  /** Transfers that the library did by a copy in user space, where it counts them. */
  readonly copiesPerOperation?: number;
  /** Resident memory of a connection on which nothing happens, and blocks that all of them hold. */
  readonly bytesPerConnection?: number;
  readonly blocksHeld?: number;
}

/** What an engine that reads a plan's file reports. Latencies are of one read in `sampleEvery()`. */
export interface Result extends Measurement {
  readonly checksum: number;
  /** sha256 over all bytes in file order; sequential plans with `verify`. */
  readonly digest?: string;
}

/** One of this many reads has its latency taken: a clock reading costs as much as a tenth of a small cached read. */
export function sampleEvery(plan: Plan): number {
  return plan.blockSize < 65_536 ? 16 : 1;
}

/** What the file holds at a word's index: a mixer, so that no two blocks of a file look alike. */
export function contentWord(seed: number, index: number): number {
  let word = Math.imul(index ^ seed, 0x9e3779b1);
  word = Math.imul(word ^ (word >>> 15), 0x85ebca6b);
  return word ^ (word >>> 13);
}

/**
 * The block indexes of a plan, one by one: xorshift32 for random reads, a counter for the others. They are drawn before
 * the clock runs: the division would cost JavaScript more than the limit, and it is nobody's work.
 */
export class BlockOrder {
  readonly #indexes: Uint32Array;
  issued = 0;

  constructor(plan: Plan, operations: number, seed: number) {
    const blocks = blockCount(plan);
    this.#indexes = new Uint32Array(operations);
    if (plan.mode === 'random' || plan.mode === 'files') drawRandom(this.#indexes, blocks, seed);
    else for (let position = 0; position < operations; position += 1) this.#indexes[position] = position % blocks;
  }

  /** The next block's index, or -1 when the plan is done. */
  next(): number {
    if (this.issued === this.#indexes.length) return -1;
    this.issued += 1;
    return this.#indexes[this.issued - 1]!;
  }
}

function drawRandom(indexes: Uint32Array, blocks: number, seed: number): void {
  let state = seed;
  for (let position = 0; position < indexes.length; position += 1) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    indexes[position] = (state >>> 0) % blocks;
  }
}

export function blockCount(plan: Plan): number {
  return plan.mode === 'nop' ? 1 : plan.fileSize / plan.blockSize;
}

/** Another order than the measured one, so that a warm-up does not read ahead of it. */
export function warmUpSeed(plan: Plan): number {
  return plan.seed ^ 0x55555555;
}

/**
 * A block's part of the checksum: its first and its last word, each mixed with its index. Summed modulo 2^32, so the
 * order of completions does not matter, and the two halves of a block that a stream cut can be added apart.
 */
export function blockChecksum(first: number, last: number, block: number): number {
  return (first ^ block) + (last ^ block);
}

/** The answer a plan must have, from the content function alone. */
export function expectedAnswer(plan: Plan): { bytes: number; checksum: number } {
  if (plan.mode === 'nop') return { bytes: 0, checksum: 0 };
  const order = new BlockOrder(plan, plan.operations, plan.seed);
  const words = plan.blockSize / 4;
  let checksum = 0;
  for (let block = order.next(); block >= 0; block = order.next()) {
    const first = contentWord(plan.contentSeed, block * words);
    const last = contentWord(plan.contentSeed, block * words + words - 1);
    checksum = (checksum + blockChecksum(first, last, block)) | 0;
  }
  return { bytes: plan.operations * plan.blockSize, checksum: checksum >>> 0 };
}

/** Write the files a plan of whole files reads: file `n` holds what would be block `n` of one file. */
export function createFiles(folder: string, count: number, size: number, contentSeed: number): void {
  mkdirSync(folder);
  const words = new Uint32Array(size / 4);
  for (let file = 0; file < count; file += 1) {
    for (let index = 0; index < words.length; index += 1) words[index] = contentWord(contentSeed, file * words.length + index);
    writeFileSync(join(folder, `${file}`), words);
  }
}

/** The paths of those files. */
export function pathsOf(plan: Plan): string[] {
  return Array.from({ length: blockCount(plan) }, (_, file) => join(plan.path, `${file}`));
}

const WRITE_BYTES = 1024 * 1024;

/** Write the file a plan reads, put it on the disk, read it once (so it is cached) and tell its sha256. */
export function createContent(path: string, size: number, contentSeed: number): string {
  if (size % WRITE_BYTES !== 0) throw new RangeError(`the file's size must be a multiple of ${WRITE_BYTES}`);
  const words = new Uint32Array(WRITE_BYTES / 4);
  const bytes = Buffer.from(words.buffer);
  const written = createHash('sha256');
  const descriptor = openSync(path, 'wx+');
  try {
    for (let start = 0; start < size; start += WRITE_BYTES) {
      for (let index = 0; index < words.length; index += 1) words[index] = contentWord(contentSeed, start / 4 + index);
      writeSync(descriptor, bytes);
      written.update(bytes);
    }
    // Or the first O_DIRECT read would wait for the write-back of what it reads.
    fsyncSync(descriptor);
    return digestOf(descriptor, size, bytes, written.digest('hex'));
  } finally {
    closeSync(descriptor);
  }
}

function digestOf(descriptor: number, size: number, bytes: Buffer, expected: string): string {
  const read = createHash('sha256');
  for (let start = 0; start < size; start += WRITE_BYTES) {
    if (readSync(descriptor, bytes, 0, WRITE_BYTES, start) !== WRITE_BYTES) throw new Error('short read of the bench file');
    read.update(bytes);
  }
  const digest = read.digest('hex');
  if (digest !== expected) throw new Error('the bench file does not hold what was written');
  return digest;
}
