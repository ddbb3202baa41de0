/**
 * A kernel that a seed decides: one stream's bytes, delivered in random pieces at random times, by multishot or not,
 * with blocks that run out, cancels that come too late and non-blocking answers. It checks what it is given: a block is
 * never provided twice, and memory that it has is never moved away.
 */
import { BufferGroup } from '../../dist/memory/group.js';
import { BufferPool } from '../../dist/memory/pool.js';
import { Inflight } from '../../dist/inflight.js';
import { Liveness } from '../../dist/liveness.js';
import { MORE, MULTISHOT, NONE, Opcode, SELECTED } from '../../dist/op.js';
import { NOTHING } from '../../dist/backend/switches.js';
import type { Backend, ClassLayout } from '../../dist/backend/backend.js';
import type { Block } from '../../dist/memory/block.js';
import type { CancelCause, CancelOptions } from '../../dist/cancel.js';
import type { Completion, Operation } from '../../dist/op.js';
import type { Proactor } from '../../dist/proactor.js';
import type { Random } from './random.ts';

type AnyOperation = Operation<unknown>;

const ECANCELED = -125;
const ENOBUFS = -105;
const EAGAIN = -11;
const EBADFD = -77;

/** Byte `index` of every stream: it says where it belongs. */
export function byteAt(index: number): number {
  return (Math.imul(index, 0x9e3779b1) >>> 24) ^ (index & 0xff);
}

export interface KernelOptions {
  /** The kernel chooses blocks. */
  readonly selects?: boolean;
  /** It has multishot; otherwise it answers once. */
  readonly multishot?: boolean;
  /** READ_SELECT with MULTISHOT is refused: the descriptor cannot be polled. */
  readonly refusesMultishot?: boolean;
  /** It sometimes says EAGAIN, as for O_NONBLOCK. */
  readonly nonBlocking?: boolean;
  readonly length: number;
  readonly blocks: number;
  readonly blockSize: number;
  /** After the last byte: 0, or an error. */
  readonly end?: number;
}

export class KernelModel {
  readonly host: Proactor;
  readonly inflight: Inflight;
  delivered = 0;
  /** How many are in the kernel: at most one, for one stream. */
  most = 0;
  cancels = 0;
  /** Whether the process would be kept alive. */
  keepsAlive = false;
  readonly #random: Random;
  readonly #options: KernelOptions;
  readonly #pending: AnyOperation[] = [];
  readonly #cancelled = new Set<AnyOperation>();
  readonly #provided: Block[] = [];
  readonly #completion: Completion = { slot: 0, generation: 0, result: 0, flags: 0, block: NONE, extra: 0, value: 0 };
  #idNext = 0;

  constructor(random: Random, options: KernelOptions) {
    this.#random = random;
    this.#options = options;
    const backend = this.#backend();
    const liveness = new Liveness((on) => (this.keepsAlive = on));
    const inflight = new Inflight(backend, liveness);
    this.inflight = inflight;
    const host = {
      backend,
      open: true,
      ended: false,
      fence: true,
      tracer: undefined,
      copies: 0,
      copying: new Set(),
      residents: new Set(),
      liveness,
      start: (operation: AnyOperation) => inflight.submit(operation),
      cancel: (operation: AnyOperation, cause: CancelCause) => inflight.cancel(operation, cause),
      watch(operation: AnyOperation, wanted: CancelOptions) {
        operation.watch(wanted, (target, cause) => inflight.cancel(target, cause));
      },
    } as unknown as Proactor & Record<'pool' | 'streamGroup', unknown>;
    this.host = host;
    Object.assign(host, {
      pool: new BufferPool(host, { classes: [{ size: 4096, count: 4 }], hugePages: false }),
      streamGroup: new BufferGroup(host, { size: options.blockSize, count: options.blocks }),
    });
  }

  get idle(): boolean {
    return this.#pending.length === 0;
  }

  /** Something that was asked to end has not ended so far. */
  get isCancelling(): boolean {
    return this.#cancelled.size > 0;
  }

  /** One operation of those pending goes on, or nothing happens. */
  step(): void {
    const operation = this.#pending.length === 0 ? undefined : this.#random.pick(this.#pending);
    if (operation === undefined) return;
    if (this.#cancelled.has(operation) && this.#random.chance(0.6)) this.#final(operation, ECANCELED);
    else if (operation.opcode === Opcode.POLL) this.#final(operation, 1);
    else if (this.#options.nonBlocking === true && this.#random.chance(0.2)) this.#final(operation, EAGAIN);
    else if (operation.opcode === Opcode.READ) this.#read(operation);
    else this.#select(operation);
  }

  #read(operation: AnyOperation): void {
    const memory = operation.block!.memory!;
    const count = this.#take(operation.length);
    if (count > 0) this.#fill(new Uint8Array(memory, operation.offset, count));
    this.#final(operation, count > 0 ? count : this.#end());
  }

  #select(operation: AnyOperation): void {
    const { flags, length } = operation;
    const isMultishot = (flags & MULTISHOT) !== 0;
    if (isMultishot && this.#options.refusesMultishot === true) return this.#final(operation, EBADFD);
    const block = this.#provided.shift();
    if (block === undefined) return this.#final(operation, ENOBUFS);
    const count = this.#take(length === 0 ? block.size : Math.min(length, block.size));
    if (count === 0) {
      this.#provided.unshift(block);
      return this.#final(operation, this.#end());
    }
    this.#fill(new Uint8Array(block.memory!, 0, count));
    const goesOn = isMultishot && this.#options.multishot !== false && this.#random.chance(0.9);
    this.#answer(operation, count, SELECTED | (goesOn ? MORE : 0), block.id);
  }

  /** How many bytes come now. */
  #take(most: number): number {
    const left = this.#options.length - this.delivered;
    const size = this.#random.chance(0.5) ? this.#random.below(most) + 1 : this.#random.below(Math.min(most, 30)) + 1;
    return Math.min(left, size);
  }

  #end(): number {
    return this.#options.end ?? 0;
  }

  #fill(target: Uint8Array): void {
    for (let at = 0; at < target.length; at += 1) target[at] = byteAt(this.delivered + at);
    this.delivered += target.length;
  }

  #final(operation: AnyOperation, result: number): void {
    this.#answer(operation, result, 0, NONE);
  }

  #answer(operation: AnyOperation, result: number, flags: number, block: number): void {
    if ((flags & MORE) === 0) {
      this.#pending.splice(this.#pending.indexOf(operation), 1);
      this.#cancelled.delete(operation);
    }
    const { slot, generation } = operation;
    this.inflight.settle(Object.assign(this.#completion, { slot, generation, result, flags, block }));
  }

  #provide(block: Block): void {
    if (this.#provided.includes(block)) throw new Error(`block ${block.id} is provided already`);
    if (block.memory === undefined || block.memory.detached) throw new Error(`block ${block.id} has no memory`);
    this.#provided.push(block);
  }

  #encode(operation: AnyOperation): void {
    this.#pending.push(operation);
    this.most = Math.max(this.most, this.#pending.length);
  }

  #backend(): Backend {
    const options = this.#options;
    const backend: Partial<Backend> = {
      inFlightMax: 64,
      features: { ...NOTHING, bufferSelect: true },
      encode: (operation) => this.#encode(operation),
      cancel: (operation) => {
        this.cancels += 1;
        if (this.#pending.includes(operation)) this.#cancelled.add(operation);
      },
      createPool: (classes) =>
        classes.map(([size, count], index): ClassLayout => {
          const first = this.#idNext;
          this.#idNext += count;
          return { group: index, first, size, count };
        }),
      registerGroup: () => options.selects !== false,
      expose: (block) => new ArrayBuffer(block.size),
      allocate: () => (this.#idNext += 1),
      pin: () => (this.#idNext += 1),
      unpin: () => {},
      lost: () => true,
      provide: (block) => this.#provide(block),
    };
    return backend as Backend;
  }
}
