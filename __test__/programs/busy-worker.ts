/** A worker that does everything at once until it is told to end, in the way told, or is terminated. */
import { parentPort, workerData } from 'node:worker_threads';
import { Proactor, open, sleep } from 'ritsu';
import { BLOCK, isBlockAt } from '../support/blocks.ts';
import { Random } from '../support/random.ts';
import { ensure } from './report.ts';

export interface BusyTask {
  readonly path: string;
  readonly blocks: number;
  readonly seed: number;
}

const { path, blocks, seed } = workerData as BusyTask;
const random = new Random(seed);
const port = parentPort!;
const proactor = new Proactor({ backend: 'uring', pool: { classes: [{ size: BLOCK, count: 32 }] } });
let running = true;

/** Over and over, until the proactor is closed. */
async function repeat(step: () => Promise<void>): Promise<void> {
  try {
    while (running) await step();
  } catch (error) {
    if ((error as { code?: string }).code !== 'ERR_RITSU_CLOSED') throw error;
  }
}

async function readAtRandom(direct: boolean): Promise<void> {
  const file = await open(path, { direct, proactor });
  const reader = file.allocator({ blockSize: BLOCK });
  await repeat(async () => {
    const position = random.below(blocks) * BLOCK;
    const bytes = await reader.read({ position });
    ensure(isBlockAt(bytes!.data, position), `wrong bytes at ${position}`);
    bytes!.release();
  });
}

const ENDS: Readonly<Record<string, () => Promise<void>>> = {
  'process.exit': async () => process.exit(3),
  'an uncaught error': async () => {
    throw new Error('on purpose');
  },
  close: async () => {
    running = false;
    await proactor.close();
    port.close();
  },
  destroy: async () => {
    await proactor.destroy();
    port.close();
  },
};

port.on('message', (how: string) => void ENDS[how]!());
port.postMessage('started');
await Promise.all([
  ...Array.from({ length: 4 }, () => readAtRandom(true)),
  ...Array.from({ length: 4 }, () => readAtRandom(false)),
  repeat(async () => void (await proactor.nop())),
  repeat(() => sleep(1, { proactor })),
]);
