/**
 * Memory for reads and writes, and the `IoBuffer` trait: the seed's "special buffer" that lets one call take memory
 * of either owner.
 */
import type { Bytes } from './memory/bytes.js';
import { RitsuError, argumentTypeError, checkInteger, checkOptions } from './errors.js';
import { allocate } from './memory/loan.js';
import { inspect, isArrayBuffer, isDetached, stamp, viewOf } from './memory/block.js';
import type { Memory } from './memory/block.js';
import { LENGTH_MAX } from './op.js';
import { Proactor } from './proactor.js';
import { BLOCK_SIZE, BufferPool } from './memory/pool.js';

/** Memory chosen from a pool at the time of the read, or memory that is given to it. */
export type IoMemory =
  | {
      /** Where it is taken from. */
      readonly pool: BufferPool;
      /** The most bytes of the read. */
      readonly size: number;
    }
  | {
      /** It is moved into the read, and is in its `Bytes` afterwards. */
      readonly memory: Memory;
      /** The most bytes of the read; all of the memory where not given. */
      readonly length?: number;
    };

/**
 * What a hybrid read reads into. A class of your own may implement it.
 * @example
 * class Recycled implements IoBuffer {
 *   memory = alloc(65536);
 *   prepare() { return { memory: this.memory }; }
 *   complete(bytes) { if (bytes !== null) this.last = bytes; }
 *   next() { this.memory = this.last.take(); }
 * }
 */
export interface IoBuffer {
  /** Called when a read begins: which memory it gets. Memory given here is in flight until `complete`. */
  prepare(): IoMemory;
  /**
   * Called once for each `prepare`, at the final completion: what came. Given memory is always in `bytes` (of length 0 at the
   * end of the file); a pooled read that brought nothing has null. After an error, `memory` is the given memory again; so it is
   * where what `prepare` said was refused, unless the memory is elsewhere.
   */
  complete(bytes: Bytes | null, error?: Error, memory?: Buffer): void;
}

/** What `alloc` accepts. */
export interface AllocOptions {
  /** Whose memory it is; that of `Proactor.current()` where not given. It goes to the kernel without a copy by this one alone. */
  readonly proactor?: Proactor | undefined;
}

/**
 * Zeroed, page-aligned memory that Rust owns: `submit` moves it without pinning, O_DIRECT accepts it. Freed when
 * nothing refers to it.
 * @param size bytes, 1 to 2^31 - 4096
 * @example
 * let buffer = alloc(64 * 1024);
 */
export function alloc(size: number, options: AllocOptions = {}): Buffer<ArrayBuffer> {
  const bytes = checkInteger('size', size, 1, LENGTH_MAX);
  checkOptions(options);
  const block = allocate(options.proactor ?? Proactor.current(), bytes);
  const memory = block.memory!;
  block.memory = undefined;
  stamp(memory, block);
  return viewOf(memory, 0, bytes);
}

/** What `pooled` accepts. */
export interface PooledOptions {
  /** Where the memory comes from; the pool of the reader's proactor where not given. */
  readonly pool?: BufferPool | undefined;
  /** The most bytes of one read; the smallest block that holds them is used. 65536, or the largest block, where not given. */
  readonly size?: number | undefined;
}

/** A read into memory of a pool, as style 1 has it. The `Bytes` is the read's result. */
export class PooledBuffer implements IoBuffer {
  readonly #pool: BufferPool | undefined;
  readonly #size: number;

  /** @internal */
  constructor(pool: BufferPool | undefined, size: number) {
    this.#pool = pool;
    this.#size = size;
  }

  prepare(): IoMemory {
    return this.memoryFor(Proactor.current());
  }

  /** @internal Used by readers: where no pool was named it is that of their own proactor. */
  memoryFor(host: { readonly pool: BufferPool }): { readonly pool: BufferPool; readonly size: number } {
    return { pool: this.#pool ?? host.pool, size: this.#size };
  }

  complete(): void {
    // The reader hands the lease to its caller; there is nothing to keep.
  }
}

/** A read into memory of the caller's, as style 2 has it. Holds the memory whenever no read does. */
export class OwnedBuffer implements IoBuffer {
  #memory: Memory | undefined;
  #bytes: Bytes | undefined = undefined;

  /** @internal */
  constructor(memory: Memory) {
    this.#memory = memory;
  }

  prepare(): IoMemory {
    const memory = this.#memory ?? this.take();
    this.#memory = undefined;
    return { memory };
  }

  complete(bytes: Bytes | null, _error?: Error, memory?: Buffer): void {
    this.#bytes = bytes ?? undefined;
    this.#memory = memory;
  }

  /** @internal Used by readers: a read was refused before it had the memory, which its error brings as every other one does. */
  refuse(error: unknown): void {
    const buffer = this.#memory === undefined ? undefined : givenBack(this.#memory);
    // What an option's getter threw may be anything.
    if (buffer !== undefined && error instanceof Error && Object.isExtensible(error)) Object.assign(error, { buffer });
  }

  /** The memory again, whole. */
  take(): Buffer {
    if (this.#memory !== undefined) {
      const memory = bufferOf(this.#memory);
      this.#memory = undefined;
      return memory;
    }
    if (this.#bytes === undefined) throw new RitsuError('ERR_RITSU_BUFFER_IN_FLIGHT', 'a read has the memory');
    return this.#bytes.take();
  }
}

function bufferOf(given: Memory): Buffer {
  const { memory, offset, length } = inspect('memory', given);
  if (isArrayBuffer(memory) && isDetached(memory)) {
    throw new RitsuError('ERR_RITSU_BUFFER_DETACHED', 'the memory is detached: it was handed over');
  }
  return given instanceof Buffer ? given : Buffer.from(memory as ArrayBuffer, offset, length);
}

/** Memory of the caller's that a read could not have; undefined where it is none, or is elsewhere. */
export function givenBack(memory: Memory): Buffer | undefined {
  try {
    return bufferOf(memory);
  } catch {
    return undefined;
  }
}

/** Read into memory of a pool, that of the reader's proactor where none is given: `hybrid.read(pooled())`. */
export function pooled(options: PooledOptions = {}): IoBuffer {
  checkOptions(options);
  const pool = options.pool ?? Proactor.current().pool;
  if (!(pool instanceof BufferPool)) throw argumentTypeError('pool', 'an instance of BufferPool', pool);
  const size = checkInteger('size', options.size ?? Math.min(BLOCK_SIZE, pool.largest), 1, LENGTH_MAX);
  pool.classFor(size);
  return new PooledBuffer(options.pool, size);
}

/** Read into memory of your own: `hybrid.read(owned(buffer))`. */
export function owned(memory: Memory): OwnedBuffer {
  inspect('memory', memory);
  return new OwnedBuffer(memory);
}

/**
 * Memory for style 1 from a source of your own instead of a `BufferPool`: `file.allocator({ allocator })`.
 * Each read acquires once, and what it acquired is released once.
 */
export interface Allocator {
  /** Memory for one read, best from `alloc()`. A promise makes the read wait. */
  acquire(): Buffer | Promise<Buffer>;
  /** The memory again: its lease was released, or the read brought nothing. */
  release(memory: Buffer): void;
}

