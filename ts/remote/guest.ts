/**
 * The owner's side of a remote handle: operations that another thread asks for, run on this thread's proactor.
 *
 * A guest has its port, the operations that it asked for and that are not over, and the descriptors that those brought.
 * When its thread ends, the operations are cancelled and the descriptors closed. Guests take turns (`rounds.ts`).
 */
import type { MessagePort } from 'node:worker_threads';
import { FAULT_CLOSED } from '../errors.js';
import { Block } from '../memory/block.js';
import type { Opened } from '../backend/backend.js';
import { NOTHING } from '../backend/switches.js';
import { MORE, MULTISHOT, NO_DESCRIPTOR, Opcode } from '../op.js';
import type { Completion } from '../op.js';
import type { Resident } from '../inflight.js';
import type { Proactor } from '../proactor.js';
import { closeDescriptor } from '../unclosed.js';
import { GuestOperation } from './guest-operation.js';
import { isRead } from './local-memory.js';
import { giveAnswer } from './questions.js';
import { awaitTurn } from './rounds.js';
import { RecordReader, RecordWriter } from './records.js';
import { ANSWER_FIELDS, ASK_FIELDS, Answer, Ask, GIVEN_UP } from './wire.js';
import type { Asker } from './guest-operation.js';
import type { Call, Detail, Request, Response } from './wire.js';

const EBADF = -9;
const ENOMEM = -12;
const PART_WORDS = 3;

const OPENS: ReadonlySet<number> = new Set([Opcode.OPEN, Opcode.CONNECT, Opcode.LISTEN, Opcode.BIND, Opcode.ACCEPT]);
const SOCKETS: ReadonlySet<number> = new Set([Opcode.CONNECT, Opcode.LISTEN, Opcode.BIND, Opcode.ACCEPT]);

/** A copy in memory of its own: a view would take all of its buffer along. */
function alone<T extends number>(bytes: Uint8Array | T): Uint8Array | T {
  return typeof bytes === 'number' ? bytes : new Uint8Array(bytes);
}

type Outcome = Pick<Completion, 'result' | 'flags' | 'extra' | 'value'>;

export class Guest implements Resident, Asker {
  readonly #proactor: Proactor;
  readonly #port: MessagePort;
  /** From the other thread's first message on. */
  #asks: RecordReader<Uint8Array> | undefined = undefined;
  #answers: RecordWriter<ArrayBuffer | Detail> | undefined = undefined;
  /** By the asker's slot. */
  readonly #operations: (GuestOperation | undefined)[] = [];
  #count = 0;
  readonly #descriptors = new Set<number>();
  #postDue = false;
  /** The proactor is being closed. */
  #leaving = false;
  /** The other thread, or the proactor, has ended. */
  #ended = false;

  constructor(proactor: Proactor, port: MessagePort) {
    this.#proactor = proactor;
    this.#port = port;
    proactor.residents.add(this);
    port.on('message', (request: Request) => this.#receive(request));
    port.on('close', () => this.#end());
  }

  /** The proactor is being closed: what was begun is answered, nothing more is. */
  leave(): void {
    this.#leaving = true;
    this.#proactor.residents.delete(this);
    this.#forget();
    this.#cancelAll();
    this.#whenIdle();
  }

  /** What this thread opened is the guest's from here on. */
  give(descriptor: number): void {
    this.#keep(descriptor);
  }

  /** Begin so many of the records that came; whether there are more. */
  begin(count: number): boolean {
    const asks = this.#asks!;
    for (let left = count; left > 0 && asks.next(); left -= 1) this.#beginOne(asks);
    asks.release();
    return !asks.isEmpty;
  }

  answer(operation: GuestOperation, completion: Completion): void {
    const { result, flags } = completion;
    if (result >= 0 && OPENS.has(operation.opcode)) this.#keep(completion.value);
    const memory = result > 0 ? operation.memory : undefined;
    this.#push(operation, completion, memory, result < 0 ? undefined : this.#detailOf(operation, completion));
    if ((flags & MORE) === 0) this.#over(operation);
  }

  refuse(operation: GuestOperation, result: number): void {
    this.#push(operation, { result, flags: 0, extra: 0, value: 0 }, undefined, undefined);
    this.#over(operation);
  }

  #receive(request: Request): void {
    if (this.#asks !== undefined && (typeof request === 'number' || request.kind === 'batch')) {
      if (this.#leaving || this.#ended) return; // it is told of the end, which fails all that it asks
      const isIdle = this.#asks.isEmpty;
      if (!this.#asks.add(request)) return this.#end();
      if (isIdle) awaitTurn(this);
    } else if (typeof request !== 'object') this.#end();
    else if (request.kind === 'call') this.#answerCall(request.call);
    else if (request.kind === 'join') this.#join(request.asks, request.answers);
    else this.#end();
  }

  /** Operations and descriptors of one handle are no other's, which may have got the port later. */
  #join(asks: SharedArrayBuffer, answers: SharedArrayBuffer): void {
    if (this.#asks !== undefined) {
      this.#post({ kind: 'closed' });
      return this.#end();
    }
    this.#asks = new RecordReader(asks, ASK_FIELDS);
    this.#answers = new RecordWriter(answers, ANSWER_FIELDS);
    const { features, name } = this.#proactor.backend;
    this.#post({ kind: 'welcome', features: { ...NOTHING, nopInject: features.nopInject }, owner: name });
  }

  #beginOne({ words, at, parts }: RecordReader<Uint8Array>): void {
    const slot = words[at + Ask.SLOT]!;
    const generation = words[at + Ask.GENERATION]!;
    const opcode = words[at + Ask.OPCODE]!;
    const descriptor = words[at + Ask.DESCRIPTOR]!;
    if (opcode === Opcode.CANCEL) {
      const target = this.#operations[slot];
      if (target?.callerGeneration !== generation) return;
      target.isAsked = true;
      this.#proactor.cancel(target, words[at + Ask.FLAGS] === GIVEN_UP ? 'closed' : 'abort');
      return;
    }
    const operation = new GuestOperation(this, opcode, slot, generation);
    this.#operations[slot] = operation;
    this.#count += 1;
    if (descriptor !== NO_DESCRIPTOR && !this.#descriptors.has(descriptor)) return this.refuse(operation, EBADF);
    operation.descriptor = descriptor;
    operation.flags = words[at + Ask.FLAGS]!;
    // One connection for each question, or those that nobody takes would heap up here while the asker is busy.
    if (opcode === Opcode.ACCEPT) operation.flags &= ~MULTISHOT;
    operation.options = words[at + Ask.OPTIONS]!;
    operation.target = words[at + Ask.TARGET]!;
    operation.length = words[at + Ask.LENGTH]!;
    operation.position = words[at + Ask.POSITION]!;
    operation.extra = words[at + Ask.EXTRA]!;
    const argument = words[at + Ask.ARGUMENT]!;
    if (argument >= 0) operation.argument = parts[argument];
    if (opcode === Opcode.CLOSE) this.#descriptors.delete(descriptor);
    try {
      const payload = words[at + Ask.PAYLOAD]!;
      if (payload >= 0) this.#lendPayload(operation, parts[payload]!);
      else if (isRead(operation)) this.#lend(operation, new ArrayBuffer(operation.length));
      this.#proactor.start(operation);
    } catch {
      if (!operation.settled) this.refuse(operation, ENOMEM); // a length that no memory has
    }
  }

  #lend(operation: GuestOperation, memory: ArrayBuffer): void {
    const { backend } = this.#proactor;
    const block = new Block(backend.pin(memory), memory.byteLength, 'pinned', backend);
    block.memory = memory;
    block.inFlight = true;
    operation.block = block;
    operation.memory = memory;
  }

  /** The bytes to be written came as a copy, in memory of their own. */
  #lendPayload(operation: GuestOperation, payload: Uint8Array): void {
    this.#lend(operation, payload.buffer as ArrayBuffer);
    operation.memory = undefined;
    operation.offset = payload.byteOffset;
    if (operation.opcode !== Opcode.SEND_MESSAGE) return;
    const head = operation.argument!;
    const argument = new Uint8Array(head.length + PART_WORDS * 4);
    argument.set(head);
    argument.set(new Uint8Array(Uint32Array.of(operation.blockId, operation.offset, operation.length).buffer), head.length);
    operation.argument = argument;
  }

  #detailOf({ opcode }: GuestOperation, completion: Completion): Detail | undefined {
    const { backend } = this.#proactor;
    if (opcode === Opcode.NOP || opcode === Opcode.READ || opcode === Opcode.WRITE) return undefined; // the many
    if (opcode === Opcode.STATX || opcode === Opcode.READ_MANY) return { numbers: backend.numbers(completion).slice() };
    if (opcode === Opcode.RECEIVE_MESSAGE) return { sender: alone<never>(backend.messageAddress(completion)) };
    if (!SOCKETS.has(opcode)) return undefined;
    return { local: alone(backend.address(completion.value, false)), peer: alone(backend.address(completion.value, true)) };
  }

  #push(operation: GuestOperation, result: Outcome, memory: ArrayBuffer | undefined, detail: Detail | undefined): void {
    if (this.#ended) return;
    const answers = this.#answers!;
    answers.next();
    const { words, at } = answers;
    words[at + Answer.SLOT] = operation.callerSlot;
    words[at + Answer.GENERATION] = operation.callerGeneration;
    words[at + Answer.RESULT] = result.result;
    words[at + Answer.FLAGS] = result.flags & MORE;
    words[at + Answer.EXTRA] = result.extra;
    words[at + Answer.VALUE] = result.value;
    words[at + Answer.MEMORY] = memory === undefined ? -1 : answers.addPart(memory, memory);
    words[at + Answer.DETAIL] = detail === undefined ? -1 : answers.addPart(detail);
    if (this.#postDue) return;
    this.#postDue = true;
    process.nextTick(() => this.#postAnswers());
  }

  /** The kernel has let go of its memory. */
  #over(operation: GuestOperation): void {
    this.#operations[operation.callerSlot] = undefined;
    this.#count -= 1;
    if (operation.block !== undefined) this.#proactor.backend.unpin(operation.block.id);
    operation.block = undefined;
  }

  #postAnswers(): void {
    this.#postDue = false;
    if (!this.#ended) this.#answers!.send(this.#port);
    if (!this.#proactor.residents.has(this)) this.#whenIdle();
  }

  #post(response: Response): void {
    if (!this.#ended) this.#port.postMessage(response);
  }

  #answerCall({ method, args, answer }: Call): void {
    const { backend } = this.#proactor;
    const result = this.#ended ? FAULT_CLOSED : (backend[method] as (...given: unknown[]) => unknown).apply(backend, [...args]);
    if (method === 'adopt' && typeof result !== 'number') this.#keep((result as Opened).descriptor);
    giveAnswer(answer, result);
  }

  /** All but what closes something: nobody else would. */
  #cancelAll(): void {
    for (const operation of this.#operations) {
      if (operation !== undefined && operation.opcode !== Opcode.CLOSE) this.#proactor.cancel(operation, 'closed');
    }
  }

  /** What was asked for and not begun never happens. */
  #forget(): void {
    while (this.#asks?.next() === true);
  }

  /** It opened something, which is closed at its end; at once where that has been. */
  #keep(descriptor: number): void {
    if (this.#ended) void closeDescriptor(this.#proactor, descriptor);
    else this.#descriptors.add(descriptor);
  }

  #whenIdle(): void {
    if (this.#count > 0 || this.#postDue) return;
    this.#post({ kind: 'closed' });
    this.#end();
  }

  /** End what it asked for, and close what that brought. */
  #end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#proactor.residents.delete(this);
    this.#forget();
    this.#cancelAll();
    for (const descriptor of this.#descriptors) void closeDescriptor(this.#proactor, descriptor);
    this.#descriptors.clear();
    this.#port.close();
  }
}
