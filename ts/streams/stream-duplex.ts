/**
 * A stream as a `Duplex` with what Node's modules expect of a `net.Socket`: addresses, options, an idle timeout,
 * `destroySoon`. So `http`, `http2`, `tls` and the clients of databases run over it.
 */
import { Duplex } from 'node:stream';
import type { Stream } from '../stream.js';
import { TcpStream } from '../net/tcp.js';
import { Inflow, Outflow, report } from './flow.js';
import type { Callback } from './flow.js';
import { argumentTypeError, checkInteger } from '../errors.js';

/** What `toDuplex` accepts. */
export interface DuplexOptions {
  /** Bytes that Node's stream keeps in each direction before it says that it has enough. */
  readonly highWaterMark?: number | undefined;
  /**
   * Whether we may go on writing when the peer has ended. The default is true for a stream, as servers of `http` want it,
   * and false for what connects later, as `net.Socket` has it: clients notice by 'close' that their server has gone.
   */
  readonly allowHalfOpen?: boolean | undefined;
}

const NOTHING = Buffer.alloc(0);
/** A reset or closed connection needs no farewell. */
const GONE = new Set(['ENOTCONN', 'EPIPE', 'ECONNRESET', 'ERR_RITSU_CLOSED']);

/** A stream and its two directions. */
interface Live {
  readonly stream: Stream;
  readonly inflow: Inflow;
  readonly outflow: Outflow;
}

/** A stream as a `Duplex` with what Node expects of a `net.Socket`. Made by `toDuplex`. */
export class StreamDuplex extends Duplex {
  #live: Live | undefined = undefined;
  /** What was asked of the stream before there was one. */
  readonly #wishes: ((stream: Stream) => void)[] = [];
  #timer: NodeJS.Timeout | undefined = undefined;
  /** Bytes that came. */
  bytesRead = 0;
  /** Bytes that went. */
  bytesWritten = 0;
  /** Milliseconds of silence before 'timeout'; 0 for never. */
  timeout = 0;
  /** It knows where to connect to, and is not connected yet. */
  connecting = false;

  /** @internal Used by `toDuplex`. */
  constructor(stream: Stream | undefined, { highWaterMark, allowHalfOpen = true }: DuplexOptions) {
    super({ highWaterMark, allowHalfOpen });
    if (stream !== undefined) this.attach(stream);
  }

  /** Not connected, or not yet. */
  get pending(): boolean {
    return this.#live === undefined;
  }

  /** The peer's address, or path. */
  get remoteAddress(): string | undefined {
    return this.#tcp?.remoteAddress;
  }

  /** The peer's port. */
  get remotePort(): number | undefined {
    return this.#tcp?.remotePort;
  }

  /** The family of the peer's address. */
  get remoteFamily(): string | undefined {
    return this.#tcp?.remoteFamily;
  }

  /** Our address, or path. */
  get localAddress(): string | undefined {
    return this.#tcp?.localAddress;
  }

  /** Our port. */
  get localPort(): number | undefined {
    return this.#tcp?.localPort;
  }

  /** The family of our address. */
  get localFamily(): string | undefined {
    return this.#tcp?.localFamily;
  }

  /** As of `net.Socket`. */
  get readyState(): 'opening' | 'open' | 'readOnly' | 'writeOnly' | 'closed' {
    if (this.connecting) return 'opening';
    if (this.readable && this.writable) return 'open';
    if (this.readable) return 'readOnly';
    return this.writable ? 'writeOnly' : 'closed';
  }

  /** Our end, as `net.Socket` gives it. */
  address(): object {
    return this.#tcp?.address() ?? {};
  }

  /** As of `net.Socket`: without a callback or a listener of 'timeout' nothing happens when the time is over. */
  setTimeout(milliseconds: number, callback?: () => void): this {
    if (callback !== undefined && typeof callback !== 'function') throw argumentTypeError('callback', 'of type function', callback);
    this.timeout = checkInteger('msecs', milliseconds, 0, 2 ** 31 - 1);
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.timeout > 0) {
      this.#timer = setTimeout(() => this.emit('timeout'), this.timeout).unref();
      if (callback !== undefined) this.once('timeout', callback);
    } else if (callback !== undefined) this.removeListener('timeout', callback);
    return this;
  }

  /** Send small writes at once; without effect on what is no TCP connection. */
  setNoDelay(on?: boolean): this {
    return this.#ask((stream) => {
      if (!stream.closed && stream instanceof TcpStream) stream.setNoDelay(on);
    });
  }

  /** Ask a silent peer whether it is there; without effect on what is no TCP connection. */
  setKeepAlive(on?: boolean, initialDelay = 0): this {
    checkInteger('initialDelay', initialDelay, 0, 2 ** 31 - 1);
    return this.#ask((stream) => {
      if (!stream.closed && stream instanceof TcpStream) stream.setKeepAlive(on, initialDelay);
    });
  }

  /** It keeps the process alive (the default). */
  ref(): this {
    return this.#ask((stream) => stream.ref());
  }

  /** It does not keep the process alive. */
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

  /** @internal */
  override push(chunk: Buffer | null): boolean {
    this.#timer?.refresh();
    this.bytesRead += chunk?.length ?? 0;
    if (chunk === null && !this.allowHalfOpen) this.#endSoon();
    return super.push(chunk);
  }

  /** @internal */
  override _read(): void {
    this.#there.inflow.pull();
  }

  /** @internal */
  override _write(chunk: Buffer, _encoding: string, done: Callback): void {
    this.#wrote(chunk.length);
    this.#there.outflow.write(chunk, done);
  }

  /** @internal */
  override _writev(chunks: { chunk: Buffer }[], done: Callback): void {
    for (const { chunk } of chunks) this.#wrote(chunk.length);
    this.#there.outflow.writeMany(chunks.map(({ chunk }) => chunk), done);
  }

  /** @internal */
  override _final(done: Callback): void {
    this.#there.outflow.end((error) => done(isGone(error) ? null : error));
  }

  /** @internal */
  override _destroy(error: Error | null, done: Callback): void {
    clearTimeout(this.#timer);
    if (this.#live === undefined) return done(error); // it was never connected
    const { stream, inflow } = this.#live;
    void inflow.stop();
    report(stream.destroy(), error, done);
  }

  /** @internal The stream is there from now on. */
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
    this.once('end', () => this.#endWhenWritten());
  }

  /** Behind what is still being written, and what is written when that has gone: TLS says farewell only then. */
  #endWhenWritten(): void {
    setImmediate(() => {
      if (this.writableEnded || this.destroyed) return;
      if (this.writableLength === 0) this.end();
      else this.write(NOTHING, () => this.#endWhenWritten());
    });
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
