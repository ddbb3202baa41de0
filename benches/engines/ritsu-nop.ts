/** The boundary alone: operations that do nothing, so many in a batch. */
import { Proactor } from 'ritsu';
import type { Workload, Workloads } from './session.ts';

/** A batch is submitted in one turn and awaited as a whole. */
const nop: Workload = async (plan) => {
  const proactor = new Proactor();
  return {
    async pass(meter) {
      const batch: Promise<void>[] = [];
      for (let block = meter.next(); block >= 0; block = meter.next()) {
        const started = meter.start();
        batch.push(proactor.nop().then(() => meter.finishEmpty(started)));
        if (batch.length < plan.depth) continue;
        await Promise.all(batch);
        batch.length = 0;
      }
      await Promise.all(batch);
    },
    close: () => proactor.close(),
  };
};

/** The same in lanes, as reads are done: each operation follows its own predecessor. */
const lanes: Workload = async (plan) => {
  const proactor = new Proactor();
  return {
    async pass(meter) {
      const lane = async (): Promise<void> => {
        for (let block = meter.next(); block >= 0; block = meter.next()) {
          const started = meter.start();
          await proactor.nop();
          meter.finishEmpty(started);
        }
      };
      await Promise.all(Array.from({ length: plan.depth }, lane));
    },
    close: () => proactor.close(),
  };
};

export const workloads: Workloads = { nop, lanes };
