/**
 * The blocks of live streams: one buffer group for all streams of a proactor. Any of ten thousand armed streams may be
 * the next to receive, so its blocks are provided to the kernel ahead and belong to no read.
 *
 * A block is free (here), provided (the kernel may choose it), or out: with a stream, which stashed what came, or with a
 * `Bytes`. Of the free ones only as many are provided as streams were found to need (`#aim`): they are used again while
 * they are warm. Who finds the group empty waits here; a block that comes back is provided, and the first who waits is
 * armed again. Whoever is armed and gets nothing holds nothing, so it must not hold up those behind it: while blocks
 * stay provided, the next one is armed in the next turn.
 *
 * What is stashed is the library's and not the program's, so it must not starve anybody either: before a stream has to
 * wait, the stashes are copied out of their blocks (`spill`), and only blocks held by the program remain out.
 */
import type { Backend, ClassLayout } from '../backend/backend.js';
import { Fifo } from '../fifo.js';
import { Block } from './block.js';
import type { Keeper } from './block.js';
import { EmptyWarning } from './empty-warning.js';
import type { LeaseTracer } from './lease-tracer.js';
import { checkInteger, rangeError } from '../errors.js';
import type { SizeClassOptions, SizeClassStats } from './size-class.js';

/** What the group needs of the proactor it belongs to. */
export interface GroupHost {
  readonly backend: Backend;
  /** Whether new work is taken. */
  readonly open: boolean;
  readonly fence: boolean;
  readonly tracer: LeaseTracer | undefined;
}

/** A stream, as the group sees it. */
export interface GroupUser {
  /** A block is there: ask again. */
  wake(): void;
  /** Give back the blocks of what is stashed, keeping the bytes elsewhere. */
  spill(): void;
}

export const GROUP_DEFAULT: SizeClassOptions = { size: 65_536, count: 256 };
/** How many blocks are provided at first; doubled each time the kernel found none. */
const AIM_FIRST = 16;
/** A provided-buffer ring has at most so many entries. */
const COUNT_MAX = 32_768;
const SIZE_MAX = 2 ** 30;

export class BufferGroup implements Keeper {
  /** Bytes of one block. */
  readonly size: number;
  readonly host: GroupHost;
  /** Whether the kernel chooses the blocks; where it does not, a stream takes one for each read. */
  readonly selects: boolean;
  readonly #layout: ClassLayout;
  readonly #blocks: Block[] = [];
  readonly #free: Block[] = [];
  readonly #waiting = new Fifo<GroupUser>();
  /** Who has stashed something. */
  readonly #stashes = new Set<GroupUser>();
  readonly #warning = new EmptyWarning(() => this.#describeWaiting());
  #aim: number;
  #provided = 0;
  #exhausted = 0;
  #servingNext = false;

  /** Used by the proactor, when the first stream is read in style 1. */
  constructor(host: GroupHost, options: SizeClassOptions = GROUP_DEFAULT) {
    const { size, count } = checkGroup(options);
    this.host = host;
    this.size = size;
    const layout = host.backend.createPool([[size, count]], true)[0]!;
    this.#layout = layout;
    this.selects = host.backend.registerGroup(layout);
    this.#aim = Math.min(AIM_FIRST, count);
    for (let index = count - 1; index >= 0; index -= 1) {
      const block = new Block(layout.first + index, size, 'pool', host.backend);
      block.keeper = this;
      block.fence = host.fence;
      this.#blocks[index] = block;
      this.#free.push(block);
    }
  }

  /** The group's number with the backend. */
  get number(): number {
    return this.#layout.group;
  }

  /** Before a stream is armed: the kernel shall find blocks. False: there is none to be found, `wait` for one. */
  prepare(): boolean {
    this.#provide();
    return this.#provided > 0;
  }

  /** The kernel found no block: it shall find more from now on. */
  denied(): void {
    this.#aim = Math.min(this.#aim * 2, this.#layout.count);
    this.#provide();
  }

  /** The block that the kernel chose; it is the caller's now, its memory is shown. */
  chosen(id: number): Block {
    const block = this.#blocks[id - this.#layout.first]!;
    this.#provided -= 1;
    if (this.#provided < this.#aim && this.#free.length > 0) this.#provide();
    return block;
  }

  /** A free block for a read, or a copy, of one's own; `keep` returns it. */
  take(): Block | undefined {
    const block = this.#free.pop();
    if (block !== undefined) block.memory ??= this.host.backend.expose(block);
    return block;
  }

  /** Be woken when a block is there: first come, first served. */
  wait(user: GroupUser): void {
    this.#exhausted += 1;
    this.#waiting.push(user);
    this.#warning.watch();
    this.#reclaim();
  }

  /** Wait no more. */
  leave(user: GroupUser): void {
    this.#waiting.remove(user);
    if (this.#waiting.length === 0) this.#warning.end();
  }

  /** The user has stashed something, or has nothing stashed any more. */
  stashing(user: GroupUser, on: boolean): void {
    if (on) this.#stashes.add(user);
    else this.#stashes.delete(user);
  }

  keep(block: Block, memory: ArrayBuffer | undefined): void {
    if (memory === undefined && !this.host.backend.lost(block)) return;
    block.memory = memory;
    block.inFlight = false;
    this.#free.push(block);
    if (this.#provided < this.#aim || this.#waiting.length > 0) this.#serve();
  }

  /** Take back blocks whose ArrayBuffers were collected. */
  recover(ids: readonly number[]): void {
    const { first, count } = this.#layout;
    for (const id of ids) {
      const block = id >= first && id < first + count ? this.#blocks[id - first]! : undefined;
      if (block === undefined || block.memory !== undefined) continue;
      this.#free.push(block);
      this.#serve();
    }
  }

  stats(): SizeClassStats {
    const { size, count } = this.#layout;
    const available = this.#free.length + this.#provided;
    const waiting = this.#waiting.length;
    return { size, count, available, leased: count - available, waiting, exhausted: this.#exhausted, grown: 0 };
  }

  /** Provide free blocks until as many are provided as are aimed at. */
  #provide(): void {
    if (!this.selects || !this.host.open) return;
    const { backend } = this.host;
    while (this.#provided < this.#aim) {
      const block = this.#free.pop();
      if (block === undefined) return;
      block.memory ??= backend.expose(block);
      backend.provide(block, this.#layout.group);
      this.#provided += 1;
    }
  }

  /** Wake as many as there are blocks; those behind them in the next turn, if blocks are left then. */
  #serve(): void {
    this.#provide();
    let count = Math.min(this.selects ? this.#provided : this.#free.length, this.#waiting.length);
    for (; count > 0; count -= 1) this.#waiting.shift()?.wake();
    if (this.#waiting.length === 0) this.#warning.end();
    else if (!this.#servingNext && this.#provided > 0) {
      this.#servingNext = true;
      setImmediate(() => {
        this.#servingNext = false;
        this.#serve();
      });
    }
  }

  /** Get blocks out of stashes, the oldest first, until one is there. */
  #reclaim(): void {
    for (const user of this.#stashes) {
      if (this.#free.length > 0 || this.#provided > 0) return;
      user.spill();
    }
  }

  #describeWaiting(): string | undefined {
    if (this.#waiting.length === 0) return undefined;
    return (
      `streams that wait for a block of ${this.size} bytes: ${this.#waiting.length}; all ${this.#layout.count} blocks are held. ` +
      'Release leases (bytes.release(), using), or give the streams more blocks (streamPool).'
    );
  }
}

function checkGroup({ size, count }: SizeClassOptions): SizeClassOptions {
  checkInteger('streamPool.size', size, 4096, SIZE_MAX);
  if (!Number.isInteger(Math.log2(size))) throw rangeError('streamPool.size', 'a power of two', size);
  checkInteger('streamPool.count', count, 1, COUNT_MAX);
  if (size * count >= 2 ** 32) throw rangeError('streamPool', 'less than 4 GiB in all', size * count);
  return { size, count };
}
