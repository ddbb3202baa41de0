/**
 * What a style reads from: one primitive, `read(landing)`, whoever owns the memory.
 *
 * Reads at a position go straight to the backend. Sequential reads of all styles of one file share a `Sequence`: they
 * are issued ahead, each at the place where its predecessor should end, and delivered in order; one that turns out to
 * begin at the wrong place (its predecessor came short, failed or was aborted) is done again at the right one. So no
 * byte is lost, repeated or reordered, whichever styles take turns.
 */
import type { CancelOptions } from '../cancel.js';
import type { Deferred } from '../deferred.js';
import type { Bytes } from '../memory/bytes.js';
import { abandon, alsoStop, limit, limitError } from '../cancel.js';
import { closedError } from '../errors.js';
import { Fifo } from '../fifo.js';
import { Failure } from '../op.js';
import type { Completion, EndOptions, Operation } from '../op.js';
import type { LoanHost } from '../memory/loan.js';
import type { Places } from './many.js';
import type { Plan } from './read.js';
import type { BufferPool } from '../memory/pool.js';
import type { Landing, ReadOperation } from '../memory/size-class.js';
import type { Timers } from '../timers.js';
import { SequentialRead, refuse } from './sequential-read.js';

/** Options of one read. */
export interface ReadOptions extends CancelOptions {
  /** Byte offset in the file; without it the read goes on where the last sequential one ended. */
  readonly position?: number | bigint | null | undefined;
}

/** A readable resource as the styles see it. */
export interface ReadSource {
  readonly host: LoanHost;
  /** Throws when the resource is closed, the options are wrong or their signal has aborted: before any memory is moved. */
  plan(options: ReadOptions | undefined): Plan;
  /** Where reads of at most `length` bytes (as many as is usual, where not given) land that a pool has the memory for. */
  pooled(pool: BufferPool, length: number | undefined): Landing;
  /** Start a read into the landing's memory. */
  read(landing: Landing, plan: Plan): Deferred<Bytes | null>;
  /** Start many as one; streams cannot. */
  readPlaces?(landing: Landing, places: Places, plan: Plan): Deferred<Bytes | null>;
  /** Start a sequential read whose result is not yet anybody's; `claim()` makes it so, `drop` gives it up. */
  prefetch(landing: Landing): Deferred<Bytes | null>;
  claim(read: Deferred<Bytes | null>): void;
  drop(reads: readonly Deferred<Bytes | null>[]): void;
  /** The reader of a read that waits has ended: so does the read, and what it would have brought is the next one's. */
  giveUp(read: Deferred<Bytes | null>): void;
  /** Let bytes that a read has brought, and nobody has touched, be the next read's; whether they are. */
  giveBack(read: Deferred<Bytes | null>): boolean;
  /** Let a signal or timeout end a read that was begun. */
  watch(read: Deferred<Bytes | null>, options: CancelOptions): void;
  /** False once nothing can be begun any more. */
  readonly open: boolean;
  /** Whether reading ahead is of use: the resource can be read at any position. */
  readonly seekable: boolean;
  /** Reads never give the end: one that brings nothing is an empty datagram. */
  readonly endless?: boolean;
}

const EINVAL = -22;
/** The smallest unit of a block device. */
const SECTOR = 512;

/** What a sequence needs of its file. */
export interface SequenceHost {
  /** Where deadlines have their time from. */
  readonly timers: Timers;
  /** Begin one read operation; `finish` gets its completion. */
  begin(
    landing: Landing,
    position: number,
    options: CancelOptions | undefined,
    finish: (operation: ReadOperation, completion: Completion) => Bytes | null | Failure,
  ): ReadOperation;
  /** End an operation as a limit of its own would. */
  end(operation: ReadOperation, cause: 'abort' | 'timeout', options: EndOptions): void;
  /** Whether the file has positions; asked once, at the first sequential read. */
  probeSeekable(): Operation<boolean>;
}

export class Sequence {
  readonly #host: SequenceHost;
  /** Reads that were begun, in order of delivery. */
  readonly #queue = new Fifo<SequentialRead>();
  /** Reads that were not: the kind of file is not known yet, or it is read one at a time. */
  readonly #pending = new Fifo<SequentialRead>();
  #seekable: boolean | undefined = undefined;
  #probe: Operation<boolean> | undefined = undefined;
  #onKnown: (() => void)[] | undefined = undefined;
  /** Where the next byte to be delivered lies. */
  #delivered = 0;
  /** Where the next read will be issued. */
  #next = 0;
  #atEnd = false;

  constructor(host: SequenceHost) {
    this.#host = host;
  }

  /** Where the next read begins; undefined while some are under way. */
  get position(): number | undefined {
    return this.#queue.length + this.#pending.length > 0 ? undefined : this.#delivered;
  }

  set position(position: number) {
    this.#delivered = position;
    this.#next = position;
  }

  get seekable(): boolean {
    return this.#seekable === true;
  }

  read(landing: Landing, options: CancelOptions | undefined, claimed: boolean): SequentialRead {
    const read = new SequentialRead(landing, claimed);
    if (options !== undefined) this.watch(read, options);
    if (this.#seekable === true) this.#begin(read);
    else {
      this.#pending.push(read);
      this.#pump();
    }
    return read;
  }

  /** Let a signal or a timeout end the read, wherever it is. */
  watch(read: SequentialRead, options: CancelOptions): void {
    if (read.settled || (options.signal === undefined && options.timeout === undefined)) return;
    const stop = limit(options, (cause, reason) => this.#end(read, cause, { reason, prompt: options.prompt }), this.#host.timers);
    read.unwatch = alsoStop(read.unwatch, stop);
    read.onSettled = () => read.unwatch!(read.failed ? (read.ended === undefined ? 'failed' : 'aborted') : 'completed');
  }

  claim(read: SequentialRead): void {
    read.claimed = true;
    this.#deliver();
  }

  /** Give up reads that nobody claimed: their bytes stay in the file, for the next reader. */
  drop(reads: readonly SequentialRead[]): void {
    for (const read of reads) {
      if (read.settled || !(this.#queue.remove(read) || this.#pending.remove(read))) continue;
      if (read.arrived !== undefined) read.landing.discard(read.operation!, read.arrived);
      read.fail(() => closedError('read'));
    }
    this.#deliver();
  }

  /** Go back to where a delivered read began, unless others were delivered since; those under way are put right. */
  rewind({ position, value }: SequentialRead): boolean {
    if (position < 0 || this.#delivered !== position + value!.length) return false;
    this.#delivered = position;
    this.#atEnd = false;
    if (this.#queue.length === 0) this.#next = position;
    return true;
  }

  /** Once what was called so far has been begun: the kind of file is known. */
  async begun(): Promise<void> {
    if (this.#probe !== undefined && !this.#probe.settled) await this.#probe.promise.catch(() => {});
  }

  /** Call back once it is known whether the file has positions, or nobody can say any more. */
  whenKnown(then: () => void): void {
    if (this.#seekable === undefined) this.#askSeekable();
    if (this.#probe === undefined || this.#probe.settled) then();
    else (this.#onKnown ??= []).push(then);
  }

  /** Fail what was not begun: the file is being closed. */
  refuse(failure: () => Error): void {
    for (let read = this.#pending.shift(); read !== undefined; read = this.#pending.shift()) refuse(read, failure);
  }

  /** A limit has ended it: at once while it waits to begin; else as its operation says. */
  #end(read: SequentialRead, cause: 'abort' | 'timeout', options: EndOptions): void {
    if (read.settled || (read.ended !== undefined && options.prompt !== true)) return;
    read.ended = { cause, options };
    const makeError = (): Error => limitError(cause, options.reason, 'read');
    if (this.#pending.remove(read)) refuse(read, makeError);
    else if (read.operation === undefined) return; // its memory is being asked for, or given back, by code that did this
    else if (read.arrived === undefined) this.#host.end(read.operation, cause, options);
    else if (options.prompt === true) {
      abandon(read, makeError());
      this.#deliver();
    }
  }

  #pump(): void {
    if (this.#seekable === undefined) {
      this.#askSeekable();
      return;
    }
    // What has no positions is read one at a time: the kernel's own position orders the reads.
    while (this.#pending.length > 0 && (this.#seekable || this.#queue.length === 0)) this.#begin(this.#pending.shift()!);
  }

  #begin(read: SequentialRead): void {
    this.#queue.push(read);
    const position = this.#next;
    this.#next += read.landing.length;
    this.#issue(read, this.#seekable ? position : -1);
  }

  #issue(read: SequentialRead, position: number): void {
    read.position = position;
    read.arrived = undefined;
    const operation = this.#host.begin(read.landing, position, undefined, (finished, completion) => {
      this.#arrive(read, finished, completion);
      return null;
    });
    read.operation = operation;
    operation.front = read as Deferred<unknown>;
    operation.onSettled = () => {
      if (operation.failed) this.#fail(read, operation.error);
    };
    if (operation.failed) queueMicrotask(() => this.#fail(read, operation.error));
    else if (read.ended !== undefined) this.#host.end(operation, read.ended.cause, read.ended.options);
  }

  #arrive(read: SequentialRead, operation: ReadOperation, completion: Completion): void {
    if (this.#isPastEnd(read, completion)) completion.result = 0;
    if (read.settled) read.landing.discard(operation, completion); // dropped meanwhile
    else {
      read.arrived = { ...completion };
      this.#deliver();
    }
  }

  /** An operation that ended without a completion: refused, or aborted before it had a slot. */
  #fail(read: SequentialRead, error: () => Error): void {
    if (read.settled || !this.#queue.remove(read)) return;
    read.fail(error);
    this.#deliver();
  }

  #deliver(): void {
    for (let read = this.#queue.peek(); read?.claimed && read.arrived !== undefined; read = this.#queue.peek()) {
      if (read.abandoned && read.arrived.result >= 0) {
        this.#queue.shift();
        read.landing.discard(read.operation!, read.arrived);
        refuse(read, () => closedError('read')); // its promise has its error already
        continue;
      }
      if (this.#isMisplaced(read, read.arrived)) {
        read.landing.discard(read.operation!, read.arrived);
        this.#next = Math.max(this.#next, this.#delivered + read.landing.length);
        this.#issue(read, this.#delivered);
        return;
      }
      this.#queue.shift();
      this.#settle(read, read.arrived);
    }
    if (this.#queue.length === 0) {
      this.#next = this.#delivered;
      if (this.#pending.length > 0) this.#pump();
    }
  }

  #settle(read: SequentialRead, arrived: Completion): void {
    if (arrived.result >= 0) {
      this.#atEnd = arrived.result < read.landing.length;
      this.#delivered += arrived.result;
    }
    try {
      const outcome = read.landing.land(read.operation!, arrived);
      if (outcome instanceof Failure) read.fail(outcome.make);
      else read.succeed(outcome);
    } catch (error) {
      read.fail(() => error as Error); // of a program's own IoBuffer
    }
  }

  #isMisplaced(read: SequentialRead, arrived: Completion): boolean {
    // EINVAL: O_DIRECT says so of an odd place, which may not be the read's any more.
    if (read.position < 0 || read.position === this.#delivered || (arrived.result < 0 && arrived.result !== EINVAL)) return false;
    return !(arrived.result === 0 && this.#atEnd);
  }

  /** O_DIRECT cannot read at the odd position where a file ends: after a short read, that is its end. */
  #isPastEnd(read: SequentialRead, { result }: Completion): boolean {
    return result === EINVAL && this.#atEnd && read.position % SECTOR !== 0;
  }

  #askSeekable(): void {
    if (this.#probe !== undefined) return;
    const probe = this.#host.probeSeekable();
    // The options or the buffer of the read closed the proactor: nobody would be told.
    if (probe.settled) return this.refuse(probe.error);
    this.#probe = probe;
    probe.onSettled = () => {
      this.#seekable = !probe.failed && probe.value;
      for (const then of this.#onKnown?.splice(0) ?? []) then();
      this.#pump();
    };
  }
}
