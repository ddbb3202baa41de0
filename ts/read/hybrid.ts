/**
 * Style 3, hybrid: one call, and the buffer decides whose memory it is. Any class may be the buffer (`IoBuffer`).
 */
import { OwnedBuffer, PooledBuffer, givenBack, pooled } from '../buffer.js';
import type { IoBuffer, IoMemory } from '../buffer.js';
import type { Bytes } from '../memory/bytes.js';
import { argumentTypeError, checkInteger, checkOptions, closedError } from '../errors.js';
import { LoanLanding, lend } from '../memory/loan.js';
import { Failure, LENGTH_MAX } from '../op.js';
import type { Completion } from '../op.js';
import type { Landing, ReadOperation } from '../memory/size-class.js';
import { BufferPool } from '../memory/pool.js';
import { checkPositions, lengthOf, planOfMany, shareOf, tellLengths } from './many.js';
import type { Positions, ReadManyOptions } from './many.js';
import { ChunkIterator } from './read.js';
import type { AsyncRead } from './read.js';
import type { ReadOptions, ReadSource } from './source.js';

/** How a resource is read in style 3. */
export interface HybridOptions {
  /** What `pull` and iteration read into; `pooled()` where not given. */
  readonly into?: IoBuffer | undefined;
}

/** Style 3: one call, the buffer decides. Made by `hybrid()` of a file, stream or socket. */
export class HybridReader implements AsyncRead {
  readonly #source: ReadSource;
  #into: IoBuffer | undefined;
  #closed = false;

  /** @internal Used by resources: `file.hybrid()`. */
  constructor(source: ReadSource, options: HybridOptions = {}) {
    checkOptions(options);
    this.#source = source;
    this.#into = options.into;
  }

  /** Which one it is. */
  get style(): 'hybrid' {
    return 'hybrid';
  }

  /**
   * Read into whatever memory the buffer says; null at the end of the file. The buffer is told what came.
   * @example
   * const bytes = await file.hybrid().read(pooled());
   */
  read(into: IoBuffer, options?: ReadOptions): Promise<Bytes | null> {
    try {
      HybridReader.#check(this, into);
      const plan = this.#source.plan(options);
      return this.#source.read(landingOf(this.#source, into), plan).promise;
    } catch (error) {
      if (into instanceof OwnedBuffer) into.refuse(error);
      return Promise.reject(error);
    }
  }

  /**
   * Read from many positions into whatever memory the buffer says: each has `length` bytes of it, or an even share, one behind the
   * other; `lengths` of the `Bytes` says how many each brought. Null when none brought any.
   * @example
   * const pages = await file.hybrid().readMany(pooled({ size: 12288 }), [0, 81920, 4096]);
   */
  readMany(into: IoBuffer, positions: Positions, options?: ReadManyOptions): Promise<Bytes | null> {
    try {
      HybridReader.#check(this, into);
      const checked = checkPositions(positions);
      const plan = planOfMany(this.#source, options);
      const length = lengthOf(options);
      const landing = landingOf(this.#source, into);
      const places = { positions: checked, each: length ?? shareOf(landing.length, checked) };
      return this.#source.readPlaces!(landing, places, plan).promise;
    } catch (error) {
      if (into instanceof OwnedBuffer) into.refuse(error);
      return Promise.reject(error);
    }
  }

  pull(options?: ReadOptions): Promise<Bytes | null> {
    this.#into ??= pooled({ pool: this.#source.host.pool });
    return this.read(this.#into, options);
  }

  /** The bytes from here to the end. Each is released when the loop goes on, so copy what you keep. */
  [Symbol.asyncIterator](): AsyncIterableIterator<Bytes> {
    return new ChunkIterator(() => this.pull());
  }

  async close(): Promise<void> {
    this.#closed = true;
  }

  /** `close()`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Static: a private method would cost each reader 8 bytes. */
  static #check(reader: HybridReader, into: IoBuffer): void {
    if (reader.#closed) throw closedError('read');
    if (typeof into?.prepare !== 'function' || typeof into.complete !== 'function') {
      throw argumentTypeError('into', 'an IoBuffer: an object with prepare() and complete()', into);
    }
  }
}

function landingOf(source: ReadSource, into: IoBuffer): Landing {
  if (into instanceof PooledBuffer) return landingFor(source, into.memoryFor(source.host));
  const memory: unknown = into.prepare();
  if (typeof memory !== 'object' || memory === null) throw argumentTypeError('prepare()', 'of type object', memory);
  const wish = memory as IoMemory;
  let landing: Landing;
  try {
    landing = landingFor(source, wish);
  } catch (error) {
    into.complete(null, error as Error, 'memory' in wish ? givenBack(wish.memory) : undefined);
    throw error;
  }
  return new TellingLanding(landing, into);
}

function landingFor(source: ReadSource, wish: IoMemory): Landing {
  if (!('pool' in wish)) return lend(source.host, wish.memory, wish.length, undefined);
  const { pool, size } = wish;
  if (!(pool instanceof BufferPool)) throw argumentTypeError('pool', 'an instance of BufferPool', pool);
  return source.pooled(pool, checkInteger('size', size, 1, LENGTH_MAX));
}

/** Tells the buffer what came, once, and the reader that the file has ended. */
class TellingLanding implements Landing {
  readonly length: number;
  readonly #inner: Landing;
  readonly #into: IoBuffer;

  constructor(inner: Landing, into: IoBuffer) {
    this.length = inner.length;
    this.#inner = inner;
    this.#into = into;
  }

  arm(operation: ReadOperation): void {
    this.#inner.arm(operation);
  }

  land(operation: ReadOperation, completion: Completion): Bytes | null | Failure {
    const outcome = this.#inner.land(operation, completion);
    if (outcome instanceof Failure) return outcome; // told by `restore`
    tellLengths(operation, outcome);
    try {
      this.#into.complete(outcome);
    } catch (error) {
      if (!(this.#inner instanceof LoanLanding)) outcome?.release(); // a lease that nobody gets
      throw error;
    }
    return outcome !== null && outcome.length === 0 ? null : outcome;
  }

  discard(operation: ReadOperation, completion: Completion): void {
    this.#inner.discard(operation, completion);
  }

  restore(failure: () => Error, operation?: ReadOperation): Buffer | undefined {
    const memory = this.#inner.restore?.(failure, operation);
    this.#into.complete(null, failure(), memory);
    return memory;
  }
}
