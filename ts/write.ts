/**
 * AsyncWrite: data goes to the kernel, and how much of it went is always visible.
 *
 * Memory of `alloc()` and `Bytes` move into the write, as in reading; other data is copied at the call, so that what is
 * written are the bytes of that moment. Writes without a position follow each other; a write at a position does not wait.
 */
import type { CancelOptions } from './cancel.js';
import { traced } from './deferred.js';
import { checkInteger, checkOptions, closedError } from './errors.js';
import { Parcel } from './memory/parcel.js';
import type { Writable } from './memory/parcel.js';
import type { Proactor } from './proactor.js';
import { planOf } from './read/read.js';
import type { Plan } from './read/read.js';
import { Transfer } from './transfer.js';
import type { WriteResult, WriteTarget } from './transfer.js';
import { Turns } from './turns.js';
import type { Unflushed } from './unflushed.js';

/** How one write is done. */
export interface WriteOptions extends CancelOptions {
  /** Byte offset in the file; without it the write goes where the last one ended (to the end when appending). */
  readonly position?: number | bigint | null | undefined;
}

export type { WriteResult } from './transfer.js';

/** Writes data in the order of the calls, and says how much went. */
export interface AsyncWrite extends AsyncDisposable {
  /** One write; it may come short, and says so. */
  write(data: Writable, options?: WriteOptions): Promise<WriteResult>;
  /** Write all of it, with as many writes as that takes. */
  writeAll(data: Writable, options?: WriteOptions): Promise<WriteResult>;
  /** Keep data for the next `flush`. */
  push(data: Writable): this;
  /** Write what was pushed, as one vectored operation. */
  flush(options?: WriteOptions): Promise<WriteResult>;
  /** Write all that was pushed, wait for what was begun, and take nothing more. A file stays open; a stream is half-closed. */
  end(): Promise<void>;
}

/** How a file is written. */
export interface WriterOptions {
  /** Where the first write without a position goes; the file's current position (0, or its end) where not given. */
  readonly start?: number | undefined;
}

/** What a writer needs of its resource. */
export interface WriterTarget extends WriteTarget {
  /** @internal */
  readonly host: Proactor;
  /** It is closed, or being closed. */
  readonly closed: boolean;
  readonly unflushed: Unflushed;
  /** Its writes are few enough for their errors to get the stack of those who await them. */
  readonly traced?: boolean;
  /** Begin the write; `all`: it is to go on until all of it is written. */
  dispatch(transfer: Transfer, plan: Plan, all: boolean): void;
  /** All of it is written, and no more will come. */
  finish?(): Promise<void>;
}

/** What a writer keeps alive, so that it is not closed as forgotten. */
export interface WriterResource {
  readonly target: WriterTarget;
  /** The order of the writes without a position. */
  readonly turns: Turns;
}

/** @internal A method that no field of a program's own gets in the way of. */
export const PLAN: unique symbol = Symbol('plan');
/** @internal Another. */
export const RESOURCE: unique symbol = Symbol('resource');

/** What most writers never need. */
interface Unusual {
  /** What was pushed since the last flush. */
  pushed: Parcel[] | undefined;
  ended: boolean;
}

/** What writers of files and of streams have in common. */
export abstract class Writer implements AsyncWrite {
  readonly #resource: WriterResource;
  #unusual: Unusual | undefined = undefined;

  /** @internal */
  constructor(resource: WriterResource) {
    this.#resource = resource;
  }

  /**
   * @example
   * const { bytesWritten, rest } = await file.writer().write('hello\n');
   */
  write(data: Writable, options?: WriteOptions): Promise<WriteResult> {
    return Writer.#write(this, data, options, false);
  }

  writeAll(data: Writable, options?: WriteOptions): Promise<WriteResult> {
    return Writer.#write(this, data, options, true);
  }

  /** Throws when the data cannot be written; nothing is pushed then. */
  push(data: Writable): this {
    const { target } = this[RESOURCE]();
    const unusual = (this.#unusual ??= { pushed: undefined, ended: false });
    const last = unusual.pushed?.at(-1);
    if (last === undefined || !last.append(data)) {
      const parcel = Parcel.take(target.host, data);
      if (unusual.pushed === undefined) target.unflushed.add((unusual.pushed = []));
      unusual.pushed.push(parcel);
    }
    return this;
  }

  flush(options?: WriteOptions): Promise<WriteResult> {
    return Writer.#flush(this, options, false);
  }

  async end(): Promise<void> {
    const unusual = (this.#unusual ??= { pushed: undefined, ended: false });
    const flushed = unusual.pushed !== undefined ? Writer.#flush(this, undefined, true) : undefined;
    unusual.ended = true;
    await flushed;
    const { target, turns } = this.#resource;
    await turns.idle();
    await target.finish?.();
  }

  /** `end()`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.end();
  }

  /** @internal What it writes to; throws where it takes nothing more. */
  [RESOURCE](): WriterResource {
    if (this.#unusual?.ended === true || this.#resource.target.closed) throw closedError('write');
    return this.#resource;
  }

  /** @internal Check the options, once. */
  [PLAN](options: WriteOptions | undefined): Plan {
    return planOf(options);
  }

  // Static: private methods would cost each writer 8 bytes, and there are as many as connections.

  static #write(writer: Writer, data: Writable, options: WriteOptions | undefined, all: boolean): Promise<WriteResult> {
    try {
      if (writer.#unusual?.ended === true) throw closedError('write');
      const plan = writer[PLAN](options);
      const { target } = writer.#resource;
      return begin(writer.#resource, [Parcel.take(target.host, data, target, plan)], plan, all);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  static #flush(writer: Writer, options: WriteOptions | undefined, all: boolean): Promise<WriteResult> {
    try {
      const unusual = writer.#unusual;
      if (unusual?.ended === true) throw closedError('writev');
      const plan = writer[PLAN](options);
      const parcels = unusual?.pushed ?? [];
      if (unusual?.pushed !== undefined) {
        writer.#resource.target.unflushed.delete(unusual.pushed);
        unusual.pushed = undefined;
      }
      return begin(writer.#resource, parcels, plan, all);
    } catch (error) {
      return Promise.reject(error);
    }
  }
}

function begin({ target, turns }: WriterResource, parcels: readonly Parcel[], plan: Plan, all: boolean): Promise<WriteResult> {
  const { position } = plan;
  const transfer = new Transfer(target, parcels, all, position === undefined ? turns : undefined);
  if (position !== undefined) transfer.position = position;
  target.dispatch(transfer, plan, all);
  return target.traced === true ? traced(transfer.promise) : transfer.promise;
}

/** The turns of a file's writer: each has its own. */
export function turnsFrom(options: WriterOptions = {}): Turns {
  checkOptions(options);
  const turns = new Turns();
  const { start } = options;
  if (start !== undefined) turns.position = checkInteger('start', start, 0, Number.MAX_SAFE_INTEGER);
  return turns;
}

/** Writes to a file. Made by `writer()` of the file. */
export class FileWriter extends Writer {
  /** For the compiler: a writer of a stream is none of a file. */
  declare private readonly of: 'file';
}
