/**
 * One direction of a stream for Node's classes: `Inflow` pulls chunks while the consumer wants more, `Outflow` writes what
 * it is given and says when it has gone. Both keep Node's back-pressure, since each has one chunk at a time.
 *
 * A consumer of a Node stream keeps what it gets and releases nothing. So what comes is copied out of the lease, and the
 * block goes back at once; what goes is copied at the call, as always.
 */
import type { CancelOptions } from '../cancel.js';
import type { AsyncRead } from '../read/read.js';
import type { Bytes } from '../memory/bytes.js';
import type { AsyncWrite } from '../write.js';

/** Chunks that wait together, up to so many bytes, go in one write. */
const GATHER_BYTES_MAX = 65_536;

export type Callback = (error?: Error | null) => void;

/** Whether it has these methods: readers and writers may be the program's own. */
function has(value: unknown, ...methods: readonly string[]): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return methods.every((method) => typeof (value as Readonly<Record<string, unknown>>)[method] === 'function');
}

export function isReader(value: unknown): value is AsyncRead {
  return has(value, 'pull', 'close');
}

export function isWriter(value: unknown): value is AsyncWrite {
  return has(value, 'writeAll', 'push', 'flush', 'end');
}

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
  /** Ends the read that waits when the consumer wants no more, where what is read goes on without it. */
  readonly #unwanted: AbortController | undefined;
  readonly #limits: CancelOptions | undefined;
  #isReading = false;
  #hasEnded = false;

  /** `isLent`: what the reader reads is somebody's, who goes on with it. */
  constructor(reader: AsyncRead, sink: Sink, isLent: boolean) {
    this.#reader = reader;
    this.#sink = sink;
    this.#unwanted = isLent ? new AbortController() : undefined;
    this.#limits = this.#unwanted && { signal: this.#unwanted.signal };
  }

  /** The consumer wants more. */
  pull(): void {
    if (this.#isReading || this.#hasEnded) return;
    this.#isReading = true;
    this.#reader.pull(this.#limits).then(this.#came, this.#failed);
  }

  stop(): Promise<void> {
    this.#hasEnded = true;
    this.#unwanted?.abort();
    return this.#reader.close();
  }

  readonly #came = (bytes: Bytes | null): void => {
    this.#isReading = false;
    let chunk: Buffer | null;
    try {
      chunk = bytes === null ? null : bytes.copy();
      bytes?.release();
    } catch (error) {
      return this.#failed(error as Error); // the reader is the program's own, and gave what are no bytes
    }
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

/**
 * Tell Node that a write is over in a turn of its own, as its sockets do. Told while promises settle, it would learn of it
 * between a call of its own and what that call left for `nextTick`: `http` then waits for a 'drain' that never comes.
 */
function tellLater(work: Promise<unknown>, done: Callback): void {
  work.then(() => setImmediate(done), (error: Error) => setImmediate(done, error));
}

/** Call it when the loop has turned so often. */
export function turnsLater(turns: number, then: () => void): void {
  setImmediate(() => (turns > 1 ? turnsLater(turns - 1, then) : then()));
}

export class Outflow {
  readonly #writer: AsyncWrite;
  readonly #pieceBytes: number;
  #isInPieces = false;
  /** Bytes that went of what is written in pieces. */
  progress = 0;

  /** `pieceBytes`: much is written in pieces of so many, so that somebody who looks sees that it goes on. */
  constructor(writer: AsyncWrite, pieceBytes = Infinity) {
    this.#writer = writer;
    this.#pieceBytes = pieceBytes;
  }

  write(chunk: Uint8Array, done: Callback): void {
    if (chunk.length <= this.#pieceBytes) tellLater(this.#writer.writeAll(chunk), done);
    else tellLater(this.#writePieces([chunk]), done);
  }

  /** What has waited meanwhile: one write where it is little, one vectored write where it is more. */
  writeMany(chunks: readonly Uint8Array[], done: Callback): void {
    const total = chunks.reduce((sum, { length }) => sum + length, 0);
    if (total <= GATHER_BYTES_MAX) this.write(Buffer.concat(chunks), done);
    else tellLater(this.#writePieces(chunks), done);
  }

  end(done: Callback): void {
    tellLater(this.#writer.end(), done);
  }

  /**
   * Nobody waits for it any more: no more of it than a piece, since where much waits the system has no room. Not between the pieces of
   * another write.
   */
  writeLast(chunks: readonly Uint8Array[]): void {
    if (this.#isInPieces || chunks.length === 0) return;
    const words: Uint8Array[] = [];
    let room = this.#pieceBytes;
    for (const chunk of chunks) {
      if (room === 0) break;
      const part = chunk.subarray(0, room);
      words.push(part);
      room -= part.length;
    }
    this.#writer.writeAll(Buffer.concat(words)).catch(() => {});
  }

  async #writePieces(chunks: readonly Uint8Array[]): Promise<void> {
    this.#isInPieces = true;
    let piece: Uint8Array[] = [];
    let bytes = 0;
    for (const chunk of chunks) {
      for (let at = 0; at < chunk.length; ) {
        const part = chunk.subarray(at, at + this.#pieceBytes - bytes);
        piece.push(part);
        at += part.length;
        bytes += part.length;
        if (bytes < this.#pieceBytes) continue;
        await this.#writeVectored(piece);
        this.progress += bytes;
        [piece, bytes] = [[], 0];
      }
    }
    if (bytes > 0) await this.#writeVectored(piece);
    this.#isInPieces = false;
  }

  async #writeVectored(chunks: readonly Uint8Array[]): Promise<void> {
    if (chunks.length === 1) return void (await this.#writer.writeAll(chunks[0]!));
    for (const chunk of chunks) this.#writer.push(chunk);
    const { rest } = await this.#writer.flush();
    if (rest.length > 0) await this.#writer.writeAll(rest);
  }
}
