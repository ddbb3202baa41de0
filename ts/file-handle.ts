/**
 * What of a file lives on without it: its descriptor, the writes that wait for their turn, and what was pushed and not flushed. A
 * `File` refers to its handle and never the other way, so that a forgotten one can be collected.
 *
 * States: open -> closing (takes nothing new; what was called is done) -> closed (CLOSE, which the core orders behind what is in flight).
 */
import { Opcode, Operation } from './op.js';
import type { Proactor } from './proactor.js';
import { isBeingClosed } from './unclosed.js';
import type { Unclosed } from './unclosed.js';
import { Unflushed } from './unflushed.js';

/** What is under way. */
export interface Line {
  /** Resolves when it is no more. */
  idle(): Promise<unknown>;
}

export class FileHandle implements Unclosed {
  readonly proactor: Proactor;
  readonly descriptor: number;
  readonly fd: number;
  readonly unflushed = new Unflushed();
  /** Writes that are under way: of each writer those that follow each other, and each one at a position. */
  readonly lines = new Set<Line>();
  /** As it was opened. */
  path: string;
  /** It takes nothing new. */
  closed = false;
  /** Nothing can follow any more from what was begun, either. */
  ended = false;

  constructor(proactor: Proactor, descriptor: number, fd: number, path: string) {
    this.proactor = proactor;
    this.descriptor = descriptor;
    this.fd = fd;
    this.path = path;
  }

  /** Take nothing new: it is being closed, or leaves its thread. */
  leave(): void {
    this.closed = true;
    isBeingClosed(this);
    this.unflushed.withdraw(`'${this.path}'`);
  }

  /** Resolves when all writes are done that were called. */
  async written(): Promise<void> {
    await Promise.all([...this.lines].map((line) => line.idle()));
  }

  async close(): Promise<void> {
    this.leave();
    this.ended = true;
    if (this.proactor.ended) return; // it has closed its descriptors itself
    const operation = new Operation<void>(Opcode.CLOSE, (op, { result }) => (result < 0 ? op.failure(result) : undefined));
    operation.descriptor = this.descriptor;
    this.proactor.start(operation);
    await operation.promise;
  }
}
