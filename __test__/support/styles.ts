/**
 * Rows of styles: each gives a `next`, which reads one chunk and hands out a copy, so that an expectation is written
 * once for all. The memory goes back each time, and the view that was lent must be empty then.
 */
import { alloc, owned, pooled } from 'ritsu';
import type { Allocator, Bytes, File, IoBuffer, IoMemory, Proactor, ReadOptions } from 'ritsu';

/** Reads the next chunk, or the one at a position; null at the end of the file. May be called before it has answered. */
export type Next = (options?: ReadOptions) => Promise<Buffer | null>;

export interface StyleRow {
  readonly name: string;
  /** A reader of chunks of at most `size` bytes. */
  reader(file: File, proactor: Proactor, size: number): Next;
}

function mustBeRevoked(view: Uint8Array): void {
  if (view.byteLength !== 0) throw new Error(`a view is ${view.byteLength} bytes long after its memory was given back`);
}

function copyAndRelease(bytes: Bytes | null): Buffer | null {
  if (bytes === null) return null;
  const { data } = bytes;
  const copy = bytes.copy();
  bytes.release();
  mustBeRevoked(data);
  return copy;
}

/** Memory that is used again and again, more of it when several reads are out. */
class Spares {
  readonly #spares: Buffer[] = [];
  readonly #make: () => Buffer;

  constructor(make: () => Buffer) {
    this.#make = make;
  }

  get(): Buffer {
    return this.#spares.pop() ?? this.#make();
  }

  put(buffer: Buffer): void {
    this.#spares.push(buffer);
  }
}

const ordinary = (size: number): Buffer => Buffer.from(new ArrayBuffer(size));

function submitReader(file: File, spares: Spares): Next {
  const reader = file.submitter();
  return async (options) => {
    const buffer = spares.get();
    reader.submit(buffer, options);
    mustBeRevoked(buffer);
    const filled = await reader.poll().catch((error: Error & { buffer?: Buffer }) => {
      spares.put(error.buffer!);
      throw error;
    });
    const copy = filled.length === 0 ? null : filled.copy();
    spares.put(filled.take());
    return copy;
  };
}

function ownedReader(file: File, spares: Spares): Next {
  const reader = file.hybrid();
  return async (options) => {
    const into = owned(spares.get());
    try {
      const bytes = await reader.read(into, options);
      return bytes === null ? null : bytes.copy();
    } finally {
      spares.put(into.take());
    }
  };
}

/** A program's own IoBuffer: memory of its own, and a count of what it was told. */
export class CountingBuffer implements IoBuffer {
  memory: Buffer | undefined;
  bytes: Bytes | null = null;
  prepared = 0;
  completed = 0;
  errors = 0;

  constructor(memory: Buffer) {
    this.memory = memory;
  }

  prepare(): IoMemory {
    this.prepared += 1;
    const memory = this.memory!;
    this.memory = undefined;
    return { memory };
  }

  complete(bytes: Bytes | null, error?: Error, memory?: Buffer): void {
    this.completed += 1;
    if (error !== undefined) this.errors += 1;
    this.bytes = bytes;
    this.memory = memory;
  }

  take(): Buffer {
    return this.memory ?? this.bytes!.take();
  }

  /** Like `take`, after exactly one read. */
  takeOnce(): Buffer {
    if (this.prepared !== 1 || this.completed !== 1) throw new Error('prepare and complete belong together, once');
    return this.take();
  }
}

function countingReader(file: File, spares: Spares): Next {
  const reader = file.hybrid();
  return async (options) => {
    const into = new CountingBuffer(spares.get());
    try {
      const bytes = await reader.read(into, options);
      return bytes === null ? null : bytes.copy();
    } finally {
      spares.put(into.takeOnce());
    }
  };
}

/** A program's own allocator: memory that goes round, and how much of it is out. */
export class RoundAllocator implements Allocator {
  out = 0;
  acquired = 0;
  readonly #spares: Spares;
  readonly #isLater: boolean;

  /** With `isLater`, memory comes by a promise: the read waits for it. */
  constructor(make: () => Buffer, isLater = false) {
    this.#spares = new Spares(make);
    this.#isLater = isLater;
  }

  acquire(): Buffer | Promise<Buffer> {
    this.out += 1;
    this.acquired += 1;
    const memory = this.#spares.get();
    return this.#isLater ? new Promise((resolve) => setImmediate(resolve, memory)) : memory;
  }

  release(memory: Buffer): void {
    this.out -= 1;
    this.#spares.put(memory);
  }
}

export const STYLES: readonly StyleRow[] = [
  {
    name: 'allocator',
    reader(file, _proactor, size) {
      const reader = file.allocator({ blockSize: size });
      return async (options) => copyAndRelease(await reader.read(options));
    },
  },
  {
    name: 'allocator, another pool',
    reader(file, proactor, size) {
      const classes = [
        { size: 4096, count: 3 },
        { size: 65_536, count: 5 },
      ];
      const pool = proactor.createPool({ classes, hugePages: false });
      const reader = file.allocator({ blockSize: size, allocator: pool });
      return async (options) => copyAndRelease(await reader.read(options));
    },
  },
  {
    name: 'allocator, of the program',
    reader(file, proactor, size) {
      const allocator = new RoundAllocator(() => alloc(size, { proactor }), true);
      const reader = file.allocator({ blockSize: size, allocator });
      return async (options) => copyAndRelease(await reader.read(options));
    },
  },
  {
    name: 'submit',
    reader: (file, proactor, size) => submitReader(file, new Spares(() => alloc(size, { proactor }))),
  },
  { name: 'submit, ordinary memory', reader: (file, _, size) => submitReader(file, new Spares(() => ordinary(size))) },
  {
    name: 'hybrid, pooled',
    reader(file, proactor, size) {
      const reader = file.hybrid();
      return async (options) => copyAndRelease(await reader.read(pooled({ pool: proactor.pool, size }), options));
    },
  },
  {
    name: 'hybrid, owned',
    reader: (file, proactor, size) => ownedReader(file, new Spares(() => alloc(size, { proactor }))),
  },
  {
    name: 'hybrid, own class',
    reader: (file, proactor, size) => countingReader(file, new Spares(() => alloc(size, { proactor }))),
  },
];

/** Read to the end with `next`; all bytes. */
export async function readAll(next: Next): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for (let chunk = await next(); chunk !== null; chunk = await next()) chunks.push(chunk);
  return Buffer.concat(chunks);
}
