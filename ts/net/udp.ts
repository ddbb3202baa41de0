/**
 * UDP sockets, with the words of `node:dgram`. Datagrams are read in any of the three styles (`datagram-source.ts`), one
 * for each read; `receiveMany` takes what is there. Sending: `datagram-sender.ts`. Made by `bind`.
 */
import type { CancelOptions } from '../cancel.js';
import { argumentTypeError, argumentValueError, checkInteger, closedError, systemError } from '../errors.js';
import { show } from '../inspect.js';
import type { Bytes } from '../memory/bytes.js';
import type { Proactor } from '../proactor.js';
import { AllocatorReader } from '../read/allocator.js';
import type { AllocatorOptions } from '../read/allocator.js';
import { HybridReader } from '../read/hybrid.js';
import type { HybridOptions } from '../read/hybrid.js';
import { SubmitReader } from '../read/submit.js';
import type { SubmitterOptions } from '../read/submit.js';
import { closeWhenCollected } from '../unclosed.js';
import { decodeInternet, encodeInternet, interfaceOf, scopeOf, versionOf } from './address.js';
import type { InternetAddress } from './address.js';
import { checkText, invalidAddress } from './arguments.js';
import { DatagramSender } from './datagram-sender.js';
import type { Datagram, DatagramData } from './datagram-sender.js';
import { DatagramQueue } from './datagram-queue.js';
import { DatagramSource } from './datagram-source.js';
import type { LookupPlan } from './lookup.js';
import type { Opened } from './opened.js';
import { SocketOption, addressOf, getOption, setBufferSize, setOption } from './options.js';
import type { OptionTarget } from './options.js';

/** The most datagrams that `receiveMany` takes at once. */
const BATCH_MAX = 1024;
const BATCH = 64;
const EINVAL = -22;

/**
 * A UDP socket, with the words of `node:dgram`: read in any of the three styles, a datagram for each read; `receiveMany` takes what is
 * there. Made by `bind`.
 */
export class UdpSocket implements AsyncDisposable {
  readonly #proactor: Proactor;
  readonly #queue: DatagramQueue;
  readonly #source: DatagramSource;
  readonly #sender: DatagramSender;

  /** @internal Used by `bind`. */
  constructor(proactor: Proactor, socket: Opened, lookup: LookupPlan, connected: boolean) {
    this.#proactor = proactor;
    this.#queue = new DatagramQueue(proactor, socket);
    this.#source = new DatagramSource(this, this.#queue);
    this.#sender = new DatagramSender(this.#queue, lookup, connected);
    closeWhenCollected(this, this.#queue);
  }

  /** The system's number of the socket; -1 once closed. The socket owns it: do not close it. */
  get fd(): number {
    return this.closed ? -1 : this.#queue.fd;
  }

  /** Whether it is closed, or being closed. */
  get closed(): boolean {
    return this.#queue.closed;
  }

  /** Style 1: a block of the pool for each datagram, which you borrow. */
  allocator(options?: AllocatorOptions): AllocatorReader {
    return new AllocatorReader(this.#source, options);
  }

  /** Style 2: your buffer goes to the kernel and comes back with a datagram. */
  submitter(options?: SubmitterOptions): SubmitReader {
    return new SubmitReader(this.#source, options);
  }

  /** Style 3: one call, the buffer decides. */
  hybrid(options?: HybridOptions): HybridReader {
    return new HybridReader(this.#source, options);
  }

  /**
   * Wait for a datagram, and take with it what else is there: at least one, up to `max`, in blocks of the pool.
   * @example
   * for (const bytes of await socket.receiveMany()) { count(bytes.data); bytes.release(); }
   */
  receiveMany(max: number = BATCH, options?: CancelOptions): Promise<Bytes[]> {
    try {
      const count = checkInteger('max', max, 1, BATCH_MAX);
      const plan = this.#source.plan(options);
      return this.#source.readMany(this.#source.pooled(this.#proactor.pool, undefined), count, plan);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * Send one datagram; how many bytes it had. Without a port it goes to the peer that the socket was connected to by
   * `bind({ peer })`. A `Bytes` moves into the datagram, other data is copied at the call; of a list the parts are joined.
   * @param address a name or an address; this machine where not given
   * @example
   * await socket.send('ping', 5353, '127.0.0.1');
   */
  send(data: DatagramData, port?: number | string, address?: string, options?: CancelOptions): Promise<number> {
    return this.#sender.send(data, port, address, options);
  }

  /**
   * Send several datagrams by one call of the system; how many were sent. When some were not, it fails with the first
   * error, which says so in `messagesSent`.
   * @example
   * await socket.sendMany(peers.map(({ port, address }) => ({ data: 'ping', port, address })));
   */
  sendMany(datagrams: Iterable<Datagram>, options?: CancelOptions): Promise<number> {
    return this.#sender.sendMany(datagrams, options);
  }

  /** Where the socket is, with the port that it got. */
  address(): InternetAddress {
    const bytes = addressOf(this.#target, false);
    if (bytes === undefined) throw closedError('getsockname');
    return decodeInternet(bytes)!;
  }

  /** The peer that it was connected to. */
  remoteAddress(): InternetAddress {
    const bytes = addressOf(this.#target, true);
    if (bytes !== undefined) return decodeInternet(bytes)!;
    throw Object.assign(new Error('Not connected'), { code: 'ERR_SOCKET_DGRAM_NOT_CONNECTED' });
  }

  /** Allow datagrams to broadcast addresses. */
  setBroadcast(on: boolean): this {
    return this.#set(SocketOption.BROADCAST, on ? 1 : 0, 'setBroadcast');
  }

  /** How many routers a datagram may pass, 1 to 255. */
  setTTL(ttl: number): this {
    return this.#set(SocketOption.TTL, checkInteger('ttl', ttl, 1, 255), 'setTTL');
  }

  /** The same for datagrams to groups, 0 to 255; 1 where not set. */
  setMulticastTTL(ttl: number): this {
    return this.#set(SocketOption.MULTICAST_TTL, checkInteger('ttl', ttl, 0, 255), 'setMulticastTTL');
  }

  /** Whether datagrams to a group also reach members on this machine; they do where not set. */
  setMulticastLoopback(on: boolean): this {
    return this.#set(SocketOption.MULTICAST_LOOPBACK, on ? 1 : 0, 'setMulticastLoopback');
  }

  /** Which interface datagrams to groups leave by: its IPv4 address, or `::%eth0` on an IPv6 socket. */
  setMulticastInterface(address: string): this {
    return this.#set(SocketOption.MULTICAST_INTERFACE, interfaceFor(address), 'setMulticastInterface');
  }

  /**
   * Receive what is sent to a group, on an interface (`127.0.0.1`, `::%lo`), or the one that the system chooses.
   * @example
   * socket.addMembership('239.1.2.3', '127.0.0.1');
   */
  addMembership(group: string, over?: string): this {
    return this.#member(true, group, over, 'addMembership');
  }

  /** Receive no more what is sent to the group. */
  dropMembership(group: string, over?: string): this {
    return this.#member(false, group, over, 'dropMembership');
  }

  /** Bytes of the system's receive buffer. */
  getRecvBufferSize(): number {
    return getOption(this.#target, SocketOption.RECEIVE_BUFFER, 'uv_recv_buffer_size');
  }

  /** Bytes of the system's send buffer. */
  getSendBufferSize(): number {
    return getOption(this.#target, SocketOption.SEND_BUFFER, 'uv_send_buffer_size');
  }

  /** Ask for another size of the receive buffer. Linux gives twice as much, within `net.core.rmem_max`. */
  setRecvBufferSize(size: number): this {
    setBufferSize(this.#target, SocketOption.RECEIVE_BUFFER, size, 'uv_recv_buffer_size');
    return this;
  }

  /** Ask for another size of the send buffer. Linux gives twice as much, within `net.core.wmem_max`. */
  setSendBufferSize(size: number): this {
    setBufferSize(this.#target, SocketOption.SEND_BUFFER, size, 'uv_send_buffer_size');
    return this;
  }

  /** Reads that wait fail with `ERR_RITSU_CLOSED`; what was sent is sent. Again gives the same promise. */
  close(): Promise<void> {
    return this.#queue.close();
  }

  /** The same: a datagram socket has nothing that would have to be finished. */
  destroy(): Promise<void> {
    return this.close();
  }

  /** Reads that wait keep the process alive (the default). */
  ref(): this {
    this.#queue.keepAlive(true);
    return this;
  }

  /** Reads that wait do not keep the process alive. */
  unref(): this {
    this.#queue.keepAlive(false);
    return this;
  }

  /** `close()`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  get #target(): OptionTarget {
    return { backend: this.#proactor.backend, descriptor: this.#queue.descriptor, closed: this.closed };
  }

  #set(option: number, value: number, syscall: string): this {
    setOption(this.#target, option, value, syscall);
    return this;
  }

  #member(join: boolean, group: string, over: string | undefined, syscall: string): this {
    if (typeof group !== 'string') throw argumentTypeError('multicastAddress', 'of type string', group);
    if (this.closed) throw closedError(syscall);
    const encoded = encodeInternet(group, 0);
    const where = checkText('multicastInterface', over);
    const interfaceBytes = where === undefined ? undefined : encodeInternet(where, 0);
    if (encoded === undefined || (where !== undefined && interfaceBytes === undefined)) throw systemError(EINVAL, syscall);
    const result = this.#proactor.backend.membership(this.#queue.descriptor, join, encoded, interfaceBytes);
    if (result < 0) throw systemError(result, syscall);
    return this;
  }
}
show(UdpSocket, (self) => ({ address: self.closed ? undefined : self.address(), fd: self.fd, closed: self.closed }));

/** The number of the interface that an address names: by being its address, or by its zone. */
function interfaceFor(address: string): number {
  if (typeof address !== 'string') throw argumentTypeError('multicastInterface', 'of type string', address);
  if (versionOf(address) === 0) throw invalidAddress(address);
  if (address === '0.0.0.0' || address === '::') return 0;
  const zone = address.split('%', 2)[1];
  const index = zone === undefined ? interfaceOf(address) : scopeOf(zone);
  if (index === undefined || index === 0) throw argumentValueError('multicastInterface', 'must be of an interface', address);
  return index;
}
