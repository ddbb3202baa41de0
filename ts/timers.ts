/**
 * Where deadlines have their time from: the system's clock and Node's timers, unless the backend has a time of its own
 * (`Backend.timers`), as a simulated one has.
 */

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
