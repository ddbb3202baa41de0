/** A TCP connection: a `Stream` with addresses and options. Made by `connect` and by a `TcpListener`. */
import { checkInteger, closedError } from '../errors.js';
import { show } from '../inspect.js';
import type { Proactor } from '../proactor.js';
import { Stream } from '../stream.js';
import { decodeInternet } from './address.js';
import type { InternetAddress } from './address.js';
import type { Keeping } from './arguments.js';
import { LINGER_OFF, SocketOption, addressOf, getOption, setBufferSize, setOption } from './options.js';
import type { OptionTarget } from './options.js';

/** Seconds of linger that the system can be told (it counts in ticks). */
const LINGER_MAX_SECONDS = 32_767;

/** The ends of a connection, which stay what they were. */
interface Addresses {
  remote: InternetAddress | undefined;
  local: InternetAddress | undefined;
}

/** A TCP connection: a `Stream` with addresses and options. Made by `connect` and by a `TcpListener`. */
export class TcpStream extends Stream {
  /** Those that were asked for; of most connections none. */
  #addresses: Addresses | undefined = undefined;

  /** @internal Used by `connect` and `TcpListener`. */
  constructor(proactor: Proactor, descriptor: number, fd: number) {
    super(proactor, descriptor, fd, 'tcp');
  }

  /** The peer's address; undefined when it is not connected any more and was never asked. */
  get remoteAddress(): string | undefined {
    return TcpStream.#end(this, 'remote')?.address;
  }

  /** The peer's port. */
  get remotePort(): number | undefined {
    return TcpStream.#end(this, 'remote')?.port;
  }

  /** The family of the peer's address. */
  get remoteFamily(): 'IPv4' | 'IPv6' | undefined {
    return TcpStream.#end(this, 'remote')?.family;
  }

  /** Our address; undefined when it is not connected any more and was never asked. */
  get localAddress(): string | undefined {
    return TcpStream.#end(this, 'local')?.address;
  }

  /** Our port. */
  get localPort(): number | undefined {
    return TcpStream.#end(this, 'local')?.port;
  }

  /** The family of our address. */
  get localFamily(): 'IPv4' | 'IPv6' | undefined {
    return TcpStream.#end(this, 'local')?.family;
  }

  /** Our end, as Node's `socket.address()` gives it. */
  address(): InternetAddress | undefined {
    return TcpStream.#end(this, 'local');
  }

  /**
   * Send small writes at once, instead of waiting for more (Nagle's algorithm).
   * @example
   * stream.setNoDelay();
   */
  setNoDelay(on = true): this {
    setOption(TcpStream.#target(this), SocketOption.NO_DELAY, on ? 1 : 0, 'setsockopt');
    return this;
  }

  /**
   * Ask a silent peer whether it is still there.
   * @param initialDelay milliseconds of silence before the first question; 0 leaves what is set
   * @example
   * stream.setKeepAlive(true, 60_000);
   */
  setKeepAlive(on = false, initialDelay = 0): this {
    const seconds = Math.floor(checkInteger('initialDelay', initialDelay, 0, 2 ** 31 - 1) / 1000);
    setOption(TcpStream.#target(this), SocketOption.KEEP_ALIVE, on ? 1 : 0, 'setsockopt');
    if (on && seconds > 0) setOption(TcpStream.#target(this), SocketOption.KEEP_ALIVE_DELAY, seconds, 'setsockopt');
    return this;
  }

  /**
   * What the system does at the close with what was not sent yet: `false`, it goes on sending (the default); 0, it is
   * dropped and the connection reset; more, the close waits so many seconds.
   * @example
   * stream.setLinger(0);
   */
  setLinger(seconds: number | false): this {
    const value = seconds === false ? LINGER_OFF : checkInteger('seconds', seconds, 0, LINGER_MAX_SECONDS);
    setOption(TcpStream.#target(this), SocketOption.LINGER, value, 'setsockopt');
    return this;
  }

  /** Bytes of the system's receive buffer. */
  getRecvBufferSize(): number {
    return getOption(TcpStream.#target(this), SocketOption.RECEIVE_BUFFER, 'getsockopt');
  }

  /** Bytes of the system's send buffer. */
  getSendBufferSize(): number {
    return getOption(TcpStream.#target(this), SocketOption.SEND_BUFFER, 'getsockopt');
  }

  /** Ask for another size of the receive buffer. Linux gives twice as much, within `net.core.rmem_max`. */
  setRecvBufferSize(size: number): this {
    setBufferSize(TcpStream.#target(this), SocketOption.RECEIVE_BUFFER, size, 'setsockopt');
    return this;
  }

  /** Ask for another size of the send buffer. Linux gives twice as much, within `net.core.wmem_max`. */
  setSendBufferSize(size: number): this {
    setBufferSize(TcpStream.#target(this), SocketOption.SEND_BUFFER, size, 'setsockopt');
    return this;
  }

  /**
   * End the connection at once: the peer gets ECONNRESET, what was not sent is dropped.
   * @example
   * await stream.reset();
   */
  async reset(): Promise<void> {
    if (this.closed) throw closedError('reset');
    this.setLinger(0);
    await this.destroy();
  }

  /** @internal Used by `connect` and `TcpListener`: options that a connection begins with. As in Node, one that fails is not told. */
  keep({ noDelay, keepAlive, keepAliveInitialDelay }: Keeping): this {
    const { backend } = this.proactor;
    if (noDelay) backend.setOption(this.descriptor, SocketOption.NO_DELAY, 1);
    if (!keepAlive) return this;
    backend.setOption(this.descriptor, SocketOption.KEEP_ALIVE, 1);
    const seconds = Math.floor((keepAliveInitialDelay ?? 0) / 1000);
    if (seconds > 0) backend.setOption(this.descriptor, SocketOption.KEEP_ALIVE_DELAY, seconds);
    return this;
  }

  // Static: private methods would cost each connection 8 bytes.

  static #target({ proactor: { backend }, descriptor, closed }: TcpStream): OptionTarget {
    return { backend, descriptor, closed };
  }

  static #end(stream: TcpStream, which: 'remote' | 'local'): InternetAddress | undefined {
    const known = (stream.#addresses ??= { remote: undefined, local: undefined });
    return (known[which] ??= internetOf(TcpStream.#target(stream), which === 'remote'));
  }
}
show(TcpStream, ({ localAddress, localPort, remoteAddress, remotePort, fd, closed }) => ({ localAddress, localPort, remoteAddress, remotePort, fd, closed }));

function internetOf(target: OptionTarget, peer: boolean): InternetAddress | undefined {
  const bytes = addressOf(target, peer);
  return bytes === undefined ? undefined : decodeInternet(bytes);
}
