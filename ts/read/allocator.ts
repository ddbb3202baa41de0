/**
 * Style 1, allocator: the kernel picks the buffer, you borrow it. No length and no buffer of yours; a lease goes back
 * by `release()`, `using`, or the loop going on.
 */
import type { Allocator } from '../buffer.js';
import type { CancelOptions } from '../cancel.js';
import { show } from '../inspect.js';
import type { Bytes } from '../memory/bytes.js';
import { argumentTypeError, checkBoolean, checkInteger, checkOptions, closedError } from '../errors.js';
import { lend } from '../memory/loan.js';
import type { LoanLanding } from '../memory/loan.js';
import { stamp, viewOf } from '../memory/block.js';
import type { Block } from '../memory/block.js';
import { Failure, LENGTH_MAX } from '../op.js';
import type { Completion } from '../op.js';
import { BLOCK_SIZE, BufferPool } from '../memory/pool.js';
import type { Landing, ReadOperation } from '../memory/size-class.js';
import { checkPositions, planOfMany, totalOf } from './many.js';
import type { Positions } from './many.js';
import { RaceSafeReads } from './race-safe.js';
import { ChunkIterator } from './read.js';
import type { AsyncRead, Plan } from './read.js';
import type { ReadOptions, ReadSource } from './source.js';
import type { Deferred } from '../deferred.js';

/** How a resource is read in style 1. */
export interface AllocatorOptions {
  /** The most bytes of one read; 65536, or the largest block of the pool, where not given. */
  readonly blockSize?: number | undefined;
  /** Where memory comes from: the proactor's pool where not given, or an allocator of your own. */
  readonly allocator?: BufferPool | Allocator | undefined;
  /** Reads that iteration keeps in flight ahead of the consumer, 0 to 64; 2 where not given. */
  readonly readAhead?: number | undefined;
  /**
   * For loops that race a read against something else and forget the promise that lost. `read()` without a position, and
   * `pull()`, are the same read, and the same promise, as long as that one waits, or has brought bytes that nobody has
   * touched (asked for their `data`, copied, released, written). So there is one read at a time, iteration reads nothing
   * ahead, and who keeps a `Bytes` to look at it later gets it again from the next `read()`. `close()` ends the read that
   * waits, and gives bytes that nobody has touched back to the file or stream. False where not given.
   * @example
   * const reader = stream.allocator({ raceSafe: true });
   * for (;;) {
   *   const bytes = await Promise.race([reader.read(), tick()]);
   *   if (bytes === null) break;
   *   if (bytes === undefined) continue;
   *   parser.write(bytes.data);
   *   bytes.release();
   * }
   */
  readonly raceSafe?: boolean | undefined;
}

/** What most readers never need, or have as all others do. */
interface Unusual {
  /** An allocator of the program's own, or a pool that is not the proactor's. */
  readonly given: BufferPool | Allocator | undefined;
  readonly readAhead: number;
  /** Who answers reads without a position, where they may lose a race. */
  readonly raceSafe: RaceSafeReads | undefined;
  /** Reads that iteration has in flight before the consumer asks. */
  ahead: Deferred<Bytes | null>[] | undefined;
  closed: boolean;
}

/** Of most; not to be changed. */
const USUAL: Readonly<Unusual> = { given: undefined, readAhead: 2, raceSafe: undefined, ahead: undefined, closed: false };

/** Style 1: the kernel picks the buffer, you borrow it. Made by `allocator()` of a file, stream or socket. */
export class AllocatorReader implements AsyncRead {
  readonly #source: ReadSource;
  readonly #landing: Landing;
  #unusual: Readonly<Unusual> = USUAL;

  /** @internal Used by resources: `file.allocator()`. */
  constructor(source: ReadSource, options: AllocatorOptions = {}) {
    checkOptions(options);
    const { blockSize, allocator } = options;
    const size = blockSize === undefined ? undefined : checkInteger('blockSize', blockSize, 1, LENGTH_MAX);
    const raceSafe = checkBoolean('raceSafe', options.raceSafe);
    const readAhead = checkInteger('readAhead', options.readAhead ?? USUAL.readAhead, 0, 64);
    this.#source = source;
    this.#landing = landingOf(source, allocator ?? source.host.pool, size);
    if (allocator === undefined && readAhead === USUAL.readAhead && raceSafe !== true) return;
    const given = allocator ?? undefined;
    this.#unusual = { ...USUAL, given, readAhead, raceSafe: raceSafe === true ? new RaceSafeReads(source, this.#landing) : undefined };
  }

  /** Which one it is. */
  get style(): 'allocator' {
    return 'allocator';
  }

  /** How many bytes one read brings at most. */
  get blockSize(): number {
    return this.#landing.length;
  }

  /**
   * The next bytes, or those at `position`; null at the end of the file. Release what you get.
   * @example
   * const bytes = await file.allocator().read({ position: 4096 });
   */
  read(options?: ReadOptions): Promise<Bytes | null> {
    try {
      const plan = AllocatorReader.#plan(this, options);
      const { raceSafe } = this.#unusual;
      if (raceSafe !== undefined && plan.position === undefined) return raceSafe.next(plan);
      return this.#source.read(this.#landing, plan).promise;
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * The bytes at many positions, in one memory and by one promise: less work than as many small reads by themselves. The read at
   * `positions[i]` begins in `data` at `i` times the reader's `blockSize`, and `lengths[i]` says how many bytes it brought; what
   * it did not fill is zero. Null when none brought any. 1 to 1024 positions; the pool must have a block that holds them all.
   * @example
   * const pages = await file.allocator({ blockSize: 4096 }).readMany([0, 81920, 4096]);
   */
  readMany(positions: Positions, options?: CancelOptions): Promise<Bytes | null> {
    try {
      const { given, closed } = this.#unusual;
      if (closed) throw closedError('read');
      const places = { positions: checkPositions(positions), each: this.#landing.length };
      const plan = planOfMany(this.#source, options);
      return this.#source.readPlaces!(landingOf(this.#source, given ?? this.#source.host.pool, totalOf(places)), places, plan).promise;
    } catch (error) {
      return Promise.reject(error);
    }
  }

  pull(options?: ReadOptions): Promise<Bytes | null> {
    return this.read(options);
  }

  /** The bytes from here to the end. Each is released when the loop goes on, so copy what you keep. */
  [Symbol.asyncIterator](): AsyncIterableIterator<Bytes> {
    AllocatorReader.#plan(this, undefined);
    if (this.#unusual.raceSafe !== undefined) return new ChunkIterator(() => this.read());
    return new ChunkIterator(
      () => AllocatorReader.#pullAhead(this),
      () => AllocatorReader.#dropAhead(this),
    );
  }

  async close(): Promise<void> {
    AllocatorReader.#own(this).closed = true;
    AllocatorReader.#dropAhead(this);
    this.#unusual.raceSafe?.close();
  }

  /** `close()`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  // Static: private methods would cost each reader 8 bytes, and there are as many as connections.

  static #own(reader: AllocatorReader): Unusual {
    if (reader.#unusual === USUAL) reader.#unusual = { ...USUAL };
    return reader.#unusual;
  }

  static #pullAhead(reader: AllocatorReader): Promise<Bytes | null> {
    AllocatorReader.#plan(reader, undefined);
    const source = reader.#source;
    const { readAhead } = reader.#unusual;
    const ahead = (AllocatorReader.#own(reader).ahead ??= []);
    const first = ahead.shift() ?? source.prefetch(reader.#landing);
    source.claim(first);
    // A short or failed read ahead of others is put right by the source; how far ahead is only a matter of speed.
    while (source.seekable && ahead.length < readAhead) ahead.push(source.prefetch(reader.#landing));
    return first.promise;
  }

  static #dropAhead(reader: AllocatorReader): void {
    const { ahead } = reader.#unusual;
    if (ahead !== undefined) reader.#source.drop(ahead.splice(0));
  }

  static #plan(reader: AllocatorReader, options: ReadOptions | undefined): Plan {
    if (reader.#unusual.closed) throw closedError('read');
    return reader.#source.plan(options);
  }
}
show(AllocatorReader, ({ blockSize }) => ({ blockSize }));

function landingOf(source: ReadSource, allocator: BufferPool | Allocator, size: number | undefined): Landing {
  if (allocator instanceof BufferPool) return source.pooled(allocator, size);
  if (typeof allocator.acquire === 'function' && typeof allocator.release === 'function') {
    return new AllocatorLanding(source, allocator, size ?? BLOCK_SIZE);
  }
  throw argumentTypeError('allocator', 'a BufferPool, or an object with acquire() and release()', allocator);
}

/** Memory from a program's own allocator: a loan for each read, back to the allocator when its lease is released. */
class AllocatorLanding implements Landing {
  readonly length: number;
  readonly #source: ReadSource;
  readonly #allocator: Allocator;
  readonly #loans = new WeakMap<ReadOperation, LoanLanding>();

  constructor(source: ReadSource, allocator: Allocator, length: number) {
    this.#source = source;
    this.#allocator = allocator;
    this.length = length;
  }

  arm(operation: ReadOperation): void {
    try {
      const memory = this.#allocator.acquire();
      if (!(memory instanceof Promise)) this.#begin(operation, memory);
      else {
        this.#source.host.liveness.queue(operation);
        memory.then((later) => this.#begin(operation, later)).catch((error: Error) => this.#refuse(operation, error));
      }
    } catch (error) {
      this.#refuse(operation, error as Error);
    }
  }

  land(operation: ReadOperation, completion: Completion): Bytes | null | Failure {
    const outcome = this.#loans.get(operation)!.land(operation, completion);
    if (outcome instanceof Failure || outcome.length > 0) return outcome;
    outcome.release();
    return null;
  }

  discard(operation: ReadOperation): void {
    try {
      this.#release(this.#loans.get(operation)!.restore());
    } catch (error) {
      queueMicrotask(() => { throw error; }); // nobody waits for it; other reads go on
    }
  }

  keep(block: Block, memory: ArrayBuffer | undefined): void {
    block.keeper = undefined; // the allocator has it: a memory that it keeps keeps no stream
    if (memory === undefined) return;
    stamp(memory, block);
    this.#release(viewOf(memory, 0, memory.byteLength));
  }

  #begin(operation: ReadOperation, memory: Buffer): void {
    this.#source.host.liveness.unqueue(operation);
    if (operation.settled || !this.#source.open) {
      this.#release(memory);
      this.#refuse(operation, closedError('read'));
      return;
    }
    const loan = lend(this.#source.host, memory, undefined, this);
    this.#loans.set(operation, loan);
    operation.restore = () => {
      this.#release(loan.restore());
      return undefined;
    };
    loan.arm(operation);
  }

  #release(memory: Buffer | undefined): void {
    if (memory !== undefined) this.#allocator.release(memory);
  }

  #refuse(operation: ReadOperation, error: Error): void {
    this.#source.host.liveness.unqueue(operation); // the promise of its memory was rejected
    if (!operation.settled) operation.fail(() => error);
  }
}
