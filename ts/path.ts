/** Paths, flags and modes as Node takes them, turned into what the system takes. */
import { constants } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { argumentTypeError, argumentValueError, checkInteger, rangeError } from './errors.js';

/** A path as Node takes it: text, bytes, or a `file:` URL. */
export type PathLike = string | Buffer | URL;
/** Permissions: a number, or a string of octal digits. */
export type OpenMode = number | string;

const { O_APPEND, O_CREAT, O_EXCL, O_RDONLY, O_RDWR, O_SYNC, O_TRUNC, O_WRONLY } = constants;

const WRITE = O_TRUNC | O_CREAT;
const APPEND = O_APPEND | O_CREAT;

// https://nodejs.org/api/fs.html#file-system-flags
const FLAGS: Readonly<Record<string, number>> = {
  r: O_RDONLY,
  rs: O_RDONLY | O_SYNC,
  sr: O_RDONLY | O_SYNC,
  'r+': O_RDWR,
  'rs+': O_RDWR | O_SYNC,
  'sr+': O_RDWR | O_SYNC,
  w: O_WRONLY | WRITE,
  wx: O_WRONLY | WRITE | O_EXCL,
  xw: O_WRONLY | WRITE | O_EXCL,
  'w+': O_RDWR | WRITE,
  'wx+': O_RDWR | WRITE | O_EXCL,
  'xw+': O_RDWR | WRITE | O_EXCL,
  a: O_WRONLY | APPEND,
  ax: O_WRONLY | APPEND | O_EXCL,
  xa: O_WRONLY | APPEND | O_EXCL,
  as: O_WRONLY | APPEND | O_SYNC,
  sa: O_WRONLY | APPEND | O_SYNC,
  'a+': O_RDWR | APPEND,
  'ax+': O_RDWR | APPEND | O_EXCL,
  'xa+': O_RDWR | APPEND | O_EXCL,
  'as+': O_RDWR | APPEND | O_SYNC,
  'sa+': O_RDWR | APPEND | O_SYNC,
};

const MODE_DEFAULT = 0o666;
const PATH_MAX = 4096;

export function openFlags(flags: unknown): number {
  if (flags === undefined || flags === null) return O_RDONLY;
  if (typeof flags === 'number') return checkInteger('flags', flags, 0, 2 ** 31 - 1);
  const bits = typeof flags === 'string' && Object.hasOwn(FLAGS, flags) ? FLAGS[flags] : undefined;
  if (bits === undefined) throw argumentValueError('flags', 'is invalid', flags);
  return bits;
}

export function openMode(mode: unknown): number {
  if (mode === undefined || mode === null) return MODE_DEFAULT;
  if (typeof mode === 'string') {
    if (!/^[0-7]+$/.test(mode)) {
      throw argumentValueError('mode', 'must be a 32-bit unsigned integer or an octal string', mode);
    }
    return checkInteger('mode', Number.parseInt(mode, 8), 0, 2 ** 32 - 1);
  }
  if (typeof mode !== 'number') throw argumentTypeError('mode', 'of type number', mode);
  if (!Number.isInteger(mode)) throw rangeError('mode', 'an integer', mode);
  return checkInteger('mode', mode, 0, 2 ** 32 - 1);
}

/** The path as text, for errors. */
export function pathText(path: PathLike): string {
  if (path instanceof URL) return fileURLToPath(path);
  return typeof path === 'string' ? path : Buffer.from(path).toString();
}

/** The path's bytes. Asks Node's permission model, which a ring would pass by, whether this may be opened. */
export function pathBytes(path: unknown, flags: number): Uint8Array {
  if (!(typeof path === 'string' || path instanceof Uint8Array || path instanceof URL)) {
    throw argumentTypeError('path', 'of type string or an instance of Buffer or URL', path);
  }
  const bytes = path instanceof Uint8Array ? Uint8Array.from(path) : Buffer.from(path instanceof URL ? fileURLToPath(path) : path);
  if (bytes.includes(0)) {
    throw argumentValueError('path', 'must be a string, Uint8Array, or URL without null bytes', path);
  }
  checkPermission(Buffer.from(bytes).toString(), flags);
  // Whatever is longer than any path can be: the system says so.
  return bytes.subarray(0, PATH_MAX);
}

function checkPermission(path: string, flags: number): void {
  const permission = process.permission as { has(scope: string, reference: string): boolean } | undefined;
  if (permission === undefined) return;
  const writes = (flags & (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC | O_APPEND)) !== 0;
  const scopes = writes ? ((flags & O_RDWR) !== 0 ? ['fs.read', 'fs.write'] : ['fs.write']) : ['fs.read'];
  for (const scope of scopes) {
    if (permission.has(scope, path)) continue;
    const error = new Error('Access to this API has been restricted. Use --allow-fs-read and --allow-fs-write to manage permissions.');
    const name = scope === 'fs.read' ? 'FileSystemRead' : 'FileSystemWrite';
    throw Object.assign(error, { code: 'ERR_ACCESS_DENIED', permission: name, resource: path });
  }
}
