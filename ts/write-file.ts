/**
 * `writeFile`: a whole file by one call, as in `node:fs/promises`. One open, as many writes as that takes, one close; and one operation to
 * its signal, its time and its scope (`Limits`), also while it waits for a piece of the program's own.
 */
import { checkCancelOptions, isAborted, limit, reasonOf } from './cancel.js';
import type { CancelOptions } from './cancel.js';
import { RitsuError, abortError, argumentTypeError, checkBoolean } from './errors.js';
import type { AbortError } from './errors.js';
import { open } from './file.js';
import { Limits } from './limits.js';
import { blockOf, inspect, isArrayBuffer } from './memory/block.js';
import type { Memory } from './memory/block.js';
import { Bytes } from './memory/bytes.js';
import { checkLendable } from './memory/loan.js';
import type { Writable } from './memory/parcel.js';
import { checkProactor } from './net/arguments.js';
import type { OpenMode, PathLike } from './path.js';
import type { Proactor } from './proactor.js';
import { checkEncoding, checkLimits, closing, optionsOf } from './whole-file.js';
import type { WholeFileOptions } from './whole-file.js';
import type { FileWriter, WriteResult } from './write.js';

/** What `writeFile` accepts. `flag`: `'w'` where not given, `'a'` to append. */
export interface WriteFileOptions extends WholeFileOptions {
  /** Permissions of a file that is created; 0o666 less the umask where not given. */
  readonly mode?: OpenMode | undefined;
  /** Wait until it is on the disk. */
  readonly flush?: boolean | null | undefined;
}

/** What `writeFile` writes: data, or what gives one piece after the other. */
export type FileContent = Writable | Iterable<Writable> | AsyncIterable<Writable>;

/** How a write is done, and how far it has come. */
interface Writing {
  readonly writer: FileWriter;
  readonly host: Proactor;
  readonly cancel: CancelOptions;
  readonly encoding: BufferEncoding;
  readonly sum: Sum;
}

interface Sum {
  bytesWritten: number;
  readonly buffers: Buffer<ArrayBuffer>[];
}

/** What an error of a write says. */
type Cut = Error & Partial<Pick<WriteResult, 'rest' | 'buffers'> & Pick<AbortError, 'bytesTransferred' | 'outcome'>>;

/** What the program's own source of pieces threw: told as it is, whatever it is. */
class Thrown {
  readonly what: unknown;

  constructor(what: unknown) {
    this.what = what;
  }
}

/**
 * Write a whole file, which is made, or begun anew. Memory of `alloc()` and `Bytes` move into it, as with a writer; it comes back in `buffers`.
 * @param path as Node takes it: a string, a Buffer or a file URL
 * @param options an encoding, or options
 * @example
 * await writeFile('package.json', JSON.stringify(description), { flush: true });
 */
export async function writeFile(path: PathLike, data: FileContent, options?: BufferEncoding | WriteFileOptions | null): Promise<WriteResult> {
  const { encoding: given, flag, mode, flush, proactor, signal, timeout, prompt } = optionsOf<WriteFileOptions>(options);
  const cancel = checkCancelOptions({ signal, timeout, prompt });
  const host = checkProactor(proactor);
  const pieces = piecesOf(data);
  const encoding = checkEncoding(given) ?? 'utf8';
  const flushes = checkBoolean('options.flush', flush ?? undefined) ?? false;
  checkLimits(cancel, 'writeFile', host);
  const limits = new Limits(cancel, host.timers);
  const sum: Sum = { bytesWritten: 0, buffers: [] };
  try {
    const file = await open(path, { ...limits.cancel, flags: flag || 'w', mode, proactor: host });
    const writing = writeAll({ writer: file.writer(), host, cancel: limits.cancel, encoding, sum }, pieces);
    const flushed = flushes ? writing.then(() => file.sync(limits.cancel)) : writing;
    await closing(flushed, () => file.close(), cancel);
    limits.over('completed');
    return { ...sum, rest: Buffer.alloc(0) };
  } catch (error) {
    if (!(error instanceof Thrown)) throw tellWritten(error as Cut, sum, limits.failed(error as Error, 'writeFile'));
    limits.over('failed');
    throw giveBack(error.what, sum);
  }
}

type Pieces = Iterator<Writable> | AsyncIterator<Writable>;

/** What is to be written, one piece after the other. Throws where it can be seen that it cannot be: before the file is begun anew. */
function piecesOf(data: FileContent): Pieces {
  if (data instanceof Bytes) {
    if (data.released) throw new RitsuError('ERR_RITSU_RELEASED', 'these bytes were released');
    return [data].values();
  }
  if (typeof data === 'string') return [data].values();
  if (ArrayBuffer.isView(data) || isArrayBuffer(data)) {
    checkLendable('data', data);
    return [data].values();
  }
  const source = data as Partial<Iterable<Writable> & AsyncIterable<Writable>> | null;
  const iterate = source?.[Symbol.asyncIterator] ?? source?.[Symbol.iterator];
  if (typeof iterate === 'function') return Reflect.apply(iterate, source, []) as Pieces;
  throw argumentTypeError('data', 'of type string, an instance of Buffer, TypedArray, DataView, ArrayBuffer or Bytes, or an iterable of them', data);
}

async function writeAll(writing: Writing, pieces: Pieces): Promise<void> {
  let isOver = false;
  try {
    for (;;) {
      const { done, value } = await nextOf(pieces, writing.cancel);
      isOver = done === true;
      if (isOver) return;
      await writePiece(typeof value === 'string' ? Buffer.from(value, writing.encoding) : (value as Bytes | Memory), writing);
    }
  } catch (error) {
    isOver ||= error instanceof Thrown;
    throw error;
  } finally {
    if (!isOver) leave(pieces);
  }
}

/** The next piece, unless the signal aborts before it comes. */
async function nextOf(pieces: Pieces, { signal }: CancelOptions): Promise<IteratorResult<Writable>> {
  if (signal === undefined) return askFor(pieces);
  if (isAborted(signal)) throw abortError(reasonOf(signal));
  const asked = askFor(pieces);
  let stop: (() => void) | undefined;
  const ended = new Promise<never>((_, reject) => {
    const ignore = limit({ signal }, (_cause, reason) => reject(abortError(reason)));
    stop = () => ignore('completed');
  });
  try {
    return await Promise.race([asked, ended]);
  } catch (error) {
    // What comes too late is nobody's.
    asked.then(({ value }) => (value as unknown) instanceof Bytes && value.release()).catch(() => {});
    throw error;
  } finally {
    stop?.();
  }
}

async function askFor(pieces: Pieces): Promise<IteratorResult<Writable>> {
  try {
    const { done, value } = await pieces.next();
    return { done: done ?? false, value: (await Promise.resolve(value)) as Writable };
  } catch (error) {
    throw new Thrown(error);
  }
}

/** No more is wanted. What comes of telling so does not change how the write ends, and is not waited for. */
function leave(pieces: Pieces): void {
  void (async () => pieces.return?.())().catch(() => {});
}

/** Ordinary memory is copied to be written: a part at a time, of a size that a block of the pool takes, so that a copy of all is not needed. */
async function writePiece(piece: Bytes | Memory, { writer, host, cancel, sum }: Writing): Promise<void> {
  const write = async (part: Writable): Promise<void> => {
    const { bytesWritten, buffers } = await writer.writeAll(part, cancel);
    sum.bytesWritten += bytesWritten;
    sum.buffers.push(...buffers);
  };
  if (piece instanceof Bytes) return write(piece);
  const { memory, offset, length } = inspect('data', piece);
  const known = blockOf(memory);
  const most = host.pool.largest;
  if (length <= most || (known?.kind === 'own' && known.owner === host.backend)) return write(piece);
  for (let done = 0; done < length; done += most) {
    try {
      await write(new Uint8Array(memory, offset + done, Math.min(most, length - done)));
    } catch (error) {
      const { bytesTransferred = 0 } = error as Cut;
      throw Object.assign(error as Error, { rest: Buffer.from(memory, offset + done + bytesTransferred, length - done - bytesTransferred) });
    }
  }
}

/** An error of the program's own tells what became of the pieces before, where it can, and says nothing of it yet. */
function giveBack(what: unknown, { bytesWritten, buffers }: Sum): unknown {
  if (!(what instanceof Error)) return what;
  for (const [name, value] of Object.entries({ bytesTransferred: bytesWritten, buffers })) {
    if (!(name in what)) Reflect.defineProperty(what, name, { value, configurable: true, enumerable: true, writable: true });
  }
  return what;
}

/** What went before counts, too. */
function tellWritten(piece: Cut, { bytesWritten, buffers }: Sum, error: Error): Error {
  const { rest } = piece;
  const outcome = piece.outcome?.then((late) => ({ ...late, bytesTransferred: bytesWritten + late.bytesTransferred }));
  const told = { bytesTransferred: bytesWritten + (piece.bytesTransferred ?? 0), buffers: [...buffers, ...(piece.buffers ?? [])] };
  return Object.assign(error, told, rest && { rest }, outcome && { outcome });
}
