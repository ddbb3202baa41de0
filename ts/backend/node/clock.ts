/**
 * Timers of the `node` backend: never early, as long as one likes, and together referenced or not.
 *
 * Node's own fire up to a millisecond early by the monotonic clock, and at once when asked for more than 2^31 ms.
 */

const { setTimeout, clearTimeout } = globalThis;
const now = performance.now.bind(performance);
const SPAN_MAX_MS = 2 ** 31 - 1;

class Alarm {
  readonly #due: number;
  readonly #referenced: boolean;
  readonly #ring: () => void;
  #timer: NodeJS.Timeout;

  constructor(milliseconds: number, referenced: boolean, ring: () => void) {
    this.#due = now() + milliseconds;
    this.#referenced = referenced;
    this.#ring = ring;
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
      const left = this.#due - now();
      if (left <= 0) return this.#ring();
      const referenced = this.#timer.hasRef();
      this.#timer = this.#arm(left);
      if (!referenced) this.#timer.unref();
    }, Math.min(Math.ceil(milliseconds), SPAN_MAX_MS));
  }
}

export class Clock {
  readonly #alarms = new Set<Alarm>();
  #keepAlive = true;

  /** Call `ring` once, `milliseconds` from now at the earliest. The result prevents it. */
  after(milliseconds: number, referenced: boolean, ring: () => void): () => void {
    const alarm = new Alarm(milliseconds, referenced, () => {
      this.#alarms.delete(alarm);
      ring();
    });
    this.#alarms.add(alarm);
    alarm.setReferenced(this.#keepAlive);
    return () => {
      alarm.stop();
      this.#alarms.delete(alarm);
    };
  }

  /** Whether alarms that ask for it keep the process alive. */
  setKeepAlive(on: boolean): void {
    this.#keepAlive = on;
    for (const alarm of this.#alarms) alarm.setReferenced(on);
  }
}
