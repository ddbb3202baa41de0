/**
 * What `node:fs` is asked for each opcode. A starter begins the call and reports once its result as the kernel
 * would say it: not negative, or `-errno`. The functions of `node:fs` are the ones that stood when this module loaded.
 *
 * Known differences from a ring: an fs call cannot be ended once Node has it, and keeps the process alive until it has
 * ended; writes that the kernel cut short are continued by Node itself; the open of a pipe without a peer holds a
 * thread of Node's pool. Reads and writes of pipes and terminals do not: they are tried on a non-blocking descriptor,
 * again and again with a pause, and can be cancelled between two tries.
 */
import fs from 'node:fs';
import { isatty } from 'node:tty';
import { ECANCELED, Opcode } from '../../op.js';
import { Descriptor } from './descriptors.js';
import type { Call } from './call.js';
import { placesOf, resultOf, viewOfPlace } from './places.js';

// Taken once: what somebody puts into `node:fs` later does not see the data.
const { close, closeSync, constants, fdatasync, fstat, fstatSync, fsync, ftruncate, ftruncateSync } = fs;
const { lstat, open, openSync, read, readFileSync, readv, stat, write, writev } = fs;

const EIO = -5;
const EBADF = -9;
const EACCES = -13;
const EINVAL = -22;
const EFBIG = -27;
const ESPIPE = -29;
const ENODEV = -19;
const EOPNOTSUPP = -95;
export const EAGAIN = -11;

/** Reads of one call that Node's pool of four threads has. */
const AT_ONCE = 4;
const FALLOCATE_KEEP_SIZE = 1;
const STATX_NOFOLLOW = 1;
const STATUS_LENGTH = 20;
const ACCESS_MODE = constants.O_RDONLY | constants.O_WRONLY | constants.O_RDWR;
/** Absent on some systems; Node's types do not say so. */
const O_DIRECT: number = constants.O_DIRECT ?? 0;

/** Takes the result of a call, once; may be called at once. */
export type Report = (result: number) => void;

export type Starter = (call: Call, report: Report) => void;

/** The number for an error of `node:fs`. */
export function errnoOf(error: unknown): number {
  const { errno, code } = error as NodeJS.ErrnoException;
  if (typeof errno === 'number' && errno < 0) return errno;
  return code === 'ERR_ACCESS_DENIED' ? EACCES : EIO;
}

/** A callback for `node:fs`. */
function answer(report: Report): (error: Error | null, count?: unknown) => void {
  return (error, count) => {
    if (error !== null) report(errnoOf(error));
    else report(typeof count === 'number' ? count : 0);
  };
}

/** Whether a read or write may have to wait for somebody else. */
function mayWait(fd: number): boolean {
  try {
    return fstatSync(fd).isFIFO() || isatty(fd);
  } catch {
    return false; // no stat, no answer: then it is read as any file
  }
}

/** Open the same pipe or terminal once more, such that nothing waits on it. */
function openPatient(fd: number, flags: number, done: (patientFd: number | undefined) => void): void {
  const wanted = (flags & ACCESS_MODE) | constants.O_NONBLOCK | constants.O_NOCTTY;
  open(`/proc/self/fd/${fd}`, wanted, (error, patientFd) => done(error === null ? patientFd : undefined));
}

/** Begin an OPEN; a file that opened goes to `opened`. */
export function startOpen(call: Call, opened: (descriptor: Descriptor) => void, report: Report): void {
  const { operation } = call;
  const flags = operation.flags & ~O_DIRECT;
  const path = Buffer.from(operation.argument!);
  open(path, flags, operation.target & 0o7777, (error, fd) => {
    if (error !== null) return report(errnoOf(error));
    if (!mayWait(fd)) return opened(new Descriptor(fd, flags, undefined));
    // A ring waits on a descriptor that was opened non-blocking, too.
    if ((flags & constants.O_NONBLOCK) !== 0) return opened(new Descriptor(fd, flags, fd));
    openPatient(fd, flags, (patientFd) => opened(new Descriptor(fd, flags, patientFd)));
  });
}

/**
 * Take in a descriptor that somebody else goes on owning. Node cannot duplicate one: a pipe or terminal is opened once
 * more, so that nothing waits on it, and a file is used as it is. `-errno` for what is neither, and for sockets.
 */
export function borrow(fd: number): Descriptor | number {
  try {
    const status = fstatSync(fd);
    if (status.isSocket()) return EOPNOTSUPP;
    const flags = Number.parseInt(/^flags:\s*(\d+)/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))?.[1] ?? '0', 8);
    const wanted = (flags & ACCESS_MODE) | constants.O_NONBLOCK | constants.O_NOCTTY;
    const patientFd = mayWait(fd) ? openSync(`/proc/self/fd/${fd}`, wanted) : undefined;
    const descriptor = new Descriptor(fd, flags, patientFd);
    descriptor.isBorrowed = true;
    return descriptor;
  } catch (error) {
    return errnoOf(error);
  }
}

/** Close an open file or socket; the result is the one of the descriptor that the caller knows. */
export function closeFile({ fd, patientFd, channel, isBorrowed }: Descriptor, report: Report): void {
  if (channel !== undefined) return channel.close(() => report(0));
  if (patientFd !== undefined && patientFd !== fd) close(patientFd);
  if (isBorrowed) report(0);
  else close(fd, answer(report));
}

/** Close an open file now, whatever it says. */
export function closeFileSync({ fd, patientFd, channel, isBorrowed }: Descriptor): void {
  if (channel !== undefined) return channel.close(() => {});
  for (const each of new Set(isBorrowed ? [patientFd ?? -1] : [fd, patientFd ?? fd])) {
    if (each < 0) continue;
    try {
      closeSync(each);
    } catch {
      // nobody is left who could be told
    }
  }
}

function positionOf(call: Call): number | null {
  const { position } = call.operation;
  // A ring ignores the position where there is none; pread would refuse.
  return position < 0 || call.descriptor!.patientFd !== undefined ? null : position;
}

function startRead(call: Call, report: Report): void {
  const { fd, patientFd } = call.descriptor!;
  const view = call.views[0]!;
  // node:fs answers an empty read itself, without asking the system whether it may be read at all.
  if (view.byteLength === 0) return startReadv(call, report);
  read(patientFd ?? fd, view, 0, view.byteLength, positionOf(call), answer(report));
}

function startReadv(call: Call, report: Report): void {
  const { fd, patientFd } = call.descriptor!;
  readv(patientFd ?? fd, call.views, positionOf(call), answer(report));
}

/** A few at a time: those that were not begun when nobody wants it any more never are. */
function startReadMany(call: Call, report: Report): void {
  const { fd, patientFd } = call.descriptor!;
  const places = placesOf(call.operation)!; // as it was accepted
  const view = call.views[0]!;
  const length = call.operation.length / places.length;
  const counts = new Float64Array(places.length);
  let next = 0;
  let out = 0;
  const goOn = (): void => {
    for (; out < AT_ONCE && next < places.length && !call.isUnwanted; next += 1) {
      const index = next;
      out += 1;
      read(patientFd ?? fd, viewOfPlace(view, index, length), 0, length, places[index]!, (error, count) => {
        counts[index] = error === null ? count : errnoOf(error);
        out -= 1;
        goOn();
      });
    }
    if (out > 0) return;
    counts.fill(ECANCELED, next);
    call.numbers = counts;
    report(resultOf(counts));
  };
  goOn();
}

function startWrite(call: Call, report: Report): void {
  const { fd, patientFd } = call.descriptor!;
  const view = call.views[0]!;
  write(patientFd ?? fd, view, 0, view.byteLength, positionOf(call), answer(report));
}

function startWritev(call: Call, report: Report): void {
  const { fd, patientFd } = call.descriptor!;
  if (call.views.length === 0) return report(0); // node:fs has it fail
  writev(patientFd ?? fd, call.views, positionOf(call), answer(report));
}

function startTruncate(call: Call, report: Report): void {
  const { extra } = call.operation;
  if (extra < 0) report(EINVAL);
  else ftruncate(call.descriptor!.fd, extra, answer(report));
}

/**
 * Node has no fallocate: the file is made longer with a hole, and no space is set aside. Done synchronously, since
 * between the two steps nobody may write, or the end of what they wrote would be cut off.
 */
function startAllocate(call: Call, report: Report): void {
  report(allocateNow(call));
}

export function allocateNow(call: Call): number {
  const { flags, position, extra } = call.operation;
  const { fd, flags: openFlags } = call.descriptor!;
  if ((flags & ~FALLOCATE_KEEP_SIZE) !== 0) return EOPNOTSUPP;
  if (position < 0 || extra <= 0) return EINVAL;
  if ((openFlags & ACCESS_MODE) === constants.O_RDONLY) return EBADF;
  const end = position + extra;
  if (end > Number.MAX_SAFE_INTEGER) return EFBIG;
  try {
    const status = fstatSync(fd);
    if (status.isFIFO()) return ESPIPE;
    if (!status.isFile()) return ENODEV;
    if (flags === 0 && status.size < end) ftruncateSync(fd, end);
    return 0;
  } catch (error) {
    return errnoOf(error);
  }
}

export function statusOf(stats: fs.Stats): Float64Array {
  const status = new Float64Array(STATUS_LENGTH);
  const { dev, mode, nlink, uid, gid, rdev, blksize, ino, size, blocks } = stats;
  const { atimeMs, mtimeMs, ctimeMs, birthtimeMs } = stats;
  status.set([dev, mode, nlink, uid, gid, rdev, blksize, ino, size, blocks, atimeMs, mtimeMs, ctimeMs, birthtimeMs]);
  return status;
}

function startStatus(call: Call, report: Report): void {
  const { argument, flags } = call.operation;
  const done = (error: Error | null, stats: fs.Stats): void => {
    if (error === null) call.numbers = statusOf(stats);
    report(error === null ? 0 : errnoOf(error));
  };
  if (argument === undefined) fstat(call.descriptor!.fd, done);
  else if ((flags & STATX_NOFOLLOW) !== 0) lstat(Buffer.from(argument), done);
  else stat(Buffer.from(argument), done);
}

/** How the operations that need nothing but an open file, memory or a path are begun. */
export const STARTERS: Readonly<Record<number, Starter>> = {
  [Opcode.READ]: startRead,
  [Opcode.READ_FIXED]: startRead,
  [Opcode.READ_SELECT]: startRead,
  [Opcode.READ_MANY]: startReadMany,
  [Opcode.WRITE]: startWrite,
  [Opcode.WRITE_FIXED]: startWrite,
  [Opcode.READV]: startReadv,
  [Opcode.WRITEV]: startWritev,
  [Opcode.FSYNC]: (call, report) => fsync(call.descriptor!.fd, answer(report)),
  [Opcode.FDATASYNC]: (call, report) => fdatasync(call.descriptor!.fd, answer(report)),
  [Opcode.FTRUNCATE]: startTruncate,
  [Opcode.FALLOCATE]: startAllocate,
  [Opcode.STATX]: startStatus,
};
