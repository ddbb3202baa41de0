/**
 * What `node:fs` answers for the ops of files, asked synchronously: for a simulated ring, in which nothing may happen by
 * itself. The answers are the kernel's own, as in `calls.ts`.
 */
import fs from 'node:fs';
import { Opcode } from '../../op.js';
import { allocateNow, errnoOf, statusOf } from './calls.js';
import { Descriptor } from './descriptors.js';
import type { Call } from './call.js';
import { placesOf, resultOf as resultOfPlaces } from './places.js';

const { closeSync, constants, fdatasyncSync, fstatSync, fsyncSync, ftruncateSync, lstatSync, openSync, readFileSync, readvSync, statSync, writevSync } = fs;

const EBADF = -9;
const EINVAL = -22;
const EOPNOTSUPP = -95;
const O_DIRECT: number = constants.O_DIRECT ?? 0;
const STATX_NOFOLLOW = 1;

/** How a path or descriptor is opened. */
export interface FifoName {
  /** The same for all names of one pipe. */
  readonly identity: string;
  readonly flags: number;
}

function resultOf(ask: () => number): number {
  try {
    return ask();
  } catch (error) {
    return errnoOf(error);
  }
}

/** Whether an OPEN is one of a FIFO, which is not to be opened here; undefined where it is not, or does not exist. */
export function fifoOf({ operation }: Call): FifoName | undefined {
  try {
    const { dev, ino, isFifo } = describe(statSync(Buffer.from(operation.argument!)));
    return isFifo ? { identity: `${dev}:${ino}`, flags: operation.flags } : undefined;
  } catch {
    return undefined;
  }
}

function describe(stats: fs.Stats): { dev: number; ino: number; isFifo: boolean } {
  return { dev: stats.dev, ino: stats.ino, isFifo: stats.isFIFO() };
}

/** Open the file of an OPEN. */
export function openNow({ operation }: Call): Descriptor | number {
  const flags = operation.flags & ~O_DIRECT;
  try {
    return new Descriptor(openSync(Buffer.from(operation.argument!), flags, operation.target & 0o7777), flags, undefined);
  } catch (error) {
    return errnoOf(error);
  }
}

/** Take in a descriptor of the program's: a file as it is, a pipe by its identity; nothing else can be simulated. */
export function adoptNow(fd: number): Descriptor | FifoName | number {
  try {
    const stats = fstatSync(fd);
    const flags = Number.parseInt(/^flags:\s*(\d+)/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))?.[1] ?? '0', 8);
    if (stats.isFIFO()) return { identity: `${stats.dev}:${stats.ino}`, flags };
    if (!stats.isFile()) return EOPNOTSUPP;
    const descriptor = new Descriptor(fd, flags, undefined);
    descriptor.isBorrowed = true;
    return descriptor;
  } catch (error) {
    return errnoOf(error);
  }
}

export function closeNow({ fd, isBorrowed }: Descriptor): number {
  return resultOf(() => {
    if (!isBorrowed) closeSync(fd);
    return 0;
  });
}

/** Answer an op of an open file. Reads and writes use these views. */
export function answerNow(call: Call, views: readonly Uint8Array[]): number {
  const { opcode, position, extra } = call.operation;
  const { fd } = call.descriptor ?? { fd: -1 };
  const at = position < 0 ? undefined : position;
  return resultOf(() => {
    switch (opcode) {
      case Opcode.READ:
      case Opcode.READ_FIXED:
      case Opcode.READ_SELECT:
      case Opcode.READV:
        return readvSync(fd, views, at);
      case Opcode.WRITE:
      case Opcode.WRITE_FIXED:
      case Opcode.WRITEV:
        return views.length === 0 ? 0 : writevSync(fd, views, at);
      case Opcode.FSYNC:
        fsyncSync(fd);
        return 0;
      case Opcode.FDATASYNC:
        fdatasyncSync(fd);
        return 0;
      case Opcode.FTRUNCATE:
        if (extra < 0) return EINVAL;
        ftruncateSync(fd, extra);
        return 0;
      case Opcode.FALLOCATE:
        return allocateNow(call);
      case Opcode.STATX:
        return status(call);
      default:
        return EBADF;
    }
  });
}

/** Answer a READ_MANY; `lengthOf` says how much of a share is asked for. */
export function readPlacesNow(call: Call, lengthOf: (share: number) => number): number {
  const places = placesOf(call.operation)!; // as it was accepted
  const view = call.views[0]!;
  const share = view.length / places.length;
  call.numbers = places.map((place, index) => {
    const part = view.subarray(index * share, index * share + lengthOf(share));
    return resultOf(() => readvSync(call.descriptor!.fd, [part], place));
  });
  return resultOfPlaces(call.numbers);
}

function status(call: Call): number {
  const { argument, flags } = call.operation;
  if (argument === undefined) call.numbers = statusOf(fstatSync(call.descriptor!.fd));
  else call.numbers = statusOf((flags & STATX_NOFOLLOW) !== 0 ? lstatSync(Buffer.from(argument)) : statSync(Buffer.from(argument)));
  return 0;
}
