/**
 * Arguments of `connect`, `listen` and `bind`, checked once, with Node's codes and messages. The caller's object is read
 * here and nowhere else: its getters may run any code. Pure, but for Node's permission model, which a ring would pass by.
 */
import { argumentTypeError, checkBoolean, checkInteger, describe } from '../errors.js';
import { Proactor } from '../proactor.js';
import { versionOf } from './address.js';

export interface Keeping {
  /** Send small writes at once (TCP_NODELAY); false where not given, as in Node. */
  readonly noDelay?: boolean | undefined;
  /** Ask a silent peer whether it is still there (SO_KEEPALIVE). */
  readonly keepAlive?: boolean | undefined;
  /** Milliseconds of silence before the first question; the system's default where not given. */
  readonly keepAliveInitialDelay?: number | undefined;
}

export function missingArguments(...names: readonly string[]): TypeError {
  const list = names.map((name) => `"${name}"`).join(' or ');
  return Object.assign(new TypeError(`The ${list} argument must be specified`), { code: 'ERR_MISSING_ARGS' });
}

export function invalidAddress(address: unknown): TypeError {
  return Object.assign(new TypeError(`Invalid IP address: ${typeof address === 'string' ? address : describe(address)}`), { code: 'ERR_INVALID_IP_ADDRESS' });
}

/** A port: a number, or a string with one, from 0 (or 1) to 65535. */
export function checkPort(name: string, port: unknown, least = 0): number {
  const isText = typeof port === 'string' && port.trim() !== '';
  const number = isText || typeof port === 'number' ? Number(port) : Number.NaN;
  if (number !== number >>> 0 || number < least || number > 0xffff) throw badPort(name, port, least);
  return number;
}

function badPort(name: string, port: unknown, least: number): RangeError {
  const received = port === null || port === undefined ? String(port) : `type ${typeof port} (${typeof port === 'number' ? port : describe(port)})`;
  const error = new RangeError(`${name} should be ${least === 0 ? '>=' : '>'} 0 and < 65536. Received ${received}.`);
  return Object.assign(error, { code: 'ERR_SOCKET_BAD_PORT' });
}

export function checkText(name: string, text: unknown): string | undefined {
  if (text === undefined || text === null) return undefined;
  if (typeof text !== 'string') throw argumentTypeError(name, 'of type string', text);
  return text;
}

export function checkFlag(name: string, flag: unknown): boolean {
  return checkBoolean(name, flag ?? undefined) ?? false;
}

/** An address, not a name. */
export function checkLiteral(name: string, text: unknown): string | undefined {
  const literal = checkText(name, text);
  if (literal !== undefined && versionOf(literal) === 0) throw invalidAddress(literal);
  return literal;
}

export function checkKeeping(options: Keeping): Keeping {
  const { noDelay, keepAlive, keepAliveInitialDelay: delay } = options;
  return {
    noDelay: checkFlag('options.noDelay', noDelay),
    keepAlive: checkFlag('options.keepAlive', keepAlive),
    keepAliveInitialDelay: checkInteger('options.keepAliveInitialDelay', delay ?? 0, 0, 2 ** 31 - 1),
  };
}

export function checkProactor(proactor: unknown): Proactor {
  if (proactor === undefined) return Proactor.current();
  if (!(proactor instanceof Proactor)) throw argumentTypeError('options.proactor', 'an instance of Proactor', proactor);
  return proactor;
}

/** Whether this is a number as far as `net.connect('80')` is concerned; any other string is a path. */
export function isNumeric(text: string): boolean {
  return Number(text) >= 0;
}

/** Refuse what Node would refuse under `--permission` without `--allow-net`. */
export function checkPermission(resource: string): void {
  const permission = process.permission as { has(scope: string): boolean } | undefined;
  // A Node that does not know the scope has nothing to allow.
  if (permission === undefined || !process.allowedNodeEnvironmentFlags.has('--allow-net') || permission.has('net')) return;
  const error = new Error('Access to this API has been restricted. Use --allow-net to manage permissions.');
  throw Object.assign(error, { code: 'ERR_ACCESS_DENIED', permission: 'Net', resource });
}
