/**
 * One op inside the simulated ring, from `encode` until its final completion is delivered.
 *
 * States: fresh (the turn goes on: it can be withdrawn) -> pending (the kernel has it, and tries it) -> over (its final
 * completion is on its way to the queue, or there). What it named stays its own until that is delivered.
 */
import { Call } from '../backend/node/call.js';
import type { Connection } from './connection.js';
import type { FifoEnd } from './fifo.js';

export type CallState = 'fresh' | 'pending' | 'over';

export class RingCall extends Call {
  stage: CallState = 'fresh';
  /** The step before which the kernel does not look at it. */
  notBefore = 0;
  attempts = 0;
  /** Somebody asked for its end. */
  cancelled = false;
  /** Bytes that a send which shall send all has sent; the kernel goes on. */
  sent = 0;
  /** A zero-copy send that told its result: where in the stream its last byte is. */
  notice: number | undefined = undefined;
  /** What a connect or an open of a FIFO is waiting with. */
  connecting: Connection | undefined = undefined;
  opening: FifoEnd | undefined = undefined;
  /** A sample of the memory that it reads, as it was given. */
  sample = 0;
}

/** A completion: on its way, or in the queue. */
export interface Entry {
  readonly call: RingCall;
  readonly result: number;
  readonly flags: number;
  readonly block: number;
  readonly extra: number;
  readonly value: number;
  readonly numbers: Float64Array | undefined;
  readonly sender: Uint8Array | undefined;
}

/** What an attempt came to. Undefined: it waits, and nothing has happened. */
export interface Answer {
  readonly result: number;
  /** The op goes on. */
  readonly more?: boolean;
  /** The block that was chosen for it. */
  readonly block?: number;
  readonly extra?: number;
  readonly value?: number;
  readonly numbers?: Float64Array | undefined;
  readonly sender?: Uint8Array;
}

/** It has come further, and has nothing to tell yet. */
export const PROGRESS: Answer = { result: 0, more: true };
