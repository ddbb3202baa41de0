/**
 * Timers of the `node` backend: never early, and as long as one likes. None keeps the process alive, but for one that never
 * rings, which does so while it is told to.
 *
 * Node's own fire up to a millisecond early by the monotonic clock, and at once when asked for more than 2^31 ms. One
 * that fired early is set again, and a later one must not overtake it then: both may be due when the loop comes around.
 */

const { setTimeout, clearTimeout, setInterval, clearInterval } = globalThis;
const now = performance.now.bind(performance);
const SPAN_MAX_MS = 2 ** 31 - 1;

class Alarm {
  readonly due: number;
  readonly #fired: (alarm: Alarm, isDue: boolean) => void;
  #timer: NodeJS.Timeout;

  constructor(milliseconds: number, fired: (alarm: Alarm, isDue: boolean) => void) {
    this.due = now() + milliseconds;
    this.#fired = fired;
    this.#timer = this.#arm(milliseconds);
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  #arm(milliseconds: number): NodeJS.Timeout {
    return setTimeout(() => {
      const left = this.due - now();
      if (left > 0) this.#timer = this.#arm(left);
      this.#fired(this, left <= 0);
    }, Math.min(Math.ceil(milliseconds), SPAN_MAX_MS)).unref();
  }
}

export class Clock {
  readonly #alarms = new Map<Alarm, () => void>();
  /** Those that fired before their time, and were set again. */
  readonly #early = new Set<Alarm>();
  readonly #keeper = setInterval(() => {}, SPAN_MAX_MS).unref();

  /** Call `ring` once, `milliseconds` from now at the earliest. The result prevents it. */
  after(milliseconds: number, ring: () => void): () => void {
    const alarm = new Alarm(milliseconds, this.#fired);
    this.#alarms.set(alarm, ring);
    return () => this.#remove(alarm);
  }

  /** Whether the process is kept alive. */
  setKeepAlive(on: boolean): void {
    if (on) this.#keeper.ref();
    else this.#keeper.unref();
  }

  /** Nothing is asked of it any more. */
  end(): void {
    clearInterval(this.#keeper);
  }

  readonly #fired = (alarm: Alarm, isDue: boolean): void => {
    if (!isDue) return void this.#early.add(alarm);
    if (this.#early.size > 0) {
      const overtaken = [...this.#early].filter((early) => early.due < alarm.due).sort((one, two) => one.due - two.due);
      for (const early of overtaken) this.#ring(early);
    }
    this.#ring(alarm);
  };

  /** Nothing, where what rang before it has removed it. */
  #ring(alarm: Alarm): void {
    const ring = this.#alarms.get(alarm);
    this.#remove(alarm);
    ring?.();
  }

  #remove(alarm: Alarm): void {
    alarm.stop();
    this.#early.delete(alarm);
    this.#alarms.delete(alarm);
  }
}
