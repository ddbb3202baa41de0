/** A thread whose proactor others use: it posts a port to it, and closes it when it is told to. */
import { parentPort, workerData } from 'node:worker_threads';
import { Proactor } from 'ritsu';
import type { BackendName } from 'ritsu';

const proactor = new Proactor({ backend: workerData as BackendName });
const port = proactor.share();
parentPort!.postMessage(port, [port]);
parentPort!.once('message', () => void proactor.destroy().then(() => parentPort!.close()));
