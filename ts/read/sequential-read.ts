/** One read of a file without a position, from its call to its delivery in order. Who calls: `Sequence`. */
import type { Stop } from '../cancel.js';
import { Deferred } from '../deferred.js';
import type { Bytes } from '../memory/bytes.js';
import type { Landing, ReadOperation } from '../memory/size-class.js';
import type { Completion, EndOptions } from '../op.js';

export class SequentialRead extends Deferred<Bytes | null> {
  readonly landing: Landing;
  claimed: boolean;
  /** Its limits, if it has any. Rarely set, so it stands on the prototype. */
  declare unwatch: Stop | undefined;
  /** A limit has ended it. */
  ended: { readonly cause: 'abort' | 'timeout'; readonly options: EndOptions } | undefined = undefined;
  /** Where it was issued; -1 before, and for what has no positions. */
  position = -1;
  operation: ReadOperation | undefined = undefined;
  /** Its final completion, while it waits for its turn. */
  arrived: Completion | undefined = undefined;

  constructor(landing: Landing, claimed: boolean) {
    super();
    this.landing = landing;
    this.claimed = claimed;
  }
}

Object.assign(SequentialRead.prototype, { unwatch: undefined });

/** Fail a read that has no operation; what it was given goes back. */
export function refuse(read: SequentialRead, failure: () => Error): void {
  let buffer: Buffer | undefined;
  try {
    buffer = read.landing.restore?.(failure);
  } catch (error) {
    return read.fail(() => error as Error); // of a program's own IoBuffer
  }
  read.fail(() => (buffer === undefined ? failure() : Object.assign(failure(), { buffer })));
}
