/** What an intake deals with: reads that wait for their turn, and what it asks of the kernel by itself. */
import { STREAM } from '../errors.js';
import { rangeOf } from '../memory/block.js';
import { Bytes } from '../memory/bytes.js';
import type { BufferGroup } from '../memory/group.js';
import { giveBack } from '../memory/loan.js';
import type { Landing, ReadOperation } from '../memory/size-class.js';
import { ECANCELED, MULTISHOT, NONE, Opcode, Operation, UNREF } from '../op.js';
import type { Completion, Failure } from '../op.js';
import type { Proactor } from '../proactor.js';
import type { Stash } from './stash.js';

/** Whom a stream's reads tell. */
export interface ReadQueue {
  /** A read has its memory, or needs none: go on. */
  pump(): void;
  /** The kernel has answered the read. */
  answered(read: StreamRead, completion: Completion): void;
  /** The read has failed: perhaps by its signal, while it waited. */
  failed(read: StreamRead): void;
}

function land(operation: ReadOperation, completion: Completion): Bytes | null | Failure {
  return operation.landing!.land(operation, completion);
}

/** A read of a stream, from its call to its end. In the kernel it is only while it is *direct*. */
export class StreamRead extends Operation<Bytes | null> {
  readonly #queue: ReadQueue;
  /** The one that was called after it, of those that wait. Rarely set, so it stands on the prototype. */
  declare next: StreamRead | undefined;
  #memory: 'none' | 'asked for' | 'ready' = 'none';

  constructor(queue: ReadQueue, landing: Landing, descriptor: number) {
    super(Opcode.READ, undefined);
    this.#queue = queue;
    this.landing = landing;
    this.length = landing.length;
    this.descriptor = descriptor;
  }

  /** It is the first and was told to get memory. */
  get isArmed(): boolean {
    return this.#memory !== 'none';
  }

  /** It has the memory, or needs none. */
  get isReady(): boolean {
    return this.#memory === 'ready';
  }

  /** It is the first: it shall get its memory. */
  arm(): void {
    this.#memory = 'asked for';
    try {
      this.landing!.arm(this);
    } catch (error) {
      this.refuse(() => error as Error); // no memory to be had
    }
  }

  override launch(): void {
    this.#memory = 'ready';
    this.#queue.pump();
  }

  override complete(completion: Completion): void {
    this.#queue.answered(this, completion);
  }

  override fail(failure: () => Error): void {
    super.fail(failure);
    this.#queue.failed(this);
  }

  /** The same read again, for who does nothing else (`pipeTo`): it was answered well. */
  override renew(): void {
    super.renew();
    this.slot = -1;
    this.block = undefined;
    if (this.offset !== 0) this.offset = 0;
    this.#memory = 'none';
  }

  /** End it with this answer. */
  finishWith(completion: Completion): void {
    super.complete(completion);
  }
}

Object.assign(StreamRead.prototype, { finish: land, next: undefined, ownBlock: true, endpoint: STREAM, options: UNREF });

/** The answer to a read that the kernel did not answer itself; read at once. */
const answer: Completion = { slot: -1, generation: 0, result: 0, flags: 0, block: NONE, extra: 0, value: 0 };

/** The reads of one stream, in the order of their calls: a chain, since there is seldom more than one. */
export class StreamReads {
  #first: StreamRead | undefined = undefined;
  /** The last of several. Seldom any: on the prototype. */
  declare private last: StreamRead | undefined;
  /** What must not be collected while reads wait. */
  holder: object | undefined = undefined;

  get isEmpty(): boolean {
    return this.#first === undefined;
  }

  /** No read waits. */
  get isIdle(): boolean {
    return this.first() === undefined;
  }

  push(read: StreamRead, holder: object): void {
    if (this.#first === undefined) this.#first = read;
    else {
      (this.last ?? this.#first).next = read;
      this.last = read;
    }
    this.holder = holder;
  }

  /** The first that was not ended by its signal. */
  first(): StreamRead | undefined {
    while (this.#first?.settled) this.shift();
    return this.#first;
  }

  shift(): void {
    const next = this.#first?.next;
    if (next === undefined) this.holder = undefined;
    else {
      this.#first!.next = undefined; // whoever keeps a read does not keep those after it
      if (this.last === next) this.last = undefined;
    }
    this.#first = next;
  }

  /** End the first with what is stashed: a copy in its memory, or the stashed block where it has none. */
  answerFrom(stash: Stash): void {
    const read = this.first()!;
    const { block, offset, length } = read;
    if (block !== undefined) return this.answerFirst(stash.copyTo(rangeOf(block, offset, length)));
    const chunk = stash.shift(length);
    read.block = chunk.block;
    if (chunk.offset !== 0) read.offset = chunk.offset;
    this.answerFirst(chunk.length);
  }

  /** End the first, if there is one, with this result. */
  answerFirst(result: number): void {
    const read = this.first();
    if (read === undefined) return;
    this.shift();
    answer.result = result;
    read.finishWith(answer);
  }
}

Object.assign(StreamReads.prototype, { last: undefined });

/** Style 1 on a stream: no memory is wanted before there are bytes; they come in a block that the kernel chose. */
export class ChunkLanding implements Landing {
  readonly length: number;
  readonly #host: Proactor;

  constructor(host: Proactor, length: number) {
    this.#host = host;
    this.length = length;
  }

  arm(operation: ReadOperation): void {
    operation.launch(this.#host);
  }

  land(operation: ReadOperation, { result }: Completion): Bytes | null | Failure {
    const { block } = operation;
    if (result < 0) return operation.failure(result);
    if (block === undefined) return null;
    const bytes = Bytes.lend(block, operation.offset, result);
    this.#host.tracer?.watch(bytes, operation.site);
    return bytes;
  }

  discard({ block }: ReadOperation): void {
    if (block !== undefined) giveBack(block);
  }
}

/** Whom an inquiry tells. */
export interface Inquirer {
  /** Its final completion, or as good as that: it was never begun. */
  over(inquiry: Inquiry, result: number, flags: number, block: number): void;
  /** One that is not its last. */
  delivered(completion: Completion): void;
}

function nothing(): null {
  return null;
}

/** An operation of the stream's own, for no read in particular. */
export class Inquiry extends Operation<null> {
  readonly #inquirer: Inquirer;

  /** `target`: the group it is over, or what it polls for. */
  constructor(opcode: number, inquirer: Inquirer, descriptor: number, target: number) {
    super(opcode, undefined);
    this.#inquirer = inquirer;
    this.descriptor = descriptor;
    this.target = target;
  }

  get inquirer(): Inquirer {
    return this.#inquirer;
  }

  override complete({ result, flags, block }: Completion): void {
    this.succeed(null);
    this.#inquirer.over(this, result, flags, block);
  }

  override fail(failure: () => Error): void {
    super.fail(failure);
    this.#inquirer.over(this, ECANCELED, 0, 0);
  }
}

Object.assign(Inquiry.prototype, {
  finish: nothing,
  options: UNREF, // the reads do, that wait
  progress(this: Inquiry, completion: Completion) {
    this.inquirer.delivered(completion);
  },
});

/** What the kernel is asked to choose blocks for. */
export interface Wanted {
  /** The opcode by which it chooses. */
  readonly select: number;
  /** One operation may bring many. */
  readonly multishot: boolean;
  readonly descriptor: number;
  /** Bytes that the first read takes. */
  readonly most: number;
}

/** An inquiry over a group, or into a block of it where the kernel cannot choose; undefined where it has none now. */
export function inquiryOver(group: BufferGroup, inquirer: Inquirer, { select, multishot, descriptor, most }: Wanted): Inquiry | undefined {
  const block = group.selects ? undefined : group.take();
  if (group.selects ? !group.prepare() : block === undefined) return undefined;
  const inquiry = new Inquiry(group.selects ? select : Opcode.READ, inquirer, descriptor, group.number);
  inquiry.block = block;
  if (multishot && group.selects && most >= group.size) inquiry.flags = MULTISHOT;
  else inquiry.length = Math.min(most, group.size);
  return inquiry;
}
