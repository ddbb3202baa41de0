/**
 * The asking side of a remote handle: a backend whose operations are answered by another thread's proactor. Above it
 * everything is as ever (slots, promises, pool, styles, cancellation), and belongs to this thread.
 *
 * Operations of a turn go as one message, in order; at most `inFlightMax` are out at once, the others wait here. Memory
 * stays in this thread: what is read comes in memory of the owner's and takes the place of the block's.
 *
 * States: joining (until the owner's welcome; operations go out meanwhile) -> open -> closed, or gone: the owner's thread
 * has ended, and what was out is failed.
 */
import type { MessagePort } from 'node:worker_threads';
import type { Backend, BackendKind, Counters, Features, Opened, Settle } from '../backend/backend.js';
import { NOTHING } from '../backend/switches.js';
import { FAULT_CLOSED, closedError } from '../errors.js';
import { MORE, NONE, Opcode } from '../op.js';
import type { Completion, Operation } from '../op.js';
import { LocalMemory, isRead } from './local-memory.js';
import { Questions } from './questions.js';
import { argumentOf, record, recordCancel } from './record.js';
import { RecordReader, RecordWriter, sharedRecords } from './records.js';
import { ANSWER_FIELDS, ASK_FIELDS, Answer } from './wire.js';
import type { Batch } from './records.js';
import type { Call, Detail, Request, Response } from './wire.js';

const NO_NUMBERS = new Float64Array(20);
const NO_ADDRESS = new Uint8Array();
const ERRNO_LAST = -4095;

/** What a `Detail` said of a socket. */
interface Addresses {
  readonly local: Uint8Array | number;
  readonly peer: Uint8Array | number;
}

export class RemoteBackend extends LocalMemory implements Backend {
  readonly name: BackendKind = 'remote';
  readonly inFlightMax: number;
  readonly cancelsAgain = true;
  features: Features = NOTHING;
  onBroken: (() => void) | undefined = undefined;
  readonly #port: MessagePort;
  readonly #settle: Settle;
  readonly #questions = new Questions((call) => this.#call(call));
  /** By slot, from `encode` to the final completion. */
  readonly #operations: (Operation<unknown> | undefined)[] = [];
  readonly #addresses = new Map<number, Addresses>();
  readonly #completion: Completion = { slot: 0, generation: 0, result: 0, flags: 0, block: NONE, extra: 0, value: 0 };
  readonly #joined = Promise.withResolvers<Features>();
  readonly #left = Promise.withResolvers<void>();
  readonly #asks: RecordWriter<Uint8Array>;
  readonly #answers: RecordReader<ArrayBuffer | Detail>;
  #postDue = false;
  #detail: Detail | undefined = undefined;
  #keepsAlive = false;
  /** Until the owner's welcome the port keeps the process alive. */
  #isWelcome = false;
  #closed = false;
  #gone = false;
  #counts = { submitted: 0, completed: 0, enters: 0, wakes: 0, faults: 0, cancelsSent: 0 };

  constructor(port: MessagePort, settle: Settle, inFlightMax: number) {
    super();
    this.#port = port;
    this.#settle = settle;
    this.inFlightMax = inFlightMax;
    const asks = sharedRecords(ASK_FIELDS);
    const answers = sharedRecords(ANSWER_FIELDS);
    this.#asks = new RecordWriter(asks, ASK_FIELDS);
    this.#answers = new RecordReader(answers, ANSWER_FIELDS);
    port.on('message', (response: Response) => this.#receive(response));
    port.on('close', () => this.#lose());
    this.#post({ kind: 'join', asks, answers });
  }

  /** Resolves when the owner has answered; rejects when it is gone. */
  get joined(): Promise<Features> {
    return this.#joined.promise;
  }

  encode(operation: Operation<unknown>): void {
    const { opcode } = operation;
    this.#operations[operation.slot] = operation;
    this.#counts.submitted += 1;
    const payload = this.#closed || this.#gone ? FAULT_CLOSED : this.lendOut(operation);
    if (typeof payload === 'number') return void setImmediate(() => this.#answerHere(operation, payload));
    if (opcode === Opcode.CLOSE) this.#addresses.delete(operation.descriptor);
    const length = payload === undefined ? operation.length : payload.length;
    record(this.#asks, operation, length, this.#addPart(argumentOf(operation)), this.#addPart(payload));
    this.#schedule();
  }

  cancel(operation: Operation<unknown>): void {
    // Not the operation itself: a write that goes along in another one's has its slot.
    const target = this.#operations[operation.slot];
    if (target?.generation !== operation.generation) return;
    this.#counts.cancelsSent += 1;
    recordCancel(this.#asks, operation);
    this.#schedule();
  }

  cancelAll(): void {
    for (const operation of this.#pending()) this.cancel(operation);
  }

  messageAddress(_completion: Completion): Uint8Array {
    return this.#detail?.sender ?? NO_ADDRESS;
  }

  numbers(_completion: Completion): Float64Array {
    return this.#detail?.numbers ?? NO_NUMBERS;
  }

  adopt(fd: number): Opened | number {
    return this.#questions.adopt(fd);
  }

  /** Told with the socket; asked for where that was not enough (a datagram socket may learn its peer later). */
  address(descriptor: number, peer: boolean): Uint8Array | number {
    const known = this.#addresses.get(descriptor);
    const address = peer ? known?.peer : known?.local;
    return address instanceof Uint8Array ? address : this.#questions.address(descriptor, peer);
  }

  setOption(descriptor: number, option: number, value: number): number {
    return this.#questions.number('setOption', [descriptor, option, value]);
  }

  option(descriptor: number, option: number): number {
    return this.#questions.number('option', [descriptor, option]);
  }

  membership(descriptor: number, join: boolean, group: Uint8Array, over: Uint8Array | undefined): number {
    return this.#questions.number('membership', [descriptor, join, group, over]);
  }

  /** An enter is a batch that went out, a wake one that came in. */
  counters(): Counters {
    const { submitted, completed, enters, wakes, faults, cancelsSent } = this.#counts;
    const none = { rounds: wakes, dispatches: wakes, overflows: 0, withdrawn: 0, stale: 0, retries: 0, registeredBytes: 0 };
    return {
      ...none, submitted, completed, enters, wakes, faults, cancelsSent,
      poolBytes: this.blocks.poolBytes,
      ownBytes: this.blocks.ownBytes,
      inFlight: submitted - completed,
      descriptorsOpen: this.#addresses.size,
      blocksBusy: this.blocks.busy,
      blocksProvided: 0,
      leakedBytes: 0,
      budgetYields: 0,
    };
  }

  setKeepAlive(on: boolean): void {
    this.#keepsAlive = on;
    if (this.#isWelcome) this.#hold(on);
  }

  flush(): void {
    this.#postDue = false;
    if (this.#asks.isEmpty) return;
    this.#counts.enters += 1;
    if (!this.#gone) this.#asks.send(this.#port);
  }

  async close(): Promise<void> {
    if (this.#gone) return;
    this.flush();
    this.#closed = true;
    this.#port.ref();
    this.#post({ kind: 'close' });
    await this.#left.promise;
  }

  /** Nothing of this thread is with the owner but copies: whoever waits has its memory back. */
  abandon(_deadline: number): number {
    if (this.#gone) return 0;
    const left = this.#pending().length;
    this.#leave();
    return left;
  }

  #pending(): Operation<unknown>[] {
    return this.#operations.filter((operation) => operation !== undefined);
  }

  #addPart(part: Uint8Array | undefined): number {
    return part === undefined ? -1 : this.#asks.addPart(part, part.buffer as ArrayBuffer);
  }

  #schedule(): void {
    if (this.#postDue) return;
    this.#postDue = true;
    process.nextTick(() => this.flush());
  }

  #post(request: Request): void {
    if (!this.#gone) this.#port.postMessage(request);
  }

  #receive(response: Response): void {
    if (typeof response === 'number' || response.kind === 'batch') return this.#deliver(response);
    if (response.kind !== 'welcome') return this.#lose();
    this.features = response.features;
    this.#joined.resolve(response.features);
    this.#isWelcome = true;
    this.#hold(this.#keepsAlive);
  }

  #deliver(batch: Batch<ArrayBuffer | Detail>): void {
    const answers = this.#answers;
    this.#counts.wakes += 1;
    if (!answers.add(batch)) return this.#lose();
    while (answers.next()) {
      const { words, at, parts } = answers;
      const operation = this.#operations[words[at + Answer.SLOT]!];
      if (operation === undefined || operation.generation !== words[at + Answer.GENERATION]) continue;
      const completion = this.#completion;
      completion.result = words[at + Answer.RESULT]!;
      completion.flags = words[at + Answer.FLAGS]!;
      completion.extra = words[at + Answer.EXTRA]!;
      completion.value = words[at + Answer.VALUE]!;
      const memory = words[at + Answer.MEMORY]!;
      if (memory >= 0) this.fill(operation, parts[memory] as ArrayBuffer, completion.result);
      const detail = words[at + Answer.DETAIL]!;
      this.#detail = detail < 0 ? undefined : (parts[detail] as Detail);
      if (this.#detail !== undefined) this.#keepAddresses(completion.value, this.#detail);
      this.#finish(operation, completion);
    }
    answers.release();
  }

  #keepAddresses(descriptor: number, { local, peer }: Detail): void {
    if (local !== undefined && peer !== undefined) this.#addresses.set(descriptor, { local, peer });
  }

  #finish(operation: Operation<unknown>, completion: Completion): void {
    const { slot, generation, block } = operation;
    completion.slot = slot;
    completion.generation = generation;
    if ((completion.flags & MORE) === 0) {
      this.#operations[slot] = undefined;
      this.#counts.completed += 1;
      if (block !== undefined) this.blocks.giveBack(block.id);
    }
    const memory = block?.memory;
    this.#settle(completion);
    if (completion.result >= 0 && memory !== undefined && isRead(operation)) this.blocks.watchLease(block!.id, memory);
  }

  #answerHere(operation: Operation<unknown>, result: number): void {
    if (this.#operations[operation.slot] !== operation) return;
    if (result < ERRNO_LAST) this.#counts.faults += 1;
    const completion = this.#completion;
    Object.assign(completion, { result, flags: 0, extra: 0, value: 0 });
    this.#finish(operation, completion);
  }

  #hold(on: boolean): void {
    if (this.#gone) return;
    if (on || this.#closed) this.#port.ref();
    else this.#port.unref();
  }

  /** False: there is nobody to ask. */
  #call(call: Call): boolean {
    if (this.#gone || this.#closed) return false;
    this.flush();
    this.#post({ kind: 'call', call });
    return true;
  }

  /** The owner is gone, or has closed. */
  #lose(): void {
    if (this.#gone) return;
    this.#leave();
    if (!this.#closed) this.onBroken?.();
  }

  /** What is out gets no answer any more. */
  #leave(): void {
    this.#gone = true;
    this.#joined.reject(closedError('remote'));
    this.#joined.promise.catch(() => {}); // told to whoever waits
    this.#left.resolve();
    this.#port.close();
    // Each that is answered makes room for one that waited for a slot.
    for (let out = this.#pending(); out.length > 0; out = this.#pending()) {
      for (const operation of out) this.#answerHere(operation, FAULT_CLOSED);
    }
  }
}
