/**
 * The table of operations in flight: slot + generation -> operation. Every operation has a slot from `encode` until its
 * final completion; when all slots are taken, operations wait here in order. Generations make a late completion
 * harmless; the rule (increment at the final completion, 24 bits) is the one of `crates/ritsu/src/slot.rs`.
 */
import type { CancelCause } from './cancel.js';
import { closedError } from './errors.js';
import { Fifo } from './fifo.js';
import { EmptyWarning } from './memory/empty-warning.js';
import { ANSWERED, ECANCELED, EINTR, MORE, NONE, OPCODE_NAMES, QUEUED, UNREF } from './op.js';
import type { Completion, Operation } from './op.js';
import type { Backend } from './backend/backend.js';
import type { Liveness } from './liveness.js';

type AnyOperation = Operation<unknown>;

const GENERATION_MASK = 0xff_ffff;

/** One operation as `Proactor.inflight()` shows it. */
export interface InflightInfo {
  /** The operation's kind. */
  readonly opcode: string;
  /** By the name that its error would have. */
  readonly syscall: string;
  /** Of what names a file. */
  readonly path: string | undefined;
  /** Bytes that were asked for. */
  readonly length: number;
  /** Byte offset in the file; -1 where the system knows. */
  readonly position: number;
  /** Asked to end, and why. */
  readonly cancelled: CancelCause | undefined;
  /** False while the operation waits for a slot. */
  readonly submitted: boolean;
}

/** How aborts and timeouts ended, since the start. */
export interface CancelTally {
  /** The operation never happened, or stopped half-way. */
  won: number;
  /** The operation was over first: its result was delivered. */
  lost: number;
  /** The operation was over first, and its promise already rejected (`prompt`). */
  late: number;
  /** It ended before it was handed over. */
  withdrawn: number;
}

/** Something that has operations in flight for as long as it lives. */
export interface Resident {
  /** The proactor is being closed, or was lost: begin nothing more, and end what waits for others. */
  leave(): void;
}

export class Inflight {
  readonly #backend: Backend;
  readonly #operations: (AnyOperation | undefined)[] = [];
  readonly #generations: Uint32Array;
  readonly #liveness: Liveness;
  readonly #freeSlots: number[] = [];
  /** Those that were asked to end, while they had a slot. */
  readonly #asked = new Set<AnyOperation>();
  readonly #waiting = new Fifo<AnyOperation>();
  /** The first slot that was never used. */
  #unused = 0;
  readonly #warning = new EmptyWarning(() => this.#describeWaiting(), 'RITSU_SLOTS_EMPTY');
  #onIdle: (() => void)[] = [];
  #count = 0;
  /** Slots that ever came free; and how many it was when somebody last looked. */
  #vacated = 0;
  #vacatedBefore = -1;
  /** All were given up: what still comes has been told already. */
  #forsaken = false;
  /** Completions of an operation that no longer has its slot. Never expected. */
  stale = 0;
  /** How aborts and timeouts ended. */
  readonly tally: CancelTally = { won: 0, lost: 0, late: 0, withdrawn: 0 };

  constructor(backend: Backend, liveness: Liveness) {
    this.#backend = backend;
    this.#liveness = liveness;
    this.#generations = new Uint32Array(backend.inFlightMax);
  }

  /** Operations that have a slot. */
  get count(): number {
    return this.#count;
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  get isIdle(): boolean {
    return this.#count === 0 && this.#waiting.length === 0;
  }

  submit(operation: AnyOperation): void {
    if (operation.settled) return; // aborted before it began
    if (this.#forsaken) return operation.refuse(() => closedError(operation.syscall));
    if ((operation.options & UNREF) === 0) this.#liveness.change(1);
    const slot = this.#freeSlots.pop() ?? (this.#unused < this.#generations.length ? this.#unused++ : undefined);
    if (slot === undefined) this.#wait(operation);
    else this.#place(operation, slot);
  }

  /** Settle the operation that a completion belongs to; one that is not the final one is its progress. */
  settle(completion: Completion): void {
    const { slot, generation } = completion;
    const operation = this.#operations[slot];
    if (operation === undefined || operation.generation !== generation) {
      if (!this.#forsaken) this.stale += 1;
      return;
    }
    if ((completion.flags & MORE) !== 0) {
      operation.progress?.(completion);
      return;
    }
    this.#vacate(slot, generation);
    if ((operation.options & UNREF) === 0) this.#liveness.change(-1);
    if (operation.cancelCause !== undefined) this.#ended(operation, completion.result);
    const { fellows } = operation;
    operation.slot = ANSWERED;
    operation.complete(completion);
    if (fellows !== undefined) this.#reckonFellows(fellows as readonly AnyOperation[]);
    if (this.#count === 0 && this.#onIdle.length > 0) this.#announceIdle();
  }

  /** End an operation: at once when it has no slot yet, else by asking the backend. The first cause stands. */
  cancel(operation: AnyOperation, cause: CancelCause): void {
    if (operation.settled || operation.slot === ANSWERED) return;
    if (operation.cancelCause !== undefined) return this.#giveUp(operation, cause);
    operation.cancelCause = cause;
    operation.isGivenUp = cause === 'closed';
    if (operation.slot >= 0) {
      this.#hold(operation);
      this.#backend.cancel(operation);
    } else {
      if (cause !== 'closed') this.tally.withdrawn += 1;
      this.#liveness.unqueue(operation);
      operation.fail(operation.failure(ECANCELED).make);
    }
  }

  /** Have an operation back before its time, for no cause: it gets ECANCELED, or its answer. One without a slot never had one. */
  recall(operation: AnyOperation): void {
    if (operation.settled || operation.slot === ANSWERED) return;
    if (operation.slot >= 0) this.#backend.cancel(operation);
    else if (this.#waiting.remove(operation)) {
      this.#liveness.unqueue(operation);
      operation.complete({ slot: -1, generation: 0, result: ECANCELED, flags: 0, block: NONE, extra: 0, value: 0 });
    }
  }

  /** A cancel has not ended it so far, and now its resource is destroyed. */
  #giveUp(operation: AnyOperation, cause: CancelCause): void {
    if (cause !== 'closed' || operation.isGivenUp || operation.slot < 0) return;
    operation.isGivenUp = true;
    if (this.#backend.cancelsAgain === true) this.#backend.cancel(operation);
  }

  /** An operation has ended that was asked to: did the kernel hear of it in time? */
  #ended(operation: AnyOperation, result: number): void {
    if (this.#asked.delete(operation)) this.#liveness.hold(-1);
    if (operation.cancelCause === 'closed') return;
    if (result === ECANCELED || result === EINTR) this.tally.won += 1;
    else if ((operation.front ?? operation).abandoned) this.tally.late += 1;
    else this.tally.lost += 1;
  }

  #reckonFellows(fellows: readonly AnyOperation[]): void {
    for (const fellow of fellows) if (fellow.cancelCause !== undefined) this.#ended(fellow, fellow.failed ? ECANCELED : 0);
  }

  /** Cancel everything, waiting or in flight. */
  cancelAll(): void {
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) {
      this.cancel(next, 'closed');
    }
    for (const operation of this.#operations) {
      if (operation === undefined) continue;
      if (operation.cancelCause === undefined) this.#hold(operation);
      operation.cancelCause ??= 'closed';
      operation.isGivenUp = true;
    }
    this.#backend.cancelAll();
  }

  /** Fail what is left: the system did not end it, and nothing will be reported any more. */
  forsake(): void {
    this.#liveness.end();
    this.#asked.clear();
    this.#forsaken = true;
    for (const [slot, operation] of this.#operations.entries()) {
      if (operation === undefined) continue;
      this.#operations[slot] = undefined;
      operation.fail(() => closedError(operation.syscall));
    }
    for (const operation of this.#waiting) if (!operation.settled) operation.refuse(() => closedError(operation.syscall));
    while (this.#waiting.shift() !== undefined);
    this.#count = 0;
    this.#announceIdle();
  }

  /** Resolves when nothing is in flight and nothing waits. */
  idle(): Promise<void> {
    if (this.isIdle) return Promise.resolve();
    return new Promise((resolve) => this.#onIdle.push(resolve));
  }

  *list(): Generator<InflightInfo> {
    for (const operation of this.#operations) if (operation !== undefined) yield describe(operation, true);
    for (const operation of this.#waiting) yield describe(operation, false);
  }

  /** It was asked to end, and is waited for until it has. */
  #hold(operation: AnyOperation): void {
    this.#asked.add(operation);
    this.#liveness.hold(1);
  }

  #wait(operation: AnyOperation): void {
    operation.slot = QUEUED; // counted already
    this.#waiting.push(operation);
    this.#warning.watch();
  }

  /** Waiting is no trouble as long as slots come free. */
  #describeWaiting(): string | undefined {
    if (this.#waiting.length === 0) return undefined;
    if (this.#vacated !== this.#vacatedBefore) {
      this.#vacatedBefore = this.#vacated;
      queueMicrotask(() => this.#warning.watch());
      return undefined;
    }
    return (
      `operations that wait for a slot: ${this.#waiting.length}; ${this.#count} are in flight. ` +
      'Every idle connection that is read has one: give the proactor more (inFlightMax).'
    );
  }

  #place(operation: AnyOperation, slot: number): void {
    operation.slot = slot;
    operation.generation = this.#generations[slot]!;
    this.#operations[slot] = operation;
    this.#count += 1;
    this.#backend.encode(operation);
  }

  #vacate(slot: number, generation: number): void {
    this.#operations[slot] = undefined;
    this.#generations[slot] = (generation + 1) & GENERATION_MASK;
    this.#count -= 1;
    this.#vacated += 1;
    let next = this.#waiting.shift();
    while (next?.settled) next = this.#waiting.shift();
    if (next === undefined) this.#freeSlots.push(slot);
    else {
      if (this.#waiting.length === 0) this.#warning.end();
      this.#place(next, slot);
    }
  }

  #announceIdle(): void {
    const listeners = this.#onIdle;
    this.#onIdle = [];
    for (const listener of listeners) listener();
  }
}

function describe(operation: AnyOperation, submitted: boolean): InflightInfo {
  const { syscall, path, length, position, cancelCause } = operation;
  const opcode = OPCODE_NAMES[operation.opcode] ?? String(operation.opcode);
  return { opcode, syscall, path, length, position, cancelled: cancelCause, submitted };
}
