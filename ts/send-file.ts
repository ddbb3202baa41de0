/**
 * A file's bytes to a stream: read into blocks of the pool, a few ahead, and sent out of the same blocks. The reads are
 * at positions, so neither the file's own position nor its readers are touched.
 */
import { checkCancelOptions } from './cancel.js';
import type { CancelOptions } from './cancel.js';
import { argumentTypeError, checkInteger, checkPosition } from './errors.js';
import { File } from './file.js';
import type { Bytes } from './memory/bytes.js';
import type { AllocatorReader } from './read/allocator.js';
import type { StreamWriter } from './stream-writer.js';

export interface SendFileOptions extends CancelOptions {
  /** The first byte to send; 0 where not given. */
  readonly position?: number | bigint | undefined;
  /** How many bytes; to the end of the file where not given. */
  readonly length?: number | bigint | undefined;
}

/** Blocks that are read while another is sent. */
const AHEAD = 2;
const BLOCK = 65_536;

interface Piece {
  readonly position: number;
  readonly wanted: number;
  readonly read: Promise<Bytes | null>;
}

/** Reads in order, some ahead of who takes them. */
class Pieces {
  readonly #reader: AllocatorReader;
  readonly #end: number;
  readonly #ahead: Piece[] = [];
  readonly #signal: AbortSignal | undefined;
  /** Ends the reads ahead that are not wanted any more. */
  #unwanted = new AbortController();
  #next: number;

  constructor(file: File, start: number, end: number, signal: AbortSignal | undefined) {
    this.#signal = signal;
    this.#reader = file.allocator({ blockSize: BLOCK });
    this.#next = start;
    this.#end = end;
  }

  /** The next bytes; null at the end. */
  async take(): Promise<Bytes | null> {
    while (this.#ahead.length <= AHEAD && this.#next < this.#end) this.#read();
    const piece = this.#ahead.shift();
    if (piece === undefined) return null;
    const bytes = await piece.read;
    const length = Math.min(bytes?.length ?? 0, piece.wanted);
    if (length === piece.wanted) return bytes;
    // It came short: perhaps the file ends here, perhaps not; what follows was read from the wrong places.
    await this.drop();
    this.#next = bytes === null ? this.#end : piece.position + length;
    return bytes;
  }

  /**
   * Give the reads ahead up. Those that wait for a block leave the line: the caller may hold one itself, and others who
   * do the same would wait for each other.
   */
  async drop(): Promise<void> {
    const dropped = this.#ahead.splice(0);
    this.#unwanted.abort();
    this.#unwanted = new AbortController();
    for (const { status, value } of (await Promise.allSettled(dropped.map(({ read }) => read))) as { status: string; value?: Bytes | null }[]) {
      if (status === 'fulfilled') value?.release();
    }
  }

  #read(): void {
    const position = this.#next;
    const wanted = Math.min(BLOCK, this.#end - position);
    const unwanted = this.#unwanted.signal;
    const signal = this.#signal === undefined ? unwanted : AbortSignal.any([this.#signal, unwanted]);
    const read = this.#reader.read({ position, signal });
    read.catch(() => {}); // told when it is taken
    this.#ahead.push({ position, wanted, read });
    this.#next += wanted;
  }
}

export async function sendFile(file: File, writer: StreamWriter, options: SendFileOptions = {}): Promise<number> {
  if (!(file instanceof File)) throw argumentTypeError('file', 'an instance of File', file);
  const cancel = checkCancelOptions(options);
  const start = checkPosition(options.position ?? 0);
  const length = options.length === undefined ? undefined : checkInteger('length', options.length, 0, Number.MAX_SAFE_INTEGER);
  const end = length === undefined ? Number.MAX_SAFE_INTEGER : Math.min(start + length, Number.MAX_SAFE_INTEGER);
  const pieces = new Pieces(file, start, end, cancel.signal);
  let sent = 0;
  try {
    for (let bytes = await pieces.take(); bytes !== null; bytes = await pieces.take()) {
      const most = end - start - sent;
      sent += await sendPiece(writer, bytes, most, cancel);
    }
  } catch (error) {
    const part = (error as { bytesTransferred?: number }).bytesTransferred ?? 0;
    throw Object.assign(error as Error, { bytesTransferred: sent + part });
  } finally {
    await pieces.drop();
  }
  return sent;
}

/** The last block may hold more than was asked for: then a copy of its beginning is sent. */
async function sendPiece(writer: StreamWriter, bytes: Bytes, most: number, cancel: CancelOptions): Promise<number> {
  using lease = bytes; // what the write did not take is given back
  const data = lease.length <= most ? lease : lease.data.subarray(0, most);
  return (await writer.writeAll(data, cancel)).bytesWritten;
}
