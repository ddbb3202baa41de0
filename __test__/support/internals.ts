/** What the library keeps for its own modules, for tests that look at it or take its place. */
import type { Proactor } from 'ritsu';
import type { Proactor as Whole } from '../../dist/proactor.js';

export function internals(proactor: Proactor): Whole {
  return proactor as unknown as Whole;
}
