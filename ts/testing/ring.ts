/**
 * The simulated ring: a `Backend`. It takes ops, checks them as the boundary does, hands them to the simulated kernel, and
 * delivers completions, by itself at the loop's pace or when told to (`step`).
 *
 * It is stricter than a ring: what the library must never do, it throws. Who calls: the proactor, and `Simulation`.
 */
import { AsyncResource } from 'node:async_hooks';
import { FAULT_CLOSED } from '../errors.js';
import { accept } from '../backend/node/accept.js';
import { BlockTable } from '../backend/node/blocks.js';
import { DescriptorTable } from '../backend/node/descriptors.js';
import { NOTHING } from '../backend/switches.js';
import { MORE, NONE, Opcode, REFUSED } from '../op.js';
import type { Block } from '../memory/block.js';
import type { Backend, ClassLayout, Counters, Features, Opened, Settle } from '../backend/backend.js';
import type { Completion, Operation } from '../op.js';
import type { Timers } from '../timers.js';
import { RingCall } from './call.js';
import type { Entry } from './call.js';
import type { BufferSizes } from './connection.js';
import type { Faults } from './faults.js';
import { Kernel, entryOf } from './kernel.js';
import { Network } from './network.js';
import { shut } from './opened.js';
import { addressOf, adopt, membership, optionOf, setOption } from './questions.js';
import { Random } from './random.js';
import { sampleOf, stillThere } from './rules.js';
import { describe } from './trace.js';
import type { Trace } from './trace.js';
import type { RingClock, World } from './world.js';

const { setImmediate } = globalThis;

const ERRNO_LAST = -4095;
const EBADF = -9;
const NO_NUMBERS = new Float64Array(20);
const NO_ADDRESS = new Uint8Array();

export interface RingOptions {
  readonly faults: Faults;
  readonly trace: Trace;
  readonly clock: RingClock;
  /** Undefined: deadlines are the process's. */
  readonly timers: Timers | undefined;
  readonly buffers: BufferSizes;
  readonly inFlightMax: number;
  /** Deliver at the loop's pace, without being told to. */
  readonly automatic: boolean;
}

export class SimulatedRing implements Backend {
  readonly name = 'simulated';
  readonly features: Features = { ...NOTHING, bufferSelect: true, multishot: true, zeroCopy: true, nopInject: true };
  readonly inFlightMax: number;
  readonly timers?: Timers;
  onCollected: ((ids: readonly number[]) => void) | undefined = undefined;
  onBroken: (() => void) | undefined = undefined;
  readonly #settle: Settle;
  readonly #trace: Trace;
  readonly #world: World;
  readonly #kernel: Kernel;
  readonly #automatic: boolean;
  readonly #scope = new AsyncResource('RITSU_SIMULATED');
  readonly #completion: Completion = { slot: 0, generation: 0, result: 0, flags: 0, block: NONE, extra: 0, value: 0 };
  /** By slot, from `encode` until the final completion is delivered. */
  readonly #calls: (RingCall | undefined)[] = [];
  #entry: Entry | undefined = undefined;
  #due = false;
  #closed = false;
  #submitted = 0;
  #completed = 0;
  #dispatches = 0;
  #cancelsSent = 0;
  #withdrawn = 0;

  constructor(settle: Settle, options: RingOptions) {
    const { trace, faults, clock } = options;
    const random = new Random(trace.seed);
    this.#settle = settle;
    this.#trace = trace;
    this.inFlightMax = options.inFlightMax;
    if (options.timers !== undefined) this.timers = options.timers;
    this.#automatic = options.automatic;
    const blocks = new BlockTable((id) => this.onCollected?.([id]));
    const network = new Network(random, faults, options.buffers);
    this.#world = { random, faults, trace, blocks, descriptors: new DescriptorTable(), network, clock, fifos: new Map(), rang: (call) => this.#rang(call) };
    this.#kernel = new Kernel(this.#world, (entries) => this.#deliver(entries));
  }

  encode(operation: Operation<unknown>): void {
    const call = new RingCall(operation);
    const before = this.#calls[call.slot];
    if (before !== undefined) this.#trace.broken(`slot ${call.slot} is given to a second op, it has ${describe(before)}`);
    this.#calls[call.slot] = call;
    this.#submitted += 1;
    this.#trace.call('encode', call);
    const refusal = this.#closed ? FAULT_CLOSED : this.#accept(call);
    if (refusal === EBADF || refusal < ERRNO_LAST) {
      this.#trace.broken(`${describe(call)} was refused (${refusal}): a descriptor or a block that it may not use`);
    }
    this.schedule();
    if (refusal === 0) return this.#place(call);
    call.stage = 'over';
    this.#kernel.post(entryOf(call, { result: refusal }, REFUSED));
  }

  cancel(operation: Operation<unknown>): void {
    const call = this.#calls[operation.slot];
    if (call !== undefined && call.generation === operation.generation) this.#cancel(call);
  }

  cancelAll(): void {
    for (const call of this.#calls) if (call !== undefined) this.#cancel(call);
  }

  numbers(_completion: Completion): Float64Array {
    return this.#entry?.numbers ?? NO_NUMBERS;
  }

  messageAddress(_completion: Completion): Uint8Array {
    return this.#entry?.sender ?? NO_ADDRESS;
  }

  provide(block: Block, group: number): void {
    const fault = this.#world.blocks.provide(group, block.id);
    if (fault !== 0) this.#trace.broken(`block ${block.id} cannot be provided (${fault}): it is in use, or its memory is elsewhere`);
    this.#trace.note(`provide ${block.id} to ${group}`);
    this.schedule();
  }

  adopt(fd: number): Opened | number {
    return adopt(fd, this.#world);
  }

  address(descriptor: number, peer: boolean): Uint8Array | number {
    return addressOf(this.#world, descriptor, peer);
  }

  setOption(descriptor: number, option: number, value: number): number {
    return setOption(this.#world, descriptor, option, value);
  }

  option(descriptor: number, option: number): number {
    return optionOf(this.#world, descriptor, option);
  }

  membership(descriptor: number, join: boolean, group: Uint8Array): number {
    return membership(this.#world, descriptor, join, group);
  }

  createPool(classes: readonly (readonly [size: number, count: number])[]): ClassLayout[] {
    return this.#world.blocks.createPool(classes);
  }

  registerPool(): number {
    return 0;
  }

  registerGroup(): boolean {
    return true;
  }

  expose(block: Block): ArrayBuffer {
    return this.#world.blocks.expose(block);
  }

  allocate(size: number): number {
    return this.#world.blocks.allocate(size);
  }

  pin(memory: ArrayBuffer): number {
    return this.#world.blocks.pin(memory);
  }

  unpin(id: number): void {
    this.#world.blocks.unpin(id);
  }

  lost(block: Block): boolean {
    return this.#world.blocks.lost(block);
  }

  counters(): Counters {
    const { blocks, descriptors } = this.#world;
    const none = { overflows: 0, faults: 0, stale: 0, retries: 0, registeredBytes: 0, leakedBytes: 0, budgetYields: 0 };
    return {
      ...none,
      submitted: this.#submitted,
      completed: this.#completed,
      enters: this.#kernel.attempts,
      wakes: this.#dispatches,
      rounds: this.#dispatches,
      dispatches: this.#dispatches,
      withdrawn: this.#withdrawn,
      cancelsSent: this.#cancelsSent,
      poolBytes: blocks.poolBytes,
      ownBytes: blocks.ownBytes,
      inFlight: this.#submitted - this.#completed,
      descriptorsOpen: descriptors.count,
      blocksBusy: blocks.busy,
      blocksProvided: blocks.provided,
    };
  }

  setKeepAlive(on: boolean): void {
    this.#world.clock.setKeepAlive(on);
  }

  flush(): void {
    this.#kernel.submit();
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#world.clock.end();
    for (const descriptor of this.#world.descriptors.drain()) shut(descriptor);
  }

  abandon(_deadline: number): number {
    this.#world.clock.end();
    this.cancelAll();
    while (this.#submitted > this.#completed && this.step());
    this.#closed = true;
    return this.#submitted - this.#completed;
  }

  /** One step of the kernel. False: nothing can happen any more by itself. */
  step(): boolean {
    return this.#scope.runInAsyncScope(() => this.#kernel.step());
  }

  /** Something may happen now: see to it, soon. */
  schedule(): void {
    if (this.#due || !this.#automatic) return;
    this.#due = true;
    setImmediate(() => {
      this.#due = false;
      if (this.step()) this.schedule();
    });
  }

  #rang(call: RingCall): void {
    this.#kernel.rang(call);
    this.schedule();
  }

  #accept(call: RingCall): number {
    if (call.operation.opcode !== Opcode.POLL) return accept(call, this.#world);
    call.descriptor = this.#world.descriptors.get(call.operation.descriptor);
    return call.descriptor === undefined ? EBADF : 0;
  }

  #place(call: RingCall): void {
    const { descriptor } = call;
    call.sample = sampleOf(call);
    if (descriptor !== undefined && call.operation.opcode === Opcode.CLOSE) {
      descriptor.closing = call;
      if (descriptor.holders > 0) return;
    } else if (descriptor !== undefined) descriptor.holders += 1;
    this.#kernel.place(call);
  }

  #cancel(call: RingCall): void {
    if (call.operation.opcode === Opcode.CLOSE) return;
    this.#cancelsSent += 1;
    this.#trace.call('cancel', call);
    if (this.#kernel.cancel(call)) this.#withdrawn += 1;
    this.schedule();
  }

  #deliver(entries: readonly Entry[]): void {
    this.#dispatches += 1;
    for (const entry of entries) this.#deliverOne(entry);
  }

  #deliverOne(entry: Entry): void {
    const { call, result, flags, block, extra, value } = entry;
    const { slot, generation } = call;
    const { blocks } = this.#world;
    this.#trace.completion('deliver', call, result, flags, block);
    if (block !== NONE) blocks.giveBack(block);
    if ((flags & MORE) === 0) this.#letGo(call);
    this.#entry = entry;
    this.#settle(Object.assign(this.#completion, { slot, generation, result, flags, block, extra, value }));
    this.#entry = undefined;
  }

  #letGo(call: RingCall): void {
    const { descriptor } = call;
    if (this.#calls[call.slot] !== call) this.#trace.broken(`a second final completion of ${describe(call)}`);
    stillThere(call, this.#trace);
    for (const id of call.blocks) this.#world.blocks.giveBack(id);
    this.#calls[call.slot] = undefined;
    this.#completed += 1;
    if (descriptor === undefined || descriptor.closing === call) return;
    descriptor.holders -= 1;
    if (descriptor.holders === 0 && descriptor.closing !== undefined) this.#kernel.place(descriptor.closing as RingCall);
  }
}
