/**
 * The operation: what is asked of a backend, what it owns meanwhile, and who waits for the answer.
 *
 * An operation is made by a resource or a style, given a slot by `Inflight`, written as one record by a backend, and
 * finished exactly once by its final completion. States: made -> (waiting for a slot) -> in flight -> settled.
 * The numbers here are the ones of `crates/ritsu-napi/src/abi.rs`; the native binding reports its own and a
 * mismatch refuses to load.
 */
import { Deferred } from './deferred.js';
import type { Block } from './memory/block.js';
import type { Landing, ReadOperation } from './memory/size-class.js';
import { abandon, alsoStop, limit } from './cancel.js';
import type { CancelCause, CancelOptions, Ending, Stop } from './cancel.js';
import { abortError, closedError, systemError, timeoutError } from './errors.js';
import type { Endpoint } from './errors.js';
import type { Timers } from './timers.js';

/** Operation codes of the submission page. */
export const Opcode = {
  NOP: 0,
  OPEN: 1,
  CLOSE: 2,
  READ: 3,
  READ_FIXED: 4,
  READ_SELECT: 5,
  WRITE: 6,
  WRITE_FIXED: 7,
  READV: 8,
  WRITEV: 9,
  FSYNC: 10,
  FDATASYNC: 11,
  FTRUNCATE: 12,
  FALLOCATE: 13,
  STATX: 14,
  TIMEOUT: 15,
  CANCEL: 16,
  CONNECT: 17,
  LISTEN: 18,
  BIND: 19,
  ACCEPT: 20,
  RECEIVE_SELECT: 21,
  RECEIVE_MESSAGE: 22,
  SEND: 23,
  SEND_MESSAGE: 24,
  SHUTDOWN: 25,
  POLL: 26,
  PROVIDE: 27,
  READ_MANY: 28,
} as const;

export type OpcodeName = keyof typeof Opcode;

/** Names by operation code, for people: errors, `inflight()`. */
export const OPCODE_NAMES = Object.keys(Opcode) as OpcodeName[];

/** System calls by operation code, as Node names them in errors. */
const SYSCALLS = [
  'nop', 'open', 'close', 'read', 'read', 'read', 'write', 'write', 'readv', 'writev', 'fsync', 'fdatasync', 'ftruncate',
  'fallocate', 'fstat', 'timeout', 'cancel', 'connect', 'listen', 'bind', 'accept', 'read', 'recvmsg', 'write', 'write',
  'shutdown', 'poll', 'provide', 'read',
] as const;

/** No block, no descriptor, in a record. */
export const NONE = 0xffff_ffff;
/** The same in an operation, whose record has 32 bits for it: V8 boxes a number of more than 31, in every operation. */
export const NO_DESCRIPTOR = -1;

/** Completion flag: this completion is not the final one. */
export const MORE = 1;
/** Completion flag: the kernel chose the block that the completion names. */
export const SELECTED = 2;
/** Completion flag: refused before the kernel saw it; all that the record named stays where it was. */
export const REFUSED = 4;

/** Option bit: it is left to a worker thread of the kernel at once, and not tried on this one first (IOSQE_ASYNC). */
export const ASYNCHRONOUS = 1;
/** Option bit that no backend sees: the operation does not keep the process alive (`liveness.ts`). It stands while that counts it. */
export const UNREF = 2;

/** Flag of READ_MANY: into registered memory. */
export const REGISTERED = 1;
/** Flag of ACCEPT, RECEIVE_SELECT and READ_SELECT: one operation brings many completions. It may end at any time. */
export const MULTISHOT = 1;
/** Flag of SEND and SEND_MESSAGE: the kernel goes on until all of it is sent. */
export const WAIT_ALL = 1;
/** Flag of SEND: from the caller's memory, without a copy; the final completion says that the network has done with it. */
export const ZERO_COPY = 2;
/** Flag of LISTEN and BIND: several sockets may have the address, and share what comes to it. */
export const REUSE_PORT = 1;
/** Flag of LISTEN and BIND: IPv6 only. */
export const IPV6_ONLY = 2;
/** Flag of BIND: an address in use may be taken, as with `SO_REUSEADDR`. */
export const REUSE_ADDRESS = 4;

/** What the kernel answers for an operation that it ended on request; or, of one that it was doing, that. */
export const ECANCELED = -125;
export const EINTR = -4;

/** `slot` of one that has none any more, or never had one, and whose answer is known: no cancel ends it. Before it has one it is -1. */
export const ANSWERED = -2;
/** `slot` of one that waits for one, or for memory. */
export const QUEUED = -3;

/** The largest length of one read or write (Linux: MAX_RW_COUNT, page aligned). */
export const LENGTH_MAX = 0x7fff_f000;

/** One completion as a backend reports it; the object is reused, read it at once. */
export interface Completion {
  slot: number;
  generation: number;
  /** Non-negative: the operation's answer. Negative: `-errno`, or a boundary fault below -4095. */
  result: number;
  flags: number;
  block: number;
  extra: number;
  value: number;
}

/** A completion's negative result; the error is made when somebody awaits it, so that its stack names them. */
export class Failure {
  readonly make: () => Error;

  constructor(make: () => Error) {
    this.make = make;
  }
}

/** Turns the final completion into the result. Runs once; what it throws is the operation's error. */
export type Finish<T> = (operation: Operation<T>, completion: Completion) => T | Failure;

/** Why an operation is ended, and whether its promise shall reject at once. */
export interface EndOptions {
  readonly reason: unknown;
  readonly prompt: boolean | undefined;
}

export class Operation<T> extends Deferred<T> {
  slot = -1;
  generation = 0;
  descriptor = NO_DESCRIPTOR;
  /** The block whose memory the operation owns until its final completion, if it owns one. */
  block: Block | undefined = undefined;
  length = 0;
  opcode: number;

  // Not every operation's: they stand on the prototype, so that the many that do not need them do not pay for them. For the
  // same reason its methods are `private` by word: one private by name costs each object 8 bytes, at each level of the class.
  declare position: number;
  /** The opcode's own: a group, a mode, the slot to cancel. */
  declare target: number;
  /** Where the bytes of a read go. */
  declare landing: Landing | undefined;
  /** The descriptor bypasses the page cache: registered memory is worth using. */
  declare direct: boolean;
  /** Where in the block the range begins. */
  declare offset: number;
  declare flags: number;
  declare extra: number;
  declare options: number;
  declare argument: Uint8Array | undefined;
  declare path: string | undefined;
  declare cancelCause: CancelCause | undefined;
  /** Its resource is being destroyed, for whatever reason it was cancelled first. */
  declare isGivenUp: boolean;
  /** Gives the memory to put on the error, when the operation fails; the landing's where it is not set. */
  declare restore: (() => Uint8Array | undefined) | undefined;
  /** Takes completions that are not the final one. */
  declare progress: ((completion: Completion) => void) | undefined;
  /** The address that it is about, for its error. */
  declare endpoint: Endpoint | undefined;
  /** Its memory must be chosen before it begins, and not by the kernel. */
  declare ownBlock: boolean;
  /** Where it was asked for, when leases are traced. */
  declare site: string | undefined;
  declare private cancelReason: unknown;
  /** Takes back a result that nobody waits for any more. */
  declare drop: ((value: T) => void) | undefined;
  /** Others that its record carries along: its completion is theirs, and a cancel of theirs ends it. */
  declare fellows: readonly unknown[] | undefined;
  /** Whose promise the caller has, where it is not this operation's. */
  declare front: Deferred<unknown> | undefined;
  declare private unwatch: Stop | undefined;
  /** On the prototype where all of a class have the same. */
  declare readonly finish: Finish<T>;

  constructor(opcode: number, finish: Finish<T> | undefined) {
    super();
    this.opcode = opcode;
    if (finish !== undefined) this.finish = finish;
  }

  get blockId(): number {
    return this.block === undefined ? NONE : this.block.id;
  }

  /** The name Node would give the system call, for errors. */
  get syscall(): string {
    return SYSCALLS[this.opcode]!;
  }

  /** It has its memory: begin. A read that has to wait for its turn does so here. */
  launch(host: { start<T>(operation: Operation<T>): void }): void {
    host.start(this);
  }

  /** Turn a final completion into the result or the error. Called once. */
  complete(completion: Completion): void {
    if (this.slot < 0) this.slot = ANSWERED; // what takes the answer may run a program's code
    // What a read brought for nobody is dropped as if the cancel had come in time; its memory goes back.
    if (this.landing !== undefined && (this.front ?? this).abandoned && completion.result >= 0) completion.result = ECANCELED;
    try {
      const outcome = this.finish(this, completion);
      if (outcome instanceof Failure) this.fail(outcome.make);
      else this.succeed(outcome);
    } catch (error) {
      this.fail(() => error as Error);
    }
  }

  override succeed(value: T): void {
    if (this.unwatch !== undefined) this.endWatch('completed');
    if (this.drop !== undefined && this.abandoned) this.drop(value);
    super.succeed(value);
  }

  override fail(failure: () => Error): void {
    if (this.unwatch !== undefined) this.endWatch(this.cancelCause === undefined ? 'failed' : 'aborted');
    super.fail(failure);
  }

  /**
   * The failure for a negative result: the system's, or, when the operation was cancelled and the kernel says so, an
   * AbortError or TimeoutError. The target's own completion decides, never the cancel's. The caller's memory comes back
   * now, on `error.buffer`.
   */
  failure(result: number): Failure {
    return this.failureOf(() => {
      const cause = result === ECANCELED || result === EINTR ? this.cancelCause : undefined;
      return cause === undefined ? systemError(result, this.syscall, this.path, this.endpoint) : this.cancelError(cause);
    });
  }

  /** Fail an operation that was not begun; the caller's memory comes back on the error. */
  refuse(make: () => Error): void {
    this.fail(this.failureOf(make).make);
  }

  /** Ask `cancel` to end this operation when the signal aborts or the deadline passes. */
  watch(options: CancelOptions, cancel: (operation: Operation<T>, cause: CancelCause) => void, timers?: Timers): void {
    const stop = limit(options, (cause, reason) => this.end(cause, { reason, prompt: options.prompt }, cancel), timers);
    if (!this.settled) this.unwatch = alsoStop(this.unwatch, stop);
  }

  /** Ask `cancel` to end this operation now, for this reason. */
  end(cause: CancelCause, { reason, prompt }: EndOptions, cancel: (operation: Operation<T>, cause: CancelCause) => void): void {
    if (this.cancelCause === undefined) this.cancelReason = reason;
    cancel(this, cause);
    if (prompt === true && !this.settled) abandon<unknown>((this.front ?? this) as Deferred<unknown>, this.cancelError(cause));
  }

  private failureOf(make: () => Error): Failure {
    let error: Error | undefined;
    const once = (): Error => (error ??= make());
    const read = this as Operation<unknown> as ReadOperation;
    let buffer: Uint8Array | undefined;
    try {
      buffer = this.restore === undefined ? this.landing?.restore?.(once, read) : this.restore();
    } catch (thrown) {
      return new Failure(() => thrown as Error); // by a buffer or an allocator of the program's own
    }
    return new Failure(() => (buffer === undefined ? once() : Object.assign(once(), { buffer })));
  }

  private cancelError(cause: CancelCause): Error {
    if (cause === 'abort') return abortError(this.cancelReason);
    return cause === 'timeout' ? timeoutError(this.syscall) : closedError(this.syscall);
  }

  private endWatch(ending: Ending): void {
    const { unwatch } = this;
    this.unwatch = undefined;
    unwatch!(ending);
  }
}

Object.assign(Operation.prototype, {
  landing: undefined,
  direct: false,
  position: -1, target: 0, offset: 0, flags: 0, extra: 0, options: 0,
  argument: undefined,
  path: undefined,
  cancelCause: undefined,
  isGivenUp: false,
  restore: undefined,
  progress: undefined,
  endpoint: undefined,
  ownBlock: false,
  site: undefined,
  cancelReason: undefined, drop: undefined, fellows: undefined, front: undefined, unwatch: undefined,
});
