/**
 * `toDuplex`: a stream as a `Duplex` with what Node's modules expect of a `net.Socket`: addresses, options, an idle
 * timeout, `destroySoon`. So `http`, `http2`, `tls` and the clients of databases run over it. Those that make a socket
 * and connect it later get a `ConnectingDuplex`, whose stream comes with the connection.
 */
import { Duplex } from 'node:stream';
import { Stream } from '../stream.js';
import { isNumeric } from '../net/arguments.js';
import type { TcpConnectOptions, UnixConnectOptions } from '../net/connect.js';
import { TcpStream } from '../net/tcp.js';
import { Inflow, Outflow, report } from './flow.js';
import type { Callback } from './flow.js';
import { argumentTypeError, argumentValueError, checkInteger, checkOptions } from '../errors.js';

export interface DuplexOptions {
  /** Bytes that Node's stream keeps in each direction before it says that it has enough. */
  readonly highWaterMark?: number | undefined;
  /**
   * Whether we may go on writing when the peer has ended. The default is true for a stream, as servers of `http` want it,
   * and false for what connects later, as `net.Socket` has it: clients notice by 'close' that their server has gone.
   */
  readonly allowHalfOpen?: boolean | undefined;
}

/** A reset or closed connection needs no farewell. */
const GONE = new Set(['ENOTCONN', 'EPIPE', 'ECONNRESET', 'ERR_RITSU_CLOSED']);

/** A stream and its two directions. */
interface Live {
  readonly stream: Stream;
  readonly inflow: Inflow;
  readonly outflow: Outflow;
}

export class StreamDuplex extends Duplex {
  #live: Live | undefined = undefined;
  /** What was asked of the stream before there was one. */
  readonly #wishes: ((stream: Stream) => void)[] = [];
  #timer: NodeJS.Timeout | undefined = undefined;
  bytesRead = 0;
  bytesWritten = 0;
  /** Milliseconds of silence before 'timeout'; 0 for never. */
  timeout = 0;
  connecting = false;

  /** Used by `toDuplex`. */
  constructor(stream: Stream | undefined, { highWaterMark, allowHalfOpen = true }: DuplexOptions) {
    super({ highWaterMark, allowHalfOpen });
    if (stream !== undefined) this.attach(stream);
  }

  /** Not connected, or not yet. */
  get pending(): boolean {
    return this.#live === undefined;
  }

  get remoteAddress(): string | undefined {
    return this.#tcp?.remoteAddress;
  }

  get remotePort(): number | undefined {
    return this.#tcp?.remotePort;
  }

  get remoteFamily(): string | undefined {
    return this.#tcp?.remoteFamily;
  }

  get localAddress(): string | undefined {
    return this.#tcp?.localAddress;
  }

  get localPort(): number | undefined {
    return this.#tcp?.localPort;
  }

  get localFamily(): string | undefined {
    return this.#tcp?.localFamily;
  }

  get readyState(): 'opening' | 'open' | 'readOnly' | 'writeOnly' | 'closed' {
    if (this.connecting) return 'opening';
    if (this.readable && this.writable) return 'open';
    if (this.readable) return 'readOnly';
    return this.writable ? 'writeOnly' : 'closed';
  }

  address(): object {
    return this.#tcp?.address() ?? {};
  }

  /** As of `net.Socket`: without a callback or a listener of 'timeout' nothing happens when the time is over. */
  setTimeout(milliseconds: number, callback?: () => void): this {
    this.timeout = checkInteger('msecs', milliseconds, 0, 2 ** 31 - 1);
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.timeout > 0) {
      this.#timer = setTimeout(() => this.emit('timeout'), this.timeout).unref();
      if (callback !== undefined) this.once('timeout', callback);
    } else if (callback !== undefined) this.removeListener('timeout', callback);
    return this;
  }

  setNoDelay(on?: boolean): this {
    return this.#ask((stream) => {
      if (!stream.closed && stream instanceof TcpStream) stream.setNoDelay(on);
    });
  }

  setKeepAlive(on?: boolean, initialDelay = 0): this {
    checkInteger('initialDelay', initialDelay, 0, 2 ** 31 - 1);
    return this.#ask((stream) => {
      if (!stream.closed && stream instanceof TcpStream) stream.setKeepAlive(on, initialDelay);
    });
  }

  ref(): this {
    return this.#ask((stream) => stream.ref());
  }

  unref(): this {
    return this.#ask((stream) => stream.unref());
  }

  /** Destroy it when all that was written has gone. */
  destroySoon(): void {
    if (this.writable) this.end();
    if (this.writableFinished) this.destroy();
    else this.once('finish', () => this.destroy());
  }

  /** The peer gets ECONNRESET. */
  resetAndDestroy(): this {
    const tcp = this.#tcp;
    if (tcp !== undefined && !tcp.closed) tcp.setLinger(0);
    return this.destroy();
  }

  override push(chunk: Buffer | null): boolean {
    this.#timer?.refresh();
    this.bytesRead += chunk?.length ?? 0;
    if (chunk === null && !this.allowHalfOpen) this.#endSoon();
    return super.push(chunk);
  }

  override _read(): void {
    this.#there.inflow.pull();
  }

  override _write(chunk: Buffer, _encoding: string, done: Callback): void {
    this.#wrote(chunk.length);
    this.#there.outflow.write(chunk, done);
  }

  override _writev(chunks: { chunk: Buffer }[], done: Callback): void {
    for (const { chunk } of chunks) this.#wrote(chunk.length);
    this.#there.outflow.writeMany(chunks.map(({ chunk }) => chunk), done);
  }

  override _final(done: Callback): void {
    this.#there.outflow.end((error) => done(isGone(error) ? null : error));
  }

  override _destroy(error: Error | null, done: Callback): void {
    clearTimeout(this.#timer);
    if (this.#live === undefined) return done(error); // it was never connected
    const { stream, inflow } = this.#live;
    void inflow.stop();
    report(stream.destroy(), error, done);
  }

  /** The stream is there from now on. */
  protected attach(stream: Stream): void {
    this.#live = { stream, inflow: new Inflow(stream.allocator(), this), outflow: new Outflow(stream.writer()) };
    for (const wish of this.#wishes.splice(0)) wish(stream);
  }

  get #tcp(): TcpStream | undefined {
    const stream = this.#live?.stream;
    return stream instanceof TcpStream ? stream : undefined;
  }

  /** Node reads and writes nothing before `_construct` is over. */
  get #there(): Live {
    return this.#live!;
  }

  /** End our side as well; not at once, as Node would: TLS over this answers the peer's farewell with its own first. */
  #endSoon(): void {
    this.allowHalfOpen = true;
    this.once('end', () => setImmediate(() => this.end()));
  }

  #ask(wish: (stream: Stream) => void): this {
    if (this.#live === undefined) this.#wishes.push(wish);
    else wish(this.#live.stream);
    return this;
  }

  #wrote(bytes: number): void {
    this.#timer?.refresh();
    this.bytesWritten += bytes;
  }
}

function isGone(error: NodeJS.ErrnoException | null | undefined): boolean {
  return GONE.has(error?.code ?? '');
}

/** Makes the connection of a `ConnectingDuplex`: `connect`, or what calls it. The `signal` aborts when nobody wants it any more. */
export type Connect = (options: TcpConnectOptions | UnixConnectOptions) => Promise<Stream>;

type Target = TcpConnectOptions | UnixConnectOptions | number | string;

/** A `StreamDuplex` as `new net.Socket()` is: first it is made, then it is told where to connect to. What is written waits. */
export class ConnectingDuplex extends StreamDuplex {
  readonly #connect: Connect;
  readonly #unwanted = new AbortController();
  /** Node waits for this call before it reads, writes, or destroys. */
  #constructed: Callback | undefined = undefined;

  /** Used by `toDuplex`. */
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
  connect(port: number, host?: string, connected?: () => void): this;
  connect(path: string, connected?: () => void): this;
  connect(target: Target, ...more: readonly (string | (() => void) | undefined)[]): this {
    const isNew = this.pending && !this.connecting && !this.destroyed;
    if (!isNew) throw argumentValueError('target', 'comes too late: a duplex connects once', target);
    const connection = Promise.resolve(this.#connect({ ...optionsOf(target, more[0]), signal: this.#unwanted.signal }));
    this.connecting = true;
    const connected = more.find((each) => typeof each === 'function');
    if (connected !== undefined) this.once('connect', connected);
    connection.then((stream) => this.#came(stream), (error: Error) => this.destroy(error));
    return this;
  }

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
    this.attach(stream);
    this.connecting = false;
    this.emit('connect');
    this.emit('ready');
    this.#go();
  }

  #go(): void {
    const constructed = this.#constructed;
    this.#constructed = undefined;
    constructed?.();
  }
}

function optionsOf(target: Target, host: unknown): TcpConnectOptions | UnixConnectOptions {
  if (typeof target === 'object') return target;
  if (typeof target === 'string' && !isNumeric(target)) return { path: target };
  return typeof host === 'string' ? { port: target, host } : { port: target };
}

/**
 * A connection as a `Duplex` that Node's modules take for a socket. It is the stream's only reader and writer from then
 * on, and closes it. Of `connect` one that is not connected yet, for programs that want to do that themselves.
 * @example
 * for await (const stream of listener) server.emit('connection', toDuplex(stream));
 * const client = new Client({ stream: () => toDuplex(connect) });
 */
export function toDuplex(stream: Stream, options?: DuplexOptions): StreamDuplex;
export function toDuplex(connect: Connect, options?: DuplexOptions): ConnectingDuplex;
export function toDuplex(source: Stream | Connect, options: DuplexOptions = {}): StreamDuplex {
  checkOptions(options);
  if (typeof source !== 'function' && !(source instanceof Stream)) throw argumentTypeError('stream', 'a stream, or a function that connects', source);
  return typeof source === 'function' ? new ConnectingDuplex(source, options) : new StreamDuplex(source, options);
}
