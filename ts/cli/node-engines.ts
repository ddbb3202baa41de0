/** node:fs as a careful user writes it: one buffer for each read in flight, nothing allocated that need not be. */
import { close, constants, createReadStream, open, read } from 'node:fs';
import { open as openHandle } from 'node:fs/promises';
import { promisify } from 'node:util';
import { alloc } from '../index.js';
import { BASELINE, inLanes } from './engine.js';
import type { RandomEngine, SequentialEngine, Session } from './engine.js';
import type { RandomMeter, SequentialMeter } from './meter.js';
import type { Plan, RandomPlan, SequentialPlan } from './plan.js';

const openDescriptor = promisify(open);
const closeDescriptor = promisify(close);

function flagsOf({ direct }: Plan): number {
  return constants.O_RDONLY | (direct ? constants.O_DIRECT : 0);
}

/** Node has no aligned memory: for O_DIRECT it gets ritsu's, or it could not read at all. */
function bufferFor({ direct, blockSize }: Plan): Buffer {
  return direct ? alloc(blockSize) : Buffer.allocUnsafeSlow(blockSize);
}

const randomByPromise: RandomEngine = {
  name: BASELINE,
  style: undefined,
  async open(plan: RandomPlan): Promise<Session<RandomMeter>> {
    const handle = await openHandle(plan.path, flagsOf(plan));
    const size = plan.blockSize;
    const buffers = Array.from({ length: plan.depth }, () => bufferFor(plan));
    return {
      pass: (meter) =>
        inLanes(meter, plan.depth, async (lane) => {
          const buffer = buffers[lane]!;
          for (let block = meter.next(); block >= 0; block = meter.next()) {
            const started = meter.start();
            const { bytesRead } = await handle.read(buffer, 0, size, block * size);
            meter.finish(started, buffer, bytesRead, block);
          }
        }),
      close: () => handle.close(),
    };
  },
};

const randomByCallback: RandomEngine = {
  name: 'node fs.read',
  style: undefined,
  async open(plan: RandomPlan): Promise<Session<RandomMeter>> {
    const descriptor = await openDescriptor(plan.path, flagsOf(plan));
    const buffers = Array.from({ length: plan.depth }, () => bufferFor(plan));
    return {
      pass: (meter) => inLanes(meter, plan.depth, (lane) => callbackLane(descriptor, buffers[lane]!, meter)),
      close: () => closeDescriptor(descriptor),
    };
  },
};

function callbackLane(descriptor: number, buffer: Buffer, meter: RandomMeter): Promise<void> {
  return new Promise((resolve, reject) => {
    const size = buffer.length;
    let started = 0;
    let block = 0;
    const step = (): void => {
      block = meter.next();
      if (block < 0) return resolve();
      started = meter.start();
      read(descriptor, buffer, 0, size, block * size, done);
    };
    const done = (error: Error | null, length: number): void => {
      if (error !== null) return reject(error);
      try {
        meter.finish(started, buffer, length, block);
      } catch (wrong) {
        return reject(wrong);
      }
      step();
    };
    step();
  });
}

/** Reads the whole file as often as the meter wants, in a fresh opening each time. */
function laps(lap: (meter: SequentialMeter) => Promise<void>): Session<SequentialMeter> {
  return {
    async pass(meter) {
      for (let count = meter.laps; count > 0; count -= 1) {
        await lap(meter);
        meter.endLap();
      }
    },
    close: async () => {},
  };
}

const sequentialByHandle: SequentialEngine = {
  name: BASELINE,
  style: undefined,
  async open(plan: SequentialPlan) {
    const buffer = bufferFor(plan);
    return laps(async (meter) => {
      const handle = await openHandle(plan.path, flagsOf(plan));
      try {
        for (;;) {
          const started = meter.start();
          const { bytesRead } = await handle.read(buffer, 0, buffer.length);
          if (bytesRead > 0) meter.finish(started, buffer.subarray(0, bytesRead));
          // Only the file's end is short; and O_DIRECT could not ask again, from the odd position there.
          if (bytesRead < buffer.length) break;
        }
      } finally {
        await handle.close();
      }
    });
  },
};

const sequentialByStream: SequentialEngine = {
  name: 'node createReadStream',
  style: undefined,
  absent: ({ direct }) => (direct ? 'its buffers are not aligned, as O_DIRECT wants them' : undefined),
  async open(plan: SequentialPlan) {
    return laps(async (meter) => {
      let started = meter.start();
      for await (const chunk of createReadStream(plan.path, { highWaterMark: plan.blockSize }) as AsyncIterable<Buffer>) {
        meter.finish(started, chunk);
        started = meter.start();
      }
    });
  },
};

export const nodeRandom: readonly RandomEngine[] = [randomByPromise, randomByCallback];
export const nodeSequential: readonly SequentialEngine[] = [sequentialByHandle, sequentialByStream];
