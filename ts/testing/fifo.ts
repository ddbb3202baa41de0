/** Pipes of a simulation: the name of a FIFO is the file system's, its bytes are here, between the ends opened here. */
import type { Channel } from '../backend/node/channel.js';
import { BytesQueue, rangeOf } from './bytes-queue.js';
import { POLLERR, POLLHUP, POLLIN, POLLOUT } from './connection.js';

const EPIPE = -32;
const EBADF = -9;
const ENOTSOCK = -88;
const CAPACITY = 65_536;

export class Fifo {
  readonly bytes = new BytesQueue(CAPACITY);
  readers = 0;
  writers = 0;
}

export class FifoEnd implements Channel {
  readonly kind = 'pipe';
  readonly fd: number;
  readonly #fifo: Fifo;
  readonly #reads: boolean;
  readonly #writes: boolean;
  readonly isNonBlocking: boolean;
  #closed = false;

  constructor(fd: number, fifo: Fifo, may: { reads: boolean; writes: boolean; isNonBlocking: boolean }) {
    this.fd = fd;
    this.#fifo = fifo;
    this.#reads = may.reads;
    this.#writes = may.writes;
    this.isNonBlocking = may.isNonBlocking;
    if (may.reads) fifo.readers += 1;
    if (may.writes) fifo.writers += 1;
  }

  /** The other side has been opened, too. */
  get isMet(): boolean {
    return this.#fifo.readers > 0 && this.#fifo.writers > 0;
  }

  get writesOnly(): boolean {
    return this.#writes && !this.#reads;
  }

  /** As `Connection.readable`. */
  get readable(): number | undefined {
    if (!this.#reads) return EBADF;
    const { length } = this.#fifo.bytes;
    if (length > 0) return length;
    return this.#fifo.writers === 0 ? 0 : undefined;
  }

  get incoming(): BytesQueue {
    return this.#fifo.bytes;
  }

  /** As `Connection.writable`. */
  get writable(): number | undefined {
    if (!this.#writes) return EBADF;
    if (this.#fifo.readers === 0) return EPIPE;
    return this.#fifo.bytes.room > 0 ? this.#fifo.bytes.room : undefined;
  }

  send(views: readonly Uint8Array[], skip: number, most: number): void {
    for (const part of rangeOf(views, skip, most)) this.#fifo.bytes.push(part);
  }

  tellError(): number {
    return 0;
  }

  get events(): number {
    const input = this.#reads ? (this.#fifo.bytes.length > 0 ? POLLIN : 0) | (this.#fifo.writers === 0 ? POLLHUP : 0) : 0;
    const output = this.#writes ? (this.#fifo.bytes.room > 0 ? POLLOUT : 0) | (this.#fifo.readers === 0 ? POLLERR : 0) : 0;
    return input | output;
  }

  address(): number {
    return ENOTSOCK;
  }

  setOption(): number {
    return ENOTSOCK;
  }

  close(done: () => void): void {
    if (!this.#closed) {
      if (this.#reads) this.#fifo.readers -= 1;
      if (this.#writes) this.#fifo.writers -= 1;
      if (this.#fifo.readers === 0 && this.#fifo.writers === 0) this.#fifo.bytes.clear();
    }
    this.#closed = true;
    done();
  }
}
