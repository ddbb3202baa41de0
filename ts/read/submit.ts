/**
 * Style 2, submit: your buffer goes to the kernel and comes back. While it is there, every view of it has length 0.
 */
import { checkCancelOptions } from '../cancel.js';
import type { CancelOptions } from '../cancel.js';
import { show } from '../inspect.js';
import type { Bytes } from '../memory/bytes.js';
import type { Deferred } from '../deferred.js';
import { RitsuError, checkInteger, checkOptions, closedError } from '../errors.js';
import { Fifo } from '../fifo.js';
import { allocate, lend } from '../memory/loan.js';
import type { Block, Keeper, Memory } from '../memory/block.js';
import { inspect, stamp, viewOf } from '../memory/block.js';
import { LENGTH_MAX } from '../op.js';
import { checkPositions, lengthOf, planOfMany, shareOf, totalOf } from './many.js';
import type { Positions, ReadManyOptions } from './many.js';
import { ChunkIterator } from './read.js';
import type { AsyncRead } from './read.js';
import type { ReadOptions, ReadSource } from './source.js';

/** What `submit` accepts. */
export interface SubmitOptions extends ReadOptions {
  /** At most so many bytes; the buffer's length where not given. */
  readonly length?: number | undefined;
}

/** How a resource is read in style 2. */
export interface SubmitterOptions {
  /** Bytes of the buffer that `pull` and iteration use; 65536 where not given. */
  readonly blockSize?: number | undefined;
}

/** Style 2: your buffer goes to the kernel and comes back. Made by `submitter()` of a file, stream or socket. */
export class SubmitReader implements AsyncRead {
  readonly #source: ReadSource;
  readonly #size: number;
  readonly #submitted = new Fifo<Deferred<Bytes | null>>();
  /** Buffers of the reader's own, for `pull`. */
  readonly #spare: Buffer[] = [];
  #closed = false;

  /** @internal Used by resources: `file.submitter()`. */
  constructor(source: ReadSource, options: SubmitterOptions = {}) {
    checkOptions(options);
    this.#source = source;
    this.#size = checkInteger('blockSize', options.blockSize ?? 65_536, 1, LENGTH_MAX);
  }

  /** Which one it is. */
  get style(): 'submit' {
    return 'submit';
  }

  /** Reads that were submitted and not yet polled. */
  get outstanding(): number {
    return this.#submitted.length;
  }

  /**
   * Hand the buffer to the kernel, to be filled. Several may be outstanding; `poll` gives them in order of submission.
   * Throws, and leaves the buffer alone, when the arguments are wrong or the buffer is in flight already.
   * @example
   * reader.submit(buffer, { position: 0, length: 4096 });
   * const filled = await reader.poll();
   */
  submit(buffer: Memory, options?: SubmitOptions): void {
    if (this.#closed) throw closedError('read');
    this.#submit(buffer, options, undefined);
  }

  /**
   * Hand the buffer to the kernel, to be filled from many positions at once: each has `length` bytes of it, or an even share. The
   * `Bytes` that `poll` gives is all of them, one behind the other; its `lengths` says how many bytes each brought.
   * @example
   * reader.submitMany(buffer, [0, 81920, 4096], { length: 4096 });
   * const { data, lengths } = await reader.poll();
   */
  submitMany(buffer: Memory, positions: Positions, options?: ReadManyOptions): void {
    if (this.#closed) throw closedError('read');
    const { host } = this.#source;
    const checked = checkPositions(positions);
    const plan = planOfMany(this.#source, options);
    const each = lengthOf(options) ?? shareOf(inspect('buffer', buffer).length, checked);
    const places = { positions: checked, each };
    const landing = lend(host, buffer, totalOf(places), undefined);
    this.#submitted.push(this.#source.readPlaces!(landing, places, plan));
  }

  /** The oldest submitted buffer, when it is filled: of length 0 at the end of the file. `take()` makes it yours again. */
  poll(options?: CancelOptions): Promise<Bytes> {
    try {
      const watched = checkCancelOptions(options);
      const oldest = this.#submitted.shift();
      if (oldest === undefined) throw new RitsuError('ERR_RITSU_NOTHING_SUBMITTED', 'poll: no buffer was submitted');
      this.#source.watch(oldest, watched);
      return oldest.promise as Promise<Bytes>; // a read into given memory always gives it back
    } catch (error) {
      return Promise.reject(error);
    }
  }

  async pull(options?: ReadOptions): Promise<Bytes | null> {
    if (this.#closed) throw closedError('read');
    this.#submit(this.#spare.pop() ?? this.#allocate(), options, this);
    const bytes = await this.poll();
    if (bytes.length > 0 || this.#source.endless) return bytes;
    bytes.release();
    return null;
  }

  /** The bytes from here to the end, in buffers of the reader's. Each is used again when the loop goes on, so copy what you keep. */
  [Symbol.asyncIterator](): AsyncIterableIterator<Bytes> {
    return new ChunkIterator(() => this.pull());
  }

  /** Buffers still submitted are waited for; poll gives them first. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.allSettled([...this.#submitted].map((read) => read.promise));
    this.#spare.length = 0;
  }

  /** `close()`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** @internal A buffer of the reader's own came back. */
  keep(block: Block, memory: ArrayBuffer | undefined): void {
    if (memory === undefined || this.#closed) return;
    stamp(memory, block);
    this.#spare.push(viewOf(memory, 0, memory.byteLength));
  }

  #submit(buffer: Memory, options: SubmitOptions | undefined, keeper: Keeper | undefined): void {
    const { host } = this.#source;
    const plan = this.#source.plan(options);
    const length = options?.length;
    const landing = lend(host, buffer, length, keeper);
    this.#submitted.push(this.#source.read(landing, plan));
  }

  #allocate(): Buffer {
    const block = allocate(this.#source.host, this.#size);
    const memory = block.memory!;
    block.memory = undefined;
    stamp(memory, block);
    return viewOf(memory, 0, this.#size);
  }
}
show(SubmitReader, ({ outstanding }) => ({ outstanding }));
