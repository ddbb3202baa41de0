/**
 * Who keeps the process alive. Some do so as long as that is allowed (`Proactor.unref`): operations, and those for whom a stream, a
 * listener or a socket has something in flight. Others do in any case: what was asked to end is waited for.
 */
import { QUEUED, UNREF } from './op.js';

/** An operation, as far as it matters here. */
interface Kept {
  slot: number;
  readonly options: number;
}

export class Liveness {
  readonly #tell: (on: boolean) => void;
  /** Those that do as long as it is allowed. */
  #count = 0;
  /** Those that do in any case. */
  #held = 0;
  #allowed = true;
  #told = false;
  #hasEnded = false;

  /** `tell` is called at each change; at first nobody keeps anything alive. */
  constructor(tell: (on: boolean) => void) {
    this.#tell = tell;
  }

  /** So many more, or fewer. */
  change(by: number): void {
    this.#count += by;
    this.#look();
  }

  /** So many more, or fewer, that are waited for in any case. */
  hold(by: number): void {
    this.#held += by;
    this.#look();
  }

  allow(on: boolean): void {
    this.#allowed = on;
    this.#look();
  }

  /** In any case, until this is over. The result is to be used in its place: it rejects where nobody looks, as that would. */
  during<T>(work: Promise<T>): Promise<T> {
    this.hold(1);
    return work.finally(() => this.hold(-1));
  }

  /** The operation waits, for memory or for a slot. It counts for itself when it begins: it is to be unqueued before. */
  queue(operation: Kept): void {
    operation.slot = QUEUED;
    if ((operation.options & UNREF) === 0) this.change(1);
  }

  /** It waits no longer, if it did. */
  unqueue(operation: Kept): void {
    if (operation.slot !== QUEUED) return;
    operation.slot = -1;
    if ((operation.options & UNREF) === 0) this.change(-1);
  }

  /** Nobody does any more. */
  end(): void {
    this.#count = 0;
    this.#held = 0;
    this.#look();
    this.#hasEnded = true;
  }

  #look(): void {
    const on = this.#held > 0 || (this.#allowed && this.#count > 0);
    if (on === this.#told || this.#hasEnded) return;
    this.#told = on;
    this.#tell(on);
  }
}
