/** A listening socket of the simulation: connections wait here until they are accepted. */
import type { Channel } from '../backend/node/channel.js';
import type { SocketAddress } from '../backend/node/address.js';
import { POLLIN } from './connection.js';
import type { Connection } from './connection.js';
import { SocketOptions } from './socket-options.js';

const ENOTCONN = -107;

export interface ListenerOptions {
  readonly backlog: number;
  readonly isV6Only: boolean;
  readonly reusesPort: boolean;
}

export class Listener implements Channel {
  readonly kind = 'server';
  readonly fd: number;
  readonly at: SocketAddress;
  readonly is: ListenerOptions;
  readonly options = new SocketOptions();
  readonly #waiting: Connection[] = [];
  readonly #onClose: (listener: Listener) => void;

  constructor(fd: number, at: SocketAddress, options: ListenerOptions, onClose: (listener: Listener) => void) {
    this.fd = fd;
    this.at = at;
    this.is = options;
    this.#onClose = onClose;
  }

  /** As in Linux, one more than the backlog says. */
  get isFull(): boolean {
    return this.#waiting.length > this.is.backlog;
  }

  get events(): number {
    return this.#waiting.length > 0 ? POLLIN : 0;
  }

  push(connection: Connection): void {
    this.#waiting.push(connection);
  }

  accept(): Connection | undefined {
    return this.#waiting.shift();
  }

  address(peer: boolean): SocketAddress | number {
    return peer ? ENOTCONN : this.at;
  }

  setOption(option: number, value: number): number {
    return this.options.set(option, value);
  }

  close(done: () => void): void {
    for (const connection of this.#waiting.splice(0)) connection.abort();
    this.#onClose(this);
    done();
  }
}
