/**
 * One size class of a pool: blocks, lent to one read at a time.
 *
 * A block is free (here), provided (the kernel may choose it), in flight, or leased (a `Bytes` holds it). Where the
 * kernel can choose buffers, a read brings one free block to its class's group and takes whichever the kernel picked;
 * a read that consumed none leaves its block provided, and the next read brings none (`surplus`). When the class is
 * empty, reads wait here in order; a block that comes back serves the first of them.
 */
import type { Backend, ClassLayout } from '../backend/backend.js';
import { RitsuError } from '../errors.js';
import { Fifo } from '../fifo.js';
import { Opcode, REFUSED, SELECTED } from '../op.js';
import type { Completion, Failure, Operation } from '../op.js';
import { Block } from './block.js';
import type { Keeper } from './block.js';
import { Bytes } from './bytes.js';
import { EmptyWarning } from './empty-warning.js';
import type { LeaseTracer } from './lease-tracer.js';
import type { Liveness } from '../liveness.js';

/** A read operation: bytes, or null at the end. */
export type ReadOperation = Operation<Bytes | null>;

/** What a pool needs of the proactor it belongs to. */
export interface PoolHost {
  readonly backend: Backend;
  /** Whether new work is taken. */
  readonly open: boolean;
  readonly fence: boolean;
  /** Remembers where leases were asked for, when asked to. */
  readonly tracer: LeaseTracer | undefined;
  readonly liveness: Liveness;
  /** Give the operation a slot, or let it wait for one. */
  start<T>(operation: Operation<T>): void;
}

/** Where the bytes of a read land: memory of a pool, or memory that the operation was given. */
export interface Landing {
  /** The most bytes that one read brings. */
  readonly length: number;
  /** Put the memory into the operation and start it, now or when there is memory. */
  arm(operation: ReadOperation): void;
  /** Turn the final completion into what the reader gets. */
  land(operation: ReadOperation, completion: Completion): Bytes | null | Failure;
  /**
   * The operation failed without having landed: what it was given goes back. The caller's memory, for the error; none
   * where the pool's was used. Without an operation: the read was never begun.
   */
  restore?(failure: () => Error, operation?: ReadOperation): Buffer | undefined;
  /** Keep what came from the reader: the read is to be done again, elsewhere. */
  discard(operation: ReadOperation, completion: Completion): void;
}

/** What a class does when a read finds it empty: wait for a block, take memory outside the pool, or fail. */
export type WhenEmpty = 'wait' | 'grow' | 'fail';

/** Blocks of one size. */
export interface SizeClassOptions {
  /** Bytes of one block: a power of two, at least 4096. */
  readonly size: number;
  /** How many. */
  readonly count: number;
}

/** One size class, now. */
export interface SizeClassStats {
  /** Bytes of one block. */
  readonly size: number;
  /** Blocks that there are. */
  readonly count: number;
  /** Ready for a read: free, or provided and not promised to one. */
  readonly available: number;
  /** Held by `Bytes` that were not released. */
  readonly leased: number;
  /** Reads that wait for a block. */
  readonly waiting: number;
  /** Reads that ever had to wait. */
  readonly exhausted: number;
  /** Reads that were given memory outside the pool. */
  readonly grown: number;
}

export class SizeClass implements Landing, Keeper {
  readonly length: number;
  readonly #host: PoolHost;
  readonly #layout: ClassLayout;
  readonly #whenEmpty: WhenEmpty;
  readonly #blocks: Block[] = [];
  readonly #free: Block[] = [];
  readonly #waiting = new Fifo<ReadOperation>();
  /** Whether the kernel chooses the blocks; undefined before the first read. */
  #selects: boolean | undefined = undefined;
  #surplus = 0;
  #leased = 0;
  #exhausted = 0;
  #grown = 0;
  readonly #warning = new EmptyWarning(() => this.#describeWaiting());

  constructor(host: PoolHost, layout: ClassLayout, whenEmpty: WhenEmpty) {
    this.#host = host;
    this.#layout = layout;
    this.#whenEmpty = whenEmpty;
    this.length = layout.size;
    for (let index = layout.count - 1; index >= 0; index -= 1) {
      const block = new Block(layout.first + index, layout.size, 'pool', host.backend);
      block.keeper = this;
      block.fence = host.fence;
      this.#blocks[index] = block;
      this.#free.push(block);
    }
  }

  get layout(): ClassLayout {
    return this.#layout;
  }

  block(index: number): Block {
    return this.#blocks[index]!;
  }

  /** A free block for the library's own use (a copy), never waiting for one; `keep` returns it. */
  take(): Block | undefined {
    const block = this.#next();
    if (block !== undefined) this.#leased += 1;
    return block;
  }

  arm(operation: ReadOperation): void {
    if (operation.site === undefined) this.#host.tracer?.mark(operation);
    if (this.#waiting.length === 0 && this.#give(operation)) {
      operation.launch(this.#host);
    } else if (this.#whenEmpty === 'wait') {
      this.#exhausted += 1;
      this.#host.liveness.queue(operation);
      this.#waiting.push(operation);
      this.#warning.watch();
    } else if (this.#whenEmpty === 'grow') this.#grow(operation);
    else operation.refuse(() => new RitsuError('ERR_RITSU_POOL_EXHAUSTED', `no free block of ${this.length} bytes`));
  }

  land(operation: ReadOperation, completion: Completion): Bytes | null | Failure {
    const { result } = completion;
    const block = this.#landed(operation, completion);
    if (block === undefined) this.#surplus += 1;
    else if (result > 0) {
      if (block.kind === 'pool') this.#leased += 1;
      const bytes = Bytes.lend(block, 0, result);
      this.#host.tracer?.watch(bytes, operation.site);
      return bytes;
    } else if (block.kind === 'pool') this.#free.push(block);
    this.#serve();
    return result < 0 ? operation.failure(result) : null;
  }

  discard(operation: ReadOperation, completion: Completion): void {
    const block = this.#landed(operation, completion);
    if (block === undefined) this.#surplus += 1;
    else if (block.kind === 'pool') this.#free.push(block);
    this.#serve();
  }

  /** An operation that ended before it was begun: its block, or its right to one, is free again. */
  restore(_failure: () => Error, operation?: ReadOperation): undefined {
    if (operation === undefined) return;
    const { block, opcode } = operation;
    if (block === undefined && opcode !== Opcode.READ_SELECT) return; // it had nothing, or has landed
    this.#endUse(operation);
    if (block === undefined) this.#surplus += 1;
    else if (block.kind === 'pool') this.#free.push(block);
    this.#serve();
  }

  keep(block: Block, memory: ArrayBuffer | undefined): void {
    if (memory === undefined && !this.#host.backend.lost(block)) return;
    this.#leased -= 1;
    block.memory = memory;
    this.#free.push(block);
    if (this.#waiting.length > 0) this.#serve();
  }

  /** A block whose ArrayBuffer nothing can reach any more: it may be shown again. */
  recover(block: Block): void {
    if (block.memory !== undefined) return;
    this.#leased -= 1;
    this.#free.push(block);
    this.#serve();
  }

  /** Fail the reads that wait for a block, all or those of one descriptor: it is being closed. */
  refuse(failure: () => Error, descriptor: number | undefined): void {
    for (const operation of [...this.#waiting]) {
      if (operation.settled || (descriptor !== undefined && operation.descriptor !== descriptor)) continue;
      this.#waiting.remove(operation);
      this.#host.liveness.unqueue(operation);
      operation.refuse(failure);
    }
  }

  stats(): SizeClassStats {
    const { size, count } = this.#layout;
    return {
      size,
      count,
      available: this.#free.length + this.#surplus,
      leased: this.#leased,
      waiting: this.#waiting.length,
      exhausted: this.#exhausted,
      grown: this.#grown,
    };
  }

  /** Give the operation a block, or the right to one that is provided already. */
  #give(operation: ReadOperation): boolean {
    // At a position the read is served at once or by the disk, so it may as well name its block, which the kernel finds
    // faster than a group. Without one it may wait for a peer, and the kernel chooses the block when the bytes are there.
    const mayChoose = operation.opcode === Opcode.READ && operation.position < 0 && !operation.ownBlock;
    if (mayChoose && this.#selectsBlocks()) {
      operation.opcode = Opcode.READ_SELECT;
      operation.target = this.#layout.group;
      if (this.#surplus > 0) {
        this.#surplus -= 1;
        return true;
      }
    }
    const block = this.#next();
    if (block === undefined) return false;
    operation.block = block;
    if (operation.opcode !== Opcode.READ_SELECT && operation.direct && block.registered) operation.opcode = Opcode.READ_FIXED;
    return true;
  }

  /** Off the free list, with its memory; where that cannot be had, the block stays on it. */
  #next(): Block | undefined {
    const block = this.#free.at(-1);
    if (block === undefined) return undefined;
    block.memory ??= this.#host.backend.expose(block);
    this.#free.pop();
    return block;
  }

  #selectsBlocks(): boolean {
    this.#selects ??= this.#host.backend.registerGroup(this.#layout);
    return this.#selects;
  }

  /** The block that the completion leaves with us; undefined when it stays provided to the kernel. */
  #landed(operation: ReadOperation, completion: Completion): Block | undefined {
    const { block, opcode } = operation;
    this.#endUse(operation);
    if (opcode !== Opcode.READ_SELECT) return block;
    if ((completion.flags & SELECTED) !== 0) return this.#blocks[completion.block - this.#layout.first];
    return (completion.flags & REFUSED) !== 0 ? block : undefined;
  }

  /** What it was given is not the operation's any more. */
  #endUse(operation: ReadOperation): void {
    operation.block = undefined;
    if (operation.opcode === Opcode.READ_SELECT) operation.opcode = Opcode.READ;
  }

  #serve(): void {
    for (let next = this.#waiting.peek(); next !== undefined; next = this.#waiting.peek()) {
      if (!next.settled) {
        if (!this.#give(next)) return;
        this.#waiting.shift();
        this.#host.liveness.unqueue(next);
        next.launch(this.#host);
      } else this.#waiting.shift();
    }
    this.#warning.end();
  }

  #grow(operation: ReadOperation): void {
    const { backend } = this.#host;
    this.#grown += 1;
    const block = new Block(backend.allocate(this.length), this.length, 'own', backend);
    block.memory = backend.expose(block);
    operation.block = block;
    operation.launch(this.#host);
  }

  #describeWaiting(): string | undefined {
    const waiting = [...this.#waiting].filter((operation) => !operation.settled).length;
    if (waiting === 0) return undefined;
    return (
      `reads that wait for a block of ${this.length} bytes: ${waiting}; all ${this.#layout.count} blocks are held. ` +
      'Release leases (bytes.release(), using), or give the pool more blocks.'
    );
  }
}
