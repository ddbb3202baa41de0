/** Data on its way into a write: which block carries it, and who gets the memory afterwards. */
import { Bytes } from './bytes.js';
import { checkLendable, endLoan, giveBack, moveIn, standIn } from './loan.js';
import type { LoanHost } from './loan.js';
import { blockOf, inspect, isDetached, isOrdinary, rangeOf, stamp, viewOf } from './block.js';
import { Block } from './block.js';
import type { Memory, Span } from './block.js';
import type { CancelOptions } from '../cancel.js';
import { RitsuError, STREAM, rangeError, systemError } from '../errors.js';
import { LENGTH_MAX, NONE } from '../op.js';

/** What can be written. Strings are written as UTF-8. */
export type Writable = Bytes | Memory | string;

export interface Part {
  readonly block: Block;
  readonly offset: number;
  readonly length: number;
}

/** Sends data where they are. */
export interface Sender {
  /**
   * How many bytes went at once, 0 if that cannot be now; or a negative errno, which the write is to fail with. If it is not 0, the
   * turn is the write's, and nobody else's bytes come between.
   */
  sendNow(span: Span, options: CancelOptions): number;
  /** The write comes to nothing: it is the next one's turn. */
  forgo(): void;
}

/** From so many bytes on a system call costs less than a copy. */
const SENT_BYTES_MIN = 32_768;
/** What carries nothing. */
const NOWHERE = new Block(NONE, 0, 'own', {});

/** The most parts of one vectored operation (Linux: IOV_MAX). */
export const PARTS_MAX = 1024;
/** Of an encoded part: block, offset, length. */
const PART_WORDS = 3;
/** Copied data get a block of at least so many bytes, so that small pushes share one. */
const COPY_BYTES_MIN = 4096;

export class Parcel implements Part {
  readonly block: Block;
  readonly offset: number;
  length: number;
  /** Bytes before these that were sent as the data was taken; or the negative errno that came instead. */
  readonly sent: number;
  readonly #copied: boolean;

  private constructor(block: Block, offset: number, length: number, copied: boolean, sent: number) {
    this.block = block;
    this.offset = offset;
    this.length = length;
    this.sent = sent;
    this.#copied = copied;
  }

  /**
   * Take data for a write: by moving its memory where it is ours or leased, else by copying it now. Of much data a sender first sends
   * what it can, so that only the rest is copied.
   */
  static take(host: LoanHost, data: Writable, sender?: Partial<Sender>, options?: CancelOptions): Parcel {
    if (data instanceof Bytes) return Parcel.#ofBytes(host, data);
    const span = typeof data === 'string' ? inspect('data', Buffer.from(data)) : checkLendable('data', data);
    // No operation writes more; it would be copied as a whole to be written in parts.
    if (span.length > LENGTH_MAX) throw rangeError('data.byteLength', `<= ${LENGTH_MAX}`, span.length);
    const known = blockOf(span.memory);
    if (known?.kind === 'own' && known.owner === host.backend) return new Parcel(moveIn(host, span)!, span.offset, span.length, false, 0);
    if (sender?.sendNow === undefined || span.length < SENT_BYTES_MIN || known !== undefined || !isOrdinary(span.memory)) {
      return Parcel.#copy(host, span, 0);
    }
    const sent = sender.sendNow(span, options!);
    if (sent === span.length) return new Parcel(NOWHERE, 0, 0, false, sent);
    const bytesTransferred = Math.max(sent, 0);
    const offset = span.offset + bytesTransferred;
    const length = span.length - bytesTransferred;
    try {
      return Parcel.#copy(host, { memory: span.memory, offset, length }, sent);
    } catch (error) {
      // No memory for the rest: the caller has it, and is told what went. A socket tells its error once.
      sender.forgo!();
      const told = sent < 0 ? systemError(sent, 'write', undefined, STREAM) : (error as Error);
      throw Object.assign(told, { bytesTransferred, rest: viewOf(span.memory, offset, length), buffers: [] });
    }
  }

  /** What a stream brought, in the block where it came: that is sent as it is, or copied for another proactor. */
  static received(host: LoanHost, block: Block, offset: number, length: number): Parcel {
    // Nobody has seen it; without the fence an earlier holder of the block may have.
    if (!block.fence && isDetached(block.memory!)) {
      throw new RitsuError('ERR_RITSU_BUFFER_DETACHED', 'the memory of these bytes was moved away');
    }
    if (block.owner !== host.backend) {
      const parcel = Parcel.#copy(host, { memory: block.memory!, offset, length }, 0);
      giveBack(block);
      return parcel;
    }
    block.inFlight = true;
    return new Parcel(block, offset, length, false, 0);
  }

  /** Add data to a copy that has room; false when it has none, or the data need no copy. */
  append(data: Writable): boolean {
    if (!this.#copied || data instanceof Bytes) return false;
    const bytes = typeof data === 'string' ? Buffer.from(data) : data;
    const span = checkLendable('data', bytes);
    const known = blockOf(span.memory);
    if (known?.kind === 'own' || this.length + span.length > this.block.size) return false;
    copyInto(this.block, this.length, span);
    this.length += span.length;
    return true;
  }

  /** Give the memory back: a copy's and a lease's to the pool, the caller's own to the caller. */
  end(): Buffer<ArrayBuffer> | undefined {
    const { block } = this;
    if (block === NOWHERE) return undefined;
    if (this.#copied || block.kind === 'pool') {
      giveBack(block);
      return undefined;
    }
    endLoan(block);
    const memory = block.memory!;
    block.memory = undefined;
    stamp(memory, block);
    return viewOf(memory, 0, memory.byteLength);
  }

  /** The data in ordinary memory, where the pool's carried them: that goes back. The caller's own stays where it is. */
  withdrawn(): Parcel {
    const { block, offset, length } = this;
    if (!this.#copied && block.kind !== 'pool') return this;
    const copy = new Block(NONE, length, 'own', {});
    try {
      copy.memory = Uint8Array.from(rangeOf(block, offset, length)).buffer;
    } catch {
      return this; // no memory for a copy: they stay where they are, until their writer's flush is refused
    }
    this.end();
    return new Parcel(copy, 0, length, true, 0);
  }

  static #ofBytes(host: LoanHost, bytes: Bytes): Parcel {
    const surrendered = bytes.surrender(host.backend);
    if (surrendered === undefined) return Parcel.#copy(host, inspect('data', bytes.data), 0);
    return new Parcel(surrendered.block, surrendered.offset, surrendered.length, false, 0);
  }

  static #copy(host: LoanHost, span: Span, sent: number): Parcel {
    const block = standIn(host, Math.max(span.length, COPY_BYTES_MIN));
    copyInto(block, 0, span);
    return new Parcel(block, 0, span.length, true, sent);
  }
}

function copyInto(block: Block, at: number, { memory, offset, length }: Span): void {
  new Uint8Array(block.memory!, at, length).set(new Uint8Array(memory, offset, length));
}

/** What is left of the parcels after so many bytes: as many parts as one operation takes, where not told otherwise. */
export function partsAfter(parcels: readonly Parcel[], written: number, partsMax = PARTS_MAX): Part[] {
  const parts: Part[] = [];
  let skip = written;
  for (const { block, offset, length } of parcels) {
    if (parts.length === partsMax) break;
    if (skip < length) parts.push({ block, offset: offset + skip, length: length - skip });
    skip = Math.max(0, skip - length);
  }
  return parts;
}

/** The parts as the argument of a vectored operation, which has so many zero bytes before them. */
export function encodeParts(parts: readonly Part[], header: number): Uint8Array {
  const first = header / Uint32Array.BYTES_PER_ELEMENT;
  const words = new Uint32Array(first + parts.length * PART_WORDS);
  parts.forEach(({ block, offset, length }, index) => words.set([block.id, offset, length], first + index * PART_WORDS));
  return new Uint8Array(words.buffer);
}

/** A copy of them. */
export function restOf(parts: readonly Part[]): Buffer {
  return Buffer.concat(parts.map(({ block, offset, length }) => rangeOf(block, offset, length)));
}
