/**
 * Many reads as one: a place in the memory for each position, one operation and one promise for all. What a small read costs
 * beyond the kernel's part is its record, its promise, its `Bytes` and the move of its memory; here many reads share them.
 * Who calls: the readers, through `FileSource`.
 */
import type { CancelOptions } from '../cancel.js';
import { argumentTypeError, argumentValueError, checkInteger, checkPosition, rangeError } from '../errors.js';
import { rangeOf } from '../memory/block.js';
import { Bytes } from '../memory/bytes.js';
import type { ReadOperation } from '../memory/size-class.js';
import { LENGTH_MAX, Opcode, Operation, REGISTERED } from '../op.js';
import type { Completion, Failure } from '../op.js';
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
  readonly positions: Float64Array<ArrayBuffer>;
  readonly each: number;
}

/** The most positions of one call: as many as a vectored call has parts (Linux: IOV_MAX). */
const POSITIONS_MAX = 1024;

/** Checked positions: a copy. */
export function checkPositions(positions: Positions): Float64Array<ArrayBuffer> {
  const isList = Array.isArray(positions) || (ArrayBuffer.isView(positions) && !(positions instanceof DataView));
  if (!isList) throw argumentTypeError('positions', 'an instance of Array or TypedArray', positions);
  const count = checkInteger('positions.length', positions.length, 1, POSITIONS_MAX);
  const copy = new Float64Array(count);
  for (let index = 0; index < count; index += 1) copy[index] = checkPosition(positions[index]);
  return copy;
}

/** The length asked for, if any: before memory is moved. */
export function lengthOf(options: ReadManyOptions | undefined): number | undefined {
  const length = options?.length;
  return length === undefined ? undefined : checkInteger('length', length, 1, LENGTH_MAX);
}

/** An even share of the memory; where that is nothing, what is too much for it. */
export function shareOf(memory: number, { length }: Float64Array): number {
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

/** Whom it asks how much each place gave. */
interface ManyHost {
  readonly backend: { numbers(completion: Completion): Float64Array };
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

export class ManyRead extends Operation<Bytes | null> {
  readonly #host: ManyHost;
  readonly #places: Places;
  /** How many bytes each place got; once it is over. */
  lengths: readonly number[] = [];

  constructor(host: ManyHost, places: Places) {
    super(Opcode.READ, land);
    this.#host = host;
    this.#places = places;
    this.argument = new Uint8Array(places.positions.buffer);
  }

  override launch(host: { start<T>(operation: Operation<T>): void }): void {
    const total = totalOf(this.#places);
    if (this.length < total) return this.refuse(() => rangeError('the memory of the read', `>= ${total} bytes long`, this.length));
    if (this.opcode === Opcode.READ_FIXED) this.flags = REGISTERED;
    this.opcode = Opcode.READ_MANY;
    this.length = total;
    host.start(this);
  }

  override complete(completion: Completion): void {
    if (completion.result >= 0) {
      this.#arrange(this.#host.backend.numbers(completion));
      if (completion.result > 0) completion.result = totalOf(this.#places); // how much of the memory is of use
    }
    super.complete(completion);
  }

  /** Where less came than there is room for, zeros follow: not what the memory held before. */
  #arrange(counts: Float64Array): void {
    const { each } = this.#places;
    const lengths: number[] = [];
    for (let index = 0; index < counts.length; index += 1) {
      const length = counts[index]!;
      lengths.push(length);
      if (length < each) rangeOf(this.block!, this.offset + index * each + length, each - length).fill(0);
    }
    this.lengths = lengths;
  }
}
