/** What every engine is to read: the same blocks in the same order, from a seed. */

export interface Plan {
  readonly path: string;
  /** Bytes of the file. */
  readonly size: number;
  readonly blockSize: number;
  readonly direct: boolean;
}

export interface RandomPlan extends Plan {
  /** Reads in flight at a time. */
  readonly depth: number;
  /** The blocks to read, by index. */
  readonly order: Uint32Array;
}

export interface SequentialPlan extends Plan {
  /** How often the whole file is read, opened anew each time. */
  readonly laps: number;
}

const SEED = 0x2545f491;

/** `length` blocks of `blocks`, by xorshift32. */
export function randomOrder(blocks: number, length: number): Uint32Array {
  const order = new Uint32Array(length);
  let state = SEED;
  for (let index = 0; index < length; index += 1) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    order[index] = (state >>> 0) % blocks;
  }
  return order;
}
