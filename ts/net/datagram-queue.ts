/**
 * The datagrams of a UDP socket, from the kernel to whichever read is first.
 *
 * Each read is an operation of its own into memory chosen before it begins (RECEIVE_MESSAGE). One is in flight at a time:
 * the kernel wakes several in any order. A read that is aborted while it waits for its turn leaves the queue at once;
 * one in flight is cancelled, and its own completion decides. An empty datagram is a `Bytes` of length 0, since a
 * datagram socket has no end.
 *
 * A *batch* is a read that, once it has its datagram, asks for more and gives up at once what did not come.
 *
 * A datagram that came for a read whose promise had been rejected, or that was given back, is *kept*: a copy of it is the
 * next read's, before the kernel is asked.
 *
 * Nothing here refers to the `UdpSocket`, but for reads in flight: one that the program forgot is collected and closed.
 */
import type { CancelOptions } from '../cancel.js';
import type { Deferred } from '../deferred.js';
import { Fifo } from '../fifo.js';
import { rangeOf } from '../memory/block.js';
import { Bytes } from '../memory/bytes.js';
import type { SenderAddress } from '../memory/bytes.js';
import type { Landing } from '../memory/size-class.js';
import { ECANCELED, Failure, NONE, Opcode, Operation, UNREF } from '../op.js';
import type { Completion } from '../op.js';
import type { Resident } from '../inflight.js';
import type { Proactor } from '../proactor.js';
import { closeDescriptor, isBeingClosed } from '../unclosed.js';
import type { Unclosed } from '../unclosed.js';
import { decodeInternet } from './address.js';
import type { InternetAddress } from './address.js';
import type { Opened } from './opened.js';

/** A datagram that waits for the next read. */
interface Kept {
  readonly data: Uint8Array;
  readonly address: SenderAddress | undefined;
  readonly truncated: boolean;
}

/** The completion of a read that a kept one answers; read at once. */
const answer: Completion = { slot: -1, generation: 0, result: 0, flags: 0, block: NONE, extra: 0, value: 0 };

function land(operation: Operation<Bytes | null>, completion: Completion): Bytes | Failure {
  return (operation as DatagramRead).queue.land(operation, completion);
}

/** One read, from its call to its datagram. */
export class DatagramRead extends Operation<Bytes | null> {
  /** How many datagrams are wanted at most; more than one makes it a batch. */
  count = 1;
  /** The datagrams of a batch, once it is over. */
  batch: Deferred<Bytes[]> | undefined = undefined;
  /** What must not be collected while it is in flight. */
  readonly owner: object;
  readonly queue: DatagramQueue;

  constructor(queue: DatagramQueue, landing: Landing, owner: object) {
    super(Opcode.RECEIVE_MESSAGE, land);
    this.queue = queue;
    this.owner = owner;
    this.landing = landing;
    this.length = landing.length;
    this.descriptor = queue.descriptor;
    this.ownBlock = true;
    this.options = UNREF; // the queue does
  }

  /** @internal It has its memory. */
  override launch(host: Proactor): void {
    if (!this.queue.answer(this)) super.launch(host);
  }

  override complete(completion: Completion): void {
    const { result } = completion;
    const isRecalled = this.cancelCause === undefined && !this.abandoned && this.queue.hasKept;
    if (result >= 0 && (this.abandoned || isRecalled)) this.queue.keep(this, completion);
    if (isRecalled && (result >= 0 || result === ECANCELED)) {
      this.slot = -1; // it has its memory still
      this.queue.answer(this);
    } else super.complete(completion);
  }

  /** End it with this answer. */
  finishWith(completion: Completion): void {
    super.complete(completion);
  }
}

export class DatagramQueue implements Unclosed, Resident {
  readonly host: Proactor;
  readonly descriptor: number;
  readonly fd: number;
  #keepsAlive = true;
  readonly #queue = new Fifo<DatagramRead>();
  /** The first of them is the next read's. */
  readonly #kept: Kept[] = [];
  /** The one that a read is being answered with. */
  #answering: Kept | undefined = undefined;
  /** The first read; it has left the queue. */
  #current: DatagramRead | undefined = undefined;
  /** Who sent the last datagram: most come from one peer. */
  #sender: { readonly bytes: Uint8Array; readonly address: InternetAddress | undefined } | undefined = undefined;
  #closed: Promise<void> | undefined = undefined;

  constructor(host: Proactor, { descriptor, fd }: Opened) {
    this.host = host;
    this.descriptor = descriptor;
    this.fd = fd;
    host.residents.add(this);
  }

  get closed(): boolean {
    return this.#closed !== undefined;
  }

  /** Whether it keeps the process alive that a read waits. */
  keepAlive(on: boolean): void {
    if (on !== this.#keepsAlive && this.#current !== undefined) this.host.liveness.change(on ? 1 : -1);
    this.#keepsAlive = on;
  }

  get open(): boolean {
    return !this.closed && this.host.open;
  }

  /** Begin it when it is its turn. */
  push(read: DatagramRead, options: CancelOptions | undefined): DatagramRead {
    read.onSettled = () => this.#settled(read);
    this.host.watch(read, options);
    if (!read.settled) {
      this.#queue.push(read);
      this.#next();
    }
    return read;
  }

  /** What a completion brought. */
  land(operation: Operation<Bytes | null>, completion: Completion): Bytes | Failure {
    const isCut = completion.value === 1; // the landing may run a program's code, which may read on another socket
    const address = this.#answering === undefined ? this.#senderOf(this.host.backend.messageAddress(completion)) : this.#answering.address;
    const outcome = operation.landing!.land(operation, completion);
    if (outcome instanceof Failure) return outcome;
    const bytes = outcome ?? Bytes.empty();
    bytes.address = address;
    if (isCut) bytes.truncated = true;
    return bytes;
  }

  get hasKept(): boolean {
    return this.#kept.length > 0;
  }

  /** Answer a read that has its memory with a datagram that was kept; whether there was one. */
  answer(read: DatagramRead): boolean {
    const kept = read.settled || read.abandoned ? undefined : this.#kept.shift();
    if (kept === undefined) return false;
    const length = Math.min(kept.data.length, read.length);
    rangeOf(read.block!, read.offset, length).set(kept.data.subarray(0, length));
    answer.result = length;
    answer.value = kept.truncated || length < kept.data.length ? 1 : 0;
    this.#answering = kept;
    try {
      read.finishWith(answer);
    } finally {
      this.#answering = undefined;
    }
    return true;
  }

  /** The read's promise was rejected before its datagram came. */
  keep({ block, offset }: DatagramRead, completion: Completion): void {
    const data = rangeOf(block!, offset, completion.result).slice();
    const address = this.#senderOf(this.host.backend.messageAddress(completion));
    this.#kept.push({ data, address, truncated: completion.value === 1 });
  }

  /** The next read's is this one, a datagram that nobody has touched; false where there will be no next read. */
  prepend({ data, address, truncated }: Bytes): boolean {
    if (!this.open) return false;
    this.#kept.unshift({ data: Uint8Array.from(data), address, truncated });
    if (this.#current !== undefined) this.host.recall(this.#current); // it comes back for it
    return true;
  }

  leave(): void {
    this.close().catch(() => {}); // told to whoever calls close()
  }

  close(): Promise<void> {
    this.#closed ??= this.host.liveness.during(this.#close());
    return this.#closed;
  }

  #next(): void {
    while (this.#current === undefined) {
      const read = this.#queue.shift();
      if (read === undefined) return;
      this.#current = read;
      if (this.#keepsAlive) this.host.liveness.change(1);
      this.#begin(read);
    }
  }

  #begin(read: DatagramRead): void {
    try {
      read.landing!.arm(read);
    } catch (error) {
      read.refuse(() => error as Error); // no memory to be had
    }
  }

  #settled(read: DatagramRead): void {
    if (read.failed) read.batch?.fail(read.error);
    if (this.#current !== read) {
      this.#queue.remove(read);
      return;
    }
    if (read.batch !== undefined && !read.failed) {
      this.#gather(read, read.batch);
      return;
    }
    this.#over();
  }

  /** The current read is: the next one's turn. */
  #over(): void {
    this.#current = undefined;
    if (this.#keepsAlive) this.host.liveness.change(-1);
    this.#next();
  }

  /**
   * The rest of a batch. The reads are begun together, and a no-op behind them: what was there has been read when that is
   * over, and the others are given up.
   */
  #gather(first: DatagramRead, batch: Deferred<Bytes[]>): void {
    const more: DatagramRead[] = [];
    let left = this.open ? first.count - 1 : 0;
    const finish = (): void => {
      if (left > 0) return;
      batch.succeed([first, ...more].filter((read) => !read.failed).map((read) => read.value!));
      this.#over();
    };
    for (let count = left; count > 0; count -= 1) {
      const read = new DatagramRead(this, first.landing!, first.owner);
      read.onSettled = () => {
        left -= 1;
        finish();
      };
      more.push(read);
    }
    if (more.length === 0) return finish();
    for (const read of more) this.#begin(read);
    const end = (): void => more.forEach((read) => this.host.cancel(read, 'closed'));
    this.host.nop().then(end, end);
  }

  #senderOf(bytes: Uint8Array): InternetAddress | undefined {
    if (this.#sender === undefined || Buffer.compare(this.#sender.bytes, bytes) !== 0) {
      const address = decodeInternet(bytes);
      this.#sender = { bytes: bytes.slice(), address: address && Object.freeze(address) };
    }
    return this.#sender.address;
  }

  async #close(): Promise<void> {
    isBeingClosed(this);
    this.host.residents.delete(this);
    for (const read of [...this.#queue]) this.host.cancel(read, 'closed');
    const current = this.#current;
    if (current !== undefined) {
      this.host.cancel(current, 'closed');
      await Promise.allSettled([current.batch === undefined ? current.promise : current.batch.promise]);
    }
    await closeDescriptor(this.host, this.descriptor);
  }
}
