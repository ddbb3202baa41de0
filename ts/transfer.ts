/**
 * One write, from its call to its result.
 *
 * States of a `Transfer`: made -> (waiting for its turn) -> in flight, again while there is a rest that shall be written -> settled. Its
 * memory goes back, and `rest` and `bytesTransferred` are told, on every way to the end but one: when a proactor is given up past its
 * deadline, the system keeps the memory. Who calls: the writers, `pipeTo`.
 *
 * A small write to a socket takes those that wait behind it along, in one operation: they are its *fellows*. They keep their places in
 * the line, so whatever the operation did not write of them is written in their turn. A cancel of any of them ends the operation; the
 * others go on.
 */
import type { CancelOptions } from './cancel.js';
import type { Endpoint } from './errors.js';
import type { LoanHost } from './memory/loan.js';
import { PARTS_MAX, encodeParts, partsAfter, restOf } from './memory/parcel.js';
import type { Parcel, Sender } from './memory/parcel.js';
import { ECANCELED, EINTR, NONE, Operation, WAIT_ALL } from './op.js';
import type { Completion, Failure } from './op.js';
import { CURRENT } from './turns.js';
import type { Turn, Turns } from './turns.js';

/** What became of a write. */
export interface WriteResult {
  /** Bytes that were written. */
  readonly bytesWritten: number;
  /** What was not written: of length 0 unless the write came short. */
  readonly rest: Buffer;
  /** The memory of `alloc()` that moved into the write, yours again, in order of the data. */
  readonly buffers: readonly Buffer<ArrayBuffer>[];
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
export interface WriteTarget extends Partial<Sender> {
  readonly host: LoanHost;
  readonly codes: WriteCodes;
  /** Give the operation its descriptor, and let its signal or timeout end it; or refuse it. */
  admit(operation: Operation<WriteResult>, options: CancelOptions): void;
  /** Hand it over; its turn has come. */
  begin(operation: Operation<WriteResult>): void;
  /** Whether several writes may go in one operation, which the cancel of any of them reaches. */
  readonly gathers?: boolean;
  /** Call back when the resource can be written: it is non-blocking, and could not be. */
  awaitWritable?(then: () => void): void;
}

/** The most bytes that go together; from there on an operation each is no part of the cost. */
const GATHERED_MAX = 65_536;
const EAGAIN = -11;
const EMPTY = Buffer.alloc(0);
const NO_BUFFERS: readonly Buffer<ArrayBuffer>[] = Object.freeze([]);

function outcome(operation: Operation<WriteResult>, completion: Completion): WriteResult | Failure {
  return (operation as Transfer).outcome(completion.result);
}

const NOBODY: readonly Transfer[] = [];

export class Transfer extends Operation<WriteResult> {
  readonly #target: WriteTarget;
  #parcels: readonly Parcel[];
  #total: number;
  /** Go on until all is written. */
  readonly #all: boolean;
  /** Undefined: it has a position of its own and waits for nobody. */
  readonly #turns: Turns | undefined;
  #written = 0;
  /** Bytes that were sent as the data was taken, and are in no parcel. Rarely set: on the prototype, as `fault`. */
  declare private sentBefore: number;
  /** The negative errno that came instead. */
  declare private fault: number;
  /** Zero copy: what was sent; the final completion only says that the memory is free. */
  #sent: number | undefined = undefined;

  constructor(target: WriteTarget, parcels: readonly Parcel[], all: boolean, turns: Turns | undefined) {
    super(parcels.length === 1 ? target.codes.single : target.codes.vectored, outcome);
    this.#target = target;
    this.#parcels = parcels;
    this.#all = all;
    this.#turns = turns;
    this.#total = parcels.length === 1 ? parcels[0]!.length : parcels.reduce((sum, { length }) => sum + length, 0);
    const sent = parcels.length === 1 ? parcels[0]!.sent : 0;
    if (sent > 0) this.sentBefore = sent;
    else if (sent < 0) this.fault = sent;
  }

  /** Another write by the same object (`pipeTo`). It was one of its own, no fellow, and did well. */
  protected another(parcel: Parcel): void {
    this.renew();
    this.slot = -1; // or no cancel would reach it while it waits
    this.opcode = this.#target.codes.single;
    this.#parcels = [parcel];
    this.#total = parcel.length;
    this.#written = 0;
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
  send(options: CancelOptions): void {
    try {
      this.#target.admit(this, options);
    } catch (error) {
      this.refuse(() => error as Error);
    }
    if (this.sentBefore > 0 || this.fault < 0) this.#turns!.redeem(this as unknown as Turn);
    else if (this.settled) return;
    else if (this.#turns === undefined) this.begin();
    else this.#turns.enter(this as unknown as Turn);
  }

  begin(): void {
    const position = this.#turns?.position ?? CURRENT;
    if (position !== CURRENT) this.position = position;
    if (this.fault < 0) this.complete({ slot: -1, generation: 0, result: this.fault, flags: 0, block: NONE, extra: 0, value: 0 });
    else if (this.#total === 0 || (this.sentBefore > 0 && !this.#all)) this.succeed(this.#result());
    else this.#handOver();
  }

  override complete(completion: Completion): void {
    this.slot = -1; // the system has let go of its memory
    const all = this.#sent ?? completion.result;
    this.#sent = undefined;
    const goesOn = this.cancelCause === undefined;
    // Ended for the sake of a fellow, that is no answer to this one.
    const again = goesOn && (all === ECANCELED || all === EINTR) && this.#others().some(({ cancelCause }) => cancelCause !== undefined);
    const result = all > 0 ? this.#deal(all) : all;
    if (again || (goesOn && result > 0 && this.#all && this.#written < this.#total)) {
      this.#endFellows();
      this.#handOver();
    } else if (goesOn && result === EAGAIN && this.#target.awaitWritable !== undefined) {
      this.#endFellows();
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
    this.#endFellows();
    this.#turns?.passed(this as unknown as Turn);
  }

  override fail(failure: () => Error): void {
    if (this.slot >= 0) return this.#failInFlight(failure);
    const { bytesWritten: bytesTransferred, rest, buffers } = this.#result();
    super.fail(() => Object.assign(failure(), { bytesTransferred, rest, buffers }));
    this.#endFellows();
    this.#turns?.passed(this as unknown as Turn);
  }

  /** The proactor was given up while the system has its memory, and its fellows': none of that comes back. */
  #failInFlight(failure: () => Error): void {
    const fellows = this.#others();
    this.fellows = undefined;
    super.fail(() => Object.assign(failure(), { bytesTransferred: this.sentBefore + this.#written }));
    for (const fellow of fellows) fellow.fail(failure); // they have its slot
    this.#turns?.passed(this as unknown as Turn);
  }

  #count(bytes: number): void {
    this.#written += bytes;
    if (this.position !== CURRENT) this.position += bytes;
    if (this.#turns !== undefined && this.#turns.position !== CURRENT) this.#turns.position += bytes;
  }

  /** Count what was written, its own first, then its fellows'; how much its own is. */
  #deal(bytes: number): number {
    const own = Math.min(bytes, this.#left);
    this.#count(own);
    let others = bytes - own;
    for (const fellow of this.#others()) {
      const share = Math.min(others, fellow.#left);
      fellow.#count(share);
      others -= share;
    }
    return own;
  }

  /** The operation is over: those of its fellows that are written, or not wanted any more, too. */
  #endFellows(): void {
    if (this.fellows === undefined) return;
    const fellows = this.#others();
    this.fellows = undefined;
    for (const fellow of fellows) {
      fellow.slot = -1;
      if (fellow.#left === 0) fellow.succeed(fellow.#result());
      else if (fellow.cancelCause !== undefined) fellow.fail(fellow.failure(ECANCELED).make);
    }
  }

  /** What is not written yet, as one operation. */
  #handOver(): void {
    const fellows = this.#gather();
    this.#encode(fellows);
    this.slot = -1;
    if (fellows.length > 0) this.fellows = fellows;
    this.#target.begin(this);
    if (this.fellows !== fellows) return; // it has none, or is over
    if (this.slot < 0) {
      // It waits for a slot; a fellow that is cancelled meanwhile must not be in it.
      this.fellows = undefined;
      this.#encode(NOBODY);
    } else {
      for (const fellow of fellows) {
        fellow.slot = this.slot;
        fellow.generation = this.generation;
      }
    }
  }

  #encode(fellows: readonly Transfer[]): void {
    const isOne = this.#parcels.length === 1 && fellows.length === 0;
    const parts = isOne ? undefined : [this, ...fellows].flatMap((each) => partsAfter(each.#parcels, each.#written));
    if (parts !== undefined && parts.length > 1) {
      this.opcode = this.#target.codes.vectored;
      this.argument = encodeParts(parts, this.#target.codes.header);
      return;
    }
    const { block, offset, length } = parts === undefined ? this.#parcels[0]! : parts[0]!;
    const done = parts === undefined ? this.#written : 0;
    this.opcode = this.#target.codes.single;
    this.argument = undefined;
    this.block = block;
    this.length = length - done;
    if (offset + done !== this.offset) this.offset = offset + done;
  }

  /** Those that wait right behind it and can go along. */
  #gather(): readonly Transfer[] {
    if (this.#turns?.isLined !== true || this.#target.gathers !== true || this.flags !== WAIT_ALL) return NOBODY;
    const fellows: Transfer[] = [];
    let room = GATHERED_MAX - this.#left;
    let parts = PARTS_MAX - this.#parcels.length;
    for (const turn of this.#turns.waiting() as Iterable<unknown>) {
      if (!(turn instanceof Transfer) || turn.flags !== WAIT_ALL) break;
      if (turn.settled) continue;
      room -= turn.#left;
      parts -= turn.#parcels.length;
      if (room < 0 || parts < 0 || turn.#total === 0) break;
      fellows.push(turn);
    }
    return fellows;
  }

  get #left(): number {
    return this.#total - this.#written;
  }

  #others(): readonly Transfer[] {
    return (this.fellows as readonly Transfer[] | undefined) ?? NOBODY;
  }

  /** How far it came; all memory goes back. */
  #result(): WriteResult {
    const rest = this.#written === this.#total ? EMPTY : restOf(partsAfter(this.#parcels, this.#written, Infinity));
    let buffers: Buffer<ArrayBuffer>[] | undefined;
    for (const parcel of this.#parcels) {
      const buffer = parcel.end();
      if (buffer !== undefined) (buffers ??= []).push(buffer);
    }
    return { bytesWritten: this.sentBefore + this.#written, rest, buffers: buffers ?? NO_BUFFERS };
  }
}

Object.assign(Transfer.prototype, { sentBefore: 0, fault: 0 });
