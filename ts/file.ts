/**
 * Files: opened as Node opens them, read in any of the three styles, written, and the rest of what a descriptor does.
 * A `File` owns its descriptor; `close()` is ordered behind everything submitted before it.
 */
import { constants } from 'node:fs';
import { checkCancelOptions, refusal } from './cancel.js';
import type { CancelOptions } from './cancel.js';
import { traced } from './deferred.js';
import { checkBoolean, checkInteger, closedError, inUseError } from './errors.js';
import { FileHandle } from './file-handle.js';
import { show } from './inspect.js';
import { ASYNCHRONOUS, Opcode, Operation } from './op.js';
import type { Completion } from './op.js';
import { openDescriptor } from './open-descriptor.js';
import { openFlags, openMode } from './path.js';
import type { OpenMode, PathLike } from './path.js';
import { checkProactor } from './net/arguments.js';
import type { Proactor } from './proactor.js';
import { AllocatorReader } from './read/allocator.js';
import type { AllocatorOptions } from './read/allocator.js';
import { FileSource } from './read/file-source.js';
import { HybridReader } from './read/hybrid.js';
import type { HybridOptions } from './read/hybrid.js';
import { SubmitReader } from './read/submit.js';
import type { SubmitterOptions } from './read/submit.js';
import { statOperation } from './stat.js';
import type { Stat } from './stat.js';
import type { WriteCodes } from './transfer.js';
import { closeWhenCollected } from './unclosed.js';
import { FileWriter, turnsFrom } from './write.js';
import type { WriterOptions, WriterTarget } from './write.js';

/** What `open` accepts. */
export interface OpenOptions extends CancelOptions {
  /** Node's flags: `'r'`, `'w+'`, `'ax'` …, or a number of `fs.constants.O_*`. `'r'` where not given. */
  readonly flags?: string | number | undefined;
  /** Permissions of a file that is created; 0o666 less the umask where not given. */
  readonly mode?: OpenMode | undefined;
  /** Bypass the page cache (O_DIRECT): offsets, lengths and memory must be aligned, as `alloc` and the pool are. */
  readonly direct?: boolean | undefined;
  /**
   * Leave what is done with the file to a worker thread of the kernel, instead of trying it on this one first. For file
   * systems that keep who asks waiting (FUSE), and large cached reads where a core is free. Each operation costs a change of
   * threads; more of the file's are done at a time, so they may end in another order. The `node` backend always does so.
   */
  readonly offload?: boolean | undefined;
  /** Whose file it is; that of `Proactor.current()` where not given. */
  readonly proactor?: Proactor | undefined;
}

/** What `File.allocate` accepts. */
export interface AllocateOptions extends CancelOptions {
  /** Leave the file's length as it is. */
  readonly keepSize?: boolean | undefined;
}

const FALLOC_FL_KEEP_SIZE = 1;
const CODES: WriteCodes = { single: Opcode.WRITE, vectored: Opcode.WRITEV, header: 0 };

/** The integer result of an operation, or its failure. */
const number = (operation: Operation<number>, { result }: Completion): ReturnType<Operation<number>['finish']> =>
  result < 0 ? operation.failure(result) : result;

/**
 * Open a file.
 * @param path as Node takes it: a string, a Buffer or a file URL
 * @param flags Node's flags, or options
 * @param mode permissions of a file that is created
 * @example
 * await using file = await open('access.log');
 * for await (const bytes of file.allocator()) hash.update(bytes.data);
 */
export async function open(path: PathLike, flags?: string | number | OpenOptions, mode?: OpenMode): Promise<File> {
  const options: OpenOptions = typeof flags === 'object' && flags !== null ? flags : { flags, mode };
  const limits = checkCancelOptions(options);
  const bits = openFlags(options.flags) | (options.direct ? constants.O_DIRECT : 0);
  const permissions = openMode(options.mode);
  const offload = checkBoolean('options.offload', options.offload) ?? false;
  const proactor = checkProactor(options.proactor ?? undefined);
  const opening = { path, flags: bits, mode: permissions, offload };
  const opened = await traced(openDescriptor(proactor, opening, limits));
  if (options.direct) proactor.pool.register();
  return new File(proactor, { ...opened, flags: bits, offload });
}

/** An open file, and how it was opened. */
export interface OpenFile {
  readonly descriptor: number;
  readonly fd: number;
  readonly path: string;
  readonly flags: number;
  readonly offload: boolean;
}

/** What is left of a file when its descriptor goes to another thread. */
interface Detached {
  readonly proactor: Proactor;
  readonly descriptor: number;
  readonly path: string;
  readonly flags: number;
  readonly offload: boolean;
  readonly position: number;
}

/** An open file. Made by `open`. One that is collected without having been closed is closed, with a warning. */
export class File implements AsyncDisposable {
  readonly #proactor: Proactor;
  readonly #descriptor: number;
  readonly #fd: number;
  readonly #flags: number;
  /** Option bits of its reads and writes. */
  readonly #options: number;
  readonly #source: FileSource;
  readonly #handle: FileHandle;
  #target: WriterTarget | undefined = undefined;
  #closed: Promise<void> | undefined = undefined;

  /** @internal Used by `open`. */
  constructor(proactor: Proactor, { descriptor, fd, path, flags, offload }: OpenFile) {
    this.#proactor = proactor;
    this.#descriptor = descriptor;
    this.#fd = fd;
    this.#flags = flags;
    this.#options = offload ? ASYNCHRONOUS : 0;
    this.#source = new FileSource(this, proactor, { descriptor, direct: this.direct, options: this.#options });
    this.#handle = new FileHandle(proactor, descriptor, fd, path);
    closeWhenCollected(this, this.#handle);
  }

  /** As it was opened. */
  get path(): string {
    return this.#handle.path;
  }

  /** The system's number of the open file; -1 once closed. The file owns it: do not close it. */
  get fd(): number {
    return this.closed ? -1 : this.#fd;
  }

  /** Whether it is closed, or being closed. */
  get closed(): boolean {
    return this.#handle.closed;
  }

  /** Opened with O_DIRECT. */
  get direct(): boolean {
    return (this.#flags & constants.O_DIRECT) !== 0 && this.#proactor.backend.features.direct;
  }

  /** Style 1: the kernel picks the buffer, you borrow it. */
  allocator(options?: AllocatorOptions): AllocatorReader {
    return new AllocatorReader(this.#source, options);
  }

  /** Style 2: your buffer goes to the kernel and comes back. */
  submitter(options?: SubmitterOptions): SubmitReader {
    return new SubmitReader(this.#source, options);
  }

  /** Style 3: one call, the buffer decides. */
  hybrid(options?: HybridOptions): HybridReader {
    return new HybridReader(this.#source, options);
  }

  /** Write to the file; from its beginning, or its end when it was opened to append. */
  writer(options?: WriterOptions): FileWriter {
    const turns = turnsFrom(options);
    return new FileWriter({ target: (this.#target ??= this.#makeTarget()), turns });
  }

  /** What the system knows of the file; the fields of Node's `fs.Stats`. */
  async stat(options?: CancelOptions): Promise<Stat> {
    const operation = statOperation(this.#proactor.backend, (stat) => stat);
    return traced(this.#submit(operation, options).promise);
  }

  /** Make the file `length` bytes long. */
  async truncate(length: number | bigint = 0, options?: CancelOptions): Promise<void> {
    const bytes = checkInteger('len', length, 0, Number.MAX_SAFE_INTEGER);
    const operation = new Operation<number>(Opcode.FTRUNCATE, number);
    operation.extra = bytes;
    await traced(this.#submit(operation, options).promise);
  }

  /** Have disk space for `length` bytes from `position` on, so that writing there does not fail for want of it. */
  async allocate(position: number | bigint, length: number | bigint, options?: AllocateOptions): Promise<void> {
    const operation = new Operation<number>(Opcode.FALLOCATE, number);
    operation.position = checkInteger('position', position, 0, Number.MAX_SAFE_INTEGER);
    operation.extra = checkInteger('length', length, 1, Number.MAX_SAFE_INTEGER);
    operation.flags = options?.keepSize ? FALLOC_FL_KEEP_SIZE : 0;
    await traced(this.#submit(operation, options).promise);
  }

  /** Wait until the file's data and metadata are on the disk. */
  async sync(options?: CancelOptions): Promise<void> {
    await traced(this.#submit(new Operation<number>(Opcode.FSYNC, number), options).promise);
  }

  /** Wait until the file's data are on the disk. */
  async datasync(options?: CancelOptions): Promise<void> {
    await traced(this.#submit(new Operation<number>(Opcode.FDATASYNC, number), options).promise);
  }

  /** Close the file after everything submitted before. Again gives the same promise. */
  close(): Promise<void> {
    this.#closed ??= this.#proactor.liveness.during(this.#close());
    return this.#closed;
  }

  /** @internal Used by `handOver`: give the descriptor up. */
  async detach(): Promise<Detached> {
    if (this.closed) throw closedError('handOver');
    const position = this.#source.position;
    if (position === undefined || !this.#handle.isWritten) throw inUseError('handOver');
    this.#handle.leave();
    this.#closed = this.#source.refuse();
    await this.#closed;
    const offload = this.#options !== 0;
    return { proactor: this.#proactor, descriptor: this.#descriptor, path: this.path, flags: this.#flags, offload, position };
  }

  /** @internal Used by `takeOver`: it was opened by that name, and read up to there. */
  resume(path: string | undefined, position: number): void {
    if (path !== undefined) this.#handle.path = path;
    this.#source.position = position;
  }

  /** `close()`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    this.#handle.leave();
    await Promise.all([this.#source.refuse(), this.#handle.written()]);
    await this.#handle.close();
  }

  #submit<T>(operation: Operation<T>, options: CancelOptions | undefined): Operation<T> {
    this.#admit(operation, checkCancelOptions(options));
    if (!operation.settled) this.#proactor.start(operation);
    return operation;
  }

  #admit<T>(operation: Operation<T>, options: CancelOptions | undefined): void {
    operation.descriptor = this.#descriptor;
    if (this.direct) operation.direct = true;
    if (this.#options !== 0) operation.options = this.#options;
    const refused = refusal(options, operation.syscall, !this.closed && this.#proactor.open);
    if (refused !== undefined) operation.refuse(() => refused);
    else this.#proactor.watch(operation, options);
  }

  /** As its writers see it, which keep it alive. */
  #makeTarget(): WriterTarget {
    const handle = this.#handle;
    return {
      host: this.#proactor,
      codes: CODES,
      unflushed: handle.unflushed,
      get closed() {
        return handle.closed;
      },
      admit: (operation, options) => this.#admit(operation, options),
      begin: (operation) => this.#begin(operation),
      traced: true,
      dispatch: (transfer, plan) => {
        transfer.send(plan);
        if (!transfer.settled) handle.follow(transfer);
      },
    };
  }

  /** A write whose turn has come, or the rest of one. It was admitted, so the file is open until it has settled. */
  #begin<T>(operation: Operation<T>): void {
    if (operation.direct && operation.opcode === Opcode.WRITE && operation.block?.registered) {
      operation.opcode = Opcode.WRITE_FIXED;
    }
    this.#proactor.start(operation);
  }
}
show(File, ({ path, fd, direct, closed }) => ({ path, fd, direct, closed }));
