/** Arguments as a socket of Node's takes them, which is more than the streams below a duplex do. */
import { argumentTypeError, rangeError } from '../errors.js';
import { isNumeric } from '../net/arguments.js';
import type { TcpConnectOptions, UnixConnectOptions } from '../net/connect.js';

/** Where to connect to. */
export type Target = TcpConnectOptions | UnixConnectOptions | number | string;

const DURATION_MAX = 2 ** 31 - 1;
/** tcp(7): TCP_KEEPIDLE takes no more. */
const KEEP_ALIVE_MAX_SECONDS = 32_767;

/** A time as Node's own timers take it: what is too long is the longest, with a warning. */
export function durationOf(milliseconds: unknown): number {
  if (typeof milliseconds !== 'number') throw argumentTypeError('msecs', 'of type number', milliseconds);
  if (!(milliseconds >= 0 && milliseconds < Infinity)) throw rangeError('msecs', 'a non-negative finite number', milliseconds);
  if (milliseconds <= DURATION_MAX) return milliseconds;
  process.emitWarning(`${milliseconds} does not fit into a 32-bit signed integer.\nTimer duration was truncated to ${DURATION_MAX}.`, 'TimeoutOverflowWarning');
  return DURATION_MAX;
}

/** A delay before the first question of keep-alive, in milliseconds that are whole seconds: anything is one, in the end. */
export function keepAliveDelayOf(delay: unknown): number {
  const given = typeof delay === 'number' || typeof delay === 'string' ? Number(delay) : 0;
  return Math.min(Math.max(0, ~~(given / 1000)), KEEP_ALIVE_MAX_SECONDS) * 1000;
}

/**
 * What a socket makes of its options: nothing of what is null or empty, a switch of what is any value, and of `timeout` the time of
 * silence, not one to connect in. Agents and clients give it all that they were given themselves.
 */
export function asOfSocket<T extends TcpConnectOptions | UnixConnectOptions>(given: T): T {
  const options: Record<string, unknown> = { ...given };
  for (const [name, value] of Object.entries(options)) if (value === null || value === '') delete options[name];
  for (const name of ['noDelay', 'keepAlive']) if (name in options) options[name] = Boolean(options[name]);
  const delay = options['keepAliveInitialDelay'];
  if (typeof delay === 'number') options['keepAliveInitialDelay'] = Math.max(0, ~~delay);
  return options as unknown as T;
}

export function optionsOf(target: Target, host: unknown): TcpConnectOptions | UnixConnectOptions {
  if (typeof target === 'object') return target;
  if (typeof target === 'string' && !isNumeric(target)) return { path: target };
  return typeof host === 'string' ? { port: target, host } : { port: target };
}
