/**
 * What the file holds, from sources that no engine has a hand in: what was written, or a plain `readSync`. The
 * checksums made here are what every engine's reads are held against.
 */
import { createHash } from 'node:crypto';
import { closeSync, fsyncSync, openSync, readSync, writeSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import { crc32 } from 'node:zlib';

/** The known-good answer. */
export interface Reference {
  readonly size: number;
  /** sha256 of the whole file, in hex. */
  readonly digest: string;
  /** Bytes of a block, for random reads; the last one may be shorter. */
  readonly blockSize: number;
  /** crc32 of each block. */
  readonly checksums: Uint32Array;
  /** `probeOf` each block. */
  readonly probes: Int32Array;
  /** `traced` over the whole file. */
  readonly trace: number;
}

/** Called with the part that is done, 0 to 1. */
export type Report = (done: number) => void;

const CHUNK_BYTES = 2 ** 20;
const SEED = 0x1234567;
const FNV_PRIME = 0x01000193;
/** One byte in so many goes into the trace. */
const TRACE_STEP = 4096;
export const TRACE_START = 0x811c9dc5 | 0;

/** A block's first and last word: what can be checked of each read at next to no cost. */
export function probeOf(data: Uint8Array, length: number): number {
  if (length < 4) return crc32(data.subarray(0, length)) | 0;
  return wordAt(data, 0) ^ Math.imul(wordAt(data, length - 4), 0x9e3779b1);
}

/** A little-endian word; four loads, since engines whose data is a new view each time would pay for a DataView. */
function wordAt(data: Uint8Array, offset: number): number {
  return (data[offset]! | (data[offset + 1]! << 8) | (data[offset + 2]! << 16) | (data[offset + 3]! << 24)) | 0;
}

/** Carry the checksum of a file read in order over its next bytes, which lie at `position`, cut wherever they are. */
export function traced(trace: number, data: Uint8Array, position: number): number {
  let carried = trace;
  for (let offset = (TRACE_STEP - (position % TRACE_STEP)) % TRACE_STEP; offset < data.length; offset += TRACE_STEP) {
    carried = Math.imul(carried ^ data[offset]!, FNV_PRIME);
  }
  return carried;
}

/** Makes a reference of a file's bytes, given in order; each piece but the last holds whole blocks. */
class ReferenceMaker {
  readonly #hash = createHash('sha256');
  readonly #blockSize: number;
  readonly #checksums: Uint32Array;
  readonly #probes: Int32Array;
  #trace = TRACE_START;
  #size = 0;

  constructor(size: number, blockSize: number) {
    const blocks = Math.ceil(size / blockSize);
    this.#blockSize = blockSize;
    this.#checksums = new Uint32Array(blocks);
    this.#probes = new Int32Array(blocks);
  }

  add(piece: Uint8Array): void {
    this.#hash.update(piece);
    this.#trace = traced(this.#trace, piece, this.#size);
    for (let start = 0; start < piece.length; start += this.#blockSize) {
      const block = piece.subarray(start, start + this.#blockSize);
      const index = (this.#size + start) / this.#blockSize;
      this.#checksums[index] = crc32(block);
      this.#probes[index] = probeOf(block, block.length);
    }
    this.#size += piece.length;
  }

  finish(): Reference {
    return {
      size: this.#size,
      digest: this.#hash.digest('hex'),
      blockSize: this.#blockSize,
      checksums: this.#checksums,
      probes: this.#probes,
      trace: this.#trace,
    };
  }
}

/** Whole blocks, about a mebibyte of them. */
function pieceSize(blockSize: number): number {
  return blockSize * Math.ceil(CHUNK_BYTES / blockSize);
}

/** Make a file of bytes that follow from a seed, and put it on the disk. It must not exist yet. */
export async function writeContent(path: string, size: number, blockSize: number, report: Report): Promise<Reference> {
  const maker = new ReferenceMaker(size, blockSize);
  const words = new Uint32Array(Math.ceil(Math.min(pieceSize(blockSize), size) / 4));
  const piece = new Uint8Array(words.buffer);
  const descriptor = openSync(path, 'wx');
  try {
    const step = pieceSize(blockSize);
    let state = SEED;
    for (let start = 0; start < size; start += step) {
      state = fill(words, state);
      const part = piece.subarray(0, Math.min(step, size - start));
      writeAll(descriptor, part);
      maker.add(part);
      report((start + part.length) / size);
      await setImmediate();
    }
    // Or the first O_DIRECT read would wait for the write-back of what it reads.
    fsyncSync(descriptor);
    return maker.finish();
  } finally {
    closeSync(descriptor);
  }
}

/** xorshift32, and a product to hide its linearity: no two blocks are alike. The generator's next state. */
function fill(words: Uint32Array, seed: number): number {
  let state = seed;
  for (let index = 0; index < words.length; index += 1) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[index] = Math.imul(state, 0x9e3779b1);
  }
  return state;
}

function writeAll(descriptor: number, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length; ) done += writeSync(descriptor, bytes, done);
}

/** What `node:fs` reads of the file, synchronously and from one end to the other: the known-good way. */
export async function readContent(path: string, size: number, blockSize: number, report: Report): Promise<Reference> {
  const maker = new ReferenceMaker(size, blockSize);
  const piece = Buffer.allocUnsafeSlow(Math.min(pieceSize(blockSize), size));
  const descriptor = openSync(path, 'r');
  try {
    for (let start = 0; start < size; start += piece.length) {
      const part = piece.subarray(0, Math.min(piece.length, size - start));
      readAll(descriptor, part, start);
      maker.add(part);
      report((start + part.length) / size);
      await setImmediate();
    }
    return maker.finish();
  } finally {
    closeSync(descriptor);
  }
}

function readAll(descriptor: number, into: Uint8Array, position: number): void {
  for (let done = 0; done < into.length; ) {
    const count = readSync(descriptor, into, done, into.length - done, position + done);
    if (count === 0) throw new Error(`the file ended at byte ${position + done} while it was read for the first time`);
    done += count;
  }
}
