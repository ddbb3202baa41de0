/**
 * What of a file lives on without it: its descriptor, the writes under way, and what was pushed and not flushed. A `File` refers to its
 * handle and never the other way, so that a forgotten one can be collected.
 *
 * States: open -> closing (takes nothing new; what was called is done) -> closed (CLOSE, which the core orders behind what is in flight).
 */
import type { Proactor } from './proactor.js';
import type { Transfer } from './transfer.js';
import { closeOrFail, isBeingClosed } from './unclosed.js';
import type { Unclosed } from './unclosed.js';
import { Unflushed } from './unflushed.js';

export class FileHandle implements Unclosed {
  readonly fd: number;
  readonly unflushed = new Unflushed();
  /** As it was opened. */
  path: string;
  /** It takes nothing new. */
  closed = false;
  readonly #proactor: Proactor;
  readonly #descriptor: number;
  /** Writes that were called and are not settled, those that wait for their turn among them. */
  #writes = 0;
  #onWritten: (() => void)[] = [];
  readonly #settled = (): void => {
    this.#writes -= 1;
    if (this.#writes === 0) for (const resolve of this.#onWritten.splice(0)) resolve();
  };

  constructor(proactor: Proactor, descriptor: number, fd: number, path: string) {
    this.#proactor = proactor;
    this.#descriptor = descriptor;
    this.fd = fd;
    this.path = path;
  }

  /** Every write is done, and everything that was pushed is in one. */
  get isWritten(): boolean {
    return this.#writes === 0 && this.unflushed.isEmpty;
  }

  /** This write is to be done before the file is closed. */
  follow(write: Transfer): void {
    this.#writes += 1;
    write.onSettled = this.#settled;
  }

  /** Resolves when all writes are settled that were called. */
  written(): Promise<void> {
    if (this.#writes === 0) return Promise.resolve();
    return new Promise((resolve) => this.#onWritten.push(resolve));
  }

  /** Take nothing new: it is being closed, or leaves its thread. */
  leave(): void {
    this.closed = true;
    isBeingClosed(this);
    this.unflushed.withdraw(`'${this.path}'`);
  }

  close(): Promise<void> {
    this.leave();
    return closeOrFail(this.#proactor, this.#descriptor);
  }
}
