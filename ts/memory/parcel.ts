/** Data on its way into a write: which block carries it, and who gets the memory afterwards. */
import { Bytes } from './bytes.js';
import { checkLendable, endLoan, giveBack, moveIn, standIn } from './loan.js';
import type { LoanHost } from './loan.js';
import { blockOf, inspect, stamp, viewOf } from './block.js';
import type { Block, Memory, Span } from './block.js';

/** What can be written. Strings are written as UTF-8. */
export type Writable = Bytes | Memory | string;

export interface Part {
  readonly block: Block;
  readonly offset: number;
  readonly length: number;
}

/** Copied data get a block of at least so many bytes, so that small pushes share one. */
const COPY_BYTES_MIN = 4096;

export class Parcel implements Part {
  readonly block: Block;
  readonly offset: number;
  length: number;
  readonly #copied: boolean;

  private constructor(block: Block, offset: number, length: number, copied: boolean) {
    this.block = block;
    this.offset = offset;
    this.length = length;
    this.#copied = copied;
  }

  /** Take data for a write: by moving its memory where it is ours or leased, else by copying it now. */
  static take(host: LoanHost, data: Writable): Parcel {
    if (data instanceof Bytes) return Parcel.#ofBytes(host, data);
    if (typeof data === 'string') return Parcel.#copy(host, inspect('data', Buffer.from(data)));
    const span = checkLendable('data', data);
    const known = blockOf(span.memory);
    if (known?.kind !== 'own' || known.owner !== host.backend) return Parcel.#copy(host, span);
    return new Parcel(moveIn(host, span)!, span.offset, span.length, false);
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
  end(): Buffer | undefined {
    const { block } = this;
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

  static #ofBytes(host: LoanHost, bytes: Bytes): Parcel {
    const surrendered = bytes.surrender(host.backend);
    if (surrendered === undefined) return Parcel.#copy(host, inspect('data', bytes.data));
    return new Parcel(surrendered.block, surrendered.offset, surrendered.length, false);
  }

  static #copy(host: LoanHost, span: Span): Parcel {
    const block = standIn(host, Math.max(span.length, COPY_BYTES_MIN));
    copyInto(block, 0, span);
    return new Parcel(block, 0, span.length, true);
  }
}

function copyInto(block: Block, at: number, { memory, offset, length }: Span): void {
  new Uint8Array(block.memory!, at, length).set(new Uint8Array(memory, offset, length));
}
