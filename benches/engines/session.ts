/** How an engine's process sees one engine: a session opened for a plan, passed over twice (warm-up, measured), closed. */
import type { Meter } from '../meter.ts';
import type { Plan } from '../plan.ts';

export interface Session {
  /** Do everything the meter asks for. */
  pass(meter: Meter): Promise<void>;
  /** Transfers that the library did by a copy in user space so far, where it counts them. */
  copies?(): number;
  close(): Promise<void>;
}

export type Workload = (plan: Plan) => Promise<Session>;

/** A module of engines: one workload for each name. */
export type Workloads = Readonly<Record<string, Workload>>;

/** As many loops as the plan has reads outstanding; each starts its next read when the last one came. */
export async function inLanes(depth: number, lane: (index: number) => Promise<void>): Promise<void> {
  await Promise.all(Array.from({ length: depth }, (_, index) => lane(index)));
}
