/** What a turn costs without any I/O: the floor below every promise API, and the fence by itself. */
import { Worker } from 'node:worker_threads';
import type { Meter } from '../meter.ts';
import type { Workload, Workloads } from './session.ts';

async function nothing(): Promise<void> {}

/** Batches of promises that are settled at once, each batch in a turn of the loop of its own. */
const turn: Workload = async (plan) => ({
  async pass(meter) {
    const batch: Promise<void>[] = [];
    for (let block = meter.next(); block >= 0; block = meter.next()) {
      const started = meter.start();
      batch.push(nothing().then(() => meter.finishEmpty(started)));
      if (batch.length < plan.depth) continue;
      await Promise.all(batch);
      batch.length = 0;
      await new Promise((resolve) => setImmediate(resolve));
    }
    await Promise.all(batch);
  },
  close: async () => {},
});

/** One hand-over: the memory moves to a new ArrayBuffer (or not), and a view is made on it. */
function handOver(fence: boolean): Workload {
  return async (plan) => {
    const memory = Array.from({ length: plan.depth }, () => new ArrayBuffer(plan.blockSize));
    const step = (meter: Meter, lane: number): void => {
      const started = meter.start();
      if (fence) memory[lane] = memory[lane]!.transfer();
      const view = Buffer.from(memory[lane]!, 0, plan.blockSize);
      if (view.length !== plan.blockSize) throw new Error('the view is empty');
      meter.finishEmpty(started);
    };
    return {
      async pass(meter) {
        for (let block = meter.next(), count = 0; block >= 0; block = meter.next(), count += 1) step(meter, count % plan.depth);
      },
      close: async () => {},
    };
  };
}

/** What a program without ritsu would do: a message to a worker for each request, and one back. */
const messages: Workload = async ({ depth }) => {
  const echo = new Worker('const { parentPort } = require("node:worker_threads"); parentPort.on("message", (n) => parentPort.postMessage(n));', { eval: true });
  const waiting: ((started: number) => void)[] = [];
  echo.on('message', (started: number) => waiting.shift()!(started));
  return {
    async pass(meter) {
      const batch: Promise<void>[] = [];
      for (let block = meter.next(); block >= 0; block = meter.next()) {
        echo.postMessage(meter.start());
        batch.push(new Promise<number>((resolve) => waiting.push(resolve)).then((started) => meter.finishEmpty(started)));
        if (batch.length < depth) continue;
        await Promise.all(batch);
        batch.length = 0;
      }
      await Promise.all(batch);
    },
    async close() {
      await echo.terminate();
    },
  };
};

export const workloads: Workloads = { turn, messages, view: handOver(false), transfer: handOver(true) };
