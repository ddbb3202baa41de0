/** What the system knows of a file: the fields and questions of Node's `fs.Stats`. */
import { constants } from 'node:fs';

const { S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG, S_IFSOCK } = constants;

export class Stat {
  readonly dev: number;
  readonly mode: number;
  readonly nlink: number;
  readonly uid: number;
  readonly gid: number;
  readonly rdev: number;
  /** Bytes that the system likes to transfer at once. */
  readonly blksize: number;
  readonly ino: number;
  readonly size: number;
  /** Blocks of 512 bytes on the disk. */
  readonly blocks: number;
  readonly atimeMs: number;
  readonly mtimeMs: number;
  readonly ctimeMs: number;
  readonly birthtimeMs: number;

  /** From the numbers of a STATX completion, in this order. */
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

  get atime(): Date {
    return dateOf(this.atimeMs);
  }

  get mtime(): Date {
    return dateOf(this.mtimeMs);
  }

  get ctime(): Date {
    return dateOf(this.ctimeMs);
  }

  get birthtime(): Date {
    return dateOf(this.birthtimeMs);
  }

  isFile(): boolean {
    return this.#is(S_IFREG);
  }

  isDirectory(): boolean {
    return this.#is(S_IFDIR);
  }

  isSymbolicLink(): boolean {
    return this.#is(S_IFLNK);
  }

  isFIFO(): boolean {
    return this.#is(S_IFIFO);
  }

  isSocket(): boolean {
    return this.#is(S_IFSOCK);
  }

  isCharacterDevice(): boolean {
    return this.#is(S_IFCHR);
  }

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

/** Whether reads may name a position: regular files and block devices. */
export function isSeekable(stat: Stat): boolean {
  return stat.isFile() || stat.isBlockDevice();
}
