/** What a proactor counts, for people and their monitoring: `proactor.stats()`. */
import type { BackendKind, Counters } from './backend/backend.js';
import type { CancelTally } from './inflight.js';
import type { SizeClassStats } from './memory/size-class.js';

/** Counters of a proactor, since it was made; sizes and numbers of what is there are of now. */
export interface ProactorStats extends Counters {
  /** What answers. */
  readonly backend: BackendKind;
  /** Operations that wait for a slot. */
  readonly waiting: number;
  /** How aborts and timeouts ended. */
  readonly cancel: CancelTally;
  /** Transfers through a copy, since the memory could not be moved. */
  readonly copies: number;
  /** Blocks of its pool; none before the first read of it. */
  readonly pool: readonly SizeClassStats[];
  /** Blocks of streams; undefined before the first stream was read in style 1. */
  readonly streamPool: SizeClassStats | undefined;
}
