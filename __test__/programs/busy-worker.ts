/**
 * A worker that does everything at once until it is told to end, in the way told, or is terminated: on its own proactor, and
 * on those of other threads that it was given a port to. It posts a port to its own.
 */
import { parentPort, workerData } from 'node:worker_threads';
import type { MessagePort } from 'node:worker_threads';
import { Proactor, alloc, open, owned, remoteProactor, sleep } from 'ritsu';
import { BLOCK, isBlockAt } from '../support/blocks.ts';
import { Random } from '../support/random.ts';
import { ensure } from './report.ts';

export interface BusyTask {
  readonly path: string;
  readonly blocks: number;
  readonly seed: number;
  /** To proactors of other threads. */
  readonly ports: readonly MessagePort[];
}

const { path, blocks, seed, ports } = workerData as BusyTask;
const random = new Random(seed);
const port = parentPort!;
const proactor = new Proactor({ backend: 'uring', pool: { classes: [{ size: BLOCK, count: 32 }] } });
const remotes: Promise<Proactor | undefined>[] = [];
let running = true;

/** Over and over, until the proactor, or the thread that it is another's of, is closed. */
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

async function lose(error: unknown): Promise<undefined> {
  if ((error as { code?: string }).code !== 'ERR_RITSU_CLOSED') throw error;
  return undefined;
}

/** On another thread's proactor, for as long as that lives. */
async function ask(remote: Proactor): Promise<void> {
  const file = await open(path, { proactor: remote });
  let memory = alloc(BLOCK, { proactor: remote });
  await Promise.all([
    repeat(async () => {
      const position = random.below(blocks) * BLOCK;
      const read = file.hybrid().read(owned(memory), { position });
      memory = await read.then((bytes) => bytes!.take(), (error: Error & { buffer?: Buffer }) => {
        // Of a read that was refused it never went away.
        ensure((error.buffer ?? memory).length === BLOCK, 'no memory came back');
        throw error;
      });
      ensure(isBlockAt(memory, position), `wrong bytes at ${position}`);
    }),
    repeat(async () => void (await remote.nop())),
    repeat(() => sleep(1, { proactor: remote })),
  ]);
  await file.close();
}

/** Those that were joined, and those that yet will be. */
async function leave(how: 'close' | 'destroy'): Promise<void> {
  await Promise.all([proactor[how](), ...remotes.map(async (remote) => (await remote)?.[how]())]);
  port.close();
}

const ENDS: Readonly<Record<string, () => Promise<void>>> = {
  'process.exit': async () => process.exit(3),
  'an uncaught error': async () => {
    throw new Error('on purpose');
  },
  close: async () => {
    running = false;
    await leave('close');
  },
  destroy: () => leave('destroy'),
};

port.on('message', (how: string) => void ENDS[how]!());
port.postMessage('started');
const shared = proactor.share();
port.postMessage(shared, [shared]);
remotes.push(...ports.map((each) => remoteProactor(each).catch(lose)));
await Promise.all([
  ...Array.from({ length: 4 }, () => readAtRandom(true)),
  ...Array.from({ length: 4 }, () => readAtRandom(false)),
  repeat(async () => void (await proactor.nop())),
  repeat(() => sleep(1, { proactor })),
  ...remotes.map(async (joining) => {
    const remote = await joining;
    if (remote !== undefined) await ask(remote).catch(lose);
  }),
]);
