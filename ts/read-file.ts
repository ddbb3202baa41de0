/**
 * `readFile`: a whole file by one call, as in `node:fs/promises`.
 *
 * A file that fits into one block of the pool takes four operations: OPEN, READ, READ, which says that nothing more comes, and CLOSE. Who
 * fills the block is asked for its length (STATX), and read on, piece by piece, into memory of so many bytes. What does not say its length
 * (a FIFO, what is in /proc) is read until nothing more comes.
 *
 * It is one operation to its signal, its time and its scope (`Limits`).
 */
import { checkCancelOptions } from './cancel.js';
import type { CancelOptions } from './cancel.js';
import { traced } from './deferred.js';
import { closedError, fileTooLarge } from './errors.js';
import { Limits } from './limits.js';
import { TRANSFER_IS_GENUINE, inspect, viewOf } from './memory/block.js';
import type { Block } from './memory/block.js';
import type { Bytes } from './memory/bytes.js';
import { endLoan, moveIn } from './memory/loan.js';
import { PoolLanding } from './memory/pool.js';
import { Opcode, Operation } from './op.js';
import { checkProactor } from './net/arguments.js';
import { openDescriptor } from './open-descriptor.js';
import { openFlags, openMode } from './path.js';
import type { PathLike } from './path.js';
import type { Proactor } from './proactor.js';
import { FileSource, land } from './read/file-source.js';
import { statOperation } from './stat.js';
import { closeDescriptor } from './unclosed.js';
import { checkEncoding, checkLimits, closing, optionsOf } from './whole-file.js';
import type { WholeFileOptions } from './whole-file.js';

/** What `readFile` accepts. `flag`: `'r'` where not given. */
export interface ReadFileOptions extends WholeFileOptions {}

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
  const { encoding, flag, proactor, signal, timeout, prompt } = optionsOf<ReadFileOptions>(options);
  const cancel = checkCancelOptions({ signal, timeout, prompt });
  const host = checkProactor(proactor);
  const decoder = (encoding as unknown) === 'buffer' ? undefined : checkEncoding(encoding);
  const opening = { path, flags: openFlags(flag || 'r'), mode: openMode(undefined), offload: false };
  checkLimits(cancel, 'readFile', host);
  const limits = new Limits(cancel, host.timers);
  try {
    const { descriptor, path: name } = await openDescriptor(host, opening, limits.cancel);
    const content = contentOf({ host, descriptor, cancel: limits.cancel }, decoder).catch((error: Error) => {
      throw named(error, name);
    });
    const closed = await closing(content, () => closeDescriptor(host, descriptor), cancel);
    limits.over('completed');
    return closed;
  } catch (error) {
    throw limits.failed(error as Error, 'readFile');
  }
}

/** The system's error of a read, with the path that was read, as Node 26 tells it. */
function named(error: Error & { readonly syscall?: string; readonly path?: string }, path: string): Error {
  if (error.syscall === undefined || error.path !== undefined) return error;
  return Object.assign(error, { path, message: `${error.message} '${path}'` });
}

async function contentOf(source: Source, encoding: BufferEncoding | undefined): Promise<string | Buffer<ArrayBuffer>> {
  const reading = new FileSource({ closed: false }, source.host, { descriptor: source.descriptor, direct: false, options: 0 });
  using first = await pieceOf(reading, 0, source.cancel);
  if (first === null) return encoding === undefined ? Buffer.alloc(0) : '';
  // Whatever did not fill the block is not asked: the ring leaves that to a thread, and another read is cheaper.
  const size = first.length < source.host.pool.usual ? 0 : await sizeOf(source);
  if (size > SIZE_MAX) throw fileTooLarge(size);
  const isMoved = size > first.length && TRANSFER_IS_GENUINE;
  const content = isMoved ? await readTo(size, first, source) : await readOn(first, reading, source.cancel);
  return encoding === undefined ? content : content.toString(encoding);
}

/** How long it says it is; 0 where it does not. */
function sizeOf({ host, descriptor, cancel }: Source): Promise<number> {
  const operation = statOperation(host.backend, (stat) => (stat.isFile() ? stat.size : 0));
  operation.descriptor = descriptor;
  return host.submit(operation, cancel).promise;
}

/** As much as a block of the pool takes. */
function pieceOf(reading: FileSource, position: number, cancel: CancelOptions): Promise<Bytes | null> {
  const { pool } = reading.host;
  return reading.begin(new PoolLanding(reading.host, pool, pool.usual), position, cancel, land).promise;
}

/** Bytes in memory of their own, which goes with them wherever they go. */
function copyOf(bytes: Bytes, size = bytes.length): Buffer<ArrayBuffer> {
  const copy = Buffer.allocUnsafeSlow(size);
  bytes.copyTo(copy);
  bytes.release(); // who waits for another block has none
  return copy;
}

/** A file that says how long it is, of which the beginning is there: straight into memory of so many bytes. */
async function readTo(size: number, first: Bytes, source: Source): Promise<Buffer<ArrayBuffer>> {
  let { length } = first;
  const content = copyOf(first, size);
  const { host } = source;
  if (host.ended) throw closedError('read'); // as it was asked how long the file is
  const block = moveIn(host, inspect('content', content))!;
  while (length < size) {
    const came = await readInto(block, length, Math.min(PIECE_BYTES, size - length), source);
    if (came === 0) break; // it was cut meanwhile
    length += came;
  }
  const memory = block.memory!;
  if (!host.ended) endLoan(block);
  block.memory = undefined; // it is the program's
  return viewOf(memory, 0, length);
}

/** A piece of it. Where that fails, or nobody waits any more, the memory is let go when the kernel has; if it never does, it keeps it. */
function readInto(block: Block, offset: number, length: number, { host, descriptor, cancel }: Source): Promise<number> {
  const operation = new Operation<number>(Opcode.READ, (op, { result }) => {
    if (result < 0) return op.failure(result);
    if (op.abandoned) endLoan(block);
    return result;
  });
  operation.descriptor = descriptor;
  operation.block = block;
  operation.offset = offset;
  operation.length = length;
  operation.position = offset;
  operation.restore = () => {
    if (!host.ended) endLoan(block);
    return undefined;
  };
  return host.submit(operation, cancel).promise;
}

/** One that is short, or does not say how long it is: until nothing more comes. */
async function readOn(first: Bytes, reading: FileSource, cancel: CancelOptions): Promise<Buffer<ArrayBuffer>> {
  let { length } = first;
  const parts = [copyOf(first)];
  for (;;) {
    using piece = await pieceOf(reading, length, cancel);
    if (piece === null) return parts.length === 1 ? parts[0]! : Buffer.concat(parts, length);
    length += piece.length;
    parts.push(piece.copy());
    if (length > SIZE_MAX) throw fileTooLarge(length);
  }
}
