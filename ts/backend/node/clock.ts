/**
 * Timers of the `node` backend: never early, as long as one likes, and together referenced or not.
 *
 * Node's own fire up to a millisecond early by the monotonic clock, and at once when asked for more than 2^31 ms. One
 * that fired early is set again, and a later one must not overtake it then: both may be due when the loop comes around.
 */

const { setTimeout, clearTimeout } = globalThis;
const now = performance.now.bind(performance);
const SPAN_MAX_MS = 2 ** 31 - 1;

class Alarm {
  readonly due: number;
  readonly #referenced: boolean;
  readonly #fired: (alarm: Alarm, isDue: boolean) => void;
  #timer: NodeJS.Timeout;

  constructor(milliseconds: number, referenced: boolean, fired: (alarm: Alarm, isDue: boolean) => void) {
    this.due = now() + milliseconds;
    this.#referenced = referenced;
    this.#fired = fired;
    this.#timer = this.#arm(milliseconds);
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  setReferenced(on: boolean): void {
    if (on && this.#referenced) this.#timer.ref();
    else this.#timer.unref();
  }

  #arm(milliseconds: number): NodeJS.Timeout {
    return setTimeout(() => {
      const left = this.due - now();
      if (left > 0) {
        const referenced = this.#timer.hasRef();
        this.#timer = this.#arm(left);
        if (!referenced) this.#timer.unref();
      }
      this.#fired(this, left <= 0);
    }, Math.min(Math.ceil(milliseconds), SPAN_MAX_MS));
  }
}

export class Clock {
  readonly #alarms = new Map<Alarm, () => void>();
  /** Those that fired before their time, and were set again. */
  readonly #early = new Set<Alarm>();
  #keepAlive = true;

  /** Call `ring` once, `milliseconds` from now at the earliest. The result prevents it. */
  after(milliseconds: number, referenced: boolean, ring: () => void): () => void {
    const alarm = new Alarm(milliseconds, referenced, this.#fired);
    this.#alarms.set(alarm, ring);
    alarm.setReferenced(this.#keepAlive);
    return () => this.#remove(alarm);
  }

  /** Whether alarms that ask for it keep the process alive. */
  setKeepAlive(on: boolean): void {
    this.#keepAlive = on;
    for (const alarm of this.#alarms.keys()) alarm.setReferenced(on);
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
