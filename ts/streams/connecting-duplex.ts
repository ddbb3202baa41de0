/** A `StreamDuplex` for programs that make a socket and connect it later: its stream comes with the connection. */
import { Stream } from '../stream.js';
import type { TcpConnectOptions, UnixConnectOptions } from '../net/connect.js';
import type { LookupAddress, LookupFunction } from '../net/lookup.js';
import type { Callback } from './flow.js';
import { argumentTypeError, argumentValueError } from '../errors.js';
import { asOfSocket, optionsOf } from './socket-arguments.js';
import type { Target } from './socket-arguments.js';
import { StreamDuplex } from './stream-duplex.js';
import type { DuplexOptions } from './stream-duplex.js';

/** Makes the connection of a `ConnectingDuplex`: `connect`, or what calls it. The `signal` aborts when nobody wants it any more. */
export type Connect = (options: TcpConnectOptions | UnixConnectOptions) => Promise<Stream>;

/** A `StreamDuplex` as `new net.Socket()` is: first it is made, then it is told where to connect to. What is written waits. */
export class ConnectingDuplex extends StreamDuplex {
  readonly #connect: Connect;
  readonly #unwanted = new AbortController();
  /** Node waits for this call before it reads, writes, or destroys. */
  #constructed: Callback | undefined = undefined;

  /** @internal Used by `toDuplex`. */
  constructor(make: Connect, options: DuplexOptions) {
    super(undefined, { allowHalfOpen: false, ...options });
    this.#connect = make;
  }

  /**
   * As of `net.Socket`: 'connect' and 'ready' when the connection is there, 'error' and 'close' when it cannot be had.
   * A duplex connects once.
   * @param target a port, a path, or options
   * @example
   * toDuplex(connect).connect(5432, 'localhost', () => console.log('connected'));
   */
  connect(options: TcpConnectOptions | UnixConnectOptions, connected?: () => void): this;
  connect(port: number, connected?: () => void): this;
  connect(port: number, host?: string, connected?: () => void): this;
  connect(path: string, connected?: () => void): this;
  connect(target: Target, ...more: readonly (string | (() => void) | undefined)[]): this {
    const isNew = this.pending && !this.connecting && !this.destroyed;
    if (!isNew) throw argumentValueError('target', 'comes too late: a duplex connects once', target);
    const { timeout, ...options } = asOfSocket(optionsOf(target, more[0]));
    if (timeout !== undefined && timeout !== 0) this.setTimeout(timeout);
    const signal = options.signal === undefined ? this.#unwanted.signal : AbortSignal.any([options.signal, this.#unwanted.signal]);
    const connection = Promise.resolve(this.#connect({ ...options, ...this.#telling(options), signal }));
    this.connecting = true;
    const connected = more.find((each) => typeof each === 'function');
    if (connected !== undefined) this.once('connect', connected);
    connection.then((stream) => this.#came(stream), (error: Error) => this.destroy(error));
    return this;
  }

  /** @internal */
  override _construct(done: Callback): void {
    this.#constructed = done;
    if (this.destroyed || !this.pending) this.#go();
  }

  override destroy(error?: Error): this {
    super.destroy(error);
    this.connecting = false;
    this.#unwanted.abort();
    this.#go();
    return this;
  }

  #came(stream: Stream): void {
    if (!(stream instanceof Stream)) return void this.destroy(argumentTypeError('connect()', 'a promise of a stream', stream));
    if (this.destroyed) return void stream.destroy();
    try {
      this.attach(stream);
    } catch (error) {
      void stream.destroy();
      return void this.destroy(error as Error);
    }
    this.connecting = false;
    this.emit('connect');
    this.emit('ready');
    this.#go();
  }

  /** A lookup that tells what it found, by 'lookup', as a socket does. */
  #telling(options: Target & object): { readonly lookup?: LookupFunction } {
    if ('path' in options || (options.lookup !== undefined && typeof options.lookup !== 'function')) return {};
    const { lookup } = options;
    return {
      lookup: (host, wanted, found) => {
        const ask: LookupFunction = lookup ?? process.getBuiltinModule('node:dns').lookup; // only now: it opens a resolver
        ask(host, wanted, (error, addresses, family) => {
          const list: readonly Partial<LookupAddress>[] = typeof addresses === 'string' ? [{ address: addresses, family: family! }] : addresses;
          if (error) this.emit('lookup', error, undefined, undefined, host);
          else for (const each of list) this.emit('lookup', null, each.address, each.family, host);
          found(error, addresses, family);
        });
      },
    };
  }

  #go(): void {
    const constructed = this.#constructed;
    this.#constructed = undefined;
    if (constructed === undefined) return;
    constructed();
    process.nextTick(() => this.read(0)); // Node knows by then that there is something to read from
  }
}
