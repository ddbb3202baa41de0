/** The boundary alone: operations that do nothing, so many in a batch; on the thread's own proactor or another's. */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import type { MessagePort } from 'node:worker_threads';
import { Proactor, remoteProactor } from 'ritsu';
import type { Meter } from '../meter.ts';
import type { Workload, Workloads } from './session.ts';

/** A batch is submitted in one turn and awaited as a whole. */
async function inBatches(proactor: Proactor, depth: number, meter: Meter): Promise<void> {
  const batch: Promise<void>[] = [];
  for (let block = meter.next(); block >= 0; block = meter.next()) {
    const started = meter.start();
    batch.push(proactor.nop().then(() => meter.finishEmpty(started)));
    if (batch.length < depth) continue;
    await Promise.all(batch);
    batch.length = 0;
  }
  await Promise.all(batch);
}

const nop: Workload = async ({ depth }) => {
  const proactor = new Proactor();
  return { pass: (meter) => inBatches(proactor, depth, meter), close: () => proactor.close() };
};

/** The same on the proactor of a worker, which does nothing else. */
const remote: Workload = async ({ depth }) => {
  const owner = new Worker(new URL('thread.ts', import.meta.url), { workerData: { role: 'owner' } });
  const [port] = (await once(owner, 'message')) as [MessagePort];
  const proactor = await remoteProactor(port);
  return {
    pass: (meter) => inBatches(proactor, depth, meter),
    async close() {
      await proactor.close();
      await owner.terminate();
    },
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

export const workloads: Workloads = { nop, lanes, remote };
