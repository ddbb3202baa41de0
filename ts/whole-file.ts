/**
 * Whole files by one call, as in `node:fs/promises`: opened, read or written, and closed.
 *
 * A file that fits into one block of the pool takes four operations: OPEN, READ, READ, which says that nothing more comes, and CLOSE. Who
 * fills the block is asked for its length (STATX), and read on, piece by piece, into memory of so many bytes. What does not say its length
 * (a FIFO, what is in /proc) is read until nothing more comes.
 *
 * It is one operation to its signal, its time and its scope (`Limits`).
 */
import { checkCancelOptions, refusal } from './cancel.js';
import type { CancelOptions } from './cancel.js';
import { traced } from './deferred.js';
import { argumentTypeError, argumentValueError, checkBoolean, checkOptions, fileTooLarge } from './errors.js';
import type { AbortError } from './errors.js';
import { open } from './file.js';
import { Limits } from './limits.js';
import { blockOf, inspect, isArrayBuffer, viewOf } from './memory/block.js';
import type { Block, Memory } from './memory/block.js';
import { Bytes } from './memory/bytes.js';
import { allocate } from './memory/loan.js';
import type { Writable } from './memory/parcel.js';
import { PoolLanding } from './memory/pool.js';
import { Opcode, Operation } from './op.js';
import { openDescriptor } from './open-descriptor.js';
import { openFlags, openMode } from './path.js';
import type { OpenMode, PathLike } from './path.js';
import { Proactor } from './proactor.js';
import { FileSource, land } from './read/file-source.js';
import { Stat } from './stat.js';
import { closeDescriptor } from './unclosed.js';
import type { FileWriter, WriteResult } from './write.js';

/** What `readFile` accepts. */
export interface ReadFileOptions extends CancelOptions {
  /** Give text in this encoding, instead of a Buffer. */
  readonly encoding?: BufferEncoding | null | undefined;
  /** Node's flags, as for `open`; `'r'` where not given. */
  readonly flag?: string | number | undefined;
  /** Whose work it is; that of `Proactor.current()` where not given. */
  readonly proactor?: Proactor | undefined;
}

/** What `writeFile` accepts. */
export interface WriteFileOptions extends CancelOptions {
  /** Of text; `'utf8'` where not given. */
  readonly encoding?: BufferEncoding | null | undefined;
  /** Node's flags, as for `open`; `'w'` where not given, `'a'` to append. */
  readonly flag?: string | number | undefined;
  /** Permissions of a file that is created; 0o666 less the umask where not given. */
  readonly mode?: OpenMode | undefined;
  /** Wait until it is on the disk. */
  readonly flush?: boolean | undefined;
  /** Whose work it is; that of `Proactor.current()` where not given. */
  readonly proactor?: Proactor | undefined;
}

/** What `writeFile` writes: data, or what gives one piece after the other. */
export type FileContent = Writable | Iterable<Writable> | AsyncIterable<Writable>;

/** As Node has it: longer files are for those who read them piece by piece. */
const SIZE_MAX = 2 ** 31 - 1;
/** Bytes of one read into memory of the file's own: the loop turns between two. */
const PIECE_BYTES = 2 ** 20;

/** An open file that somebody else closes. */
interface Source {
  readonly host: Proactor;
  readonly descriptor: number;
  readonly cancel: CancelOptions;
}

/** How far a write has come. */
interface Sum {
  bytesWritten: number;
  readonly buffers: Buffer<ArrayBuffer>[];
}

/**
 * All of a file. Memory and text are the caller's, for as long as wanted. A file of more than 2 GiB is refused, as by Node.
 * @param path as Node takes it: a string, a Buffer or a file URL
 * @param options an encoding, or options
 * @example
 * const { name } = JSON.parse(await readFile('package.json', 'utf8'));
 */
export function readFile(path: PathLike, options?: (ReadFileOptions & { readonly encoding?: null | undefined }) | null): Promise<Buffer<ArrayBuffer>>;
export function readFile(path: PathLike, options: BufferEncoding | (ReadFileOptions & { readonly encoding: BufferEncoding })): Promise<string>;
export function readFile(path: PathLike, options?: BufferEncoding | ReadFileOptions | null): Promise<string | Buffer<ArrayBuffer>>;
export function readFile(path: PathLike, options?: BufferEncoding | ReadFileOptions | null): Promise<string | Buffer<ArrayBuffer>> {
  return traced(read(path, options));
}

async function read(path: PathLike, options: BufferEncoding | ReadFileOptions | null | undefined): Promise<string | Buffer<ArrayBuffer>> {
  const { encoding, flag, proactor, ...rest } = optionsOf(options);
  const cancel = checkCancelOptions(rest);
  const host = checkHost(proactor);
  const decoder = checkEncoding(encoding);
  const opening = { path, flags: openFlags(flag), mode: openMode(undefined), offload: false };
  checkLimits(cancel, 'readFile', host);
  const limits = new Limits(cancel, host.timers);
  try {
    const { descriptor } = await openDescriptor(host, opening, limits.cancel);
    const source = { host, descriptor, cancel: limits.cancel };
    const content = await closing(() => contentOf(source, decoder), () => closeDescriptor(host, descriptor), cancel);
    limits.over('completed');
    return content;
  } catch (error) {
    throw limits.failed(error as Error, 'readFile');
  }
}

/**
 * Write a whole file, which is made, or begun anew. Memory of `alloc()` and `Bytes` move into it, as with a writer; it comes back in `buffers`.
 * @param path as Node takes it: a string, a Buffer or a file URL
 * @param options an encoding, or options
 * @example
 * await writeFile('package.json', JSON.stringify(description), { flush: true });
 */
export function writeFile(path: PathLike, data: FileContent, options?: BufferEncoding | WriteFileOptions | null): Promise<WriteResult> {
  return traced(write(path, data, options));
}

async function write(path: PathLike, data: FileContent, options: BufferEncoding | WriteFileOptions | null | undefined): Promise<WriteResult> {
  const { encoding, flag, mode, flush, proactor, ...rest } = optionsOf<WriteFileOptions>(options);
  const cancel = checkCancelOptions(rest);
  const host = checkHost(proactor);
  const pieces = piecesOf(data);
  const decoder = checkEncoding(encoding) ?? 'utf8';
  const flushes = checkBoolean('options.flush', flush) ?? false;
  checkLimits(cancel, 'writeFile', host);
  const limits = new Limits(cancel, host.timers);
  const sum: Sum = { bytesWritten: 0, buffers: [] };
  try {
    const file = await open(path, { ...limits.cancel, flags: flag ?? 'w', mode, proactor: host });
    const writing = async (): Promise<void> => {
      const writer = file.writer();
      for await (const piece of pieces) {
        const bytes = typeof piece === 'string' ? Buffer.from(piece, decoder) : piece;
        for (const part of partsOf(bytes, host.pool.largest)) await writePiece(writer, part, limits.cancel, sum);
      }
      if (flushes) await file.sync(limits.cancel);
    };
    await closing(writing, () => file.close(), cancel);
    limits.over('completed');
    return { ...sum, rest: Buffer.alloc(0) };
  } catch (error) {
    throw tellWritten(error as Cut, sum, limits.failed(error as Error, 'writeFile'));
  }
}

function optionsOf<Options extends ReadFileOptions | WriteFileOptions>(options: BufferEncoding | Options | null | undefined): Partial<Options> {
  if (options === undefined || options === null) return {};
  if (typeof options === 'string') return { encoding: options } as Partial<Options>;
  checkOptions(options);
  return options;
}

function checkEncoding(encoding: unknown): BufferEncoding | undefined {
  if (encoding === undefined || encoding === null || encoding === 'buffer') return undefined;
  if (typeof encoding === 'string' && Buffer.isEncoding(encoding)) return encoding;
  throw argumentValueError('encoding', 'is invalid encoding', encoding);
}

function checkHost(proactor: unknown): Proactor {
  if (proactor === undefined) return Proactor.current();
  if (proactor instanceof Proactor) return proactor;
  throw argumentTypeError('options.proactor', 'an instance of Proactor', proactor);
}

/** Do it, then close; in any case, but who wants to be told promptly does not wait for the end of what failed. */
async function closing<T>(work: () => Promise<T>, close: () => Promise<void>, { prompt }: CancelOptions): Promise<T> {
  let result: T;
  try {
    result = await work();
  } catch (error) {
    const closed = close().catch(() => {}); // the first error is the one to be told
    if (prompt !== true) await closed;
    throw error;
  }
  await close();
  return result;
}

/** Throws where it must not begin. */
function checkLimits(cancel: CancelOptions, what: string, host: Proactor): void {
  const refused = refusal(cancel, what, host.open);
  if (refused !== undefined) throw refused;
}

async function contentOf(source: Source, encoding: BufferEncoding | undefined): Promise<string | Buffer<ArrayBuffer>> {
  const reading = new FileSource({ closed: false }, source.host, { descriptor: source.descriptor, direct: false, options: 0 });
  using first = await pieceOf(reading, 0, source.cancel);
  if (first === null) return encoding === undefined ? Buffer.alloc(0) : '';
  // Whatever did not fill the block is not asked: the ring leaves that to a thread, and another read is cheaper.
  const size = first.length < source.host.pool.usual ? 0 : await sizeOf(source);
  if (size > SIZE_MAX) throw fileTooLarge(size);
  const content = size > first.length ? await readTo(size, first, source) : await readOn(first, reading, source.cancel);
  return encoding === undefined ? content : content.toString(encoding);
}

/** How long it says it is; 0 where it does not. */
async function sizeOf({ host, descriptor, cancel }: Source): Promise<number> {
  const operation = new Operation<Stat>(Opcode.STATX, (op, completion) =>
    completion.result < 0 ? op.failure(completion.result) : new Stat(host.backend.numbers(completion)),
  );
  operation.descriptor = descriptor;
  const stat = await host.submit(operation, cancel).promise;
  return stat.isFile() ? stat.size : 0;
}

/** As much as a block of the pool takes. */
function pieceOf(reading: FileSource, position: number, cancel: CancelOptions): Promise<Bytes | null> {
  const { pool } = reading.host;
  return reading.begin(new PoolLanding(reading.host, pool, pool.usual), position, cancel, land).promise;
}

/** A file that says how long it is, of which the beginning is there: straight into memory of so many bytes. */
async function readTo(size: number, first: Bytes, source: Source): Promise<Buffer<ArrayBuffer>> {
  const block = allocate(source.host, size);
  const memory = block.memory!;
  const content = viewOf(memory, 0, size);
  content.set(first.data);
  let length = first.length;
  while (length < size) {
    const came = await readInto(block, length, Math.min(PIECE_BYTES, size - length), source);
    if (came === 0) break; // it was cut meanwhile
    length += came;
  }
  block.memory = undefined; // it is the program's, as any other
  return length === size ? content : viewOf(memory, 0, length);
}

function readInto(block: Block, offset: number, length: number, { host, descriptor, cancel }: Source): Promise<number> {
  const operation = new Operation<number>(Opcode.READ, (op, { result }) => (result < 0 ? op.failure(result) : result));
  operation.descriptor = descriptor;
  operation.block = block;
  operation.offset = offset;
  operation.length = length;
  operation.position = offset;
  return host.submit(operation, cancel).promise;
}

/** One that is short, or does not say how long it is: until nothing more comes. */
async function readOn(first: Bytes, reading: FileSource, cancel: CancelOptions): Promise<Buffer<ArrayBuffer>> {
  const parts = [first.copy()];
  let { length } = first;
  first.release(); // who waits for a block has none
  for (;;) {
    using piece = await pieceOf(reading, length, cancel);
    if (piece === null) return parts.length === 1 ? parts[0]! : Buffer.concat(parts, length);
    parts.push(piece.copy());
    length += piece.length;
    if (length > SIZE_MAX) throw fileTooLarge(length);
  }
}

function piecesOf(data: FileContent): Iterable<Writable> | AsyncIterable<Writable> {
  if (typeof data === 'string' || data instanceof Bytes || ArrayBuffer.isView(data) || isArrayBuffer(data)) return [data];
  const iterable = data as Partial<Iterable<Writable> & AsyncIterable<Writable>> | null;
  if (typeof iterable?.[Symbol.iterator] === 'function' || typeof iterable?.[Symbol.asyncIterator] === 'function') {
    return data as Iterable<Writable>;
  }
  throw argumentTypeError('data', 'of type string, an instance of Buffer, TypedArray, DataView, ArrayBuffer or Bytes, or an iterable of them', data);
}

async function writePiece(writer: FileWriter, data: Writable, cancel: CancelOptions, sum: Sum): Promise<void> {
  const { bytesWritten, buffers } = await writer.writeAll(data, cancel);
  sum.bytesWritten += bytesWritten;
  sum.buffers.push(...buffers);
}

/** Ordinary memory is copied to be written: a part at a time, of a size that a block of the pool takes, so that a copy of all is never needed. */
function partsOf(data: Bytes | Memory, most: number): Iterable<Writable> {
  if (data instanceof Bytes) return [data];
  const { memory, offset, length } = inspect('data', data);
  if (length <= most || blockOf(memory)?.kind === 'own') return [data]; // or it moves
  return slicesOf(memory, offset, offset + length, most);
}

function* slicesOf(memory: ArrayBufferLike, from: number, to: number, most: number): Iterable<Uint8Array> {
  for (let start = from; start < to; start += most) yield new Uint8Array(memory, start, Math.min(most, to - start));
}

/** What an error of a write says. */
type Cut = Error & Partial<Pick<WriteResult, 'rest' | 'buffers'> & Pick<AbortError, 'bytesTransferred' | 'outcome'>>;

/** What went before counts, too. */
function tellWritten(piece: Cut, sum: Sum, error: Error): Error {
  const { bytesWritten } = sum;
  const { rest } = piece;
  const outcome = piece.outcome?.then((late) => ({ ...late, bytesTransferred: bytesWritten + late.bytesTransferred }));
  const told = { bytesTransferred: bytesWritten + (piece.bytesTransferred ?? 0), buffers: [...sum.buffers, ...(piece.buffers ?? [])] };
  return Object.assign(error, told, rest && { rest }, outcome && { outcome });
}
