/**
 * Where deadlines have their time from: the system's clock and Node's timers, unless the backend has a time of its own
 * (`Backend.timers`), as a simulated one has.
 */
import { argumentTypeError, rangeError } from './errors.js';

const DURATION_MAX = 2 ** 31 - 1;

/** A timer that was set. */
export interface Alarm {
  ref(): unknown;
  unref(): unknown;
}

export interface Timers {
  /** Milliseconds since some moment in the past; never less than before. */
  now(): number;
  /** Call `ring` once, `milliseconds` from now. */
  set(milliseconds: number, ring: () => void): Alarm;
  /** It shall not ring any more. That it has, or was never set, is fine. */
  clear(alarm: Alarm | undefined): void;
}

export const systemTimers: Timers = {
  now: () => performance.now(),
  set: (milliseconds, ring) => setTimeout(ring, milliseconds),
  clear: (alarm) => clearTimeout(alarm as NodeJS.Timeout | undefined),
};

/** A time as Node's own timers take it: what is too long is the longest, with a warning. */
export function durationOf(milliseconds: unknown): number {
  if (typeof milliseconds !== 'number') throw argumentTypeError('msecs', 'of type number', milliseconds);
  if (!(milliseconds >= 0 && milliseconds < Infinity)) throw rangeError('msecs', 'a non-negative finite number', milliseconds);
  if (milliseconds <= DURATION_MAX) return milliseconds;
  process.emitWarning(`${milliseconds} does not fit into a 32-bit signed integer.\nTimer duration was truncated to ${DURATION_MAX}.`, 'TimeoutOverflowWarning');
  return DURATION_MAX;
}
