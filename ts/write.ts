/**
 * AsyncWrite: data goes to the kernel, and how much of it went is always visible.
 *
 * Memory of `alloc()` and `Bytes` move into the write, as in reading; other data is copied at the call, so that what is
 * written are the bytes of that moment. Writes without a position follow each other; a write at a position does not wait.
 */
import { traced } from './deferred.js';
import { checkInteger, closedError } from './errors.js';
import type { LoanHost } from './memory/loan.js';
import { Opcode, Operation } from './op.js';
import type { CancelOptions } from './op.js';
import { Parcel } from './memory/parcel.js';
import type { Part, Writable } from './memory/parcel.js';
import { planOf } from './read/read.js';
import type { Plan } from './read/read.js';

export interface WriteOptions extends CancelOptions {
  /** Byte offset in the file; without it the write goes where the last one ended (to the end when appending). */
  readonly position?: number | bigint | null | undefined;
}

export interface WriteResult {
  readonly bytesWritten: number;
  /** What was not written: of length 0 unless the write came short. */
  readonly rest: Buffer;
  /** The memory of `alloc()` that moved into the write, yours again, in order of the data. */
  readonly buffers: readonly Buffer[];
}

export interface AsyncWrite extends AsyncDisposable {
  /** One write; it may come short, and says so. */
  write(data: Writable, options?: WriteOptions): Promise<WriteResult>;
  /** Write all of it, with as many writes as that takes. */
  writeAll(data: Writable, options?: WriteOptions): Promise<WriteResult>;
  /** Keep data for the next `flush`. */
  push(data: Writable): this;
  /** Write what was pushed, as one vectored operation. */
  flush(options?: WriteOptions): Promise<WriteResult>;
  /** Flush, wait for what was begun, and take nothing more. Does not close the resource. */
  end(): Promise<void>;
}

export interface WriterOptions {
  /** Where the first write without a position goes; the file's current position (0, or its end) where not given. */
  readonly start?: number | undefined;
}

/** What a writer needs of its resource. */
export interface WriteTarget {
  readonly host: LoanHost;
  /** Give the operation its descriptor and start it, unless the resource is closed. */
  begin<T>(operation: Operation<T>, options: CancelOptions | undefined): Operation<T>;
}

/** The most parts of one vectored operation (Linux: IOV_MAX). */
const PARTS_MAX = 1024;
/** The system's current file position. */
const CURRENT = -1;

export class FileWriter implements AsyncWrite {
  readonly #target: WriteTarget;
  #position: number;
  #pushed: Parcel[] = [];
  /** Settles when the last write without a position has ended. */
  #tail: Promise<void> | undefined = undefined;
  #running = 0;
  #ended = false;

  /** Used by resources: `file.writer()`. */
  constructor(target: WriteTarget, options: WriterOptions = {}) {
    this.#target = target;
    const { start } = options;
    this.#position = start === undefined ? CURRENT : checkInteger('start', start, 0, Number.MAX_SAFE_INTEGER);
  }

  /**
   * @example
   * const { bytesWritten, rest } = await file.writer().write('hello\n');
   */
  async write(data: Writable, options?: WriteOptions): Promise<WriteResult> {
    const plan = this.#check(options, 'write');
    return traced(this.#run([Parcel.take(this.#target.host, data)], plan, false));
  }

  async writeAll(data: Writable, options?: WriteOptions): Promise<WriteResult> {
    const plan = this.#check(options, 'write');
    return traced(this.#run([Parcel.take(this.#target.host, data)], plan, true));
  }

  /** Throws when the data cannot be written; nothing is pushed then. */
  push(data: Writable): this {
    if (this.#ended) throw closedError('write');
    const last = this.#pushed.at(-1);
    if (last === undefined || !last.append(data)) this.#pushed.push(Parcel.take(this.#target.host, data));
    return this;
  }

  async flush(options?: WriteOptions): Promise<WriteResult> {
    const plan = this.#check(options, 'writev');
    const parcels = this.#pushed;
    this.#pushed = [];
    if (parcels.length === 0) return { bytesWritten: 0, rest: Buffer.alloc(0), buffers: [] };
    return traced(this.#run(parcels, plan, false));
  }

  async end(): Promise<void> {
    if (this.#pushed.length > 0) await this.flush();
    this.#ended = true;
    await this.#tail;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.end();
  }

  #check(options: WriteOptions | undefined, syscall: string): Plan {
    if (this.#ended) throw closedError(syscall);
    return planOf(options);
  }

  /** At a position: now. Without one: after the writes before it. */
  #run(parcels: Parcel[], plan: Plan, all: boolean): Promise<WriteResult> {
    if (plan.position !== undefined) return this.#transfer(parcels, plan, all, plan.position);
    const work = (): Promise<WriteResult> => this.#transfer(parcels, plan, all, this.#position);
    const result = this.#running === 0 ? work() : this.#tail!.then(work);
    this.#running += 1;
    this.#tail = result.then(
      () => this.#endTurn(),
      () => this.#endTurn(),
    );
    return result;
  }

  #endTurn(): void {
    this.#running -= 1;
  }

  async #transfer(parcels: Parcel[], plan: Plan, all: boolean, start: number): Promise<WriteResult> {
    const total = parcels.reduce((sum, parcel) => sum + parcel.length, 0);
    let written = 0;
    try {
      if (total === 0) return { bytesWritten: 0, ...settle(parcels, 0) };
      let count: number;
      do {
        count = await this.#once(partsAfter(parcels, written), plan, start === CURRENT ? CURRENT : start + written);
        written += count;
        if (plan.position === undefined && start !== CURRENT) this.#position += count;
      } while (all && count > 0 && written < total);
    } catch (error) {
      throw Object.assign(error as Error, { bytesTransferred: written, ...settle(parcels, written) });
    }
    return { bytesWritten: written, ...settle(parcels, written) };
  }

  #once(parts: readonly Part[], plan: Plan, position: number): Promise<number> {
    const vectored = parts.length > 1;
    const operation = new Operation<number>(
      vectored ? Opcode.WRITEV : Opcode.WRITE,
      (op, { result }) => (result < 0 ? op.failure(result) : result),
    );
    operation.position = position;
    if (vectored) operation.argument = encodeParts(parts);
    else {
      const { block, offset, length } = parts[0]!;
      operation.block = block;
      operation.offset = offset;
      operation.length = length;
    }
    return this.#target.begin(operation, plan).promise;
  }
}

/** What is left of the parcels after so many bytes, as many as one operation takes. */
function partsAfter(parcels: readonly Parcel[], written: number): Part[] {
  const parts: Part[] = [];
  let skip = written;
  for (const { block, offset, length } of parcels) {
    if (parts.length === PARTS_MAX) break;
    if (skip < length) parts.push({ block, offset: offset + skip, length: length - skip });
    skip = Math.max(0, skip - length);
  }
  return parts;
}

function encodeParts(parts: readonly Part[]): Uint8Array {
  const words = new Uint32Array(parts.length * 3);
  parts.forEach(({ block, offset, length }, index) => words.set([block.id, offset, length], index * 3));
  return new Uint8Array(words.buffer);
}

/** Give all memory back. */
function settle(parcels: readonly Parcel[], written: number): { rest: Buffer; buffers: readonly Buffer[] } {
  const parts = partsAfter(parcels, written);
  const rest = Buffer.concat(parts.map(({ block, offset, length }) => new Uint8Array(block.memory!, offset, length)));
  const buffers = parcels.map((parcel) => parcel.end()).filter((buffer) => buffer !== undefined);
  return { rest, buffers };
}
