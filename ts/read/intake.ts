/**
 * What the kernel delivers of one stream, and which read gets it.
 *
 * The invariant: each byte that the kernel delivered is given exactly once, in order, to whichever read is first, of whatever style; also
 * after an abort, a change of style, an empty group, a stop, and close. So what arrives goes to the first read, else to the `Stash`.
 *
 * Only the first read asks for anything. It is told to get memory (`landing.arm`), and goes on (`pump`) when it has it. With a block of its own it
 * takes what is stashed (a copy), or is given to the kernel (*direct*). Without one it takes the blocks that the kernel chose: for it one
 * operation over the group is *armed*, which goes on delivering (multishot); see `flow.ts`. Beside the flow stands the end: the result
 * (0, or an error) that every read gets once the stash is empty. A read that is aborted leaves the queue at once; when it is direct, its
 * own completion decides. Who calls: `StreamSource`, `pipeTo` (reads), the group (`wake`, `spill`), `Channel` (`close`, `keepAlive`).
 */
import type { CancelOptions } from '../cancel.js';
import { closedError } from '../errors.js';
import { rangeOf } from '../memory/block.js';
import type { Block } from '../memory/block.js';
import type { GroupUser } from '../memory/group.js';
import { giveBack } from '../memory/loan.js';
import type { Landing } from '../memory/size-class.js';
import { ECANCELED, MULTISHOT, Opcode, SELECTED } from '../op.js';
import type { Completion } from '../op.js';
import type { StreamKind } from '../channel.js';
import type { Proactor } from '../proactor.js';
import { verdictOf } from './flow.js';
import type { Flow } from './flow.js';
import { Stash } from './stash.js';
import { Inquiry, StreamRead, StreamReads, inquiryOver } from './stream-read.js';
import type { Inquirer, ReadQueue } from './stream-read.js';

const POLLIN = 1;

/** What an intake needs of its stream's channel. */
export interface IntakeChannel {
  readonly proactor: Proactor;
  readonly descriptor: number;
  readonly kind: StreamKind;
}

/** The reads of one stream (`StreamReads`; one object with them, since there are as many as connections), and what they get. */
export class Intake extends StreamReads implements GroupUser, ReadQueue, Inquirer {
  readonly #channel: IntakeChannel;
  #flow: Flow = 'idle';
  #inquiry: Inquiry | undefined = undefined;
  #closed = false;
  #pumping = false;
  // Not every stream's: on the prototype, and methods `private` by word, as with `Operation`. Very many connections may wait.
  /** The descriptor was found to answer one at a time only. */
  declare private isOneShot: boolean;
  declare private stash: Stash | undefined; // made when there is something to keep
  declare private direct: StreamRead | undefined;
  declare private end: number | undefined;
  declare private keepsAlive: boolean;
  declare private onDrained: (() => void) | undefined;

  constructor(channel: IntakeChannel) {
    super();
    this.#channel = channel;
  }

  get flow(): Flow {
    return this.#flow;
  }

  read(landing: Landing, options: CancelOptions | undefined, holder: object): StreamRead {
    const read = new StreamRead(this, landing, this.#channel.descriptor);
    this.#channel.proactor.tracer?.mark(read);
    this.push(read, holder);
    if (options !== undefined) this.#channel.proactor.watch(read, options);
    this.pump();
    return read;
  }

  /** The same read again: see `renew`. */
  readAgain(read: StreamRead, holder: object): void {
    read.renew();
    this.push(read, holder);
    this.pump();
  }

  /** Whether it keeps the process alive that reads wait. */
  keepAlive(on: boolean): void {
    if (on !== this.keepsAlive && !this.isEmpty) this.#channel.proactor.liveness.change(on ? 1 : -1);
    this.keepsAlive = on;
  }

  override push(read: StreamRead, holder: object): void {
    if (this.keepsAlive && this.isEmpty) this.#channel.proactor.liveness.change(1);
    super.push(read, holder);
  }

  override shift(): void {
    super.shift();
    if (this.keepsAlive && this.isEmpty) this.#channel.proactor.liveness.change(-1);
  }

  /** Bytes that go to the next read, before all others. One that the kernel has comes back for them. */
  prepend(bytes: Uint8Array): void {
    this.stashed().prepend(bytes);
    if (this.direct !== undefined) this.#channel.proactor.recall(this.direct);
    else this.pump();
  }

  /** `close`, without giving up what is stashed: that is the result. Nothing waits. */
  async detach(): Promise<Uint8Array> {
    this.leaveGroup();
    if (this.#inquiry !== undefined) this.#channel.proactor.cancel(this.#inquiry, 'closed');
    await this.drained();
    this.#closed = true;
    return this.stash?.take() ?? new Uint8Array();
  }

  /** Begin nothing more; resolves when nothing is in flight. Reads that wait fail, what is stashed is given up. */
  close(): Promise<void> {
    this.#closed = true;
    this.leaveGroup();
    this.stash?.clear();
    this.pump();
    if (this.direct !== undefined) this.#channel.proactor.cancel(this.direct, 'closed');
    if (this.#inquiry !== undefined) this.#channel.proactor.cancel(this.#inquiry, 'closed');
    return this.drained();
  }

  answered(read: StreamRead, completion: Completion): void {
    this.direct = undefined;
    this.#flow = 'idle';
    const verdict = verdictOf(completion.result, false);
    const isKept = verdict === 'bytes' && (read.abandoned || this.stash?.isEmpty === false);
    const goesOn = verdict === 'not ready' || verdict === 'again' || (isKept && !read.abandoned);
    if (isKept) this.keepBytes(read, completion);
    if (goesOn && read.cancelCause === undefined) {
      read.slot = -1; // it waits again
      if (verdict === 'not ready') this.poll();
    } else {
      this.shift();
      if (verdict === 'end') this.end = completion.result;
      if (goesOn) completion.result = ECANCELED;
      read.finishWith(completion);
    }
    this.changed();
  }

  failed(read: StreamRead): void {
    if (read === this.direct) {
      this.direct = undefined;
      this.#flow = 'idle';
    }
    this.changed();
  }

  over(inquiry: Inquiry, result: number, flags: number, id: number): void {
    const wasPolling = this.#flow === 'polling';
    this.#inquiry = undefined;
    this.#flow = 'idle';
    const block = (flags & SELECTED) !== 0 ? this.#channel.proactor.streamGroup.chosen(id) : inquiry.block;
    if (block !== undefined && result > 0) this.arrived(block, result);
    else if (block !== undefined) giveBack(block);
    if (result < 0 || (result === 0 && !wasPolling)) this.ended(result, (inquiry.flags & MULTISHOT) !== 0);
    this.changed();
  }

  wake(): void {
    if (this.#flow !== 'waiting') return;
    this.#flow = 'idle';
    this.pump();
  }

  spill(): void {
    this.stash?.spill();
  }

  private changed(): void {
    this.pump();
    if (this.#inquiry === undefined && this.direct === undefined) this.onDrained?.();
  }

  /** Resolves when nothing is in flight. */
  private drained(): Promise<void> {
    return new Promise((resolve) => {
      this.onDrained = resolve;
      this.changed();
    });
  }

  private stashed(): Stash {
    return (this.stash ??= new Stash(this.#channel.proactor, this));
  }

  /** A completion of the multishot that is not its last. */
  delivered({ result, block }: Completion): void {
    this.arrived(this.#channel.proactor.streamGroup.chosen(block), result);
    if (!this.isEmpty) this.pump();
    if (this.stash?.isFull) this.stop();
  }

  /** Bytes came: the first read's, if it takes them as they are. */
  private arrived(block: Block, length: number): void {
    const read = this.first();
    if (this.#closed) giveBack(block);
    else if (read?.isReady && read.block === undefined && this.stash?.isEmpty !== false && length <= read.length) {
      read.block = block;
      this.answerFirst(length);
    } else this.stashed().push(block, length);
  }

  /** The read's promise was rejected before they came, or others come before them: they are stashed. */
  private keepBytes({ block, offset }: StreamRead, completion: Completion): void {
    if (!this.#closed) this.stashed().keep(rangeOf(block!, offset, completion.result));
    completion.result = ECANCELED;
  }

  /** The operation over the group will deliver nothing more. */
  private ended(result: number, wasMultishot: boolean): void {
    const verdict = verdictOf(result, wasMultishot);
    if (verdict === 'end') this.end = result;
    else if (verdict === 'empty') this.#channel.proactor.streamGroup.denied();
    else if (verdict === 'not ready') this.poll();
    else if (verdict === 'one shot') this.isOneShot = true;
    else if (verdict === 'failed') this.answerFirst(result);
  }

  pump(): void {
    if (this.#pumping) return; // a program's own buffer or allocator called
    this.#pumping = true;
    try {
      for (let read = this.first(); read !== undefined && this.serve(read); read = this.first());
    } finally {
      this.#pumping = false;
    }
  }

  /** Do for the first read what can be done; whether there may be more to do. */
  private serve(read: StreamRead): boolean {
    if (read === this.direct) return false;
    if (this.#closed || !this.#channel.proactor.open) read.refuse(() => closedError('read'));
    else if (!read.isArmed) read.arm();
    else if (!read.isReady) return false; // it waits for memory
    else if (this.stash?.isEmpty === false) this.answerFrom(this.stashed());
    else if (this.end !== undefined) this.answerFirst(this.end);
    else {
      try {
        this.ask(read);
      } catch (error) {
        read.refuse(() => error as Error); // no memory to be had
      }
      return this.#flow === 'idle';
    }
    return true;
  }

  /** Ask the kernel on behalf of the first read. */
  private ask(read: StreamRead): void {
    const takesChunks = read.block === undefined;
    if (this.#flow === 'armed' && !takesChunks) this.stop();
    if (this.#flow === 'waiting' && !takesChunks) this.leaveGroup();
    if (this.#flow !== 'idle') return;
    if (takesChunks) this.armGroup(read.length);
    else {
      this.#flow = 'direct';
      this.direct = read;
      this.#channel.proactor.start(read);
    }
  }

  private armGroup(most: number): void {
    const { descriptor, kind, proactor: { streamGroup: group } } = this.#channel;
    const isPipe = kind === 'pipe';
    const select = isPipe ? Opcode.READ_SELECT : Opcode.RECEIVE_SELECT;
    // A multishot does not see the end of a FIFO: the kernel tries it again only when there are bytes.
    const multishot = !isPipe && !this.isOneShot;
    const inquiry = inquiryOver(group, this, { select, multishot, descriptor, most });
    if (inquiry !== undefined) return this.begin(inquiry, 'armed');
    this.#flow = 'waiting';
    group.wait(this);
  }

  private poll(): void {
    if (this.#closed) return;
    this.begin(new Inquiry(Opcode.POLL, this, this.#channel.descriptor, POLLIN), 'polling');
  }

  private begin(inquiry: Inquiry, flow: Flow): void {
    this.#flow = flow;
    this.#inquiry = inquiry;
    this.#channel.proactor.start(inquiry);
  }

  private stop(): void {
    if (this.#flow !== 'armed') return;
    this.#flow = 'stopping';
    this.#channel.proactor.cancel(this.#inquiry!, 'closed');
  }

  private leaveGroup(): void {
    if (this.#flow !== 'waiting') return;
    this.#flow = 'idle';
    this.#channel.proactor.streamGroup.leave(this);
  }
}

Object.assign(Intake.prototype, { isOneShot: false, stash: undefined, direct: undefined, end: undefined, keepsAlive: true, onDrained: undefined });
