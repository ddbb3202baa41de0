/**
 * `listen`: sockets that take connections, on a port or a Unix path, with the arguments of `server.listen`. A listener
 * is an async iterable of connections; how they come to it: `acceptor.ts`.
 */
import { resolve } from 'node:path';
import { checkCancelOptions } from '../cancel.js';
import type { CancelOptions } from '../cancel.js';
import { removeSocketFile } from '../backend/system.js';
import { traced } from '../deferred.js';
import { argumentValueError, checkInteger, checkOptions, closedError, systemError } from '../errors.js';
import type { RitsuError } from '../errors.js';
import { show } from '../inspect.js';
import { IPV6_ONLY, Opcode, Operation, REUSE_PORT } from '../op.js';
import type { Completion, Failure } from '../op.js';
import type { Proactor } from '../proactor.js';
import type { Stream } from '../stream.js';
import { closeDescriptor, closeWhenCollected } from '../unclosed.js';
import { Acceptor } from './acceptor.js';
import { decodeInternet } from './address.js';
import type { InternetAddress } from './address.js';
import { checkFlag, checkKeeping, checkPermission, checkPort, checkProactor, checkText, isNumeric } from './arguments.js';
import type { Keeping } from './arguments.js';
import { addressesOf, checkLookup } from './lookup.js';
import { internetTarget, opened, unixTarget } from './opened.js';
import type { Opened, Target } from './opened.js';
import { TcpStream } from './tcp.js';
import { UnixStream } from './unix.js';

/** Where to listen on TCP, and how. */
export interface TcpListenOptions extends CancelOptions, Keeping {
  /** 0, or not given: one that is free. */
  readonly port?: number | string | undefined;
  /** A name or an address; every address of this machine where not given. */
  readonly host?: string | undefined;
  /** Connections that the system keeps until they are accepted; 511 where not given, as in Node. */
  readonly backlog?: number | undefined;
  /** Leave IPv4 alone when listening on an IPv6 address. */
  readonly ipv6Only?: boolean | undefined;
  /** Several processes may listen on the same port; the system spreads the connections. */
  readonly reusePort?: boolean | undefined;
  /** Accepted as in Node, and without effect: a listener is never shared with other workers of a cluster. */
  readonly exclusive?: boolean | undefined;
  /** Whose listener it is; that of `Proactor.current()` where not given. */
  readonly proactor?: Proactor | undefined;
}

/** Where to listen on a Unix socket. */
export interface UnixListenOptions extends CancelOptions {
  /** The path of the socket; with a leading NUL an abstract name. */
  readonly path: string;
  /** Connections that the system keeps until they are accepted; 511 where not given, as in Node. */
  readonly backlog?: number | undefined;
  /** Without effect, as for TCP. */
  readonly exclusive?: boolean | undefined;
  /** Whose listener it is; that of `Proactor.current()` where not given. */
  readonly proactor?: Proactor | undefined;
}

const BACKLOG = 511;
const EADDRINUSE = 'EADDRINUSE';
const ENOENT = -2;
const EACCES = -13;

/** What a listener of either kind does. */
export abstract class Listener<S extends Stream> implements AsyncIterable<S>, AsyncDisposable {
  readonly #acceptor: Acceptor;

  /** @internal */
  constructor(acceptor: Acceptor) {
    this.#acceptor = acceptor;
    closeWhenCollected(this, acceptor);
  }

  /** @internal */
  protected abstract make(proactor: Proactor, connection: Opened): S;

  /** The system's number of the socket; -1 once closed. The listener owns it: do not close it. */
  get fd(): number {
    return this.closed ? -1 : this.#acceptor.fd;
  }

  /** Whether it is closed, or being closed. */
  get closed(): boolean {
    return this.#acceptor.closed;
  }

  /**
   * The next connection. Aborted or timed out: none was taken; the one that comes later is the next call's.
   * @example
   * const stream = await listener.accept({ timeout: 1000 });
   */
  async accept(options?: CancelOptions): Promise<S> {
    return this.make(this.#acceptor.proactor, await traced(this.#acceptor.accept(checkCancelOptions(options))));
  }

  /**
   * All connections, until the listener is closed. Leaving the loop does not close it.
   * @example
   * for await (const stream of listener) void serve(stream);
   */
  async *[Symbol.asyncIterator](): AsyncGenerator<S, void, undefined> {
    while (!this.closed) {
      const stream = await this.accept().catch((error: RitsuError) => {
        if (error.code === 'ERR_RITSU_CLOSED') return undefined;
        throw error;
      });
      if (stream === undefined) return;
      yield stream;
    }
  }

  /**
   * Take no more connections. Those that wait to be accepted, and those that nobody has taken, are closed; others go on.
   * `accept()` calls that wait fail with `ERR_RITSU_CLOSED`, iteration ends. Again gives the same promise.
   */
  close(): Promise<void> {
    return this.#acceptor.close();
  }

  /** The same: a listener has nothing that would have to be finished. */
  destroy(): Promise<void> {
    return this.close();
  }

  /** Waiting for a connection keeps the process alive (the default). */
  ref(): this {
    this.#acceptor.keepAlive(true);
    return this;
  }

  /** It does not. */
  unref(): this {
    this.#acceptor.keepAlive(false);
    return this;
  }

  /** `close()`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** Accepts TCP connections. Made by `listen`. */
export class TcpListener extends Listener<TcpStream> {
  readonly #address: InternetAddress;
  readonly #keeping: Keeping;

  /** @internal Used by `listen`. */
  constructor(acceptor: Acceptor, address: InternetAddress, keeping: Keeping) {
    super(acceptor);
    this.#address = address;
    this.#keeping = keeping;
  }

  /** Where it listens, with the port that it got. */
  address(): InternetAddress {
    return this.#address;
  }

  /** @internal */
  protected override make(proactor: Proactor, { descriptor, fd }: Opened): TcpStream {
    return new TcpStream(proactor, descriptor, fd).keep(this.#keeping);
  }
}
show(TcpListener, (self) => ({ address: self.address(), fd: self.fd, closed: self.closed }));

/** Accepts connections on a Unix socket. Made by `listen`. */
export class UnixListener extends Listener<UnixStream> {
  readonly #path: string;

  /** @internal Used by `listen`. */
  constructor(acceptor: Acceptor, path: string) {
    super(acceptor);
    this.#path = path;
  }

  /** Where it listens. */
  address(): string {
    return this.#path;
  }

  /** @internal */
  protected override make(proactor: Proactor, { descriptor, fd }: Opened): UnixStream {
    return new UnixStream(proactor, descriptor, fd);
  }
}
show(UnixListener, (self) => ({ address: self.address(), fd: self.fd, closed: self.closed }));

/**
 * Listen on a port, or on a Unix path. The file of a path is removed by `close()`; one that an earlier process left behind
 * is not, and gives EADDRINUSE, as in Node.
 * @param target a port, a path, or options
 * @param host a name or an address; every address of this machine where not given
 * @example
 * await using listener = await listen({ port: 8080, host: '127.0.0.1' });
 * for await (const stream of listener) void serve(stream);
 */
export function listen(options: UnixListenOptions): Promise<UnixListener>;
export function listen(options: TcpListenOptions): Promise<TcpListener>;
export function listen(port: number | `${number}`, host?: string, options?: TcpListenOptions): Promise<TcpListener>;
export function listen(port: number | `${number}`, options?: TcpListenOptions): Promise<TcpListener>;
export function listen(path: string, options?: Omit<UnixListenOptions, 'path'>): Promise<UnixListener>;
export async function listen(target: unknown, host?: unknown, more?: unknown): Promise<TcpListener | UnixListener> {
  const options = optionsOf(target, host, more);
  const limits = checkCancelOptions(options);
  const backlog = checkInteger('options.backlog', options.backlog ?? BACKLOG, 0, 2 ** 31 - 1);
  checkFlag('options.exclusive', options.exclusive);
  const proactor = checkProactor(options.proactor);
  if (!proactor.open) throw closedError('listen');
  const path = checkText('options.path', options.path);
  if (path !== undefined) return traced(listenUnix(proactor, path, backlog, limits));
  return traced(listenInternet(proactor, options, backlog, limits));
}

type AnyOptions = TcpListenOptions & { readonly path?: unknown };

function optionsOf(target: unknown, host: unknown, more: unknown): AnyOptions {
  if (typeof target === 'object' && target !== null) {
    if ('port' in target || 'path' in target) return target as AnyOptions;
    throw argumentValueError('options', 'must have the property "port" or "path"', target);
  }
  const options = (typeof host === 'object' && host !== null ? host : more) as AnyOptions | undefined;
  if (options !== undefined) checkOptions(options);
  if (typeof target === 'string' && !isNumeric(target)) return { ...options, path: target };
  return { ...options, port: target as number, ...(typeof host === 'object' ? {} : { host: host as string }) };
}

async function listenInternet(
  proactor: Proactor,
  options: AnyOptions,
  backlog: number,
  limits: CancelOptions,
): Promise<TcpListener> {
  const { port: given = 0 } = options;
  if (typeof given !== 'number' && typeof given !== 'string') throw argumentValueError('options', 'is invalid', options);
  const port = checkPort('options.port', given);
  const host = checkText('options.host', options.host);
  const keeping = checkKeeping(options);
  const ipv6Only = checkFlag('options.ipv6Only', options.ipv6Only);
  const flags = (checkFlag('options.reusePort', options.reusePort) ? REUSE_PORT : 0) | (ipv6Only ? IPV6_ONLY : 0);
  checkPermission(host ?? '::');
  const begin = (address: string): Promise<Opened> => {
    return submit(proactor, internetTarget(address, port), flags, backlog, limits);
  };
  const socket = host ? await begin((await addressesOf(host, checkLookup({}), limits))[0]!) : await begin('::').catch((error) => {
    // Without IPv6, IPv4 alone; an address in use, or an abort, is not a question of that.
    if (proactor.open && isOtherThanUse(error)) return begin('0.0.0.0');
    throw error;
  });
  return new TcpListener(new Acceptor(proactor, socket, () => {}), await addressOf(proactor, socket), keeping);
}

function isOtherThanUse(error: unknown): boolean {
  const { code, syscall } = error as { code?: string; syscall?: string };
  return syscall !== undefined && code !== EADDRINUSE;
}

async function addressOf(proactor: Proactor, { descriptor }: Opened): Promise<InternetAddress> {
  const bytes = proactor.backend.address(descriptor, false);
  if (typeof bytes !== 'number') return decodeInternet(bytes)!;
  await closeDescriptor(proactor, descriptor);
  throw systemError(bytes, 'getsockname');
}

async function listenUnix(proactor: Proactor, path: string, backlog: number, limits: CancelOptions): Promise<UnixListener> {
  checkPermission(path);
  const isFile = !path.startsWith('\0');
  const file = resolve(path); // as the working directory is now
  const socket = await submit(proactor, unixTarget(path, 'listen'), 0, backlog, limits);
  return new UnixListener(new Acceptor(proactor, socket, () => isFile && removeSocketFile(file)), path);
}

/** A path without its directory is EACCES, as libuv has it on every system. */
function listening(operation: Operation<Opened>, completion: Completion): Opened | Failure {
  return completion.result === ENOENT ? operation.failure(EACCES) : opened(operation, completion);
}

function submit(proactor: Proactor, target: Target, flags: number, backlog: number, limits: CancelOptions): Promise<Opened> {
  const operation = new Operation<Opened>(Opcode.LISTEN, listening);
  operation.argument = target.encoded;
  operation.endpoint = target.endpoint;
  operation.flags = flags;
  operation.target = backlog;
  return proactor.submit(operation, limits).promise;
}
