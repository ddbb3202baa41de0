/** A UDP socket of the simulation. */
import type { Channel } from '../backend/node/channel.js';
import type { SocketAddress } from '../backend/node/address.js';
import { POLLIN, POLLOUT } from './connection.js';
import { SocketOptions } from './socket-options.js';

const ENOTCONN = -107;
const RECEIVE_BUFFER = 4;

export interface Datagram {
  readonly data: Uint8Array;
  readonly sender: SocketAddress;
}

export interface DatagramOptions {
  readonly isV6Only: boolean;
  readonly reusesPort: boolean;
  readonly reusesAddress: boolean;
}

export class Datagrams implements Channel {
  readonly kind = 'datagrams';
  readonly fd: number;
  readonly at: SocketAddress;
  readonly is: DatagramOptions;
  readonly options = new SocketOptions();
  /** The only one it receives from, and where it sends to. */
  peer: SocketAddress | undefined = undefined;
  /** Nobody was at the peer's address (ICMP): told once. */
  errno = 0;
  readonly groups = new Set<string>();
  readonly #waiting: Datagram[] = [];
  #bytes = 0;
  readonly #onClose: (socket: Datagrams) => void;

  constructor(fd: number, at: SocketAddress, options: DatagramOptions, onClose: (socket: Datagrams) => void) {
    this.fd = fd;
    this.at = at;
    this.is = options;
    this.#onClose = onClose;
  }

  get isReadable(): boolean {
    return this.#waiting.length > 0 || this.errno !== 0;
  }

  get events(): number {
    return POLLOUT | (this.isReadable ? POLLIN : 0);
  }

  tellError(): number {
    const { errno } = this;
    this.errno = 0;
    return errno;
  }

  /** It arrived; one for which there is no room is lost. */
  push(datagram: Datagram): void {
    if (this.#bytes + datagram.data.length > this.options.get(RECEIVE_BUFFER)) return;
    this.#bytes += datagram.data.length;
    this.#waiting.push(datagram);
  }

  take(): Datagram | undefined {
    const first = this.#waiting.shift();
    this.#bytes -= first?.data.length ?? 0;
    return first;
  }

  address(peer: boolean): SocketAddress | number {
    return peer ? (this.peer ?? ENOTCONN) : this.at;
  }

  setOption(option: number, value: number): number {
    return this.options.set(option, value);
  }

  close(done: () => void): void {
    this.#onClose(this);
    done();
  }
}
