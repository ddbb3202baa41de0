/** Files whose 4 KiB blocks say which they are: bytes from another place or another file always show. */
import { randomFillSync } from 'node:crypto';
import * as fs from 'node:fs';

export const BLOCK = 4096;

/** Whether `bytes`, read at `position` (a multiple of 4096), is what `writeBlocks` put there. */
export function isBlockAt(bytes: Uint8Array, position: number): boolean {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const first = position / BLOCK;
  for (let offset = 0; offset + 8 <= bytes.byteLength; offset += BLOCK) {
    const index = first + offset / BLOCK;
    if (view.getUint32(offset, true) !== index || view.getUint32(offset + 4, true) !== (~index >>> 0)) return false;
  }
  return true;
}

/** Write a file of so many bytes, on the disk and not only in the page cache; its path. */
export function writeBlocks(path: string, size: number): string {
  const fd = fs.openSync(path, 'w');
  const piece = Buffer.alloc(Math.min(size, 2 ** 20));
  for (let position = 0; position < size; position += piece.length) {
    randomFillSync(piece);
    for (let offset = 0; offset < piece.length; offset += BLOCK) {
      const index = (position + offset) / BLOCK;
      piece.writeUInt32LE(index, offset);
      piece.writeUInt32LE(~index >>> 0, offset + 4);
    }
    fs.writeSync(fd, piece, 0, Math.min(piece.length, size - position), position);
  }
  fs.fsyncSync(fd);
  fs.closeSync(fd);
  return path;
}
