/**
 * Who owns which memory, as JavaScript sees it.
 *
 * A `Block` is a range of memory that an operation may be given. Rust owns blocks and knows which of them the kernel
 * holds; here stands what JavaScript may see: a block's one ArrayBuffer, and the **fence**: at every hand-over the
 * ArrayBuffer is moved (`transfer()`), so that every view made before has length 0 from then on. Memory safety does
 * not rest on it (that is Rust's), but no caller ever reads bytes of another.
 *
 * States of a block's ArrayBuffer: with the library (`block.memory` is set: free or in flight), or with its holder
 * (`block.memory` is undefined; a lease or a caller's view keeps it alive, and when nobody does, it is collected).
 */
import { RitsuError, argumentTypeError } from '../errors.js';
import { getter, uncurry } from '../genuine.js';

const genuine = ArrayBuffer.prototype.transfer as ArrayBuffer['transfer'] | undefined;
if (genuine === undefined) {
  throw new RitsuError('ERR_RITSU_UNAVAILABLE', `ritsu needs Node 22.12 or newer, this is ${process.version}: memory cannot be moved here`);
}
const transfer = uncurry(genuine);
/** False when something replaced `transfer` before this module was loaded: then foreign memory is copied, never lent. */
export const TRANSFER_IS_GENUINE = uncurry(Function.prototype.toString)(genuine) === 'function transfer() { [native code] }';

// A subclass may override what an instance says of its own length.
const typedArray = Object.getPrototypeOf(Uint8Array.prototype) as object;
const arrayBuffer = ArrayBuffer.prototype;
const typedBuffer = getter<ArrayBufferLike>(typedArray, 'buffer');
const typedOffset = getter<number>(typedArray, 'byteOffset');
const typedLength = getter<number>(typedArray, 'byteLength');
const dataBuffer = getter<ArrayBufferLike>(DataView.prototype, 'buffer');
const dataOffset = getter<number>(DataView.prototype, 'byteOffset');
const dataLength = getter<number>(DataView.prototype, 'byteLength');
const memoryLength = getter<number>(arrayBuffer, 'byteLength');
const memoryDetached = getter<boolean>(arrayBuffer, 'detached');
const memoryResizable = getter<boolean>(arrayBuffer, 'resizable');
const typedTag = getter<string | undefined>(typedArray, Symbol.toStringTag);

/** Memory a caller hands in: any view, or an ArrayBuffer as a whole. */
export type Memory = NodeJS.ArrayBufferView | ArrayBuffer;

/** Move the memory to a new ArrayBuffer: the old one and all its views have length 0 from then on. */
export function move(memory: ArrayBuffer): ArrayBuffer {
  return transfer(memory);
}

/** `move`, or undefined when the memory was moved away by somebody else. */
export function tryMove(memory: ArrayBuffer): ArrayBuffer | undefined {
  try {
    return transfer(memory);
  } catch {
    return undefined;
  }
}

export function isDetached(memory: ArrayBuffer): boolean {
  return memoryDetached(memory);
}

/** A Node Buffer over a range; made directly, since `Buffer.from` costs twice as much. */
export interface BufferView extends Buffer<ArrayBuffer> {}

class BlockView extends Uint8Array {}
Object.setPrototypeOf(BlockView.prototype, Buffer.prototype);
Object.defineProperty(BlockView.prototype, 'constructor', { value: Buffer });

/** A view of a lease: memory of a pool, which is borrowed. */
class LeaseView extends Uint8Array {}
Object.setPrototypeOf(LeaseView.prototype, Buffer.prototype);
Object.defineProperty(LeaseView.prototype, 'constructor', { value: Buffer });

export function viewOf(memory: ArrayBuffer, offset: number, length: number): Buffer<ArrayBuffer> {
  return new BlockView(memory, offset, length) as unknown as Buffer<ArrayBuffer>;
}

export function leaseViewOf(memory: ArrayBuffer, offset: number, length: number): Buffer<ArrayBuffer> {
  return new LeaseView(memory, offset, length) as unknown as Buffer<ArrayBuffer>;
}

export function isLeaseView(view: object): boolean {
  return view instanceof LeaseView;
}

/** Where a block goes when its holder gives it back; `memory` is moved already, or undefined when it was lost. */
export interface Keeper {
  keep(block: Block, memory: ArrayBuffer | undefined): void;
}

/** `pool`: of a pool's mapping. `own`: from `alloc`. `pinned`: a caller's ArrayBuffer, moved in. */
export type BlockKind = 'pool' | 'own' | 'pinned';

export class Block {
  /** Its number with the backend; a pinned block has one only while it is pinned. */
  id: number;
  readonly size: number;
  readonly kind: BlockKind;
  /** The backend that knows the id: a block is of use only there. */
  readonly owner: object;
  /** May be named by READ_FIXED and WRITE_FIXED. */
  registered = false;
  memory: ArrayBuffer | undefined = undefined;
  inFlight = false;
  /** Who gets the block when its holder releases it; nobody: it is given up and freed. */
  keeper: Keeper | undefined = undefined;
  /** Whether a hand-over moves the memory; off only for Rust's own memory, by the expert option `fence: false`. */
  fence = true;
  /** The view of all of its memory, where that never moves: without the fence it can be handed out again and again. */
  whole: Buffer<ArrayBuffer> | undefined = undefined;

  constructor(id: number, size: number, kind: BlockKind, owner: object) {
    this.id = id;
    this.size = size;
    this.kind = kind;
    this.owner = owner;
  }
}

const returnObject = function (object: object): object {
  return object;
} as unknown as new (object: object) => object;

/**
 * Says which block an ArrayBuffer shows: a private field on the ArrayBuffer itself, which nothing outside can read or
 * forge, and 200 ns cheaper than a WeakMap entry for each hand-over.
 */
class Stamp extends returnObject {
  #block: Block;

  constructor(memory: ArrayBuffer, block: Block) {
    super(memory);
    this.#block = block;
  }

  static of(memory: object): Block | undefined {
    return #block in memory ? memory.#block : undefined;
  }

  static put(memory: ArrayBuffer, block: Block): void {
    // With the fence, memory is new at each hand-over; without it, it may carry its stamp already. (To ask is slow.)
    if (!block.fence && #block in memory) (memory as Stamp).#block = block;
    else new Stamp(memory, block);
  }
}

/** Remember that this ArrayBuffer shows this block; before it is given to a caller. */
export function stamp(memory: ArrayBuffer, block: Block): void {
  Stamp.put(memory, block);
}

/**
 * A range of a block's memory, to copy from or into. Without the fence the program can have moved the memory away, even while the
 * kernel has it: then it is memory that nobody sees.
 */
export function rangeOf({ memory }: Block, offset: number, length: number): Uint8Array {
  return memory === undefined || memoryDetached(memory) ? new Uint8Array(length) : new Uint8Array(memory, offset, length);
}

/** The block that an ArrayBuffer shows, or showed before it was moved. */
export function blockOf(memory: object): Block | undefined {
  return Stamp.of(memory);
}

/** A view taken apart without running code of the caller's. */
export interface Span {
  readonly memory: ArrayBufferLike;
  readonly offset: number;
  readonly length: number;
}

export function inspect(name: string, view: unknown): Span {
  if (ArrayBuffer.isView(view)) {
    if (typedTag(view) !== undefined) {
      return { memory: typedBuffer(view), offset: typedOffset(view), length: typedLength(view) };
    }
    const memory = dataBuffer(view);
    try {
      return { memory, offset: dataOffset(view), length: dataLength(view) };
    } catch {
      // Of memory that is detached, or too short by now, a DataView does not tell its length, as a typed array does.
      return { memory, offset: 0, length: 0 };
    }
  }
  if (isArrayBuffer(view)) return { memory: view, offset: 0, length: memoryLength(view) };
  throw argumentTypeError(name, 'an instance of Buffer, TypedArray, DataView or ArrayBuffer', view);
}

export function isArrayBuffer(value: unknown): value is ArrayBuffer {
  if (typeof value !== 'object' || value === null) return false;
  try {
    memoryLength(value);
    return true;
  } catch {
    return false;
  }
}

/** Whether memory is an ordinary ArrayBuffer: of this thread alone, and of one size. */
export function isOrdinary(memory: ArrayBufferLike): memory is ArrayBuffer {
  return isArrayBuffer(memory) && !memoryResizable(memory);
}

/** Whether a span is an ordinary ArrayBuffer as a whole, so that it can be moved into an operation. */
export function isMovable({ memory, offset, length }: Span): boolean {
  return TRANSFER_IS_GENUINE && isOrdinary(memory) && offset === 0 && length === memoryLength(memory);
}
