/**
 * A stream as a `Duplex` with what Node's modules expect of a `net.Socket`: addresses, options, an idle timeout,
 * `destroySoon`. So `http`, `http2`, `tls` and the clients of databases run over it.
 */
import { Duplex } from 'node:stream';
import type { Stream } from '../stream.js';
import { TcpStream } from '../net/tcp.js';
import { Inflow, Outflow, report, turnsLater } from './flow.js';
import type { Callback } from './flow.js';
import { argumentTypeError, checkBoolean } from '../errors.js';
import { Silence } from './silence.js';
import { durationOf, keepAliveDelayOf } from './socket-arguments.js';

/** What `toDuplex` accepts. */
export interface DuplexOptions {
  /** Bytes that Node's stream keeps in each direction before it says that it has enough. */
  readonly highWaterMark?: number | undefined;
  /**
   * Whether we may go on writing when the peer has ended. The default is true for a stream, as servers of `http` want it,
   * and false for what connects later, as `net.Socket` has it: clients notice by 'close' that their server has gone.
   */
  readonly allowHalfOpen?: boolean | undefined;
  /**
   * Send small writes at once (TCP_NODELAY), as `http` asks of its own sockets. True where not given: what is written in two parts
   * would wait for the peer's acknowledgement of the first.
   */
  readonly noDelay?: boolean | undefined;
}

const NOTHING = Buffer.alloc(0);
/** So many turns of the loop without a write mean that nothing follows on the last one. */
const QUIET_TURNS = 4;
/** In so many turns what was written goes, if the system has room for it. */
const FAREWELL_TURNS = 3;
/** Much is written in pieces of so many bytes: the time of silence begins anew with each. */
const PIECE_BYTES = 262_144;
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
  readonly #silence = new Silence(() => this.#timeIsOver());
  #written = 0;
  /** What had gone of a write in flight when the time was over last. */
  #progress = 0;
  /** Bytes that came. */
  bytesRead = 0;
  /** Milliseconds of silence before 'timeout'; 0 for never, undefined where it was never set. */
  timeout: number | undefined = undefined;
  /** It knows where to connect to, and is not connected yet. */
  connecting = false;

  /** @internal Used by `toDuplex`. */
  constructor(stream: Stream | undefined, { highWaterMark, allowHalfOpen = true, noDelay }: DuplexOptions) {
    super({ highWaterMark, allowHalfOpen });
    if (checkBoolean('options.noDelay', noDelay) ?? true) this.setNoDelay(true);
    if (stream !== undefined) this.attach(stream);
  }

  /** Not connected, not yet or not any more. */
  get pending(): boolean {
    return this.#live === undefined || this.destroyed;
  }

  /** Bytes that were written, those that wait included. */
  get bytesWritten(): number {
    return this.#written + this.writableLength;
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
    if (this.destroyed) return this;
    if (callback !== undefined && typeof callback !== 'function') throw argumentTypeError('callback', 'of type function', callback);
    this.timeout = durationOf(milliseconds);
    this.#silence.limit(this.timeout);
    if (callback === undefined) return this;
    return this.timeout > 0 ? this.once('timeout', callback) : this.removeListener('timeout', callback);
  }

  /** Send small writes at once; without effect on what is no TCP connection. */
  setNoDelay(on = true): this {
    return this.#askTcp((tcp) => tcp.setNoDelay(Boolean(on as unknown)));
  }

  /** Ask a silent peer whether it is there; without effect on what is no TCP connection. */
  setKeepAlive(on?: boolean, initialDelay = 0): this {
    const delay = keepAliveDelayOf(initialDelay);
    return this.#askTcp((tcp) => tcp.setKeepAlive(Boolean(on as unknown), delay));
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
    this.#silence.broken();
    this.bytesRead += chunk?.length ?? 0;
    if (chunk === null && !this.allowHalfOpen) this.#endSoon();
    const wantsMore = super.push(chunk);
    if (chunk === null) this.read(0); // 'end' comes, though nobody reads, if all was read
    return wantsMore;
  }

  /** @internal 'close' says whether there was an error, as that of a socket does. */
  override emit(name: string | symbol, ...values: unknown[]): boolean {
    return name === 'close' && values.length === 0 ? super.emit(name, this.errored !== null) : super.emit(name, ...values);
  }

  /** @internal */
  override _read(): void {
    this.#there.inflow.pull();
  }

  /** @internal */
  override _write(chunk: Buffer, _encoding: string, done: Callback): void {
    this.#there.outflow.write(chunk, this.#wrote(chunk.length, done));
  }

  /** @internal */
  override _writev(chunks: { chunk: Buffer }[], done: Callback): void {
    const bytes = chunks.reduce((sum, { chunk }) => sum + chunk.length, 0);
    this.#there.outflow.writeMany(chunks.map(({ chunk }) => chunk), this.#wrote(bytes, done));
  }

  /** @internal */
  override _final(done: Callback): void {
    this.#there.outflow.end((error) => done(isGone(error) ? null : error));
  }

  /** @internal */
  override _destroy(error: Error | null, done: Callback): void {
    this.#silence.end();
    if (this.#live === undefined) return done(error); // it was never connected
    const { stream, inflow, outflow } = this.#live;
    void inflow.stop();
    if (this.writableLength === 0) return report(stream.destroy(), error, done);
    // As of a socket of Node's, what was written before is on its way, as far as the system takes it.
    const waiting = (this as unknown as { readonly writableBuffer: readonly { readonly chunk: Buffer }[] }).writableBuffer;
    outflow.writeLast(waiting.map(({ chunk }) => chunk));
    stream.flush();
    turnsLater(FAREWELL_TURNS, () => report(stream.destroy(), error, done));
  }

  /** @internal The stream is there from now on. */
  protected attach(stream: Stream): void {
    const inflow = new Inflow(stream.allocator(), this, false);
    const outflow = new Outflow(stream.writer(), PIECE_BYTES);
    this.#live = { stream, inflow, outflow };
    for (const wish of this.#wishes.splice(0)) wish(stream);
    this.#silence.broken();
    this.read(0); // what becomes of the connection is noticed, though nobody reads; and it is not collected meanwhile
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

  /** Behind what is still being written, and what follows on it: TLS learns a turn later that a write is over, and says farewell then. */
  #endWhenWritten(turns = QUIET_TURNS): void {
    const written = this.bytesWritten;
    setImmediate(() => {
      if (this.writableEnded || this.destroyed) return;
      if (this.writableLength > 0) this.write(NOTHING, () => this.#endWhenWritten());
      else if (this.bytesWritten !== written) this.#endWhenWritten();
      else if (turns > 1) this.#endWhenWritten(turns - 1);
      else this.end();
    });
  }

  #ask(wish: (stream: Stream) => void): this {
    if (this.#live === undefined) this.#wishes.push(wish);
    else wish(this.#live.stream);
    return this;
  }

  /** An option of a socket. One that fails, as of a connection that is gone, is not told, as in Node. */
  #askTcp(wish: (tcp: TcpStream) => unknown): this {
    return this.#ask((stream) => {
      if (stream.closed || !(stream instanceof TcpStream)) return;
      try {
        wish(stream);
      } catch {
        // What becomes of the connection is told by its reads and writes.
      }
    });
  }

  /** `done`, with what has to be said of the bytes. */
  #wrote(bytes: number, done: Callback): Callback {
    this.#silence.broken();
    return (error) => {
      this.#silence.broken();
      if (!error) this.#written += bytes;
      this.#progress = this.#there.outflow.progress;
      done(error);
    };
  }

  /** Not while a write goes on. */
  #timeIsOver(): void {
    const progress = this.#live?.outflow.progress ?? 0;
    const goesOn = progress !== this.#progress;
    this.#progress = progress;
    if (goesOn) this.#silence.broken();
    else this.emit('timeout');
  }
}

function isGone(error: NodeJS.ErrnoException | null | undefined): boolean {
  return GONE.has(error?.code ?? '');
}
