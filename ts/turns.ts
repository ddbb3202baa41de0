/**
 * Whose turn it is: operations of one resource that follow each other in the order of the calls. Who calls: the writers'
 * transfers, and the channel for the end of its stream.
 */
import { Fifo } from './fifo.js';
import type { Operation } from './op.js';

/** The system's current file position; a stream's only one. */
export const CURRENT = -1;

/** An operation that takes its turn. */
export interface Turn extends Operation<never> {
  begin(): void;
}

/** Who wants to know whether one has its turn. */
export interface TurnWatcher {
  busy(on: boolean): void;
}

/** Operations of one resource that follow each other: the next begins when the one before has ended. */
export class Turns {
  /** Where the next one begins; `CURRENT` where the system knows. */
  position = CURRENT;
  /** Made when the first has to wait: on most connections none ever does. */
  #waiting: Fifo<Turn> | undefined = undefined;
  #current: Turn | undefined = undefined;
  #advancing = false;
  #claimed = false;
  #isBusy = false;
  readonly #watcher: TurnWatcher | undefined;
  #onIdle: (() => void)[] | undefined = undefined;

  constructor(watcher?: TurnWatcher) {
    this.#watcher = watcher;
  }

  enter(turn: Turn): void {
    if (this.isIdle) this.advance(turn);
    else (this.#waiting ??= new Fifo()).push(turn);
  }

  /** Take the turn for an operation that is still to be made; false where another one has it. */
  claim(): boolean {
    if (!this.isIdle) return false;
    this.#claimed = true;
    return true;
  }

  /** What was claimed is this operation's turn. Without one, or if it has settled, it is that of the next. */
  redeem(turn?: Turn): void {
    this.#claimed = false;
    this.advance(turn ?? this.#waiting?.shift());
  }

  /** The operation has settled. */
  passed(turn: Turn): void {
    if (turn !== this.#current) return; // it waited: dropped when its turn comes
    this.#current = undefined;
    if (!this.#advancing) this.advance(this.#waiting?.shift()); // else it was refused at once: the loop below goes on
  }

  /** Resolves when none is in flight or waits. */
  idle(): Promise<void> {
    if (this.#current === undefined && !this.#claimed) return Promise.resolve();
    return new Promise((resolve) => (this.#onIdle ??= []).push(resolve));
  }

  /** None is in flight, begins right now, or is to be made. */
  get isIdle(): boolean {
    return this.#current === undefined && !this.#advancing && !this.#claimed;
  }

  /** One has its turn. */
  get isBusy(): boolean {
    return this.#isBusy;
  }

  /** Whether any waits. */
  get isLined(): boolean {
    return this.#waiting !== undefined && this.#waiting.length > 0;
  }

  /** Those that wait, in order. */
  waiting(): Iterable<Turn> {
    return this.#waiting ?? [];
  }

  /** Those in flight and waiting. */
  all(): Turn[] {
    return this.#current === undefined ? [] : [this.#current, ...(this.#waiting ?? [])];
  }

  /** Begin this one; if that ends at once, those that wait. */
  private advance(first: Turn | undefined): void {
    this.#advancing = true;
    for (let next = first; next !== undefined; next = this.#waiting?.shift()) {
      if (next.settled) continue;
      this.#current = next;
      next.begin();
      if (this.#current !== undefined) break;
    }
    this.#advancing = false;
    const isBusy = this.#current !== undefined;
    if (isBusy !== this.#isBusy) {
      this.#isBusy = isBusy;
      this.#watcher?.busy(isBusy);
    }
    if (this.#current === undefined && this.#onIdle !== undefined) for (const resolve of this.#onIdle.splice(0)) resolve();
  }
}
