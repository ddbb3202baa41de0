/**
 * Many reads as one: a place in the memory for each position, one promise for all. What a small read costs beyond the kernel's
 * part is its promise, its `Bytes` and the move of its memory; here many reads share them.
 *
 * A `ManyRead` has the memory and the promise, and no slot of its own. Once it has its memory it begins a `Part` for each
 * position: an ordinary operation, which shares the block with the others. With the last of them it is over. Who calls: the
 * readers, through `FileSource`.
 */
import type { CancelCause, CancelOptions } from '../cancel.js';
import { argumentTypeError, argumentValueError, checkInteger, checkPosition, rangeError } from '../errors.js';
import type { Deferred } from '../deferred.js';
import { rangeOf } from '../memory/block.js';
import { Bytes } from '../memory/bytes.js';
import type { ReadOperation } from '../memory/size-class.js';
import { ECANCELED, EINTR, LENGTH_MAX, NONE, Opcode, Operation, SHARES } from '../op.js';
import type { Completion, EndOptions, Failure } from '../op.js';
import type { Plan } from './read.js';
import type { ReadSource } from './source.js';

export interface ReadManyOptions extends CancelOptions {
  /** At most so many bytes at each position; where not given, the memory is shared out evenly. */
  readonly length?: number | undefined;
}

/** Byte offsets in the file. */
export type Positions = ArrayLike<number | bigint>;

/** Where to read, and at most how many bytes at each place. */
export interface Places {
  readonly positions: readonly number[];
  readonly each: number;
}

/** The most positions of one call: as many as a vectored call has parts (Linux: IOV_MAX). */
const POSITIONS_MAX = 1024;

/** Checked positions: a copy. */
export function checkPositions(positions: Positions): readonly number[] {
  const isList = Array.isArray(positions) || (ArrayBuffer.isView(positions) && !(positions instanceof DataView));
  if (!isList) throw argumentTypeError('positions', 'an instance of Array or TypedArray', positions);
  const count = checkInteger('positions.length', positions.length, 1, POSITIONS_MAX);
  const copy: number[] = [];
  for (let index = 0; index < count; index += 1) copy.push(checkPosition(positions[index]));
  return copy;
}

/** The length asked for, if any: before memory is moved. */
export function lengthOf(options: ReadManyOptions | undefined): number | undefined {
  const length = options?.length;
  return length === undefined ? undefined : checkInteger('length', length, 1, LENGTH_MAX);
}

/** An even share of the memory; where that is nothing, what is too much for it. */
export function shareOf(memory: number, { length }: readonly number[]): number {
  return Math.max(1, Math.floor(memory / length));
}

/** How many bytes of memory it takes. */
export function totalOf({ positions, each }: Places): number {
  return positions.length * each;
}

/** The plan of a call that has its positions already, on a resource that has some. */
export function planOfMany(source: ReadSource, options: ReadManyOptions | undefined): Plan {
  if (source.readPlaces === undefined) throw argumentValueError('positions', 'must not be given: a stream has no positions', source);
  const plan = source.plan(options);
  if (plan.position !== undefined) throw argumentValueError('options.position', 'must not be given beside positions', plan.position);
  return plan;
}

/** What cannot be begun must not take the memory from those that were. */
function start(host: { start<T>(operation: Operation<T>): void }, part: Part): void {
  try {
    host.start(part);
  } catch (error) {
    part.fail(() => error as Error);
  }
}

function nothing(): null {
  return null;
}

/** Lands as one read does; then the `Bytes` is told how much each place got. */
function land(operation: ReadOperation, completion: Completion): Bytes | null | Failure {
  const outcome = operation.landing!.land(operation, completion);
  tellLengths(operation, outcome);
  return outcome;
}

/** Say on the `Bytes` of many reads how much each brought. */
export function tellLengths(operation: ReadOperation, outcome: Bytes | null | Failure): void {
  if (operation instanceof ManyRead && outcome instanceof Bytes) outcome.lengths = operation.lengths;
}

/** One of them, in the kernel. */
class Part extends Operation<null> {
  // `private` by word: by name they would cost each part as much again.
  private readonly whole: ManyRead;
  private readonly index: number;

  constructor(whole: ManyRead, index: number, { positions, each }: Places) {
    super(whole.opcode, nothing);
    this.whole = whole;
    this.index = index;
    this.front = whole as Deferred<unknown>;
    this.descriptor = whole.descriptor;
    this.block = whole.block;
    this.offset = whole.offset + index * each;
    this.length = each;
    this.position = positions[index]!;
    this.options = whole.options | SHARES;
  }

  override complete({ result }: Completion): void {
    if (this.settled) return; // given up
    this.succeed(null);
    this.whole.answered(this, this.index, result);
  }

  override fail(failure: () => Error): void {
    if (this.settled) return;
    super.fail(failure);
    this.whole.unanswered(this, failure);
  }
}

export class ManyRead extends Operation<Bytes | null> {
  /** How many bytes each place got. */
  readonly lengths: number[] = [];
  readonly #places: Places;
  #parts: Part[] | undefined = undefined;
  #left = 0;
  /** The first error, in the order of the answers; one that says more than that it was cancelled goes before. */
  #error = 0;
  /** Why one of them was not begun, or was given up. */
  #refusal: (() => Error) | undefined = undefined;
  /** Some were given up while the system had them: it keeps the memory. */
  #isForsaken = false;

  constructor(places: Places) {
    super(Opcode.READ, land);
    this.#places = places;
    for (let left = places.positions.length; left > 0; left -= 1) this.lengths.push(0); // packed, and no memory of its own
  }

  override launch(host: { start<T>(operation: Operation<T>): void }): void {
    const { positions } = this.#places;
    const total = totalOf(this.#places);
    if (this.length < total) return this.refuse(() => rangeError('the memory of the read', `>= ${total} bytes long`, this.length));
    this.#left = positions.length;
    const parts: Part[] = [];
    for (let index = 0; index < positions.length; index += 1) parts.push(new Part(this, index, this.#places));
    this.#parts = parts;
    for (const part of parts) start(host, part);
  }

  override end(cause: CancelCause, options: EndOptions, cancel: (operation: Operation<Bytes | null>, cause: CancelCause) => void): void {
    super.end(cause, options, (_, why) => {
      if (this.#parts === undefined) return cancel(this, why);
      this.cancelCause ??= why;
      for (const part of this.#parts) cancel(part as Operation<unknown> as Operation<Bytes | null>, why);
    });
  }

  /** The kernel has answered one. */
  answered(part: Part, index: number, result: number): void {
    if (result >= 0) this.lengths[index] = result;
    else this.#failed(part, result);
    this.#count();
  }

  /** One has ended without an answer: it was not begun, or the system was given up. */
  unanswered(part: Part, failure: () => Error): void {
    if (part.slot < 0 && part.cancelCause !== undefined) this.#failed(part, ECANCELED);
    else {
      this.#isForsaken ||= part.slot >= 0;
      this.#refusal ??= failure;
    }
    this.#count();
  }

  #failed(part: Part, result: number): void {
    const wasEnded = result === ECANCELED || result === EINTR;
    if (wasEnded) this.cancelCause ??= part.cancelCause;
    if (this.#error === 0 || (!wasEnded && (this.#error === ECANCELED || this.#error === EINTR))) this.#error = result;
  }

  #count(): void {
    this.#left -= 1;
    if (this.#left > 0) return;
    this.#parts = undefined;
    if (this.#isForsaken) this.fail(this.#refusal!);
    else if (this.#refusal !== undefined) this.refuse(this.#refusal);
    else {
      const result = this.#error === 0 ? this.#arrange() : this.#error;
      this.complete({ slot: -1, generation: 0, result, flags: 0, block: NONE, extra: 0, value: 0 });
    }
  }

  /** Where less came than there is room for, zeros follow: not what the memory held before. How much memory is of use. */
  #arrange(): number {
    const { each } = this.#places;
    const { lengths } = this;
    let sum = 0;
    for (let index = 0; index < lengths.length; index += 1) {
      const length = lengths[index]!;
      sum += length;
      if (length < each) rangeOf(this.block!, this.offset + index * each + length, each - length).fill(0);
    }
    return sum === 0 ? 0 : lengths.length * each;
  }
}

Object.assign(ManyRead.prototype, { ownBlock: true });
