/**
 * How much a stress test does: little enough for every run, or with `RITSU_TEST_FULL=1` the counts that were promised.
 */
export const isFull = process.env['RITSU_TEST_FULL'] === '1';

export function sized(small: number, full: number): number {
  return isFull ? full : small;
}
