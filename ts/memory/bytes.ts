/**
 * What a read gives: a borrowed view of exactly the bytes that came. Memory of a pool goes back by `release()`: every view
 * made before has length 0 from then on. Memory that was the caller's own becomes the caller's again by `take()`.
 *
 * The view is made when it is first asked for. Until then nobody can have another one, so bytes that are only passed on (read,
 * copied, written, released) cost neither a view nor a move.
 */
import { RitsuError } from '../errors.js';
import { uncurry } from '../genuine.js';
import { show } from '../inspect.js';
import { isDetached, leaseViewOf, move, stamp, tryMove, viewOf } from './block.js';
import type { Block } from './block.js';

/** As Node's `dgram` says where a datagram came from. */
export interface SenderAddress {
  /** An IP address. */
  readonly address: string;
  /** As Node names it. */
  readonly family: 'IPv4' | 'IPv6';
  /** 1 to 65535. */
  readonly port: number;
}

const EMPTY: Buffer<ArrayBuffer> = Buffer.alloc(0);
/** As they are now: what a program puts there later may do anything, meanwhile. */
const { allocUnsafe: allocate } = Buffer;
const setBytes = uncurry<[Uint8Array], void>(Uint8Array.prototype.set);

/** What became of the bytes. */
const UNTOUCHED = 0;
const COPIED = 1;
const RELEASED = 2;

/**
 * What a read brought: memory of a pool that is yours until you release it, or your own memory, filled. `data` are the bytes. By
 * `release()`, `using` or a write of it they leave you, and every view has length 0.
 */
export class Bytes {
  /** Undefined until it is asked for. */
  #data: Buffer<ArrayBuffer> | undefined = undefined;
  #memory: ArrayBuffer | undefined;
  #block: Block | undefined;
  #offset: number;
  #length: number;
  #stage = UNTOUCHED;
  /** The caller's whole view, where its memory could not be moved and the bytes were copied into it. */
  declare private copiedInto: Buffer<ArrayBuffer> | undefined;
  /** Who sent this datagram; undefined for what is none. */
  declare address: SenderAddress | undefined;
  /** The datagram was longer than the memory: what did not fit is lost. */
  declare truncated: boolean;
  /** Of many reads in one (`readMany`): how many bytes each brought. */
  declare lengths: readonly number[] | undefined;
  /** @internal Called once when the memory leaves this object: for the lease tracer. */
  declare onReleased: (() => void) | undefined;

  /** @internal Used by the readers; a program gets its Bytes from a read. */
  constructor(memory: ArrayBuffer | undefined, block: Block | undefined, offset: number, length: number) {
    this.#memory = memory;
    this.#block = block;
    this.#offset = offset;
    this.#length = length;
  }

  /** @internal No bytes, and no memory. */
  static empty(): Bytes {
    return new Bytes(undefined, undefined, 0, 0);
  }

  /** @internal Lend `length` bytes of a block, whose memory leaves the library for the holder of this object. */
  static lend(block: Block, offset: number, length: number): Bytes {
    const memory = block.memory!;
    block.memory = undefined;
    return new Bytes(memory, block, offset, length);
  }

  /** @internal Bytes that were copied into memory of the caller's that cannot be moved. */
  static copied(whole: Buffer, length: number): Bytes {
    const bytes = new Bytes(undefined, undefined, whole.byteOffset, length);
    bytes.copiedInto = whole as Buffer<ArrayBuffer>; // nearly always: it may be shared
    return bytes;
  }

  /** Exactly the bytes read, as a Buffer; length 0 once released. (Over shared memory, where that is what you gave to be filled.) */
  get data(): Buffer<ArrayBuffer> {
    return this.#data ?? Bytes.#show(this);
  }

  /** How many bytes were read; 0 once released. */
  get length(): number {
    // A holder may have moved the memory away, by its view.
    return this.#data === undefined ? this.#length : this.#data.length;
  }

  /** The memory has left this object. */
  get released(): boolean {
    return this.#stage === RELEASED;
  }

  /** Somebody has looked at `data`, or copied it, or the memory has left this object: by `release`, `take`, a write. */
  get touched(): boolean {
    return this.#data !== undefined || this.#stage !== UNTOUCHED;
  }

  /**
   * Give the memory back. Every view of it has length 0 from then on. Again is harmless.
   * @example
   * const bytes = await reader.read();
   * if (bytes !== null) { hash.update(bytes.data); bytes.release(); }
   */
  release(): void {
    if (this.released) return;
    const wasShown = this.#data !== undefined;
    const memory = Bytes.#end(this);
    const block = this.#block;
    if (block === undefined || memory === undefined) return;
    const moved = !wasShown ? memory : block.fence ? tryMove(memory) : isDetached(memory) ? undefined : memory;
    block.keeper?.keep(block, moved);
  }

  /** `release()`. */
  [Symbol.dispose](): void {
    this.release();
  }

  /**
   * The caller's own memory again, whole: ready to be submitted again. Only for memory that was the caller's; pool
   * memory is borrowed (`copy()` keeps its bytes).
   */
  take(): Buffer<ArrayBuffer> {
    if (this.released) throw new RitsuError('ERR_RITSU_RELEASED', 'these bytes were released');
    if (this.copiedInto !== undefined) {
      Bytes.#end(this);
      return this.copiedInto;
    }
    const block = this.#block;
    if (block === undefined || block.kind === 'pool') {
      throw new RitsuError('ERR_RITSU_NOT_OWNED', 'pool memory cannot be taken; copy() keeps the bytes');
    }
    const { data } = this;
    block.keeper = undefined; // who gave it to be read may be forgotten now
    const memory = Bytes.#end(this)!;
    if (data.length === memory.byteLength) return data; // whole already
    return isDetached(memory) ? EMPTY : viewOf(memory, 0, memory.byteLength);
  }

  /** The bytes in an ordinary Buffer, to keep for as long as wanted. */
  copy(): Buffer<ArrayBuffer> {
    if (this.released) throw new RitsuError('ERR_RITSU_RELEASED', 'these bytes were released');
    if (this.#data !== undefined || this.#block?.fence !== true) return Buffer.from(this.data);
    const copy = allocate(this.#length);
    this.copyTo(copy);
    return copy;
  }

  /** @internal The bytes at the beginning of memory of the library's own, which is long enough. */
  copyTo(target: Uint8Array): void {
    if (this.#data !== undefined || this.#block?.fence !== true) return setBytes(target, this.data);
    // Nobody has a view, and none is made that anybody could get: the memory need not be moved for it.
    setBytes(target, viewOf(this.#memory!, this.#offset, this.#length));
    this.#stage = COPIED;
  }

  /**
   * @internal
   * Move the memory into a write. Undefined when the memory is not that backend's: then the bytes are copied, and stay.
   */
  surrender(owner: object): { block: Block; offset: number; length: number } | undefined {
    if (this.released) throw new RitsuError('ERR_RITSU_RELEASED', 'these bytes were released');
    const block = this.#block;
    const memory = this.#memory;
    if (block === undefined || memory === undefined || block.kind === 'pinned' || block.owner !== owner) return undefined;
    const [offset, length, wasShown] = [this.#offset, this.#length, this.#data !== undefined];
    // What nobody has seen nobody has moved; without the fence an earlier holder may have seen it.
    if ((wasShown || !block.fence) && isDetached(memory)) {
      throw new RitsuError('ERR_RITSU_BUFFER_DETACHED', 'the memory of these bytes was moved away');
    }
    Bytes.#end(this);
    block.memory = wasShown && block.fence ? move(memory) : memory;
    block.inFlight = true;
    return { block, offset, length };
  }

  // Static: a private method would cost each object 8 bytes.

  static #show(bytes: Bytes): Buffer<ArrayBuffer> {
    const block = bytes.#block;
    if (block === undefined) return (bytes.#data = Bytes.#showCopied(bytes));
    const memory = bytes.#memory!;
    const length = bytes.#length;
    const isReusable = !block.fence && length === memory.byteLength;
    const data = isReusable ? (block.whole ??= viewIn(block, memory, 0, length)) : viewIn(block, memory, bytes.#offset, length);
    bytes.#data = data;
    return data;
  }

  static #showCopied(bytes: Bytes): Buffer<ArrayBuffer> {
    if (bytes.copiedInto === undefined) return EMPTY;
    try {
      return viewOf(bytes.copiedInto.buffer, bytes.#offset, bytes.#length);
    } catch {
      return EMPTY; // the caller's memory shrank or went away since
    }
  }

  static #end(bytes: Bytes): ArrayBuffer | undefined {
    const memory = bytes.#memory;
    bytes.#stage = RELEASED;
    bytes.#memory = undefined;
    bytes.#data = EMPTY;
    bytes.onReleased?.();
    return memory;
  }
}
show(Bytes, ({ length, released }) => ({ length, released }));

/** A view for the holder. A lease's memory needs no stamp: it cannot be submitted, and its view says what it is. */
function viewIn(block: Block, memory: ArrayBuffer, offset: number, length: number): Buffer<ArrayBuffer> {
  if (block.kind === 'pool') return leaseViewOf(memory, offset, length);
  stamp(memory, block);
  return viewOf(memory, offset, length);
}

// Rarely set: on the prototype, so that most leases do not pay for them. A promise that is resolved looks for `then`: here it
// ends its search, one object early.
Object.assign(Bytes.prototype, { copiedInto: undefined, onReleased: undefined, address: undefined, truncated: false, lengths: undefined });
// oxlint-disable-next-line unicorn/no-thenable -- it is none: that is what it says
Object.defineProperty(Bytes.prototype, 'then', { value: undefined });
