/**
 * A datagram socket of the `node` backend, over `dgram.Socket`. Node hands datagrams over as they come; they wait here,
 * and as in the kernel those beyond what may wait are lost.
 */
import dgram from 'node:dgram';
import { networkInterfaces } from 'node:os';
import { Fifo } from '../../fifo.js';
import { IPV6_ONLY, REUSE_ADDRESS, REUSE_PORT } from '../../op.js';
import { Waiters } from './channel.js';
import type { WaitableChannel } from './channel.js';
import { errnoOf } from './calls.js';
import type { SocketAddress } from './address.js';
import { interfaceIndex } from '../system.js';

/** Datagrams that may wait to be received. */
const WAITING_MAX = 1024;
const ENODEV = -19;
const EINVAL = -22;
const ENOTCONN = -107;
const EOPNOTSUPP = -95;

const RECEIVE_BUFFER = 4;
const SEND_BUFFER = 5;
const BROADCAST = 6;
const TTL = 7;
const MULTICAST_TTL = 8;
const MULTICAST_LOOPBACK = 9;
const MULTICAST_INTERFACE = 11;

interface Datagram {
  readonly data: Buffer;
  readonly sender: SocketAddress;
}

export class Datagrams implements WaitableChannel {
  readonly kind = 'datagrams';
  readonly waiters: Waiters;
  /** Node does not tell. */
  readonly fd = -1;
  readonly #socket: dgram.Socket;
  readonly #waiting = new Fifo<Datagram>();
  #errno = 0;

  constructor(socket: dgram.Socket) {
    this.#socket = socket;
    this.waiters = new Waiters(socket);
    socket.on('message', (data, { address, port }) => {
      if (this.#waiting.length < WAITING_MAX) this.#waiting.push({ data, sender: { address, port } });
      this.waiters.tell();
    });
    socket.on('error', (error) => {
      this.#errno = errnoOf(error);
      this.waiters.tell();
    });
  }

  get receivable(): boolean {
    return this.#waiting.length > 0 || this.#errno !== 0;
  }

  /** The next datagram in this memory, or `-errno`. Only when receivable. */
  receive(view: Uint8Array): { readonly length: number; readonly sender: SocketAddress; readonly truncated: boolean } | number {
    const datagram = this.#waiting.shift();
    if (datagram === undefined) {
      const errno = this.#errno;
      this.#errno = 0;
      return errno;
    }
    const part = datagram.data.subarray(0, view.length);
    view.set(part);
    return { length: part.length, sender: datagram.sender, truncated: part.length < datagram.data.length };
  }

  send(views: readonly Uint8Array[], target: SocketAddress | undefined, done: (result: number) => void): void {
    const callback = (error: Error | null, bytes: number): void => done(error === null ? bytes : errnoOfSend(error));
    const parts = views.length === 0 ? [new Uint8Array()] : [...views];
    try {
      if (target === undefined) this.#socket.send(parts, callback);
      else this.#socket.send(parts, target.port, target.address, callback);
    } catch (error) {
      done(errnoOfSend(error));
    }
  }

  address(peer: boolean): SocketAddress | number {
    try {
      const { address, port } = peer ? this.#socket.remoteAddress() : this.#socket.address();
      return { address, port };
    } catch {
      return ENOTCONN;
    }
  }

  setOption(option: number, value: number): number {
    const socket = this.#socket;
    try {
      if (option === BROADCAST) socket.setBroadcast(value !== 0);
      else if (option === TTL) socket.setTTL(value);
      else if (option === MULTICAST_TTL) socket.setMulticastTTL(value);
      else if (option === MULTICAST_LOOPBACK) socket.setMulticastLoopback(value !== 0);
      else if (option === MULTICAST_INTERFACE) socket.setMulticastInterface(this.#interface(value));
      else if (option === RECEIVE_BUFFER) socket.setRecvBufferSize(value);
      else if (option === SEND_BUFFER) socket.setSendBufferSize(value);
      else return EOPNOTSUPP;
      return 0;
    } catch (error) {
      return errnoOfOption(error);
    }
  }

  option(option: number): number {
    if (option === RECEIVE_BUFFER) return this.#socket.getRecvBufferSize();
    return option === SEND_BUFFER ? this.#socket.getSendBufferSize() : EOPNOTSUPP;
  }

  membership(join: boolean, group: string, over: string | undefined): number {
    try {
      if (join) this.#socket.addMembership(group, over);
      else this.#socket.dropMembership(group, over);
      return 0;
    } catch (error) {
      return errnoOfOption(error);
    }
  }

  close(done: () => void): void {
    this.#socket.close(done);
  }

  /** An interface as Node names it: by an address of IPv4, by its name for IPv6. */
  #interface(index: number): string {
    const isV6 = this.#socket.address().family === 'IPv6';
    if (index === 0) return isV6 ? '::' : '0.0.0.0';
    const found = Object.entries(networkInterfaces()).find(([name]) => interfaceIndex(name) === index);
    const four = found?.[1]?.find(({ family }) => family === 'IPv4');
    if (found === undefined || (!isV6 && four === undefined)) throw Object.assign(new Error('no such interface'), { errno: ENODEV });
    return isV6 ? `::%${found[0]}` : four!.address;
  }
}

/** Node refuses some sends itself; the kernel's word for it. */
function errnoOfSend(error: unknown): number {
  const { errno, code } = error as NodeJS.ErrnoException;
  if (typeof errno === 'number' && errno < 0) return errno;
  return code === 'ERR_SOCKET_DGRAM_NOT_CONNECTED' || code === 'ERR_SOCKET_BAD_PORT' ? -89 : EINVAL; // EDESTADDRREQ
}

function errnoOfOption(error: unknown): number {
  const { errno } = error as NodeJS.ErrnoException & { readonly info?: { readonly errno?: number } };
  const told = errno ?? (error as { info?: { errno?: number } }).info?.errno;
  return typeof told === 'number' && told < 0 ? told : EINVAL;
}

/** Begin to receive; the flags are BIND's. */
export function startBind(
  { local, peer, flags }: { readonly local: SocketAddress; readonly peer: SocketAddress | undefined; readonly flags: number },
  bound: (socket: Datagrams) => void,
  failed: (errno: number) => void,
): void {
  const socket = dgram.createSocket({
    type: local.address.includes(':') ? 'udp6' : 'udp4',
    ipv6Only: (flags & IPV6_ONLY) !== 0,
    reuseAddr: (flags & REUSE_ADDRESS) !== 0,
    reusePort: (flags & REUSE_PORT) !== 0,
  });
  const onError = (error: Error): void => {
    socket.close();
    failed(errnoOf(error));
  };
  const done = (): void => {
    socket.off('error', onError);
    bound(new Datagrams(socket));
  };
  socket.once('error', onError);
  socket.bind({ address: local.address, port: local.port, exclusive: true }, () => {
    if (peer === undefined) return done();
    socket.connect(peer.port, peer.address, done);
  });
}
