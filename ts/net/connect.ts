/**
 * `connect`: TCP and Unix connections, with the arguments of `net.connect`. Names are looked up by Node; of several
 * addresses the first that answers is taken (`attempts.ts`).
 */
import { checkCancelOptions } from '../cancel.js';
import type { CancelOptions } from '../cancel.js';
import { traced } from '../deferred.js';
import { argumentTypeError, checkInteger, checkOptions, closedError, timeoutError } from '../errors.js';
import type { Proactor } from '../proactor.js';
import { versionOf } from './address.js';
import {
  checkKeeping, checkLiteral, checkPermission, checkPort, checkProactor, checkText, isNumeric, missingArguments,
} from './arguments.js';
import type { Keeping } from './arguments.js';
import { Attempts, connecting } from './attempts.js';
import { addressesOf, checkLookup } from './lookup.js';
import type { LookupOptions, LookupPlan } from './lookup.js';
import { internetTarget, unixTarget } from './opened.js';
import type { Opened, Target } from './opened.js';
import { TcpStream } from './tcp.js';
import { UnixStream } from './unix.js';

export interface TcpConnectOptions extends CancelOptions, LookupOptions, Keeping {
  /** 1 to 65535, or a text of it. */
  readonly port: number | string;
  /** A name or an address; `localhost` where not given. */
  readonly host?: string | undefined;
  /** The address to connect from. */
  readonly localAddress?: string | undefined;
  /** The port to connect from. */
  readonly localPort?: number | undefined;
  /** Milliseconds after which the next address of a name is tried, too; 250 where not given, as in Node. */
  readonly autoSelectFamilyAttemptTimeout?: number | undefined;
  /** Whose connection it is; that of `Proactor.current()` where not given. */
  readonly proactor?: Proactor | undefined;
}

export interface UnixConnectOptions extends CancelOptions {
  /** The path of the socket; with a leading NUL an abstract name. */
  readonly path: string;
  /** Whose connection it is; that of `Proactor.current()` where not given. */
  readonly proactor?: Proactor | undefined;
}

/** What may be given beside a port and a host, or beside a path. */
export type ConnectOptions = Partial<TcpConnectOptions>;

const STAGGER_MS = 250;

interface InternetPlan extends CancelOptions {
  readonly host: string;
  readonly port: number;
  readonly lookup: LookupPlan;
  readonly keeping: Keeping;
  readonly localAddress: string | undefined;
  readonly localPort: number;
  readonly staggerMs: number;
}

/**
 * Connect to a port, or to a Unix socket.
 * @param target a port, a path, or options
 * @param host a name or an address; `localhost` where not given
 * @example
 * await using stream = await connect(80, 'example.org', { timeout: 5000 });
 * await stream.writer().writeAll('GET / HTTP/1.0\r\n\r\n');
 * for await (const bytes of stream.allocator()) hash.update(bytes.data);
 */
export function connect(options: TcpConnectOptions): Promise<TcpStream>;
export function connect(options: UnixConnectOptions): Promise<UnixStream>;
export function connect(options: TcpConnectOptions | UnixConnectOptions): Promise<TcpStream | UnixStream>;
export function connect(port: number | `${number}`, host?: string, options?: ConnectOptions): Promise<TcpStream>;
export function connect(port: number | `${number}`, options?: ConnectOptions): Promise<TcpStream>;
export function connect(path: string, options?: Omit<UnixConnectOptions, 'path'>): Promise<UnixStream>;
export async function connect(target: unknown, host?: unknown, more?: unknown): Promise<TcpStream | UnixStream> {
  const options = optionsOf(target, host, more);
  const limits = checkCancelOptions(options);
  const proactor = checkProactor(options.proactor);
  if (!proactor.open) throw closedError('connect');
  if (options.path !== undefined && options.path !== null) return traced(connectUnix(proactor, options.path, limits));
  const plan = internetPlan(options, limits);
  checkPermission(plan.host);
  const { descriptor, fd } = await traced(connectInternet(proactor, plan));
  return new TcpStream(proactor, descriptor, fd).keep(plan.keeping);
}

type AnyOptions = ConnectOptions & { readonly path?: unknown };

function optionsOf(target: unknown, host: unknown, more: unknown): AnyOptions {
  if (typeof target === 'object' && target !== null) return target;
  if (target === undefined) throw missingArguments('options', 'port', 'path');
  const options = (typeof host === 'object' && host !== null ? host : more) as AnyOptions | undefined;
  if (options !== undefined) checkOptions(options);
  if (typeof target === 'string' && !isNumeric(target)) return { ...options, path: target };
  return { ...options, port: target as number, ...(typeof host === 'object' ? {} : { host: host as string }) };
}

function internetPlan(options: AnyOptions, limits: CancelOptions): InternetPlan {
  const { port, host, localAddress, localPort, autoSelectFamilyAttemptTimeout: stagger } = options;
  if (port === undefined) throw missingArguments('options', 'port', 'path');
  if (typeof port !== 'number' && typeof port !== 'string') {
    throw argumentTypeError('options.port', 'one of type number or string', port);
  }
  const local = checkLiteral('options.localAddress', localAddress);
  const lookup = checkLookup(options);
  return {
    ...limits,
    port: checkPort('Port', port),
    host: checkText('options.host', host) || 'localhost',
    lookup: local !== undefined && lookup.family === 0 ? { ...lookup, family: versionOf(local) } : lookup,
    keeping: checkKeeping(options),
    localAddress: local,
    localPort: localPort === undefined ? 0 : checkPort('options.localPort', localPort),
    staggerMs: checkInteger('options.autoSelectFamilyAttemptTimeout', stagger ?? STAGGER_MS, 1, 2 ** 31 - 1),
  };
}

async function connectInternet(proactor: Proactor, plan: InternetPlan): Promise<Opened> {
  const local = (target: Target): Target | undefined => localOf(plan, target);
  if (versionOf(plan.host) !== 0) {
    const target = internetTarget(plan.host, plan.port);
    return proactor.submit(connecting(target, local(target)), plan).promise;
  }
  const start = proactor.timers.now();
  const addresses = await addressesOf(plan.host, plan.lookup, plan);
  if (!proactor.open) throw closedError('connect');
  const targets = alternating(addresses).map((address) => internetTarget(address, plan.port));
  return new Attempts(proactor, targets, local, plan.staggerMs).first({ signal: plan.signal, timeout: remaining(plan, proactor.timers.now() - start) });
}

/** What is left of the time after the lookup. */
function remaining({ timeout }: CancelOptions, elapsed: number): number | undefined {
  if (timeout === undefined) return undefined;
  const left = timeout - elapsed;
  if (left <= 0) throw timeoutError('connect');
  return Math.ceil(left);
}

/** The versions in turn, beginning with the one that the lookup named first. */
function alternating(addresses: readonly string[]): string[] {
  const first = addresses.filter((address) => versionOf(address) === versionOf(addresses[0]!));
  const second = addresses.filter((address) => versionOf(address) !== versionOf(addresses[0]!));
  const longer = Math.max(first.length, second.length);
  return Array.from({ length: longer }, (_, index) => [first[index], second[index]])
    .flat()
    .filter((address) => address !== undefined);
}

function localOf({ localAddress, localPort }: InternetPlan, { endpoint }: Target): Target | undefined {
  if (localAddress === undefined && localPort === 0) return undefined;
  return internetTarget(localAddress ?? (versionOf(endpoint.address) === 6 ? '::' : '0.0.0.0'), localPort);
}

async function connectUnix(proactor: Proactor, path: unknown, limits: CancelOptions): Promise<UnixStream> {
  if (typeof path !== 'string') throw argumentTypeError('options.path', 'of type string', path);
  checkPermission(path);
  const operation = connecting(unixTarget(path, 'connect'), undefined);
  const { descriptor, fd } = await proactor.submit(operation, limits).promise;
  return new UnixStream(proactor, descriptor, fd);
}
