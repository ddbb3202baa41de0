/**
 * One operation inside the `node` backend, from `encode` until its completion is delivered.
 *
 * States: waiting (in the queue of this turn, behind an operation of its lane, or behind the limit of calls), out (a
 * `node:fs` call or a timer answers it), finished (its result stands and waits to be delivered). A waiting call can be
 * withdrawn; one that is out only if `stop` is set.
 */
import { NONE } from '../../op.js';
import type { Operation } from '../../op.js';
import type { SocketAddress } from './address.js';
import type { Descriptor } from './descriptors.js';

export const WAITING = 0;
export const OUT = 1;
export const FINISHED = 2;

/** Calls that run one after the other; the first of them is the one that may start. */
export type Lane = Call[];

export class Call {
  readonly operation: Operation<unknown>;
  readonly slot: number;
  readonly generation: number;
  state = WAITING;
  descriptor: Descriptor | undefined = undefined;
  lane: Lane | undefined = undefined;
  /** Blocks that the operation owns until it is finished. */
  blocks: readonly number[] = [];
  /** The memory of those blocks, cut to the ranges of the operation. */
  views: Uint8Array[] = [];
  /** Ends the call early; set while something other than a call to the system answers it. */
  stop: (() => void) | undefined = undefined;
  /** Asked to end: it is not tried again. */
  isUnwanted = false;
  /** Milliseconds between the last two tries, where the file was not ready. */
  pause = 0;

  result = 0;
  flags = 0;
  block = NONE;
  extra = 0;
  value = 0;
  /** Besides its result: a file's status, or what each place of many reads gave. */
  numbers: Float64Array | undefined = undefined;
  /** Addresses that it goes to; after a RECEIVE_MESSAGE the sender, encoded. */
  addresses: readonly SocketAddress[] = [];
  sender: Uint8Array | undefined = undefined;

  constructor(operation: Operation<unknown>) {
    this.operation = operation;
    this.slot = operation.slot;
    this.generation = operation.generation;
  }
}
