/**
 * What goes over the sockets: at every position of a stream a byte that both sides know, so that each can be compared
 * where it arrives. `crates/ritsu/examples/raw_load.rs` has the same function.
 */

/** The bytes repeat after so many: a prime, so that no pieces of a usual size look alike. */
export const PATTERN_BYTES = 1_048_573;
/** The longest piece that `piece` gives. */
export const PIECE_BYTES = 262_144;
const SEED = 0x1234567;

function byteAt(position: number): number {
  let word = Math.imul((position % PATTERN_BYTES) ^ SEED, 0x9e3779b1);
  word = Math.imul(word ^ (word >>> 15), 0x85ebca6b);
  return (word ^ (word >>> 13)) & 255;
}

/** Write the bytes from position 0 on into memory. */
export function fillPattern(memory: Uint8Array): void {
  for (let position = 0; position < memory.length; position += 1) memory[position] = byteAt(position);
}

/** Once around and a piece more, so that every piece is in one. */
const pattern = Buffer.allocUnsafeSlow(PATTERN_BYTES + PIECE_BYTES);
fillPattern(pattern);

/** The bytes at a position, at most `PIECE_BYTES`. Nobody writes to them. */
export function piece(position: number, length: number): Buffer {
  const start = position % PATTERN_BYTES;
  return pattern.subarray(start, start + length);
}

/** Whether `length` bytes at `offset` of some memory are those of a position. At most `PIECE_BYTES`. */
export function matches(memory: Uint8Array, offset: number, length: number, position: number): boolean {
  const start = position % PATTERN_BYTES;
  return pattern.compare(memory, offset, offset + length, start, start + length) === 0;
}

/** The first position whose byte is not the right one. To be asked where `matches` said no. */
export function firstWrong(memory: Uint8Array, offset: number, length: number, position: number): number {
  const at = memory.subarray(offset, offset + length).findIndex((byte, index) => byte !== byteAt(position + index));
  return position + Math.max(at, 0);
}
