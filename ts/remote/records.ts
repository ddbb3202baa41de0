/**
 * Records on their way from one thread to another: written to memory that both see, read there in the same order, and told
 * of by one message a turn. That is a number where it says all there is to say, and an object where memory goes along or
 * the records had no room.
 *
 * The memory holds the number of records that the reader has ever done with, then the records, whose places are used in
 * turn. A place is the writer's until the message that counts it, the reader's until that number says that it is done.
 */
import type { MessagePort } from 'node:worker_threads';
import { Fifo } from '../fifo.js';

/** Records that there is room for in one direction; more of them go with their message. */
const CAPACITY = 1024;
/** Before the records, to which they are aligned. */
const HEADER_BYTES = 8;
const DONE = 0;
const NO_PARTS: readonly never[] = [];

/** A turn's records: those that memory got, counted; with an object, those that it had no room for come after them. */
export type Batch<P> = number | LargeBatch<P>;

export interface LargeBatch<P> {
  readonly kind: 'batch';
  readonly shared: number;
  readonly others: Float64Array | undefined;
  /** What the records name by an index. */
  readonly parts: readonly P[];
}

/** Memory for records of so many doubles each. */
export function sharedRecords(fields: number, capacity = CAPACITY): SharedArrayBuffer {
  return new SharedArrayBuffer(HEADER_BYTES + capacity * fields * 8);
}

/** Where records are written or read: the next one begins at `words[at]`. */
abstract class Records {
  words: Float64Array;
  at = 0;
  protected readonly shared: Float64Array;
  protected readonly header: Int32Array;
  protected readonly fields: number;
  protected readonly capacity: number;
  /** Records of the memory that were written, or read, ever; as 32 bits. */
  protected total = 0;

  constructor(memory: SharedArrayBuffer, fields: number) {
    this.header = new Int32Array(memory, 0, HEADER_BYTES / 4);
    this.shared = new Float64Array(memory, HEADER_BYTES);
    this.words = this.shared;
    this.fields = fields;
    this.capacity = this.shared.length / fields;
  }

  /** The place that follows; the first one after the last one. */
  protected follow(place: number): number {
    const next = place + this.fields;
    return next === this.shared.length ? 0 : next;
  }
}

export class RecordWriter<P> extends Records {
  #parts: P[] = [];
  /** Memory that goes along, and is no longer this thread's. */
  #moving: ArrayBuffer[] = [];
  /** The place of the next record in memory. */
  #place = 0;
  /** How many places are known to be free. */
  #room: number;
  #uncounted = 0;
  #others: Float64Array | undefined = undefined;
  #othersLength = 0;

  constructor(memory: SharedArrayBuffer, fields: number) {
    super(memory, fields);
    this.#room = this.capacity;
  }

  get isEmpty(): boolean {
    return this.#uncounted === 0 && this.#others === undefined;
  }

  /** Make room for one more record, at `words[at]`. */
  next(): void {
    if (this.#others !== undefined || (this.#room === 0 && !this.#look())) return this.#nextOther();
    this.words = this.shared;
    this.at = this.#place;
    this.#place = this.follow(this.#place);
    this.#room -= 1;
    this.#uncounted += 1;
  }

  /** Have something go along, and the memory that it is or has, if it moves; the index by which a record names it. */
  addPart(part: P, memory?: ArrayBuffer): number {
    if (memory !== undefined) this.#moving.push(memory);
    return this.#parts.push(part) - 1;
  }

  /** Tell the other thread of the turn's records. */
  send(port: Pick<MessagePort, 'postMessage'>): void {
    const shared = this.#uncounted;
    this.total = (this.total + shared) | 0;
    this.#uncounted = 0;
    if (this.#others === undefined && this.#parts.length === 0) port.postMessage(shared);
    else this.#sendWithOthers(port, shared);
  }

  #sendWithOthers(port: Pick<MessagePort, 'postMessage'>, shared: number): void {
    const others = this.#others?.slice(0, this.#othersLength);
    if (others !== undefined) this.#moving.push(others.buffer);
    const batch: LargeBatch<P> = { kind: 'batch', shared, others, parts: this.#parts };
    const moving = this.#moving;
    this.#others = undefined;
    this.#othersLength = 0;
    this.#parts = [];
    this.#moving = [];
    port.postMessage(batch, moving);
  }

  /** See how far the reader has come; whether there is room. */
  #look(): boolean {
    const unread = (this.total + this.#uncounted - Atomics.load(this.header, DONE)) | 0;
    this.#room = this.capacity - unread;
    return this.#room > 0;
  }

  /** Once one had no room, the others of the turn go with it, in order. */
  #nextOther(): void {
    let others = this.#others ?? new Float64Array(this.fields * 64);
    if (others.length === this.#othersLength) {
      const larger = new Float64Array(others.length * 2);
      larger.set(others);
      others = larger;
    }
    this.#others = others;
    this.words = others;
    this.at = this.#othersLength;
    this.#othersLength += this.fields;
  }
}

export class RecordReader<P> extends Records {
  /** What the record names. */
  parts: readonly P[] = NO_PARTS;
  readonly #batches = new Fifo<Batch<P>>();
  #place = 0;
  /** Records in memory that were told of and not read. */
  #unread = 0;
  /** Of the first batch: records in memory, and where the other ones are. */
  #left = 0;
  #others: Float64Array | undefined = undefined;
  #othersAt = 0;

  /** Nothing is left to be read. */
  get isEmpty(): boolean {
    return this.#left === 0 && this.#others === undefined && this.#batches.length === 0;
  }

  /** A message came; false: it counts what cannot be there, and is not one of the writer's. */
  add(batch: Batch<P>): boolean {
    const shared = typeof batch === 'number' ? batch : batch.shared;
    if (!Number.isInteger(shared) || shared < 0 || shared + this.#unread > this.capacity) return false;
    this.#unread += shared;
    this.#batches.push(batch);
    return true;
  }

  /** Go to the next record, at `words[at]`; false: there is none. */
  next(): boolean {
    while (this.#left === 0 && this.#others === undefined) {
      const batch = this.#batches.shift();
      if (batch === undefined) return false;
      this.#open(batch);
    }
    if (this.#left > 0) {
      this.words = this.shared;
      this.at = this.#place;
      this.#place = this.follow(this.#place);
      this.total = (this.total + 1) | 0;
      this.#left -= 1;
      this.#unread -= 1;
    } else this.#nextOther();
    return true;
  }

  /** All that was read may be written over. */
  release(): void {
    Atomics.store(this.header, DONE, this.total);
  }

  #open(batch: Batch<P>): void {
    if (typeof batch === 'number') {
      this.#left = batch;
      this.parts = NO_PARTS;
    } else {
      this.#left = batch.shared;
      this.#others = batch.others;
      this.#othersAt = 0;
      this.parts = batch.parts;
    }
  }

  #nextOther(): void {
    this.words = this.#others!;
    this.at = this.#othersAt;
    this.#othersAt += this.fields;
    if (this.#othersAt >= this.words.length) this.#others = undefined;
  }
}
