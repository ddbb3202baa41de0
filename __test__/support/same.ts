/** Comparison of bytes that says where they differ, without printing a megabyte. */
import type { ExecutionContext } from 'ava';

function difference(actual: Uint8Array | null | undefined, expected: Uint8Array | null): string | undefined {
  if (actual === undefined || actual === null || expected === null) {
    return actual === expected ? undefined : `got ${actual?.length ?? actual} bytes, not ${expected?.length ?? expected}`;
  }
  if (Buffer.compare(actual, expected) === 0) return undefined;
  let at = 0;
  while (at < expected.length && actual[at] === expected[at]) at += 1;
  return `${actual.length} bytes, not ${expected.length}; the first other one is at ${at}: ${actual[at]}, not ${expected[at]}`;
}

/** Assert that these are the same bytes; null stands for the end of the file. */
export function sameBytes(
  t: ExecutionContext,
  actual: Uint8Array | null | undefined,
  expected: Uint8Array | null,
  what = 'bytes',
): void {
  const found = difference(actual, expected);
  if (found === undefined) t.pass();
  else t.fail(`${what}: ${found}`);
}
