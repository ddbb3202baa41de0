/**
 * The time of a simulation: a number that stands still until somebody moves it. Timers of the ring and deadlines of ops
 * follow it. Between two timers everything that can happen without time passing has happened.
 */
import { checkInteger } from '../errors.js';
import type { Alarm, Timers } from '../timers.js';

/** The time, as a program in a simulation may move it. */
export interface SimulatedClock {
  /** Milliseconds since the simulation began. */
  now(): number;
  /**
   * Let so many milliseconds pass: each timer that is due rings at its time, and what follows from it happens before the
   * next one.
   */
  advance(milliseconds: number): Promise<void>;
  /** Go on, letting time pass where nothing else can happen, until nothing happens any more and no timer is left. */
  run(): Promise<void>;
}

class VirtualAlarm implements Alarm {
  readonly due: number;
  readonly ring: () => void;

  constructor(due: number, ring: () => void) {
    this.due = due;
    this.ring = ring;
  }

  /** Time that stands still keeps no process alive. */
  ref(): this {
    return this;
  }

  unref(): this {
    return this;
  }
}

export class VirtualClock implements SimulatedClock, Timers {
  /** In the order in which they ring. */
  readonly #alarms: VirtualAlarm[] = [];
  readonly #settle: () => Promise<void>;
  #now = 0;

  /** `settle`: resolves when nothing more happens without time passing. */
  constructor(settle: () => Promise<void>) {
    this.#settle = settle;
  }

  now(): number {
    return this.#now;
  }

  set(milliseconds: number, ring: () => void): Alarm {
    const alarm = new VirtualAlarm(this.#now + milliseconds, ring);
    let at = this.#alarms.length;
    while (at > 0 && this.#alarms[at - 1]!.due > alarm.due) at -= 1;
    this.#alarms.splice(at, 0, alarm);
    return alarm;
  }

  clear(alarm: Alarm | undefined): void {
    const at = this.#alarms.indexOf(alarm as VirtualAlarm);
    if (at >= 0) this.#alarms.splice(at, 1);
  }

  /** As the ring asks for its timers; the result prevents it. */
  after(milliseconds: number, ring: () => void): () => void {
    const alarm = this.set(milliseconds, ring);
    return () => this.clear(alarm);
  }

  setKeepAlive(_on: boolean): void {}

  end(): void {}

  async advance(milliseconds: number): Promise<void> {
    const target = this.#now + checkInteger('milliseconds', milliseconds, 0, Number.MAX_SAFE_INTEGER);
    await this.#ringUntil(target);
    this.#now = target;
  }

  async run(): Promise<void> {
    await this.#ringUntil(Infinity);
  }

  async #ringUntil(target: number): Promise<void> {
    await this.#settle();
    for (let first = this.#alarms[0]; first !== undefined && first.due <= target; first = this.#alarms[0]) {
      this.#alarms.shift();
      this.#now = Math.max(this.#now, first.due);
      first.ring();
      await this.#settle();
    }
  }
}
