/** `toReadable` and `toWritable`: a reader or a writer as a `node:stream`. */
import { Readable, Writable } from 'node:stream';
import { argumentTypeError, checkOptions } from '../errors.js';
import type { AsyncRead } from '../read/read.js';
import type { AsyncWrite } from '../write.js';
import { Inflow, Outflow, isReader, isWriter, report } from './flow.js';
import type { Callback } from './flow.js';

/** What `toReadable` and `toWritable` accept. */
export interface HalfOptions {
  /** Bytes that Node's stream keeps before it says that it has enough; Node's own default where not given. */
  readonly highWaterMark?: number | undefined;
}

class ReaderReadable extends Readable {
  readonly #inflow: Inflow;

  constructor(reader: AsyncRead, options: HalfOptions) {
    super({ highWaterMark: options.highWaterMark });
    this.#inflow = new Inflow(reader, this, true);
  }

  override _read(): void {
    this.#inflow.pull();
  }

  override _destroy(error: Error | null, done: Callback): void {
    report(this.#inflow.stop(), error, done);
  }
}

class WriterWritable extends Writable {
  readonly #outflow: Outflow;

  constructor(writer: AsyncWrite, options: HalfOptions) {
    super({ highWaterMark: options.highWaterMark, decodeStrings: true });
    this.#outflow = new Outflow(writer);
  }

  override _write(chunk: Buffer, _encoding: string, done: Callback): void {
    this.#outflow.write(chunk, done);
  }

  override _writev(chunks: { chunk: Buffer }[], done: Callback): void {
    this.#outflow.writeMany(chunks.map(({ chunk }) => chunk), done);
  }

  override _final(done: Callback): void {
    this.#outflow.end(done);
  }
}

/**
 * A reader, of any style, as a `Readable`. Destroying it closes the reader, not what is read.
 * @example
 * await pipeline(toReadable(file.allocator()), createGzip(), toWritable(target.writer()));
 */
export function toReadable(reader: AsyncRead, options: HalfOptions = {}): Readable {
  if (!isReader(reader)) throw argumentTypeError('reader', 'a reader', reader);
  checkOptions(options);
  return new ReaderReadable(reader, options);
}

/**
 * A writer as a `Writable`. Its end is the writer's: a stream is half-closed, a file stays open.
 * @example
 * await pipeline(request, toWritable(file.writer()));
 */
export function toWritable(writer: AsyncWrite, options: HalfOptions = {}): Writable {
  if (!isWriter(writer)) throw argumentTypeError('writer', 'a writer', writer);
  checkOptions(options);
  return new WriterWritable(writer, options);
}
