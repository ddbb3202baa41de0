/** Files for tests, in a directory of the process's own that goes away with it. */
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const directory = fs.mkdtempSync(join(tmpdir(), 'ritsu-test-'));
fs.chmodSync(directory, 0o777);
process.on('exit', () => fs.rmSync(directory, { recursive: true, force: true }));

let count = 0;

/** A path at which nothing is yet. */
export function freshPath(name = 'file'): string {
  count += 1;
  return join(directory, `${count}-${name}`);
}

/** Bytes that do not repeat at any block size: a wrong offset or order always shows. */
export function randomBytes(size: number, seed = 1): Buffer {
  const bytes = Buffer.allocUnsafe(size);
  let state = (seed * 0x9e3779b1) >>> 0 || 1;
  for (let index = 0; index < size; index += 1) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    bytes[index] = state;
  }
  return bytes;
}

/** A new file with this content; its path. */
export function fileOf(content: Uint8Array | string, name?: string): string {
  const path = freshPath(name);
  fs.writeFileSync(path, content);
  return path;
}

/** A new sparse file with pieces of content at the positions given; its path. */
export function sparseFile(pieces: readonly (readonly [position: number, content: Uint8Array])[]): string {
  const path = freshPath('sparse');
  const fd = fs.openSync(path, 'w');
  for (const [position, content] of pieces) fs.writeSync(fd, content, 0, content.length, position);
  fs.closeSync(fd);
  return path;
}

/** How many descriptors of this process are open on a path. */
export function openCount(path: string): number {
  const targets = fs.readdirSync('/proc/self/fd').map((fd) => {
    try {
      return fs.readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      return ''; // the one that listed the directory
    }
  });
  return targets.filter((target) => target === path).length;
}
