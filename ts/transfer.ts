/**
 * One write, from its call to its result, and the turns that writes without a position take.
 *
 * States of a `Transfer`: made -> (waiting for its turn) -> in flight, again while there is a rest that shall be
 * written -> settled. Its memory goes back, and `rest` and `bytesTransferred` are told, on every way to the end. Who
 * calls: the writers.
 */
import type { CancelOptions } from './cancel.js';
import type { Endpoint } from './errors.js';
import { Fifo } from './fifo.js';
import type { LoanHost } from './memory/loan.js';
import type { Parcel, Part } from './memory/parcel.js';
import { ECANCELED, Operation } from './op.js';
import type { Completion, Failure } from './op.js';

export interface WriteResult {
  readonly bytesWritten: number;
  /** What was not written: of length 0 unless the write came short. */
  readonly rest: Buffer;
  /** The memory of `alloc()` that moved into the write, yours again, in order of the data. */
  readonly buffers: readonly Buffer[];
}

/** How a resource is written. */
export interface WriteCodes {
  /** The opcode for one part. */
  readonly single: number;
  /** The opcode for several, and how many zero bytes its argument has before them. */
  readonly vectored: number;
  readonly header: number;
  /** For errors: that it is a stream. */
  readonly endpoint?: Endpoint;
}

/** What a writer needs of its resource. */
export interface WriteTarget {
  readonly host: LoanHost;
  readonly codes: WriteCodes;
  /** Give the operation its descriptor, and let its signal or timeout end it; or refuse it. */
  admit(operation: Operation<WriteResult>, options: CancelOptions): void;
  /** Hand it over; its turn has come. */
  begin(operation: Operation<WriteResult>): void;
  /** Call back when the resource can be written: it is non-blocking, and could not be. */
  awaitWritable?(then: () => void): void;
}

/** The most parts of one vectored operation (Linux: IOV_MAX). */
const PARTS_MAX = 1024;
const PART_WORDS = 3;
/** The system's current file position; a stream's only one. */
export const CURRENT = -1;
const EAGAIN = -11;
const EMPTY = Buffer.alloc(0);
const NONE: readonly Buffer[] = Object.freeze([]);

/** An operation that takes its turn. */
export interface Turn extends Operation<never> {
  begin(): void;
}

/** Operations of one resource that follow each other: the next begins when the one before has ended. */
export class Turns {
  /** Where the next one begins; `CURRENT` where the system knows. */
  position = CURRENT;
  /** Made when the first has to wait: on most connections none ever does. */
  #waiting: Fifo<Turn> | undefined = undefined;
  #current: Turn | undefined = undefined;
  #advancing = false;
  #onIdle: (() => void)[] | undefined = undefined;

  enter(turn: Turn): void {
    if (this.#current === undefined && !this.#advancing) this.#advance(turn);
    else (this.#waiting ??= new Fifo()).push(turn);
  }

  /** The operation has settled. */
  passed(turn: Turn): void {
    if (turn !== this.#current) return; // it waited: dropped when its turn comes
    this.#current = undefined;
    if (!this.#advancing) this.#advance(this.#waiting?.shift()); // else it was refused at once: the loop below goes on
  }

  /** Resolves when none is in flight or waits. */
  idle(): Promise<void> {
    if (this.#current === undefined) return Promise.resolve();
    return new Promise((resolve) => (this.#onIdle ??= []).push(resolve));
  }

  /** Those in flight and waiting. */
  all(): Turn[] {
    return this.#current === undefined ? [] : [this.#current, ...(this.#waiting ?? [])];
  }

  /** Begin this one; if that ends at once, those that wait. */
  #advance(first: Turn | undefined): void {
    this.#advancing = true;
    for (let next = first; next !== undefined; next = this.#waiting?.shift()) {
      if (next.settled) continue;
      this.#current = next;
      next.begin();
      if (this.#current !== undefined) break;
    }
    this.#advancing = false;
    if (this.#current === undefined && this.#onIdle !== undefined) for (const resolve of this.#onIdle.splice(0)) resolve();
  }
}

function outcome(operation: Operation<WriteResult>, completion: Completion): WriteResult | Failure {
  return (operation as Transfer).outcome(completion.result);
}

export class Transfer extends Operation<WriteResult> {
  readonly #target: WriteTarget;
  readonly #parcels: readonly Parcel[];
  readonly #total: number;
  /** Go on until all is written. */
  readonly #all: boolean;
  /** Undefined: it has a position of its own and waits for nobody. */
  readonly #turns: Turns | undefined;
  #written = 0;
  /** Zero copy: what was sent; the final completion only says that the memory is free. */
  #sent: number | undefined = undefined;

  constructor(target: WriteTarget, parcels: readonly Parcel[], all: boolean, turns: Turns | undefined) {
    super(parcels.length === 1 ? target.codes.single : target.codes.vectored, outcome);
    this.#target = target;
    this.#parcels = parcels;
    this.#all = all;
    this.#turns = turns;
    this.#total = parcels.length === 1 ? parcels[0]!.length : parcels.reduce((sum, { length }) => sum + length, 0);
  }

  get total(): number {
    return this.#total;
  }

  /** The first of its completions tells the result, the final one that the network has the memory no more. */
  expectNotice(flag: number): void {
    this.flags |= flag;
    this.progress = (completion) => {
      this.#sent = completion.result;
    };
  }

  /** Begin, now or when its turn comes. */
  send(options: CancelOptions): Promise<WriteResult> {
    this.#target.admit(this, options);
    if (this.settled) return this.promise;
    if (this.#turns === undefined) this.begin();
    else this.#turns.enter(this as unknown as Turn);
    return this.promise;
  }

  begin(): void {
    const position = this.#turns?.position ?? CURRENT;
    if (position !== CURRENT) this.position = position;
    if (this.#total === 0) this.succeed(this.#result());
    else this.#handOver();
  }

  override complete(completion: Completion): void {
    const result = this.#sent ?? completion.result;
    this.#sent = undefined;
    if (result > 0) this.#count(result);
    const goesOn = this.cancelCause === undefined;
    if (goesOn && result > 0 && this.#all && this.#written < this.#total) this.#handOver();
    else if (goesOn && result === EAGAIN && this.#target.awaitWritable !== undefined) {
      this.slot = -1; // aborted now, it ends at once
      this.#target.awaitWritable(() => {
        if (!this.settled) this.#handOver();
      });
    } else {
      // It could not be written and is not wanted any more: ended, as if the cancel had come first.
      const told = result === EAGAIN && !goesOn ? ECANCELED : result;
      super.complete(told === completion.result ? completion : { ...completion, result: told });
    }
  }

  outcome(result: number): WriteResult | Failure {
    if (result < 0) {
      if (this.#target.codes.endpoint !== undefined) this.endpoint = this.#target.codes.endpoint;
      return this.failure(result);
    }
    const cutShort = this.#all && this.#written < this.#total && this.cancelCause !== undefined;
    return cutShort ? this.failure(ECANCELED) : this.#result();
  }

  override succeed(value: WriteResult): void {
    super.succeed(value);
    this.#turns?.passed(this as unknown as Turn);
  }

  override fail(failure: () => Error): void {
    const { bytesWritten: bytesTransferred, rest, buffers } = this.#result();
    super.fail(() => Object.assign(failure(), { bytesTransferred, rest, buffers }));
    this.#turns?.passed(this as unknown as Turn);
  }

  #count(bytes: number): void {
    this.#written += bytes;
    if (this.position !== CURRENT) this.position += bytes;
    if (this.#turns !== undefined && this.#turns.position !== CURRENT) this.#turns.position += bytes;
  }

  /** What is not written yet, as one operation. */
  #handOver(): void {
    const parts = this.#parcels.length === 1 ? undefined : partsAfter(this.#parcels, this.#written);
    if (parts !== undefined && parts.length > 1) this.argument = encodeParts(parts, this.#target.codes.header);
    else {
      const { block, offset, length } = parts === undefined ? this.#parcels[0]! : parts[0]!;
      const done = parts === undefined ? this.#written : 0;
      this.opcode = this.#target.codes.single;
      this.argument = undefined;
      this.block = block;
      this.length = length - done;
      if (offset + done !== this.offset) this.offset = offset + done;
    }
    this.slot = -1;
    this.#target.begin(this);
  }

  /** How far it came; all memory goes back. */
  #result(): WriteResult {
    const rest = this.#written === this.#total ? EMPTY : restOf(partsAfter(this.#parcels, this.#written, Infinity));
    let buffers: Buffer[] | undefined;
    for (const parcel of this.#parcels) {
      const buffer = parcel.end();
      if (buffer !== undefined) (buffers ??= []).push(buffer);
    }
    return { bytesWritten: this.#written, rest, buffers: buffers ?? NONE };
  }
}

/** What is left of the parcels after so many bytes: as many parts as one operation takes, where not told otherwise. */
function partsAfter(parcels: readonly Parcel[], written: number, partsMax = PARTS_MAX): Part[] {
  const parts: Part[] = [];
  let skip = written;
  for (const { block, offset, length } of parcels) {
    if (parts.length === partsMax) break;
    if (skip < length) parts.push({ block, offset: offset + skip, length: length - skip });
    skip = Math.max(0, skip - length);
  }
  return parts;
}

function restOf(parts: readonly Part[]): Buffer {
  return Buffer.concat(parts.map(({ block, offset, length }) => new Uint8Array(block.memory!, offset, length)));
}

function encodeParts(parts: readonly Part[], header: number): Uint8Array {
  const first = header / Uint32Array.BYTES_PER_ELEMENT;
  const words = new Uint32Array(first + parts.length * PART_WORDS);
  parts.forEach(({ block, offset, length }, index) => words.set([block.id, offset, length], first + index * PART_WORDS));
  return new Uint8Array(words.buffer);
}
