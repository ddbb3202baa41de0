/** A READ_MANY where there is no ring: what its argument says, and what all its places come to. */
import { ECANCELED, EINTR, REGISTERED } from '../../op.js';
import type { Operation } from '../../op.js';

const PLACES_MAX = 1024;
const RESULT_MAX = 2 ** 31 - 1;

/** Where it reads; undefined where the operation is not of the right shape. */
export function placesOf({ argument, length, flags }: Operation<unknown>): Float64Array | undefined {
  if (argument === undefined || argument.length % Float64Array.BYTES_PER_ELEMENT !== 0 || (flags & ~REGISTERED) !== 0) return undefined;
  const places = new Float64Array(new Uint8Array(argument).buffer);
  if (places.length === 0 || places.length > PLACES_MAX || length % places.length !== 0) return undefined;
  return places.every((place) => Number.isSafeInteger(place) && place >= 0) ? places : undefined;
}

/**
 * The share of one place. Without the fence the program can have moved the memory away meanwhile: then it is memory that nobody sees,
 * as in `rangeOf`.
 */
export function viewOfPlace(view: Uint8Array, index: number, length: number): Uint8Array {
  return view.byteLength === 0 ? new Uint8Array(length) : view.subarray(index * length, (index + 1) * length);
}

/** The bytes in all, or the first error; one that says more than that it was cancelled goes before others. */
export function resultOf(counts: Float64Array): number {
  const errors = counts.filter((count) => count < 0);
  const error = errors.find((count) => count !== ECANCELED && count !== EINTR) ?? errors[0];
  return error ?? Math.min(counts.reduce((sum, count) => sum + count, 0), RESULT_MAX);
}
