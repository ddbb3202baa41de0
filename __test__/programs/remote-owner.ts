/**
 * A thread whose proactor others use: it posts a port to it, falls asleep for good when it is sent a gate that nobody
 * opens, takes nothing in for a while, says how often its loop has turned, and closes it, when it is told to.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { Proactor } from 'ritsu';
import type { BackendName } from 'ritsu';
import { sleepSync } from './report.ts';

const proactor = new Proactor({ backend: workerData as BackendName });
const port = proactor.share();
parentPort!.postMessage(port, [port]);
parentPort!.on('message', (order: Int32Array | 'block' | 'close' | 'turns') => {
  if (order === 'close') void proactor.destroy().then(() => parentPort!.close());
  else if (order === 'turns') parentPort!.postMessage(performance.nodeTiming.uvMetricsInfo.loopCount);
  else if (order === 'block') sleepSync(20_000);
  else {
    parentPort!.postMessage('asleep');
    Atomics.wait(order, 0, 0);
  }
});
