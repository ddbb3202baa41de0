/**
 * The ring: encodes operations into the submission page and reads completions from the completion page, both shared
 * with Rust (`crates/ritsu-napi`). Rust takes the page at the end of each turn of the loop by itself; a full page is
 * handed over at once.
 */
import type { Block } from '../memory/block.js';
import { ASYNCHRONOUS, NONE, Opcode } from '../op.js';
import type { Completion, Operation } from '../op.js';
import type { Backend, ClassLayout, Counters, Features, Opened, Settle } from './backend.js';
import * as company from './company.js';
import { Layout, loadNative } from './native.js';
import type { NativeConfig, NativeProactor } from './native.js';

const WORDS = Layout.SUBMISSION_SIZE / 4;
const FIRST_WORD = Layout.SUBMISSIONS / 4;
const DOUBLES = Layout.SUBMISSION_SIZE / 8;
const FIRST_DOUBLE = Layout.SUBMISSIONS / 8;
const COMPLETION_WORDS = Layout.COMPLETION_SIZE / 4;
const FIRST_COMPLETION = Layout.COMPLETIONS / 4;

const EAGAIN = -11;
const SENDABLE = 2 ** 20;

// Words of the header.
const COUNT = 0;
const ARGUMENT_USED = 1;
const REFERENCED = 2;
const COLLECTED = 3;
const CLOSED = 4;
const COMPANY = 5;
const KEEP_ALIVE = 6;

const COUNTER_NAMES = [
  'submitted', 'completed', 'enters', 'wakes', 'rounds', 'dispatches', 'overflows', 'faults', 'withdrawn',
  'cancelsSent', 'stale', 'retries', 'registeredBytes', 'poolBytes', 'ownBytes', 'inFlight', 'descriptorsOpen',
  'blocksBusy', 'blocksProvided', 'leakedBytes', 'budgetYields',
] as const satisfies readonly (keyof Counters)[];

export class UringBackend implements Backend {
  readonly name = 'uring';
  readonly features: Features;
  readonly inFlightMax: number;
  onCollected: ((ids: readonly number[]) => void) | undefined = undefined;
  onBroken: (() => void) | undefined = undefined;
  readonly #native: NativeProactor;
  readonly #settle: Settle;
  readonly #words: Uint32Array;
  readonly #integers: Int32Array;
  readonly #doubles: Float64Array;
  readonly #arguments: Uint8Array;
  readonly #completion: Completion = { slot: 0, generation: 0, result: 0, flags: 0, block: NONE, extra: 0, value: 0 };
  /** Bytes that may be sent at once before something completes: a program that goes on sending lets others have their turn. */
  #sendable = SENDABLE;

  constructor(settle: Settle, config: NativeConfig & { inFlightMax: number }) {
    const { NativeProactor } = loadNative();
    this.#settle = settle;
    this.#native = new NativeProactor(config, (count) => this.#dispatch(count));
    this.inFlightMax = config.inFlightMax;
    const { bufferSelect, multishotReceive: multishot, zeroCopy, deferTaskrun, nopInject, ...others } = this.#native.capability();
    const registeredBuffers = others.registeredBuffers && config.disable?.['registeredBuffers'] !== true;
    this.features = { bufferSelect, registeredBuffers, multishot, zeroCopy, deferTaskrun, nopInject, direct: true };
    const page = this.#native.page();
    this.#words = new Uint32Array(page);
    this.#integers = new Int32Array(page);
    this.#doubles = new Float64Array(page);
    this.#arguments = new Uint8Array(page, Layout.ARGUMENTS, Layout.ARGUMENTS_SIZE);
    company.join(this);
  }

  /** Another copy of this package has rings in this thread. */
  meet(): void {
    this.#words[COMPANY] = 1;
  }

  encode(operation: Operation<unknown>): void {
    const words = this.#words;
    const { argument } = operation;
    if (argument !== undefined) this.#makeRoom(argument.length);
    const index = words[COUNT]!;
    const word = FIRST_WORD + index * WORDS;
    const double = FIRST_DOUBLE + index * DOUBLES;
    words[word] = operation.opcode;
    words[word + 1] = operation.slot;
    words[word + 2] = operation.generation;
    words[word + 3] = operation.descriptor;
    words[word + 4] = operation.blockId;
    words[word + 5] = operation.offset;
    words[word + 6] = operation.length;
    words[word + 7] = operation.flags;
    this.#doubles[double + 4] = operation.position;
    this.#doubles[double + 5] = operation.extra;
    words[word + 13] = 0;
    if (argument !== undefined) this.#encodeArgument(argument, word);
    words[word + 14] = operation.target;
    words[word + 15] = operation.options & ASYNCHRONOUS;
    this.#advance(index);
  }

  /** Rust reads no other words of its record; nor of that of `provide`. */
  cancel(operation: Operation<unknown>): void {
    const words = this.#words;
    const index = words[COUNT]!;
    const word = FIRST_WORD + index * WORDS;
    words[word] = Opcode.CANCEL;
    words[word + 14] = operation.slot;
    words[word + 15] = operation.generation;
    this.#advance(index);
  }

  cancelAll(): void {
    this.#native.cancelAll();
  }

  numbers(completion: Completion): Float64Array {
    const first = (Layout.RESULTS + completion.extra) / 8;
    return new Float64Array(this.#words.buffer, first * 8, completion.value);
  }

  messageAddress(completion: Completion): Uint8Array {
    const word = (Layout.RESULTS + completion.extra) / 4;
    return new Uint8Array(this.#words.buffer, (word + 1) * 4, this.#words[word]);
  }

  provide(block: Block, group: number): void {
    const words = this.#words;
    const index = words[COUNT]!;
    const word = FIRST_WORD + index * WORDS;
    words[word] = Opcode.PROVIDE;
    words[word + 4] = block.id;
    words[word + 14] = group;
    this.#advance(index);
  }

  adopt(fd: number): Opened | number {
    const adopted = this.#native.adopt(fd);
    return typeof adopted === 'number' ? adopted : { descriptor: adopted[0], fd: adopted[1] };
  }

  address(descriptor: number, peer: boolean): Uint8Array | number {
    const address = this.#native.address(descriptor, peer);
    return typeof address === 'number' ? address : Uint8Array.from(address);
  }

  sendNow(descriptor: number, memory: ArrayBuffer, offset: number, length: number): number {
    if (this.#sendable <= 0) return EAGAIN;
    const sent = this.#native.sendNow(descriptor, memory, offset, length);
    if (sent > 0) this.#sendable -= sent;
    else if (sent !== EAGAIN) this.#sendable = 0; // errors are for nothing: the next one goes through the ring, and the loop turns
    return sent;
  }

  setOption(descriptor: number, option: number, value: number): number {
    return this.#native.setOption(descriptor, option, value);
  }

  option(descriptor: number, option: number): number {
    return this.#native.option(descriptor, option);
  }

  membership(descriptor: number, join: boolean, group: Uint8Array, over: Uint8Array | undefined): number {
    return this.#native.membership(descriptor, join, [...group], over && [...over]);
  }

  createPool(classes: readonly (readonly [size: number, count: number])[], hugePages: boolean): ClassLayout[] {
    const pairs = classes.map(([size, count]): [number, number] => [size, count]);
    return this.#native.createPool(pairs, hugePages).map(([group, first, size, count]) => ({ group, first, size, count }));
  }

  registerPool(classes: readonly ClassLayout[]): number {
    let bytes = 0;
    for (const { first, size, count } of classes) {
      const registered = this.#native.registerPool(first, count);
      bytes += registered * size;
      if (registered < count) break;
    }
    return bytes;
  }

  registerGroup(layout: ClassLayout): boolean {
    return this.features.bufferSelect && this.#native.registerGroup(layout.group);
  }

  expose(block: Block): ArrayBuffer {
    return this.#native.expose(block.id);
  }

  allocate(size: number): number {
    return this.#native.allocate(size);
  }

  pin(memory: ArrayBuffer): number {
    return this.#native.pin(memory);
  }

  unpin(id: number): void {
    this.#native.unpin(id);
  }

  lost(): boolean {
    return false; // Rust says so when nothing can reach the memory any more
  }

  counters(): Counters {
    if (this.#words[CLOSED] === 0) this.#native.flush(); // the native side writes them then
    const counters = {} as Counters;
    const first = Layout.COUNTERS / 8;
    COUNTER_NAMES.forEach((name, index) => {
      counters[name] = this.#doubles[first + index]!;
    });
    return counters;
  }

  /** Rust looks at the end of each turn; the loop might not come to that, if nothing keeps it alive so far. */
  setKeepAlive(on: boolean): void {
    this.#words[KEEP_ALIVE] = on ? 1 : 0;
    if (on && this.#words[REFERENCED] === 0) this.#native.reference();
  }

  flush(): void {
    this.#native.flush();
  }

  close(): Promise<void> {
    // What the page has by now is no op: a cancel that came too late, a block for a group.
    if (this.#words[COUNT] !== 0 && this.#words[CLOSED] === 0) this.#native.flush();
    company.leave(this);
    return new Promise((resolve) => this.#native.close(resolve));
  }

  abandon(deadline: number): number {
    company.leave(this);
    return this.#native.abandon(deadline);
  }

  /** Called by Rust, once per batch. */
  #dispatch(count: number): void {
    const completion = this.#completion;
    const words = this.#words;
    this.#sendable = SENDABLE;
    for (let index = 0; index < count; index += 1) {
      const word = FIRST_COMPLETION + index * COMPLETION_WORDS;
      completion.slot = words[word]!;
      completion.generation = words[word + 1]!;
      completion.result = this.#integers[word + 2]!;
      completion.flags = words[word + 3]!;
      completion.block = words[word + 4]!;
      completion.extra = words[word + 5]!;
      completion.value = this.#doubles[word / 2 + 3]!;
      this.#settle(completion);
    }
    if (words[COLLECTED] !== 0) this.onCollected?.(this.#native.collected());
    if (words[CLOSED] !== 0) this.onBroken?.();
  }

  #makeRoom(length: number): void {
    if (this.#words[ARGUMENT_USED]! + length > Layout.ARGUMENTS_SIZE) this.#native.flush();
  }

  #encodeArgument(argument: Uint8Array, word: number): void {
    const offset = this.#words[ARGUMENT_USED]!;
    this.#arguments.set(argument, offset);
    this.#words[word + 12] = offset;
    this.#words[word + 13] = argument.length;
    this.#words[ARGUMENT_USED] = (offset + argument.length + 7) & ~7;
  }

  #advance(index: number): void {
    this.#words[COUNT] = index + 1;
    if (index + 1 === Layout.SUBMISSION_COUNT) this.#native.flush();
  }
}
