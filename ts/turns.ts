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

/** `claimed`: the turn is that of one which is still to be made. `advancing`: the next is just being begun. */
type Stage = 'idle' | 'claimed' | 'advancing' | 'busy';

/** Operations of one resource that follow each other: the next begins when the one before has ended. */
export class Turns {
  // Rarely set: on the prototype, as with `Operation`. On most connections none ever waits.
  /** Where the next one begins; `CURRENT` where the system knows. */
  declare position: number;
  declare private line: Fifo<Turn> | undefined;
  declare private onIdle: (() => void)[] | undefined;
  #current: Turn | undefined = undefined;
  #stage: Stage = 'idle';

  /** Called when one gets its turn while none had it, and when none has it any more. */
  busy(_on: boolean): void {}

  enter(turn: Turn): void {
    if (this.isIdle) this.advance(turn);
    else (this.line ??= new Fifo()).push(turn);
  }

  /** Take the turn for an operation that is still to be made; false where another one has it. */
  claim(): boolean {
    if (!this.isIdle) return false;
    this.#stage = 'claimed';
    return true;
  }

  /** What was claimed is this operation's turn. Without one, or if it has settled, it is that of the next. */
  redeem(turn?: Turn): void {
    this.advance(turn ?? this.line?.shift());
  }

  /** The operation has settled. */
  passed(turn: Turn): void {
    if (turn !== this.#current) return; // it waited: dropped when its turn comes
    this.#current = undefined;
    if (this.#stage !== 'advancing') this.advance(this.line?.shift()); // else it was refused at once: the loop below goes on
  }

  /** Resolves when none is in flight or waits. */
  idle(): Promise<void> {
    if (this.#current === undefined && this.#stage !== 'claimed') return Promise.resolve();
    return new Promise((resolve) => (this.onIdle ??= []).push(resolve));
  }

  /** None is in flight, begins right now, or is to be made. */
  get isIdle(): boolean {
    return this.#stage === 'idle';
  }

  /** One has its turn. */
  get isBusy(): boolean {
    return this.#stage === 'busy';
  }

  /** Whether any waits. */
  get isLined(): boolean {
    return this.line !== undefined && this.line.length > 0;
  }

  /** Those that wait, in order. */
  waiting(): Iterable<Turn> {
    return this.line ?? [];
  }

  /** Those in flight and waiting. */
  all(): Turn[] {
    return this.#current === undefined ? [] : [this.#current, ...(this.line ?? [])];
  }

  /** Begin this one; if that ends at once, those that wait. */
  private advance(first: Turn | undefined): void {
    const wasBusy = this.#stage === 'busy';
    this.#stage = 'advancing';
    for (let next = first; next !== undefined; next = this.line?.shift()) {
      if (next.settled) continue;
      this.#current = next;
      next.begin();
      if (this.#current !== undefined) break;
    }
    const isBusy = this.#current !== undefined;
    this.#stage = isBusy ? 'busy' : 'idle';
    if (isBusy !== wasBusy) this.busy(isBusy);
    if (!isBusy && this.onIdle !== undefined) for (const resolve of this.onIdle.splice(0)) resolve();
  }
}

Object.assign(Turns.prototype, { position: CURRENT, line: undefined, onIdle: undefined });
