/**
 * Style 3, hybrid: one call, and the buffer decides whose memory it is. Any class may be the buffer (`IoBuffer`).
 */
import { pooled } from '../buffer.js';
import type { IoBuffer, IoMemory } from '../buffer.js';
import type { Bytes } from '../memory/bytes.js';
import type { Deferred } from '../deferred.js';
import { argumentTypeError, checkInteger, closedError } from '../errors.js';
import { LoanLanding, lend } from '../memory/loan.js';
import { LENGTH_MAX } from '../op.js';
import type { Landing } from '../memory/size-class.js';
import { BufferPool } from '../memory/pool.js';
import { PoolLanding } from './allocator.js';
import { ChunkIterator } from './read.js';
import type { AsyncRead } from './read.js';
import type { ReadOptions, ReadSource } from './source.js';

export interface HybridOptions {
  /** What `pull` and iteration read into; `pooled()` where not given. */
  readonly into?: IoBuffer | undefined;
}

export class HybridReader implements AsyncRead {
  readonly style = 'hybrid';
  readonly #source: ReadSource;
  #into: IoBuffer | undefined;
  #closed = false;

  /** Used by resources: `file.hybrid()`. */
  constructor(source: ReadSource, options: HybridOptions = {}) {
    this.#source = source;
    this.#into = options.into;
  }

  /**
   * Read into whatever memory the buffer says; null at the end of the file. The buffer is told what came.
   * @example
   * const bytes = await file.hybrid().read(pooled());
   */
  async read(into: IoBuffer, options?: ReadOptions): Promise<Bytes | null> {
    if (this.#closed) throw closedError('read');
    if (typeof into?.prepare !== 'function' || typeof into.complete !== 'function') {
      throw argumentTypeError('into', 'an IoBuffer: an object with prepare() and complete()', into);
    }
    const plan = this.#source.plan(options);
    return finish(into, this.#source.read(landingOf(this.#source, into.prepare()), plan));
  }

  pull(options?: ReadOptions): Promise<Bytes | null> {
    this.#into ??= pooled({ pool: this.#source.host.pool });
    return this.read(this.#into, options);
  }

  [Symbol.asyncIterator](): AsyncIterableIterator<Bytes> {
    return new ChunkIterator(() => this.pull());
  }

  async close(): Promise<void> {
    this.#closed = true;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

function landingOf({ host }: ReadSource, memory: IoMemory): Landing {
  if (typeof memory !== 'object' || memory === null) throw argumentTypeError('prepare()', 'of type object', memory);
  if (!('pool' in memory)) return new LoanLanding(host, lend(host, memory.memory, memory.length), undefined);
  if (!(memory.pool instanceof BufferPool)) throw argumentTypeError('pool', 'an instance of BufferPool', memory.pool);
  return new PoolLanding(memory.pool, checkInteger('size', memory.size, 1, LENGTH_MAX));
}

async function finish(into: IoBuffer, read: Deferred<Bytes | null>): Promise<Bytes | null> {
  let bytes: Bytes | null;
  try {
    bytes = await read.promise;
  } catch (error) {
    into.complete(null, error as Error, (error as { buffer?: Buffer }).buffer);
    throw error;
  }
  into.complete(bytes);
  return bytes !== null && bytes.length === 0 ? null : bytes;
}
