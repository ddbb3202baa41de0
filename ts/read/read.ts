/**
 * What the three styles share: one chunk after another, whoever owns the memory. A function written against
 * `AsyncRead` takes a reader of any style.
 */
import { checkCancel } from '../cancel.js';
import type { CancelOptions } from '../cancel.js';
import type { Bytes } from '../memory/bytes.js';
import { argumentTypeError, checkPosition } from '../errors.js';
import type { ReadOptions } from './source.js';

/** The three ways to read. */
export type Style = 'allocator' | 'submit' | 'hybrid';

/**
 * @example
 * async function countLines(input: AsyncRead): Promise<number> {
 *   let lines = 0;
 *   for await (const bytes of input) for (const byte of bytes.data) if (byte === 10) lines += 1;
 *   return lines;
 * }
 */
export interface AsyncRead extends AsyncIterable<Bytes>, AsyncDisposable {
  /** Which one it is. */
  readonly style: Style;
  /** The next chunk, or null at the end. The caller releases it. */
  pull(options?: ReadOptions): Promise<Bytes | null>;
  /** End the reader, not the resource. It takes no new reads; what was read ahead stays for the next reader. */
  close(): Promise<void>;
}

/** Checked options. The caller's object is read once, before any memory is moved: its getters may run any code. */
export interface Plan extends CancelOptions {
  /** Undefined: go on where the last sequential operation ended. */
  readonly position: number | undefined;
}

const SEQUENTIAL: Plan = { position: undefined, signal: undefined, timeout: undefined, prompt: undefined };

export function planOf(options: ReadOptions | undefined): Plan {
  if (options === undefined) return SEQUENTIAL;
  if (typeof options !== 'object' || options === null) throw argumentTypeError('options', 'of type object', options);
  const { position: given, signal, timeout, prompt } = options;
  const position = given === undefined || given === null ? undefined : checkPosition(given);
  return { position, signal, timeout: checkCancel(signal, timeout, prompt), prompt };
}

/**
 * Iterate by `pull`, lending each chunk until the loop goes on: then, and when the loop ends early, it is released.
 */
export class ChunkIterator implements AsyncIterableIterator<Bytes> {
  readonly #pull: () => Promise<Bytes | null>;
  readonly #end: () => void;
  #lent: Bytes | undefined = undefined;
  #done = false;

  constructor(pull: () => Promise<Bytes | null>, end: () => void = () => {}) {
    this.#pull = pull;
    this.#end = end;
  }

  async next(): Promise<IteratorResult<Bytes, undefined>> {
    this.#lent?.release();
    this.#lent = undefined;
    const bytes = this.#done ? null : await this.#pull();
    if (bytes === null) return this.return();
    this.#lent = bytes;
    return { done: false, value: bytes };
  }

  async return(): Promise<IteratorResult<Bytes, undefined>> {
    this.#lent?.release();
    this.#lent = undefined;
    if (!this.#done) this.#end();
    this.#done = true;
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
