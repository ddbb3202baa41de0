/** An operation that another thread asked for, as the owner's proactor runs it. */
import { FAULT_CLOSED } from '../errors.js';
import { ECANCELED, Operation } from '../op.js';
import type { Completion } from '../op.js';


/** Whose operations they are: it is told how each went. */
export interface Asker {
  answer(operation: GuestOperation, completion: Completion): void;
  /** It ended without a completion. */
  refuse(operation: GuestOperation, result: number): void;
}

function nothing(): null {
  return null;
}

/** An operation on behalf of another thread: it answers there. */
export class GuestOperation extends Operation<null> {
  readonly #guest: Asker;
  readonly callerSlot: number;
  readonly callerGeneration: number;
  /** What is read into; moved to the guest with the answer. */
  memory: ArrayBuffer | undefined = undefined;
  /** The guest asked for its end. */
  isAsked = false;

  constructor(guest: Asker, opcode: number, slot: number, generation: number) {
    super(opcode, nothing);
    this.#guest = guest;
    this.callerSlot = slot;
    this.callerGeneration = generation;
  }

  get guest(): Asker {
    return this.#guest;
  }

  override complete(completion: Completion): void {
    // The guest did not ask for this end: it is told why.
    if (completion.result === ECANCELED && this.cancelCause === 'closed' && !this.isAsked) completion.result = FAULT_CLOSED;
    this.#guest.answer(this, completion);
    this.succeed(null);
  }

  /** It ended without a completion: cancelled while it waited, or the proactor was closed. */
  override fail(failure: () => Error): void {
    this.#guest.refuse(this, this.isAsked ? ECANCELED : FAULT_CLOSED);
    super.fail(failure);
  }
}

Object.assign(GuestOperation.prototype, {
  progress(this: GuestOperation, completion: Completion) {
    this.guest.answer(this, completion);
  },
});
