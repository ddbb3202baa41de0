/**
 * One direction of a stream for Node's classes: `Inflow` pulls chunks while the consumer wants more, `Outflow` writes what
 * it is given and says when it has gone. Both keep Node's back-pressure, since each has one chunk at a time.
 *
 * A consumer of a Node stream keeps what it gets and releases nothing. So what comes is copied out of the lease, and the
 * block goes back at once; what goes is copied at the call, as always.
 */
import type { AsyncRead } from '../read/read.js';
import type { Bytes } from '../memory/bytes.js';
import type { AsyncWrite } from '../write.js';

/** Chunks that wait together, up to so many bytes, go in one write. */
const GATHER_BYTES_MAX = 65_536;

export type Callback = (error?: Error | null) => void;

/** Tell Node, when the work is over, of this error or of the work's own. */
export function report(work: Promise<unknown>, error: Error | null, done: Callback): void {
  work.then(() => done(error), done);
}

export interface Sink {
  /** Takes a chunk, or null at the end; whether it wants more now. */
  push(chunk: Buffer | null): boolean;
  destroy(error: Error): void;
}

export class Inflow {
  readonly #reader: AsyncRead;
  readonly #sink: Sink;
  #isReading = false;
  #hasEnded = false;

  constructor(reader: AsyncRead, sink: Sink) {
    this.#reader = reader;
    this.#sink = sink;
  }

  /** The consumer wants more. */
  pull(): void {
    if (this.#isReading || this.#hasEnded) return;
    this.#isReading = true;
    this.#reader.pull().then(this.#came, this.#failed);
  }

  stop(): Promise<void> {
    this.#hasEnded = true;
    return this.#reader.close();
  }

  readonly #came = (bytes: Bytes | null): void => {
    this.#isReading = false;
    const chunk = bytes === null ? null : bytes.copy();
    bytes?.release();
    if (this.#hasEnded) return;
    this.#hasEnded = chunk === null;
    if (this.#sink.push(chunk) && chunk !== null) this.pull();
  };

  readonly #failed = (error: Error): void => {
    this.#isReading = false;
    if (this.#hasEnded) return; // it was stopped, and this says so
    this.#hasEnded = true;
    this.#sink.destroy(error);
  };
}

export class Outflow {
  readonly #writer: AsyncWrite;

  constructor(writer: AsyncWrite) {
    this.#writer = writer;
  }

  write(chunk: Uint8Array, done: Callback): void {
    this.#writer.writeAll(chunk).then(() => done(), done);
  }

  /** What has waited meanwhile: one write where it is little, one vectored write where it is much. */
  writeMany(chunks: readonly Uint8Array[], done: Callback): void {
    const total = chunks.reduce((sum, { length }) => sum + length, 0);
    if (total <= GATHER_BYTES_MAX) this.write(Buffer.concat(chunks), done);
    else this.#writeVectored(chunks).then(() => done(), done);
  }

  end(done: Callback): void {
    this.#writer.end().then(() => done(), done);
  }

  async #writeVectored(chunks: readonly Uint8Array[]): Promise<void> {
    for (const chunk of chunks) this.#writer.push(chunk);
    const { rest } = await this.#writer.flush();
    if (rest.length > 0) await this.#writer.writeAll(rest);
  }
}
