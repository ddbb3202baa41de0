/**
 * The network of a simulation: which sockets there are, and where. It has every address, a name for each Unix socket, and
 * no connection to any other network.
 */
import type { SocketAddress } from '../backend/node/address.js';
import { IPV6_ONLY, REUSE_ADDRESS, REUSE_PORT } from '../op.js';
import { Connection, join } from './connection.js';
import type { BufferSizes, Medium } from './connection.js';
import { Datagrams } from './datagrams.js';
import type { Datagram } from './datagrams.js';
import type { Faults } from './faults.js';
import { Listener } from './listener.js';
import type { Random } from './random.js';

const EADDRINUSE = -98;
const EINVAL = -22;
const ECONNREFUSED = -111;
const MAPPED = '0:0:0:0:0:ffff:';
const NOWHERE = '0:0:0:0:0:0:0:0';
const LOOPBACK_V6 = '0:0:0:0:0:0:0:1';
const FD_FIRST = 1_000_000;
const PORT_FIRST = 32_768;
const PORT_LAST = 60_999;

/** Something that has an address. */
interface Placed {
  readonly at: SocketAddress;
  readonly is: { readonly isV6Only: boolean; readonly reusesPort: boolean; readonly reusesAddress?: boolean };
}

export class Network implements Medium {
  readonly #random: Random;
  readonly #faults: Faults;
  readonly #sizes: BufferSizes;
  readonly #listeners = new Set<Listener>();
  readonly #datagrams = new Set<Datagrams>();
  /** Connections with something on its way. */
  readonly #busy: Connection[] = [];
  #fdNext = FD_FIRST;
  #portNext = PORT_FIRST;

  constructor(random: Random, faults: Faults, sizes: BufferSizes) {
    this.#random = random;
    this.#faults = faults;
    this.#sizes = sizes;
  }

  fd(): number {
    this.#fdNext += 1;
    return this.#fdNext;
  }

  part(most: number): number {
    return this.#random.part(most, this.#faults.short);
  }

  busy(connection: Connection): void {
    if (!this.#busy.includes(connection)) this.#busy.push(connection);
  }

  /** Links that something may come over. */
  get links(): readonly Connection[] {
    return this.#busy;
  }

  /** Take the links out that have nothing left to do. */
  tidy(): void {
    for (let at = this.#busy.length - 1; at >= 0; at -= 1) if (!this.#busy[at]!.isBusy) this.#busy.splice(at, 1);
  }

  listen(target: SocketAddress, backlog: number, flags: number): Listener | number {
    const options = { backlog, isV6Only: (flags & IPV6_ONLY) !== 0, reusesPort: (flags & REUSE_PORT) !== 0 };
    const at = this.#place(target, options, this.#listeners);
    if (at === undefined) return EADDRINUSE;
    const listener = new Listener(this.fd(), at, options, (closed) => this.#listeners.delete(closed));
    this.#listeners.add(listener);
    return listener;
  }

  bind(target: SocketAddress, peer: SocketAddress | undefined, flags: number): Datagrams | number {
    const options = {
      isV6Only: (flags & IPV6_ONLY) !== 0,
      reusesPort: (flags & REUSE_PORT) !== 0,
      reusesAddress: (flags & REUSE_ADDRESS) !== 0,
    };
    const at = this.#place(target, options, this.#datagrams);
    if (at === undefined) return EADDRINUSE;
    const socket = new Datagrams(this.fd(), isWildcard(at.address) && peer !== undefined ? { ...at, address: loopback(at.address) } : at, options, (closed) =>
      this.#datagrams.delete(closed),
    );
    socket.peer = peer && reached(peer);
    this.#datagrams.add(socket);
    return socket;
  }

  /** Connect: the end that connected; `-errno`; undefined: the backlog is full, and it waits. */
  connect(target: SocketAddress, from: SocketAddress | undefined): Connection | number | undefined {
    const to = reached(target);
    const listeners = [...this.#listeners].filter((each) => answers(each, to));
    if (listeners.length === 0) return target.port < 0 && target.address[0] !== '\0' ? -2 : ECONNREFUSED;
    const listener = listeners[this.#random.below(listeners.length)]!;
    if (listener.isFull) return undefined;
    const local = this.#sourceFor(to, from);
    if (typeof local === 'number') return local;
    const mine = new Connection(this, this.fd(), { local, peer: to }, this.#sizes);
    const accepted = new Connection(this, this.fd(), seenBy(listener, local, to), this.#sizes);
    join(mine, accepted);
    listener.push(accepted);
    return mine;
  }

  /** Who receives what is sent to this address. */
  receiversOf(target: SocketAddress, sender: SocketAddress): Datagrams[] {
    const to = reached(target);
    const sockets = [...this.#datagrams].filter((each) => answers(each, to) && (each.peer === undefined || isSame(each.peer, sender)));
    const members = [...this.#datagrams].filter((each) => each.at.port === to.port && each.groups.has(to.address));
    if (members.length > 0) return members;
    return sockets.length > 1 ? [sockets[this.#random.below(sockets.length)]!] : sockets;
  }

  /** Whom a datagram comes from: a socket that is bound to "any" sends from where the way leads. */
  sourceOf(at: SocketAddress, target: SocketAddress): SocketAddress {
    return isWildcard(at.address) ? { address: loopback(plain(target).address), port: at.port } : at;
  }

  deliver(socket: Datagrams, { data, sender }: Datagram): void {
    const isMapped = socket.at.address.includes(':') && !sender.address.includes(':');
    socket.push({ data, sender: isMapped ? mapped(sender) : sender });
  }

  #sourceFor(to: SocketAddress, from: SocketAddress | undefined): SocketAddress | number {
    if (to.port < 0) return { address: '', port: -1 };
    if (from === undefined) return { address: to.address, port: this.#freePort([]) };
    if (from.address.includes(':') !== to.address.includes(':')) return EINVAL;
    const address = isWildcard(from.address) ? to.address : plain(from).address;
    const isTaken = [...this.#listeners].some(({ at }) => at.port === from.port && at.address === address);
    if (isTaken) return EADDRINUSE;
    return { address, port: from.port === 0 ? this.#freePort([]) : from.port };
  }

  #place(target: SocketAddress, is: Placed['is'], others: Iterable<Placed>): SocketAddress | undefined {
    const wanted = plain(target);
    if (wanted.port === 0) return { address: wanted.address, port: this.#freePort([...others]) };
    const isTaken = [...others].some((each) => {
      const shares = (is.reusesPort && each.is.reusesPort) || (is.reusesAddress === true && each.is.reusesAddress === true);
      return !shares && overlaps(each, { at: wanted, is });
    });
    return isTaken ? undefined : wanted;
  }

  #freePort(others: readonly Placed[]): number {
    for (;;) {
      const port = this.#portNext;
      this.#portNext = port === PORT_LAST ? PORT_FIRST : port + 1;
      if (!others.some(({ at }) => at.port === port)) return port;
    }
  }
}

function isV6(address: string): boolean {
  return address.includes(':');
}

function isWildcard(address: string): boolean {
  return address === '0.0.0.0' || address === NOWHERE;
}

function loopback(address: string): string {
  return isV6(address) ? LOOPBACK_V6 : '127.0.0.1';
}

/** An IPv4 address that was written as one of IPv6, as itself. */
function plain({ address, port }: SocketAddress): SocketAddress {
  if (port < 0 || !address.startsWith(MAPPED)) return { address, port };
  const [high = 0, low = 0] = address.slice(MAPPED.length).split(':').map((word) => Number.parseInt(word, 16));
  return { address: [high >> 8, high & 0xff, low >> 8, low & 0xff].join('.'), port };
}

function mapped({ address, port }: SocketAddress): SocketAddress {
  return { address: `::ffff:${address}`, port };
}

/** Where something arrives that is sent to this address: "any" is this machine. */
function reached(target: SocketAddress): SocketAddress {
  const { address, port } = plain(target);
  return port >= 0 && isWildcard(address) ? { address: loopback(address), port } : { address, port };
}

function isSame(one: SocketAddress, two: SocketAddress): boolean {
  return one.port === two.port && plain(one).address === plain(two).address;
}

/** Whether what is sent to the address is for the socket. */
function answers({ at, is }: Placed, to: SocketAddress): boolean {
  if (at.port !== to.port) return false;
  if (at.address === to.address) return true;
  if (to.port < 0 || !isWildcard(at.address)) return false;
  return isV6(at.address) === isV6(to.address) || (isV6(at.address) && !is.isV6Only);
}

function overlaps(one: Placed, two: Placed): boolean {
  return answers(one, two.at) || answers(two, one.at) || (one.at.port === two.at.port && one.at.address === two.at.address);
}

/** The addresses of a connection at the listener's end. */
function seenBy(listener: Listener, peer: SocketAddress, local: SocketAddress): { local: SocketAddress; peer: SocketAddress } {
  if (local.port < 0) return { local: listener.at, peer: { address: '', port: -1 } };
  const isMapped = isV6(listener.at.address) && !isV6(local.address);
  return isMapped ? { local: mapped(local), peer: mapped(peer) } : { local, peer };
}
