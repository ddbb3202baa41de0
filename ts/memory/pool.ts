/** The buffer pool: size classes in one mapping, made on first use; it ends with its proactor. */
import { argumentTypeError, argumentValueError, checkInteger, checkOptions, rangeError } from '../errors.js';
import { show } from '../inspect.js';
import { LENGTH_MAX } from '../op.js';
import type { Completion, Failure } from '../op.js';
import type { Block } from './block.js';
import type { Bytes } from './bytes.js';
import { SizeClass } from './size-class.js';
import type { Landing, PoolHost, ReadOperation, SizeClassOptions, SizeClassStats, WhenEmpty } from './size-class.js';

/** The sizes and counts of a pool, and what it does when it is empty. */
export interface BufferPoolOptions {
  /** The blocks, by size. Where not given: 256 of 4 KiB, 64 of 16 KiB, 128 of 64 KiB, 16 of 256 KiB, 16 of 1 MiB. */
  readonly classes?: readonly SizeClassOptions[] | undefined;
  /** Ask the system for huge pages (`MADV_HUGEPAGE`). True where not given. */
  readonly hugePages?: boolean | undefined;
  /**
   * What a read does that finds no block: `wait` for one (the default), `grow` outside the pool, or `fail` with
   * `ERR_RITSU_POOL_EXHAUSTED`.
   */
  readonly whenEmpty?: WhenEmpty | undefined;
}

/** What a read brings at most, where nobody says. */
export const BLOCK_SIZE = 65_536;

export const DEFAULT_CLASSES: readonly SizeClassOptions[] = [
  { size: 4096, count: 256 },
  { size: 16_384, count: 64 },
  { size: 65_536, count: 128 },
  { size: 262_144, count: 16 },
  { size: 1_048_576, count: 16 },
];

const POOL_BYTES_MAX = 2 ** 32;
/** All memory of one allocator: size classes in one mapping. Made on first use; ends with its proactor. */
export class BufferPool {
  /** @internal */
  readonly classes: readonly SizeClass[];
  #registered = false;
  /** @internal The proactor it belongs to. */
  readonly host: PoolHost;

  /** @internal Used by `Proactor.createPool`. */
  constructor(host: PoolHost, options: BufferPoolOptions = {}) {
    checkOptions(options);
    this.host = host;
    const classes = checkClasses(options.classes ?? DEFAULT_CLASSES);
    const whenEmpty = options.whenEmpty ?? 'wait';
    const pairs = classes.map(({ size, count }) => [size, count] as const);
    const layouts = host.backend.createPool(pairs, options.hugePages ?? true);
    this.classes = layouts.map((layout) => new SizeClass(host, layout, whenEmpty));
  }

  /** Bytes of the largest block. */
  get largest(): number {
    return this.classes.at(-1)!.length;
  }

  /** @internal What a read of it brings at most, where nobody says. */
  get usual(): number {
    return Math.min(BLOCK_SIZE, this.largest);
  }

  /** @internal The class whose blocks are the smallest that hold `size` bytes. */
  classFor(size: number): SizeClass {
    for (const sizeClass of this.classes) if (sizeClass.length >= size) return sizeClass;
    throw rangeError('blockSize', `<= ${this.largest}, the pool's largest block`, size);
  }

  /** @internal Like `take` of the fitting class; undefined when that has no block now, or none is as large. */
  take(size: number): Block | undefined {
    return this.classes.find((sizeClass) => sizeClass.length >= size)?.take();
  }

  /** @internal Register memory with the ring for O_DIRECT, once; as much as the memlock budget allows. */
  register(): void {
    if (this.#registered || !this.host.backend.features.registeredBuffers) return;
    let bytes = this.host.backend.registerPool(this.classes.map((sizeClass) => sizeClass.layout));
    this.#registered = bytes > 0; // else again at the next chance: locked memory of a ring that ended comes back late
    for (const sizeClass of this.classes) {
      const { size, count } = sizeClass.layout;
      for (let index = 0; index < count && bytes >= size; index += 1, bytes -= size) {
        sizeClass.block(index).registered = true;
      }
    }
  }

  /** @internal Take back blocks whose ArrayBuffers were collected. */
  recover(ids: readonly number[]): void {
    for (const id of ids) {
      const owner = this.classes.find(({ layout }) => id >= layout.first && id < layout.first + layout.count);
      owner?.recover(owner.block(id - owner.layout.first));
    }
  }

  /** @internal */
  refuse(failure: () => Error, descriptor: number | undefined): void {
    for (const sizeClass of this.classes) sizeClass.refuse(failure, descriptor);
  }

  /** How many blocks there are, and who has them, for each size class. */
  stats(): SizeClassStats[] {
    return this.classes.map((sizeClass) => sizeClass.stats());
  }
}
show(BufferPool, ({ classes }) => ({ sizes: classes.map(({ length }) => length) }));

/** Reads of at most `length` bytes into the smallest blocks of a pool that hold them. */
export class PoolLanding implements Landing {
  readonly length: number;
  readonly #class: Landing;

  /** @internal */
  constructor(host: PoolHost, pool: BufferPool, length: number) {
    if (pool.host !== host) throw argumentValueError('pool', "must be of the file's proactor", pool);
    this.length = length;
    this.#class = pool.classFor(length);
  }

  arm(operation: ReadOperation): void {
    this.#class.arm(operation);
  }

  land(operation: ReadOperation, completion: Completion): Bytes | null | Failure {
    return this.#class.land(operation, completion);
  }

  discard(operation: ReadOperation, completion: Completion): void {
    this.#class.discard(operation, completion);
  }

  restore(failure: () => Error, operation?: ReadOperation): Buffer | undefined {
    return this.#class.restore!(failure, operation);
  }
}

function checkClass(options: SizeClassOptions): SizeClassOptions {
  checkOptions(options);
  const size = checkInteger('size', options.size, 4096, LENGTH_MAX);
  if (!Number.isInteger(Math.log2(size))) throw rangeError('size', 'a power of two', size);
  return { size, count: checkInteger('count', options.count, 1, 32_768) };
}

function checkClasses(classes: readonly SizeClassOptions[]): SizeClassOptions[] {
  if (!Array.isArray(classes)) throw argumentTypeError('classes', 'an array of size classes', classes);
  if (classes.length === 0) throw rangeError('classes', 'a list of at least one size class', classes.length);
  const sorted = Array.from(classes as readonly SizeClassOptions[], checkClass).sort((a, b) => a.size - b.size);
  const total = sorted.reduce((sum, { size, count }) => sum + size * count, 0);
  if (total >= POOL_BYTES_MAX) throw rangeError('classes', 'less than 4 GiB in all', total);
  return sorted;
}

