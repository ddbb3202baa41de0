/**
 * Answers operations with `node:fs` and timers, where there is no ring: the same records, the same results.
 *
 * An operation is checked when it is encoded, begun at the end of the turn, and delivered together with all others
 * that finished meanwhile. Until it is begun it can be withdrawn; after that, only timers, reads and writes of pipes
 * and terminals can be cancelled, since Node ends no fs call, and of many reads as one those that it was not given.
 * Calls of `node:fs`, and writes of sockets, keep the process alive, whatever was said.
 *
 * Who calls: the proactor, from its thread. When calls are begun: `node/runner.ts`; how: `node/calls.ts`.
 */
import { AsyncResource } from 'node:async_hooks';
import { FAULT_CLOSED } from '../errors.js';
import { Fifo } from '../fifo.js';
import { NONE, REFUSED } from '../op.js';
import type { Block } from '../memory/block.js';
import type { Channel } from './node/channel.js';
import type { Completion, Operation } from '../op.js';
import { accept } from './node/accept.js';
import { BlockTable } from './node/blocks.js';
import { Call, FINISHED, OUT } from './node/call.js';
import { decodeAddress, encodeAddress } from './node/address.js';
import { borrow, closeFile } from './node/calls.js';
import { Datagrams } from './node/datagrams.js';
import { DescriptorTable } from './node/descriptors.js';
import { Runner } from './node/runner.js';
import { NOTHING } from './switches.js';
import type { Backend, ClassLayout, Counters, Features, Opened, Settle } from './backend.js';

const { setImmediate } = globalThis;

const IN_FLIGHT_MAX = 65_536;
/** Completions delivered before other work of the loop has its turn. */
const DELIVERY_MAX = 1024;
const ERRNO_LAST = -4095;
const NO_NUMBERS = new Float64Array(20);
const NO_ADDRESS = new Uint8Array();
const EBADF = -9;
const EMFILE = -24;
const ENOTSOCK = -88;
const EOPNOTSUPP = -95;
const EINVAL = -22;

export interface NodeBackendOptions {
  /** How many operations may have a slot at once; 4096 where not given. */
  readonly inFlightMax?: number | undefined;
}

/**
 * The `node` backend.
 * @example
 * const backend = new NodeBackend((completion) => inflight.settle(completion));
 * backend.encode(operation);
 */
export class NodeBackend implements Backend {
  readonly name = 'node';
  readonly features: Features = { ...NOTHING, bufferSelect: true, nopInject: true };
  readonly inFlightMax: number;
  onCollected: ((ids: readonly number[]) => void) | undefined = undefined;
  onBroken: (() => void) | undefined = undefined;
  readonly #settle: Settle;
  readonly cancelsAgain = true;
  readonly #blocks = new BlockTable((id) => this.onCollected?.([id]));
  readonly #descriptors = new DescriptorTable();
  readonly #tables = { blocks: this.#blocks, descriptors: this.#descriptors };
  readonly #runner = new Runner(this.#tables, (call) => this.#finished(call));
  /** Completions are delivered in a context of their own, not in the one of whoever came first. */
  readonly #scope = new AsyncResource('RITSU_NODE');
  readonly #completion: Completion = { slot: 0, generation: 0, result: 0, flags: 0, block: NONE, extra: 0, value: 0 };
  /** By slot, from `encode` until delivered. */
  readonly #calls: (Call | undefined)[] = [];
  readonly #ready = new Fifo<Call>();
  #numbers: Float64Array | undefined = undefined;
  #sender: Uint8Array | undefined = undefined;
  #deliveryDue = false;
  #closed = false;
  #submitted = 0;
  #completed = 0;
  #dispatches = 0;
  #faults = 0;
  #cancelsSent = 0;
  #budgetYields = 0;

  constructor(settle: Settle, options: NodeBackendOptions = {}) {
    this.#settle = settle;
    this.inFlightMax = options.inFlightMax ?? IN_FLIGHT_MAX;
  }

  encode(operation: Operation<unknown>): void {
    const call = new Call(operation);
    // Nobody can be told where the slot belongs to an operation that is still to be answered.
    if (this.#calls[call.slot] !== undefined) return void (this.#faults += 1);
    this.#calls[call.slot] = call;
    this.#submitted += 1;
    const refusal = this.#closed ? FAULT_CLOSED : accept(call, this.#tables);
    if (refusal === 0) return this.#runner.place(call);
    if (refusal < ERRNO_LAST) this.#faults += 1;
    call.state = FINISHED; // not to be withdrawn: it has nothing to give back
    call.result = refusal;
    call.flags = REFUSED;
    this.#finished(call);
  }

  cancel(operation: Operation<unknown>): void {
    const call = this.#calls[operation.slot];
    if (call === undefined || call.generation !== operation.generation) return;
    this.#cancelsSent += 1;
    this.#runner.withdraw(call);
  }

  cancelAll(): void {
    for (const call of this.#calls) {
      if (call === undefined) continue;
      this.#cancelsSent += 1;
      this.#runner.withdraw(call);
    }
  }

  numbers(_completion: Completion): Float64Array {
    return this.#numbers ?? NO_NUMBERS;
  }

  messageAddress(_completion: Completion): Uint8Array {
    return this.#sender ?? NO_ADDRESS;
  }

  provide(block: Block, group: number): void {
    if (this.#blocks.provide(group, block.id) !== 0) this.#faults += 1;
  }

  adopt(fd: number): Opened | number {
    const descriptor = borrow(fd);
    if (typeof descriptor === 'number') return descriptor;
    const id = this.#descriptors.add(descriptor);
    return id === undefined ? EMFILE : { descriptor: id, fd };
  }

  address(descriptor: number, peer: boolean): Uint8Array | number {
    const channel = this.#channel(descriptor);
    if (typeof channel === 'number') return channel;
    const address = channel.address(peer);
    return typeof address === 'number' ? address : encodeAddress(address);
  }

  setOption(descriptor: number, option: number, value: number): number {
    const channel = this.#channel(descriptor);
    return typeof channel === 'number' ? channel : channel.setOption(option, value);
  }

  /** Node tells only the sizes of a datagram socket's buffers. */
  option(descriptor: number, option: number): number {
    const channel = this.#channel(descriptor);
    if (typeof channel === 'number') return channel;
    return channel instanceof Datagrams ? channel.option(option) : EOPNOTSUPP;
  }

  membership(descriptor: number, join: boolean, group: Uint8Array, over: Uint8Array | undefined): number {
    const channel = this.#channel(descriptor);
    if (typeof channel === 'number') return channel;
    const address = decodeAddress(group);
    if (!(channel instanceof Datagrams) || address === undefined) return EINVAL;
    return channel.membership(join, address.address, over && decodeAddress(over)?.address);
  }

  createPool(classes: readonly (readonly [size: number, count: number])[], _hugePages: boolean): ClassLayout[] {
    return this.#blocks.createPool(classes);
  }

  /** There is nobody to register memory with. */
  registerPool(_classes: readonly ClassLayout[]): number {
    return 0;
  }

  registerGroup(): boolean {
    return true;
  }

  expose(block: Block): ArrayBuffer {
    return this.#blocks.expose(block);
  }

  allocate(size: number): number {
    return this.#blocks.allocate(size);
  }

  pin(memory: ArrayBuffer): number {
    return this.#blocks.pin(memory);
  }

  unpin(id: number): void {
    this.#blocks.unpin(id);
  }

  lost(block: Block): boolean {
    return this.#blocks.lost(block);
  }

  /** What a ring counts is given its counterpart: a call to `node:fs` for an enter, a delivery for a wake and a round. */
  counters(): Counters {
    return {
      submitted: this.#submitted,
      completed: this.#completed,
      enters: this.#runner.begun,
      wakes: this.#dispatches,
      rounds: this.#dispatches,
      dispatches: this.#dispatches,
      faults: this.#faults,
      withdrawn: this.#runner.withdrawn,
      cancelsSent: this.#cancelsSent,
      retries: this.#runner.retries,
      poolBytes: this.#blocks.poolBytes,
      ownBytes: this.#blocks.ownBytes,
      inFlight: this.#submitted - this.#completed,
      descriptorsOpen: this.#descriptors.count,
      blocksBusy: this.#blocks.busy,
      blocksProvided: this.#blocks.provided,
      overflows: 0, stale: 0, registeredBytes: 0, leakedBytes: 0,
      budgetYields: this.#budgetYields,
    };
  }

  setKeepAlive(on: boolean): void {
    this.#runner.clock.setKeepAlive(on);
  }

  flush(): void {
    this.#runner.flush();
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#runner.clock.end();
    const open = [...this.#descriptors.drain()];
    await Promise.all(open.map((descriptor) => new Promise((resolve) => closeFile(descriptor, resolve))));
  }

  /** Node ends no call and cannot be waited for: what it still has is left, and its answers go nowhere. */
  abandon(_deadline: number): number {
    this.#closed = true;
    this.#runner.clock.end();
    this.cancelAll();
    while (this.#ready.length > 0) this.#deliver();
    this.#runner.abandon();
    return this.#calls.filter((call) => call?.state === OUT).length;
  }

  #channel(descriptor: number): Channel | number {
    const found = this.#descriptors.get(descriptor);
    if (found === undefined) return EBADF;
    return found.channel ?? ENOTSOCK;
  }

  #finished(call: Call): void {
    this.#ready.push(call);
    this.#scheduleDelivery();
  }

  #scheduleDelivery(): void {
    if (this.#deliveryDue) return;
    this.#deliveryDue = true;
    setImmediate(() => this.#scope.runInAsyncScope(this.#deliver, this));
  }

  #deliver(): void {
    this.#deliveryDue = false;
    this.#dispatches += 1;
    let count = Math.min(this.#ready.length, DELIVERY_MAX);
    try {
      for (; count > 0; count -= 1) this.#deliverOne(this.#ready.shift()!);
    } finally {
      if (this.#ready.length > 0) {
        this.#budgetYields += 1;
        this.#scheduleDelivery();
      }
    }
  }

  #deliverOne(call: Call): void {
    const completion = this.#completion;
    completion.slot = call.slot;
    completion.generation = call.generation;
    completion.result = call.result;
    completion.flags = call.flags;
    completion.block = call.block;
    completion.extra = call.extra;
    completion.value = call.value;
    this.#numbers = call.numbers;
    this.#sender = call.sender;
    this.#calls[call.slot] = undefined;
    this.#completed += 1;
    this.#settle(completion);
    this.#watchLease(call);
  }

  /** After a read: its pool block may be with a caller now, who may forget it. */
  #watchLease(call: Call): void {
    const id = call.block === NONE ? call.blocks[0] : call.block;
    if (call.result >= 0 && id !== undefined) this.#blocks.watchLease(id, call.views[0]!.buffer as ArrayBuffer);
  }
}
