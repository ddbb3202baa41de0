/** How the comparison sees an engine: a name, and a session that reads a plan under a meter. */
import type { Style } from '../index.js';
import type { Meter, RandomMeter, SequentialMeter } from './meter.js';
import type { Plan, RandomPlan, SequentialPlan } from './plan.js';

/** One engine ready to read one plan. */
export interface Session<M extends Meter> {
  /** Do everything the meter asks for. */
  pass(meter: M): Promise<void>;
  close(): Promise<void>;
}

export interface Engine<P extends Plan, M extends Meter> {
  readonly name: string;
  /** Undefined for node:fs. */
  readonly style: Style | undefined;
  /** Why it cannot read this plan at all; undefined when it can. */
  absent?(plan: P): string | undefined;
  open(plan: P): Promise<Session<M>>;
}

export type RandomEngine = Engine<RandomPlan, RandomMeter>;
export type SequentialEngine = Engine<SequentialPlan, SequentialMeter>;

/** What ratios are taken to: the same call in order and at random. Also the engine that sizes the plans. */
export const BASELINE = 'node FileHandle.read';

/** As many loops as there are reads in flight; each starts its next read when its last one came. */
export async function inLanes(meter: RandomMeter, depth: number, lane: (index: number) => Promise<void>): Promise<void> {
  const lanes = Array.from({ length: depth }, (_, index) =>
    lane(index).catch((error: Error) => {
      meter.stop();
      throw error;
    }),
  );
  const ended = await Promise.allSettled(lanes);
  const failed = ended.find((result) => result.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
}
