/**
 * Where the file is made: on a disk, since reads of a file in memory always go to worker threads and would be another
 * comparison. Whatever ends the process but SIGKILL, nothing of it is left.
 */
import { accessSync, constants, mkdirSync, mkdtempSync, rmSync, statfsSync } from 'node:fs';
import { constants as system, homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { UsageError } from './arguments.js';

const TMPFS = 0x01021994;
const RAMFS = 0x858458f6;
export const IN_MEMORY = 'in memory, not on a disk: its reads go to worker threads';

export interface Place {
  readonly folder: string;
  /** What a reader of the report has to know of it. */
  readonly remark?: string;
}

/** Whether what lies here lies in memory. */
export function isInMemory(path: string): boolean {
  const { type } = statfsSync(path);
  return type === TMPFS || type === RAMFS;
}

/** A folder with so much room, on a disk where there is one. Throws `UsageError` where there is no room. */
export function choosePlace(bytes: number, candidates: readonly string[] = defaults()): Place {
  const rooms: string[] = [];
  let inMemory: string | undefined;
  for (const folder of candidates) {
    if (!isWritable(folder)) continue;
    rooms.push(`${Math.floor(roomOf(folder) / 2 ** 20)} MiB in ${folder}`);
    if (roomOf(folder) < bytes) continue;
    if (isInMemory(folder)) inMemory ??= folder;
    else if (folder === candidates[0]) return { folder };
    else return { folder, remark: `${candidates[0]} is in memory, full or closed to us` };
  }
  if (inMemory !== undefined) return { folder: inMemory, remark: IN_MEMORY };
  throw new UsageError(`--size ${bytes}: no room for the file (${rooms.join(', ') || 'no folder can be written to'})`);
}

function defaults(): string[] {
  return [tmpdir(), process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), process.cwd()];
}

function isWritable(folder: string): boolean {
  try {
    mkdirSync(folder, { recursive: true });
    accessSync(folder, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

function roomOf(folder: string): number {
  const { bavail, bsize } = statfsSync(folder);
  return bavail * bsize;
}

/** Make a folder of our own there, which goes with the process. The path of the file that is to be made in it. */
export function makeRoom({ folder }: Place, keep: boolean): string {
  const own = mkdtempSync(join(folder, 'ritsu-'));
  if (!keep) process.once('exit', () => rmSync(own, { recursive: true, force: true }));
  return join(own, 'content');
}

/** Let signals end the process in the way that runs what it has to do at its exit. */
export function exitOnSignals(): void {
  for (const signal of ['SIGHUP', 'SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => process.exit(128 + system.signals[signal]));
  }
}
