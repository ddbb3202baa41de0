/** A Unix stream connection: a `Stream` with names and buffer sizes. Made by `connect` and by a `UnixListener`. */
import { show } from '../inspect.js';
import type { Proactor } from '../proactor.js';
import { Stream } from '../stream.js';
import { decodeUnix } from './address.js';
import { SocketOption, addressOf, getOption, setBufferSize } from './options.js';
import type { OptionTarget } from './options.js';

export class UnixStream extends Stream {
  /** @internal Used by `connect` and `UnixListener`. */
  constructor(proactor: Proactor, descriptor: number, fd: number) {
    super(proactor, descriptor, fd, 'unix');
  }

  /** The name of the peer's socket: its path, an abstract name with its leading NUL, '' where it has none. */
  get remoteAddress(): string | undefined {
    return this.#name(true);
  }

  /** The name of our socket: '' where it has none. */
  get localAddress(): string | undefined {
    return this.#name(false);
  }

  /** Bytes of the system's receive buffer. */
  getRecvBufferSize(): number {
    return getOption(this.#target, SocketOption.RECEIVE_BUFFER, 'getsockopt');
  }

  /** Bytes of the system's send buffer. */
  getSendBufferSize(): number {
    return getOption(this.#target, SocketOption.SEND_BUFFER, 'getsockopt');
  }

  /** Ask for another size of the receive buffer. Linux gives twice as much, within `net.core.rmem_max`. */
  setRecvBufferSize(size: number): this {
    setBufferSize(this.#target, SocketOption.RECEIVE_BUFFER, size, 'setsockopt');
    return this;
  }

  /** Ask for another size of the send buffer. Linux gives twice as much, within `net.core.wmem_max`. */
  setSendBufferSize(size: number): this {
    setBufferSize(this.#target, SocketOption.SEND_BUFFER, size, 'setsockopt');
    return this;
  }

  get #target(): OptionTarget {
    return { backend: this.proactor.backend, descriptor: this.descriptor, closed: this.closed };
  }

  #name(peer: boolean): string | undefined {
    const bytes = addressOf(this.#target, peer);
    return bytes === undefined ? undefined : decodeUnix(bytes);
  }
}
show(UnixStream, ({ localAddress, remoteAddress, fd, closed }) => ({ localAddress, remoteAddress, fd, closed }));
