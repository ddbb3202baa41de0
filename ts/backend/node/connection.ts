/**
 * A stream socket of the `node` backend, over `net.Socket`. Node reads ahead into its own memory (up to its high-water
 * mark); a read takes from there, and what it does not take stays for the next one.
 */
import net from 'node:net';
import { fdOf, Waiters } from './channel.js';
import type { WaitableChannel } from './channel.js';
import type { SocketAddress } from './address.js';
import { errnoOf } from './calls.js';
import { ECANCELED } from '../../op.js';

const EPIPE = -32;
const ECONNRESET = -104;
const ENOTCONN = -107;
const EOPNOTSUPP = -95;
const EINVAL = -22;
const EMPTY = Buffer.alloc(0);

/** Numbers of `SocketOption`, as far as Node has them. */
const NO_DELAY = 0;
const KEEP_ALIVE = 1;
const KEEP_ALIVE_DELAY = 2;
const LINGER = 3;
const LINGER_OFF = -1;

const SHUTDOWN_READ = 0;
const SHUTDOWN_BOTH = 2;

/** The names of a Unix connection's ends, which Node forgets. */
export interface UnixNames {
  readonly local: string;
  readonly peer: string;
}

export class Connection implements WaitableChannel {
  readonly kind = 'connection';
  readonly waiters: Waiters;
  readonly fd: number;
  readonly #socket: net.Socket;
  /** What Node gave and no read has taken yet. */
  #rest: Buffer = EMPTY;
  #ended = false;
  #errno = 0;
  #closed = false;
  #isBroken = false;
  #resets = false;
  #keepAlive = false;
  readonly #names: UnixNames | undefined;

  constructor(socket: net.Socket, names?: UnixNames) {
    this.#socket = socket;
    this.#names = names;
    this.fd = fdOf(socket);
    this.waiters = new Waiters(socket);
    socket.on('readable', () => this.waiters.tell());
    socket.on('end', () => this.#end());
    socket.on('error', (error) => {
      this.#errno = errnoOf(error);
      this.waiters.tell();
    });
    socket.on('close', () => this.#end());
  }

  /** Whether a read would not wait. Has Node read on, if nothing is there. */
  get readable(): boolean {
    if (this.#rest.length === 0) this.#rest = (this.#socket.read() as Buffer | null) ?? EMPTY;
    return this.#rest.length > 0 || this.#ended || this.#errno !== 0;
  }

  /** Take bytes: how many, 0 at the end, or `-errno`, once. Only when readable. */
  read(views: readonly Uint8Array[]): number {
    let taken = 0;
    for (const view of views) {
      const part = this.#rest.subarray(0, view.length);
      view.set(part);
      this.#rest = this.#rest.subarray(part.length);
      taken += part.length;
    }
    if (taken > 0 || this.#rest.length > 0 || this.#errno === 0) return taken;
    const errno = this.#errno;
    this.#errno = 0;
    this.#ended = true;
    return errno;
  }

  /** Write all of it, or fail; the memory is Node's until `done`. */
  write(views: readonly Uint8Array[], done: (result: number) => void): void {
    const socket = this.#socket;
    const total = views.reduce((sum, { length }) => sum + length, 0);
    if (socket.destroyed || socket.writableEnded) return done(this.#writeErrno());
    if (total === 0) return done(0);
    let left = views.length;
    let failed = 0;
    socket.cork();
    for (const view of views) {
      socket.write(view, (error) => {
        if (error) failed ||= this.#errnoOfWrite(error);
        left -= 1;
        if (left === 0) done(failed === 0 ? total : failed);
      });
    }
    socket.uncork();
  }

  shutdown(how: number, done: (result: number) => void): void {
    const socket = this.#socket;
    if (socket.destroyed) return done(ENOTCONN);
    if (how === SHUTDOWN_READ || how === SHUTDOWN_BOTH) this.#end();
    if (how === SHUTDOWN_READ || socket.writableEnded) return done(0);
    let isDone = false;
    const once = (result: number): void => {
      if (!isDone) done(result);
      isDone = true;
    };
    socket.once('close', () => once(0));
    socket.end(() => once(0));
  }

  /** Give up what is being written: its `done` is called, soon. How much of it went, Node does not tell. */
  breakOff(): void {
    this.#isBroken = true;
    this.#socket.destroy();
  }

  address(peer: boolean): SocketAddress | number {
    const socket = this.#socket;
    const address = peer ? socket.remoteAddress : socket.localAddress;
    const port = peer ? socket.remotePort : socket.localPort;
    if (address !== undefined && port !== undefined) return { address, port };
    if (peer && socket.destroyed) return ENOTCONN;
    return { address: (peer ? this.#names?.peer : this.#names?.local) ?? '', port: -1 };
  }

  setOption(option: number, value: number): number {
    const socket = this.#socket;
    switch (option) {
      case NO_DELAY:
        socket.setNoDelay(value !== 0);
        return 0;
      case KEEP_ALIVE:
        this.#keepAlive = value !== 0;
        socket.setKeepAlive(this.#keepAlive);
        return 0;
      case KEEP_ALIVE_DELAY:
        if (value < 1) return EINVAL;
        socket.setKeepAlive(this.#keepAlive, value * 1000);
        return 0;
      case LINGER:
        if (value !== 0 && value !== LINGER_OFF) return EOPNOTSUPP;
        this.#resets = value === 0;
        return 0;
      default:
        return EOPNOTSUPP;
    }
  }

  close(done: () => void): void {
    const socket = this.#socket;
    if (this.#closed || socket.closed) return done();
    socket.once('close', () => done());
    if (this.#resets && socket.remotePort !== undefined) socket.resetAndDestroy();
    else socket.destroy();
  }

  #end(): void {
    this.#ended = true;
    this.waiters.tell();
  }

  #writeErrno(): number {
    return this.#errno === 0 ? EPIPE : this.#errno;
  }

  /**
   * Node's own refusals (written after the end, destroyed) are what the kernel calls a broken pipe; and it gives up what
   * is being written when a read has found that the peer reset the connection.
   */
  #errnoOfWrite(error: NodeJS.ErrnoException): number {
    if (this.#isBroken) return ECANCELED;
    if (error.errno === ECANCELED) return this.#errno === 0 ? ECONNRESET : this.#errno;
    return typeof error.errno === 'number' && error.errno < 0 ? error.errno : this.#writeErrno();
  }
}

export interface ConnectTarget {
  readonly target: SocketAddress;
  readonly local: SocketAddress | undefined;
}

/** Begin a connection. The result ends it. */
export function startConnect({ target, local }: ConnectTarget, connected: (connection: Connection) => void, failed: (errno: number) => void): () => void {
  const from = local === undefined ? {} : { localAddress: local.address, localPort: local.port };
  const options: net.NetConnectOpts = target.port < 0
    ? { path: target.address, allowHalfOpen: true }
    : { host: target.address, port: target.port, autoSelectFamily: false, allowHalfOpen: true, ...from };
  const socket = net.connect(options);
  const onError = (error: Error): void => failed(errnoOf(error));
  socket.once('error', onError);
  socket.once('connect', () => {
    socket.off('error', onError);
    connected(new Connection(socket, target.port < 0 ? { local: '', peer: target.address } : undefined));
  });
  return () => {
    socket.off('error', onError);
    socket.on('error', () => {}); // nobody waits for it any more
    socket.destroy();
  };
}
