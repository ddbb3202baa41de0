/** What the system knows of a file: the fields and questions of Node's `fs.Stats`. */
import { constants } from 'node:fs';
import { Opcode, Operation } from './op.js';
import type { Completion } from './op.js';

const { S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG, S_IFSOCK } = constants;

/** What the system knows of a file (statx(2)), with the names and units of Node's `fs.Stats`. */
export class Stat {
  /** The device that it is on. */
  readonly dev: number;
  /** Kind and permissions. */
  readonly mode: number;
  /** Names that it has. */
  readonly nlink: number;
  /** Whose it is. */
  readonly uid: number;
  /** Which group it belongs to. */
  readonly gid: number;
  /** Of a device: which one it is. */
  readonly rdev: number;
  /** Bytes that the system likes to transfer at once. */
  readonly blksize: number;
  /** Its number in the file system. */
  readonly ino: number;
  /** Bytes. */
  readonly size: number;
  /** Blocks of 512 bytes on the disk. */
  readonly blocks: number;
  /** When it was last read, in milliseconds since 1970. */
  readonly atimeMs: number;
  /** When its bytes were last changed, in milliseconds since 1970. */
  readonly mtimeMs: number;
  /** When anything of it was last changed, in milliseconds since 1970. */
  readonly ctimeMs: number;
  /** When it was made, in milliseconds since 1970. */
  readonly birthtimeMs: number;

  /** @internal From the numbers of a STATX completion, in this order. */
  constructor(numbers: Float64Array) {
    const field = (index: number): number => numbers[index]!;
    this.dev = field(0);
    this.mode = field(1);
    this.nlink = field(2);
    this.uid = field(3);
    this.gid = field(4);
    this.rdev = field(5);
    this.blksize = field(6);
    this.ino = field(7);
    this.size = field(8);
    this.blocks = field(9);
    this.atimeMs = field(10);
    this.mtimeMs = field(11);
    this.ctimeMs = field(12);
    this.birthtimeMs = field(13);
  }

  /** When it was last read. */
  get atime(): Date {
    return dateOf(this.atimeMs);
  }

  /** When its bytes were last changed. */
  get mtime(): Date {
    return dateOf(this.mtimeMs);
  }

  /** When anything of it was last changed. */
  get ctime(): Date {
    return dateOf(this.ctimeMs);
  }

  /** When it was made. */
  get birthtime(): Date {
    return dateOf(this.birthtimeMs);
  }

  /** An ordinary file. */
  isFile(): boolean {
    return this.#is(S_IFREG);
  }

  /** A folder. */
  isDirectory(): boolean {
    return this.#is(S_IFDIR);
  }

  /** A symbolic link. */
  isSymbolicLink(): boolean {
    return this.#is(S_IFLNK);
  }

  /** A named pipe. */
  isFIFO(): boolean {
    return this.#is(S_IFIFO);
  }

  /** A Unix socket. */
  isSocket(): boolean {
    return this.#is(S_IFSOCK);
  }

  /** A device of bytes, as a terminal. */
  isCharacterDevice(): boolean {
    return this.#is(S_IFCHR);
  }

  /** A device of blocks, as a disk. */
  isBlockDevice(): boolean {
    return this.#is(S_IFBLK);
  }

  #is(kind: number): boolean {
    return (this.mode & S_IFMT) === kind;
  }
}

/** As Node rounds it. */
function dateOf(ms: number): Date {
  return new Date(Math.round(ms));
}

/** STATX, and what is asked of the answer. */
export function statOperation<T>(backend: { numbers(completion: Completion): Float64Array }, tell: (stat: Stat) => T): Operation<T> {
  return new Operation<T>(Opcode.STATX, (operation, completion) =>
    completion.result < 0 ? operation.failure(completion.result) : tell(new Stat(backend.numbers(completion))),
  );
}

/** Whether reads may name a position: regular files, block devices, and directories, which the system will not have read at all. */
export function isSeekable(stat: Stat): boolean {
  return stat.isFile() || stat.isBlockDevice() || stat.isDirectory();
}
