/**
 * Bytes of a stream that came before somebody read them, in order: parts of blocks, which the stash owns. Bounded by
 * whoever fills it (`isFull`). Who calls: `Intake`.
 */
import { Fifo } from '../fifo.js';
import { rangeOf } from '../memory/block.js';
import type { Block } from '../memory/block.js';
import type { GroupUser } from '../memory/group.js';
import { allocate, giveBack } from '../memory/loan.js';
import type { Proactor } from '../proactor.js';

/** Bytes in a block; how many are left of them changes as they are read. */
export class Chunk {
  readonly block: Block;
  offset: number;
  length: number;

  constructor(block: Block, offset: number, length: number) {
    this.block = block;
    this.offset = offset;
    this.length = length;
  }
}

/** Above these, the kernel is asked for no more. */
const CHUNKS_MAX = 16;
const BYTES_MAX = 2 ** 20;

export class Stash {
  readonly #host: Proactor;
  readonly #user: GroupUser;
  #chunks = new Fifo<Chunk>();
  #bytes = 0;
  /** Whether blocks of the group are in it. */
  #holds = false;

  constructor(host: Proactor, user: GroupUser) {
    this.#host = host;
    this.#user = user;
  }

  get isEmpty(): boolean {
    return this.#chunks.length === 0;
  }

  get isFull(): boolean {
    return this.#chunks.length >= CHUNKS_MAX || this.#bytes >= BYTES_MAX;
  }

  push(block: Block, length: number): void {
    this.#hold(true);
    this.#chunks.push(new Chunk(block, 0, length));
    this.#bytes += length;
  }

  /** The first chunk; where it is longer than `most`, a copy of so much of it. */
  shift(most: number): Chunk {
    const first = this.#chunks.peek()!;
    if (first.length <= most) {
      this.#remove(first);
      return first;
    }
    const { streamGroup } = this.#host;
    const part = new Chunk(streamGroup.take() ?? allocate(this.#host, most), 0, Math.min(most, streamGroup.size));
    this.#host.copies += 1;
    this.#copy(rangeOf(part.block, 0, part.length));
    return part;
  }

  /** Copy as much as there is and as fits; how much that was. */
  copyTo(target: Uint8Array): number {
    this.#host.copies += 1;
    return this.#copy(target);
  }

  /** Copies of these bytes, of memory that is not the group's. */
  keep(bytes: Uint8Array): void {
    this.push(this.#copyOf(bytes), bytes.length);
  }

  /** The same, before all others. */
  prepend(bytes: Uint8Array): void {
    const block = this.#copyOf(bytes);
    const later = this.#chunks;
    this.#chunks = new Fifo<Chunk>();
    this.push(block, bytes.length);
    for (const chunk of later) this.#chunks.push(chunk);
  }

  /** All of it, in memory of its own. */
  take(): Uint8Array {
    const bytes = new Uint8Array(this.#bytes);
    if (!this.isEmpty) this.copyTo(bytes);
    return bytes;
  }

  /** Give the group's blocks back; the bytes go on in memory of their own. Where there is none, they stay. */
  spill(): void {
    const size = this.#host.streamGroup.size;
    const spilled = new Fifo<Chunk>();
    const total = this.#bytes;
    try {
      while (!this.isEmpty) {
        const length = Math.min(size, this.#bytes);
        const chunk = new Chunk(allocate(this.#host, length), 0, length);
        this.copyTo(rangeOf(chunk.block, 0, length));
        spilled.push(chunk);
      }
    } catch {
      for (const chunk of this.#chunks) spilled.push(chunk);
    }
    this.#chunks = spilled;
    this.#bytes = total;
  }

  clear(): void {
    for (let first = this.#chunks.peek(); first !== undefined; first = this.#chunks.peek()) {
      this.#remove(first);
      giveBack(first.block);
    }
  }

  #copyOf(bytes: Uint8Array): Block {
    const block = allocate(this.#host, bytes.length);
    rangeOf(block, 0, bytes.length).set(bytes);
    this.#host.copies += 1;
    return block;
  }

  #copy(target: Uint8Array): number {
    let copied = 0;
    for (let first = this.#chunks.peek(); first !== undefined && copied < target.length; first = this.#chunks.peek()) {
      const length = Math.min(first.length, target.length - copied);
      target.set(rangeOf(first.block, first.offset, length), copied);
      copied += length;
      if (length === first.length) {
        this.#remove(first);
        giveBack(first.block);
      } else {
        first.offset += length;
        first.length -= length;
        this.#bytes -= length;
      }
    }
    return copied;
  }

  #remove(first: Chunk): void {
    this.#chunks.shift();
    this.#bytes -= first.length;
    if (this.isEmpty) this.#hold(false);
  }

  #hold(on: boolean): void {
    if (on === this.#holds) return;
    this.#holds = on;
    this.#host.streamGroup.stashing(this.#user, on);
  }
}
