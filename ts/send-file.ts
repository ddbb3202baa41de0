/**
 * A file's bytes to a stream: read into blocks of the pool, a few ahead, and sent out of the same blocks. The reads are
 * at positions, so neither the file's own position nor its readers are touched.
 *
 * It is one operation to its signal, its time and its scope, however many blocks it takes (`Limits`).
 */
import { checkCancelOptions, refusal } from './cancel.js';
import type { CancelOptions } from './cancel.js';
import { argumentTypeError, checkInteger, checkPosition } from './errors.js';
import type { AbortError, LateOutcome } from './errors.js';
import { File } from './file.js';
import { Limits } from './limits.js';
import type { Bytes } from './memory/bytes.js';
import type { AllocatorReader } from './read/allocator.js';
import type { StreamWriter } from './stream-writer.js';
import type { Timers } from './timers.js';

export interface SendFileOptions extends CancelOptions {
  /** The first byte to send; 0 where not given. */
  readonly position?: number | bigint | undefined;
  /** How many bytes; to the end of the file where not given. */
  readonly length?: number | bigint | undefined;
}

/** Blocks that are read while another is sent. */
const AHEAD = 2;

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
  readonly #cancel: CancelOptions;
  /** Ends the reads ahead that are not wanted any more. */
  #unwanted = new AbortController();
  #next: number;

  constructor(reader: AllocatorReader, start: number, end: number, cancel: CancelOptions) {
    this.#cancel = cancel;
    this.#reader = reader;
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
    const wanted = Math.min(this.#reader.blockSize, this.#end - position);
    const { signal: ended, prompt } = this.#cancel;
    const unwanted = this.#unwanted.signal;
    const signal = ended === undefined ? unwanted : AbortSignal.any([ended, unwanted]);
    const read = this.#reader.read({ position, signal, prompt });
    read.catch(() => {}); // told when it is taken
    this.#ahead.push({ position, wanted, read });
    this.#next += wanted;
  }
}

/** What an error says of the piece that was cut short. */
interface Cut extends Pick<AbortError, 'bytesTransferred'> {
  readonly rest: Buffer;
  readonly outcome: Promise<LateOutcome>;
}

/** The error of the piece that was cut short, as the transfer's. */
function tellSent(piece: Error & Partial<Cut>, sent: number, error: Error): Error {
  const { rest } = piece;
  const outcome = piece.outcome?.then((late) => ({ ...late, bytesTransferred: sent + late.bytesTransferred }));
  const told = { bytesTransferred: sent + (piece.bytesTransferred ?? 0), ...(rest && { rest }), ...(outcome && { outcome }) };
  return Object.assign(error, told);
}

/** `timers`: the stream's. */
export async function sendFile(file: File, writer: StreamWriter, timers: Timers, options: SendFileOptions = {}): Promise<number> {
  if (!(file instanceof File)) throw argumentTypeError('file', 'an instance of File', file);
  const cancel = checkCancelOptions(options);
  const start = checkPosition(options.position ?? 0);
  const length = options.length === undefined ? undefined : checkInteger('length', options.length, 0, Number.MAX_SAFE_INTEGER);
  const end = length === undefined ? Number.MAX_SAFE_INTEGER : Math.min(start + length, Number.MAX_SAFE_INTEGER);
  const refused = refusal(cancel, 'sendFile', true);
  if (refused !== undefined) throw refused;
  const reader = file.allocator(); // may throw: nothing is limited yet
  const limits = new Limits(cancel, timers);
  const pieces = new Pieces(reader, start, end, limits.cancel);
  let sent = 0;
  try {
    for (let bytes = await pieces.take(); bytes !== null; bytes = await pieces.take()) {
      const most = end - start - sent;
      sent += await sendPiece(writer, bytes, most, limits.cancel);
    }
  } catch (error) {
    throw tellSent(error as Error, sent, limits.failed(error as Error, 'sendFile'));
  } finally {
    await pieces.drop();
  }
  limits.over('completed');
  return sent;
}

/** The last block may hold more than was asked for: then a copy of its beginning is sent. */
async function sendPiece(writer: StreamWriter, bytes: Bytes, most: number, cancel: CancelOptions): Promise<number> {
  using lease = bytes; // what the write did not take is given back
  const data = lease.length <= most ? lease : lease.data.subarray(0, most);
  return (await writer.writeAll(data, cancel)).bytesWritten;
}
