/**
 * A thread of a soak: reads a file through the proactor of the thread that started it, and takes over connections, which it
 * reads to their end. It posts how many bytes were right, and what was wrong.
 */
import { parentPort, workerData } from 'node:worker_threads';
import type { MessagePort } from 'node:worker_threads';
import { Proactor, open, remoteProactor, takeOver } from 'ritsu';
import type { BackendName, Moved, Stream } from 'ritsu';
import { Random } from '../support/random.ts';
import { Pattern, limits } from './soak-tally.ts';

export interface SoakTask {
  readonly port: MessagePort;
  readonly backend: BackendName;
  readonly seed: number;
  readonly path: string;
  readonly key: number;
  readonly size: number;
  readonly reads: number;
}

export interface SoakOrder {
  readonly moved: Moved;
  readonly key: number;
  readonly from: number;
}

const { port, backend, seed, path, key, size, reads } = workerData as SoakTask;
const random = new Random(seed);

/** Bytes that were right; the position of the first that was not. */
async function readFile(): Promise<object> {
  const remote = await remoteProactor(port);
  const file = await open(path, { proactor: remote });
  const pattern = new Pattern(key);
  let right = 0;
  for (let count = 0; count < reads; count += 1) {
    const position = random.below(size);
    const bytes = await file.allocator({ blockSize: 1 + random.below(65_536) }).read({ position, ...limits(random) }).catch((error: Error) => {
      if (error.name !== 'AbortError' && error.name !== 'TimeoutError') throw error;
    });
    if (!bytes) continue;
    if (!pattern.holds(bytes.data, position)) return { wrong: `remote read at ${position}` };
    right += bytes.length;
    bytes.release();
  }
  await file.close();
  await remote.close();
  return { right };
}

async function readStream({ moved, key: own, from }: SoakOrder): Promise<object> {
  const proactor = new Proactor({ backend });
  const stream = (await takeOver(moved, { proactor })) as Stream;
  const pattern = new Pattern(own);
  let arrived = 0;
  for await (const bytes of stream.allocator()) {
    if (!pattern.holds(bytes.data, from + arrived)) return { wrong: `handed-over stream at ${from + arrived}` };
    arrived += bytes.length;
  }
  await stream.close();
  await proactor.close();
  return { arrived };
}

const tell = (message: object): void => parentPort!.postMessage(message);
parentPort!.once('message', (order: SoakOrder | 'end') => {
  const working = order === 'end' ? Promise.resolve({}) : readStream(order);
  working.then((said) => tell({ ...said, ended: true }), (error: Error) => tell({ wrong: String(error.stack), ended: true }));
});
readFile().then(tell, (error: Error) => tell({ wrong: String(error.stack) }));
