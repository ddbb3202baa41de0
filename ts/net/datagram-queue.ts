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
 * Nothing here refers to the `UdpSocket`, but for reads in flight: one that the program forgot is collected and closed.
 */
import type { CancelOptions } from '../cancel.js';
import type { Deferred } from '../deferred.js';
import { Fifo } from '../fifo.js';
import { Bytes } from '../memory/bytes.js';
import type { Landing } from '../memory/size-class.js';
import { Failure, Opcode, Operation, UNREF } from '../op.js';
import type { Completion } from '../op.js';
import type { Proactor, Resident } from '../proactor.js';
import { closeDescriptor, isBeingClosed } from '../unclosed.js';
import type { Unclosed } from '../unclosed.js';
import { decodeInternet } from './address.js';
import type { InternetAddress } from './address.js';
import type { Opened } from './opened.js';


/** One read, from its call to its datagram. */
export class DatagramRead extends Operation<Bytes | null> {
  /** How many datagrams are wanted at most; more than one makes it a batch. */
  count = 1;
  /** The datagrams of a batch, once it is over. */
  batch: Deferred<Bytes[]> | undefined = undefined;
  /** What must not be collected while it is in flight. */
  readonly owner: object;

  constructor(queue: DatagramQueue, landing: Landing, owner: object) {
    super(Opcode.RECEIVE_MESSAGE, (operation, completion) => queue.land(operation, completion));
    this.owner = owner;
    this.landing = landing;
    this.length = landing.length;
    this.descriptor = queue.descriptor;
    this.ownBlock = true;
    if (!queue.keepsAlive) this.options = UNREF;
  }
}

export class DatagramQueue implements Unclosed, Resident {
  readonly host: Proactor;
  readonly descriptor: number;
  readonly fd: number;
  keepsAlive = true;
  readonly #queue = new Fifo<DatagramRead>();
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
    const outcome = operation.landing!.land(operation, completion);
    if (outcome instanceof Failure) return outcome;
    const bytes = outcome ?? Bytes.empty();
    bytes.address = this.#senderOf(this.host.backend.messageAddress(completion));
    if (completion.value === 1) bytes.truncated = true;
    return bytes;
  }

  leave(): void {
    this.close().catch(() => {}); // told to whoever calls close()
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  #next(): void {
    while (this.#current === undefined) {
      const read = this.#queue.shift();
      if (read === undefined) return;
      this.#current = read;
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
    this.#current = undefined;
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
      this.#current = undefined;
      this.#next();
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
