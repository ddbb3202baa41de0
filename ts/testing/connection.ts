/**
 * One end of a connection that exists only in the simulation: TCP, or a Unix stream socket.
 *
 * Bytes of TCP go from the sender's buffer over the link, a part at a time, whenever the kernel has it do so
 * (`transmit`), into the receiver's; those of a Unix socket are there at once. What `close`, `shutdown` and unread
 * bytes mean for the other end is as in Linux: a FIN comes after the bytes; closed with bytes unread, or sent to a closed
 * end, is a reset.
 */
import type { Channel } from '../backend/node/channel.js';
import type { SocketAddress } from '../backend/node/address.js';
import { BytesQueue, rangeOf } from './bytes-queue.js';
import { SocketOptions } from './socket-options.js';

const EPIPE = -32;
const ECONNRESET = -104;
const ENOTCONN = -107;

const SHUTDOWN_READ = 0;
const SHUTDOWN_WRITE = 1;

export const POLLIN = 1;
export const POLLOUT = 4;
export const POLLERR = 8;
export const POLLHUP = 16;
const POLLRDHUP = 0x2000;

/** Bytes that each of the two buffers of a direction holds. */
export interface BufferSizes {
  readonly send: number;
  readonly receive: number;
}

/** What a connection needs of the network it is in. */
export interface Medium {
  /** How much of `most` bytes goes over the link at once. */
  part(most: number): number;
  /** Something is to be transmitted from here. */
  busy(connection: Connection): void;
}

export class Connection implements Channel {
  readonly kind = 'connection';
  readonly fd: number;
  readonly options = new SocketOptions();
  readonly isUnix: boolean;
  /** Undefined until connected, and once the other end is gone without a trace. */
  other: Connection | undefined = undefined;
  /** Came, and was not received. */
  readonly incoming: BytesQueue;
  /** Sent, and not yet with the other end. */
  readonly #outgoing: BytesQueue;
  readonly #medium: Medium;
  local: SocketAddress;
  peer: SocketAddress;
  closed = false;
  /** All bytes that were given to `send`, and those of them that left. */
  sent = 0;
  transmitted = 0;
  /** The other end sends no more, and all that it sent has come. */
  #ended = false;
  #endSent = false;
  #writeShut = false;
  #readShut = false;
  #dead = false;
  /** Told once, by the next operation. */
  #errno = 0;

  constructor(medium: Medium, fd: number, ends: { local: SocketAddress; peer: SocketAddress }, sizes: BufferSizes) {
    this.#medium = medium;
    this.fd = fd;
    this.local = ends.local;
    this.peer = ends.peer;
    this.isUnix = ends.peer.port < 0;
    this.incoming = new BytesQueue(sizes.receive);
    this.#outgoing = new BytesQueue(sizes.send);
  }

  /** How many bytes a receive would give; 0 at the end, `-errno` for an error; undefined: it would wait. */
  get readable(): number | undefined {
    if (this.incoming.length > 0) return this.incoming.length;
    if (this.isUnix && this.#errno !== 0) return this.#errno;
    if (this.#ended || this.#readShut) return 0;
    if (this.#errno !== 0) return this.#errno;
    return this.#dead ? 0 : undefined;
  }

  /** The error, which is told once; 0 where there is none. */
  tellError(): number {
    const errno = this.#errno;
    this.#errno = 0;
    return errno;
  }

  /** How many bytes a send would take; `-errno`; undefined: it would wait. */
  get writable(): number | undefined {
    if (this.#errno !== 0 && !this.isUnix) return this.#errno;
    if (this.#writeShut || this.#dead || (this.isUnix && this.other === undefined)) return EPIPE;
    const room = this.isUnix ? this.other!.incoming.room : this.#outgoing.room;
    return room > 0 ? room : undefined;
  }

  /** Take bytes from the views, from `skip` on; only so many as are writable. */
  send(views: readonly Uint8Array[], skip: number, most: number): void {
    const target = this.isUnix ? this.other!.incoming : this.#outgoing;
    for (const part of rangeOf(views, skip, most)) target.push(part);
    this.sent += most;
    if (this.isUnix) this.transmitted = this.sent;
    else this.#medium.busy(this);
  }

  /** What `poll` says. */
  get events(): number {
    const { readable, writable } = this;
    const isHungUp = this.#dead || (this.#ended && this.#writeShut);
    return (
      (readable === undefined ? 0 : POLLIN) |
      (writable === undefined ? 0 : POLLOUT) |
      (this.#errno === 0 ? 0 : POLLERR) |
      (isHungUp ? POLLHUP : 0) |
      (this.#ended || this.#readShut ? POLLRDHUP : 0)
    );
  }

  shutdown(how: number): number {
    if (this.#dead || this.other === undefined) return ENOTCONN;
    if (how !== SHUTDOWN_WRITE) {
      this.#readShut = true;
      if (this.isUnix) this.other.#writeShut = true;
    }
    if (how !== SHUTDOWN_READ && !this.#writeShut) this.#finish();
    return 0;
  }

  /** Let a part of what is on its way arrive. False: there was nothing, or no room for it. */
  transmit(): boolean {
    const { other } = this;
    if (other === undefined || this.#dead) return false;
    if (this.#outgoing.length > 0) {
      if (other.closed) {
        this.reset();
        return true;
      }
      const most = Math.min(this.#outgoing.length, other.incoming.room);
      if (most === 0) return false;
      const bytes = new Uint8Array(this.#medium.part(most));
      this.#outgoing.take(bytes);
      other.incoming.push(bytes);
      this.transmitted += bytes.length;
      return true;
    }
    if (!this.#writeShut || this.#endSent) return false;
    this.#endSent = true;
    other.#ended = true;
    return true;
  }

  get isBusy(): boolean {
    return !this.#dead && this.other !== undefined && (this.#outgoing.length > 0 || (this.#writeShut && !this.#endSent));
  }

  /** Nothing of what was sent is left here: it has arrived, or never will. */
  hasLeft(position: number): boolean {
    return this.transmitted >= position || this.#dead || this.closed;
  }

  /** The other end broke the connection off. */
  reset(): void {
    if (this.#dead) return;
    this.#errno = this.#ended ? EPIPE : ECONNRESET;
    this.#die();
  }

  address(peer: boolean): SocketAddress | number {
    if (peer && this.#dead) return ENOTCONN;
    return peer ? this.peer : this.local;
  }

  setOption(option: number, value: number): number {
    return this.options.set(option, value);
  }

  /** Goes on transmitting what was sent; unread bytes, or a linger of 0, break the connection off. */
  close(done: () => void): void {
    const { other } = this;
    this.closed = true;
    if (!this.#dead && other !== undefined) {
      const breaksOff = this.incoming.length > 0 || (!this.isUnix && this.options.linger === 0);
      if (breaksOff) this.#breakOff(other);
      else if (!this.#writeShut) this.#finish();
      if (this.isUnix) {
        this.#die();
        other.other = undefined;
      }
    }
    done();
  }

  /** The connection was never accepted, or is to be broken off now. */
  abort(): void {
    this.closed = true;
    if (this.other !== undefined) this.#breakOff(this.other);
  }

  #breakOff(other: Connection): void {
    this.#die();
    if (other.isUnix) {
      other.#errno = ECONNRESET;
      other.#dead = true;
    } else other.reset();
  }

  #finish(): void {
    this.#writeShut = true;
    if (!this.isUnix) return this.#medium.busy(this);
    this.#endSent = true;
    if (this.other !== undefined) this.other.#ended = true;
  }

  #die(): void {
    this.#dead = true;
    this.#outgoing.clear();
  }
}

/** Join two ends. */
export function join(one: Connection, two: Connection): void {
  one.other = two;
  two.other = one;
}
