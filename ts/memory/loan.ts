/**
 * Memory of the caller's that an operation is given: moved in where it can be moved, copied through a block where not.
 *
 * | what is given | what happens |
 * |---|---|
 * | memory of `alloc()` (any view of it) | moved: Rust owns it already |
 * | an ordinary ArrayBuffer as a whole | moved: pinned by the boundary until the final completion |
 * | a slice, a pooled Buffer, shared, resizable or WebAssembly memory | copied, and counted (`stats().copies`) |
 * | a lease of a pool | refused for reading; `write(bytes)` moves it |
 */
import { Bytes } from './bytes.js';
import { RitsuError, argumentValueError, checkInteger, closedError, rangeError } from '../errors.js';
import { Block, blockOf, inspect, isArrayBuffer, isDetached, isLeaseView, isMovable, move, rangeOf, stamp, tryMove, viewOf } from './block.js';
import type { Keeper, Span } from './block.js';
import { LENGTH_MAX, Opcode } from '../op.js';
import type { Completion, Failure } from '../op.js';
import type { Timers } from '../timers.js';
import type { BufferPool } from './pool.js';
import type { Landing, PoolHost, ReadOperation } from './size-class.js';

/** What lending memory needs of the proactor. */
export interface LoanHost extends PoolHost {
  readonly pool: BufferPool;
  /** Where deadlines have their time from. */
  readonly timers: Timers;
  /** Copied reads in flight, so that two never share memory. */
  readonly copying: Set<Span>;
  copies: number;
}

/** The largest block (32 bits). */
const BLOCK_BYTES_MAX = 2 ** 32 - 1;

/** Refuse memory that an operation cannot be given. Runs none of the caller's code. */
export function checkLendable(name: string, view: unknown): Span {
  const span = inspect(name, view);
  const known = blockOf(span.memory);
  const detached = span.length === 0 && isArrayBuffer(span.memory) && isDetached(span.memory);
  if (known?.inFlight && (detached || known.kind === 'own')) {
    throw new RitsuError('ERR_RITSU_BUFFER_IN_FLIGHT', `the ${name} is in flight: an operation owns its memory`);
  }
  if (detached) throw new RitsuError('ERR_RITSU_BUFFER_DETACHED', `the ${name} is detached: its memory was handed over`);
  return span;
}

/** Take the caller's memory for a read of `length` bytes. From here on `view` has length 0, unless it is copied. */
export function lend(host: LoanHost, view: unknown, length: number | undefined, keeper: Keeper | undefined): LoanLanding {
  const span = checkLendable('buffer', view);
  if (span.length === 0) throw argumentValueError('buffer', 'must not be empty', span.length);
  const wanted = checkInteger('length', length ?? span.length, 1, Math.min(span.length, LENGTH_MAX));
  if (isLeaseView(view as object)) {
    throw new RitsuError('ERR_RITSU_NOT_OWNED', 'the buffer is a lease of a pool: it cannot be read into');
  }
  const moved = moveIn(host, span);
  if (moved !== undefined) return new LoanLanding(host, moved, span.offset, wanted, undefined, keeper);
  const original = { ...span, length: wanted };
  return new LoanLanding(host, copyThrough(host, original), 0, wanted, original, keeper);
}

/** The block whose memory the span is, moved; undefined when it cannot be moved. */
export function moveIn(host: PoolHost, span: Span): Block | undefined {
  const memory = span.memory as ArrayBuffer; // every own block's is one, and isMovable asks for one
  const known = blockOf(memory);
  if (known?.kind === 'own' && known.owner === host.backend) {
    known.memory = known.fence ? move(memory) : memory;
    known.inFlight = true;
    return known;
  }
  if (known?.kind === 'own' || !isMovable(span)) return undefined;
  if (span.length > BLOCK_BYTES_MAX) throw rangeError('buffer', `at most ${BLOCK_BYTES_MAX} bytes as a whole`, span.length);
  const moved = tryMove(memory);
  if (moved === undefined) return undefined; // WebAssembly memory cannot be moved
  const block = pinned(host, memory, moved, known);
  block.memory = moved;
  block.inFlight = true;
  return block;
}

/** A block for an ArrayBuffer that was just moved; the one it had when it was here before. */
function pinned(host: PoolHost, memory: ArrayBuffer, moved: ArrayBuffer, known: Block | undefined): Block {
  const id = host.backend.pin(moved);
  if (known !== undefined && known.owner === host.backend) {
    known.id = id;
    return known;
  }
  const block = new Block(id, moved.byteLength, 'pinned', host.backend);
  if (known === undefined) stamp(memory, block);
  return block;
}

/** A block to stand in for memory that cannot be moved: of the pool if one is free, else of its own. */
export function standIn(host: LoanHost, length: number): Block {
  if (!host.open) throw closedError('copy');
  host.copies += 1;
  const block = host.pool.take(length) ?? allocate(host, length);
  block.inFlight = true;
  return block;
}

/** A page-aligned block of its own, its memory with the library. */
export function allocate(host: PoolHost, size: number): Block {
  if (!host.open) throw closedError('alloc');
  const block = new Block(host.backend.allocate(size), size, 'own', host.backend);
  block.fence = host.fence;
  block.memory = host.backend.expose(block);
  return block;
}

/** Give a stand-in back to where it came from. */
export function giveBack(block: Block): void {
  block.inFlight = false;
  block.keeper?.keep(block, block.memory);
}

function copyThrough(host: LoanHost, original: Span): Block {
  for (const other of host.copying) {
    const apart = original.offset + original.length <= other.offset || other.offset + other.length <= original.offset;
    if (other.memory === original.memory && !apart) {
      throw new RitsuError('ERR_RITSU_BUFFER_IN_FLIGHT', 'the buffer overlaps one that is in flight');
    }
  }
  host.copying.add(original);
  return standIn(host, original.length);
}

/** End of the operation: the block is no longer the kernel's. */
export function endLoan(block: Block): void {
  block.inFlight = false;
  if (block.kind === 'pinned') (block.owner as PoolHost['backend']).unpin(block.id);
}

/** A read into the caller's memory; always gives `Bytes`, of length 0 at the end of the file. */
export class LoanLanding implements Landing {
  readonly length: number;
  readonly #host: LoanHost;
  /** What the operation owns; of it `length` bytes from `offset` on are used. */
  readonly #block: Block;
  readonly #offset: number;
  /** The caller's view, where the block is only a stand-in for it. */
  readonly #original: Span | undefined;
  readonly #keeper: Keeper | undefined;

  constructor(host: LoanHost, block: Block, offset: number, length: number, original: Span | undefined, keeper: Keeper | undefined) {
    this.#host = host;
    this.#block = block;
    this.#offset = offset;
    this.length = length;
    this.#original = original;
    this.#keeper = keeper;
  }

  arm(operation: ReadOperation): void {
    const block = this.#block;
    if (operation.direct && block.registered) operation.opcode = Opcode.READ_FIXED;
    operation.block = block;
    if (this.#offset !== 0) operation.offset = this.#offset;
    operation.length = Math.min(operation.length, this.length);
    operation.launch(this.#host);
  }

  land(operation: ReadOperation, completion: Completion): Bytes | Failure {
    const { result } = completion;
    if (result < 0) return operation.failure(result);
    const block = this.#block;
    if (this.#original !== undefined) return this.#copyBack(this.#original, result);
    endLoan(block);
    block.keeper = this.#keeper;
    return Bytes.lend(block, this.#offset, result);
  }

  discard(): void {
    // The memory stays with the operation's loan.
  }

  /** The caller's memory again, for the error of an operation that failed. */
  restore(): Buffer | undefined {
    const block = this.#block;
    const original = this.#original;
    if (original !== undefined) {
      this.#endCopy(original);
      return original.memory instanceof ArrayBuffer ? viewOf(original.memory, original.offset, original.length) : undefined;
    }
    if (block.inFlight) endLoan(block);
    const memory = block.memory;
    if (memory === undefined) return undefined;
    block.memory = undefined;
    stamp(memory, block);
    return viewOf(memory, 0, memory.byteLength);
  }

  #copyBack(original: Span, length: number): Bytes {
    const came = rangeOf(this.#block, 0, length);
    let whole: Buffer;
    try {
      whole = viewOf(original.memory as ArrayBuffer, original.offset, original.length);
      whole.set(came);
    } catch {
      whole = Buffer.from(came); // the caller's memory shrank or went away meanwhile: the bytes are kept all the same
    }
    this.#endCopy(original);
    return Bytes.copied(whole, length);
  }

  #endCopy(original: Span): void {
    this.#host.copying.delete(original);
    giveBack(this.#block);
  }
}

