/**
 * What ends work of several operations as a whole: its signal, its time or its scope. The operations are given a signal of the work's own,
 * so that the time is one for all of them, and the scope counts one piece of work. Who calls: `sendFile`, `readFile`, `writeFile`.
 */
import { limit } from './cancel.js';
import type { CancelCause, CancelOptions, Ending, Stop } from './cancel.js';
import { timeoutError } from './errors.js';
import type { Timers } from './timers.js';

export class Limits {
  readonly #ended: AbortController | undefined;
  readonly #stop: Stop;
  /** What the operations are given. */
  readonly cancel: CancelOptions;
  #cause: CancelCause | undefined = undefined;

  constructor(options: CancelOptions, timers: Timers) {
    const { signal, timeout, prompt } = options;
    this.#ended = signal === undefined && timeout === undefined ? undefined : new AbortController();
    this.cancel = { signal: this.#ended?.signal, prompt };
    this.#stop = limit(options, (cause, reason) => {
      this.#cause = cause;
      this.#ended!.abort(reason);
    }, timers);
  }

  /** The work has ended so. */
  over(ending: Ending): void {
    this.#stop(ending);
  }

  /** At once where there is nothing to wait for. */
  async #endAfter(outcome: Promise<unknown> | undefined, ending: Ending): Promise<void> {
    if (outcome !== undefined) await outcome;
    this.over(ending);
  }

  /**
   * It has failed by this error of an operation. What is to be told: a time that is over is the work's, not the operation's. One that
   * was given up promptly is over when the operation is.
   */
  failed(error: Error & { readonly outcome?: Promise<unknown> | undefined }, what: string): Error {
    const { outcome } = error;
    const wasEnded = error.name === 'AbortError' && this.#cause !== undefined;
    void this.#endAfter(outcome, wasEnded ? 'aborted' : 'failed');
    return wasEnded && this.#cause === 'timeout' ? Object.assign(timeoutError(what), outcome && { outcome }) : error;
  }
}
