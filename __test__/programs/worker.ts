/**
 * A worker that ends, or is ended, while the kernel has 64 direct reads of its; or, as the bystander, one that goes on
 * reading and checks every byte's place until it is told to stop.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { Proactor, open, sleep } from 'ritsu';
import { BLOCK, isBlockAt } from '../support/blocks.ts';
import { READ_BYTES, READS, beginReads, directProactor } from './direct-reads.ts';
import type { MemoryKind } from './direct-reads.ts';
import { ensure } from './report.ts';

export interface WorkerTask {
  readonly how: string;
  readonly memory: MemoryKind;
  readonly path: string;
}

const { how, memory, path } = workerData as WorkerTask;
const port = parentPort!;

async function bystand(): Promise<void> {
  let wanted = true;
  let reads = 0;
  port.once('message', () => (wanted = false));
  const proactor = new Proactor({ backend: 'uring', pool: { classes: [{ size: 65_536, count: 8 }] } });
  const file = await open(path, { direct: true, proactor });
  const reader = file.allocator({ blockSize: 65_536 });
  for (let position = 0; wanted; position = (position + 17 * 65_536) % (READS * READ_BYTES)) {
    const bytes = await reader.read({ position });
    ensure(bytes!.length === 65_536 && isBlockAt(bytes!.data, position), `wrong bytes at ${position / BLOCK}`);
    bytes!.release();
    reads += 1;
    await sleep(0.2, { proactor });
    if (reads === 1) port.postMessage({ started: true });
  }
  await proactor.close();
  port.postMessage({ reads });
}

async function end(): Promise<void> {
  const proactor = directProactor();
  const reads = await beginReads(proactor, path, memory);
  // Those that the end cuts off are nobody's business.
  for (const read of reads) read.catch(() => {});
  port.postMessage({ inFlight: proactor.stats().inFlight });
  if (how === 'process.exit') process.exit(3);
  if (how === 'an uncaught error') throw new Error('on purpose');
  if (how === 'process.exit in a continuation') {
    await Promise.race(reads);
    process.exit(3);
  }
  if (how === 'terminate in a continuation') {
    await Promise.race(reads);
    port.postMessage({ settled: true });
  }
  if (how.startsWith('terminate')) setInterval(() => {}, 1000); // whoever started this worker ends it
}

await (how === 'bystander' ? bystand() : end());
