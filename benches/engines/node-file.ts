/** node:fs in its four ways, as a careful user writes them: buffers reused, nothing allocated that need not be. */
import { close, constants, createReadStream, open, openSync, read, readFile, readFileSync, readSync } from 'node:fs';
import { open as openHandle, readFile as readWholeFile } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { promisify } from 'node:util';
import type { Meter } from '../meter.ts';
import { pathsOf } from '../plan.ts';
import type { Plan } from '../plan.ts';
import { inLanes } from './session.ts';
import type { Session, Workload, Workloads } from './session.ts';

const openDescriptor = promisify(open);
const closeDescriptor = promisify(close);

function flagsOf(plan: Plan): number {
  return constants.O_RDONLY | (plan.direct ? constants.O_DIRECT : 0);
}

/**
 * One buffer for each lane. Node has no aligned buffers; for O_DIRECT the alignment is found by trial, which no
 * application would do, but the rival shall not lose for want of it.
 */
function laneBuffers(plan: Plan): Buffer[] {
  const page = 4096;
  const memory = Buffer.allocUnsafeSlow(plan.depth * plan.blockSize + page);
  const offset = plan.direct ? alignedOffset(plan, memory, page) : 0;
  return Array.from({ length: plan.depth }, (_, lane) => {
    const start = offset + lane * plan.blockSize;
    return memory.subarray(start, start + plan.blockSize);
  });
}

function alignedOffset(plan: Plan, memory: Buffer, page: number): number {
  const descriptor = openSync(plan.path, flagsOf(plan));
  try {
    for (let offset = 0; offset < page; offset += 8) {
      try {
        readSync(descriptor, memory, offset, page, 0);
        return offset;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EINVAL') throw error;
      }
    }
    throw new Error('no alignment satisfies O_DIRECT here');
  } finally {
    close(descriptor);
  }
}

const promises: Workload = async (plan) => {
  const handle = await openHandle(plan.path, flagsOf(plan));
  const buffers = laneBuffers(plan);
  const size = plan.blockSize;
  const lane = async (meter: Meter, buffer: Buffer): Promise<void> => {
    for (let block = meter.next(); block >= 0; block = meter.next()) {
      const started = meter.start();
      const { bytesRead } = await handle.read(buffer, 0, size, block * size);
      meter.finish(started, buffer, bytesRead, block);
    }
  };
  return {
    pass: (meter) => inLanes(plan.depth, (index) => lane(meter, buffers[index]!)),
    close: () => handle.close(),
  };
};

const callback: Workload = async (plan) => {
  const descriptor = await openDescriptor(plan.path, flagsOf(plan));
  const buffers = laneBuffers(plan);
  const size = plan.blockSize;
  const lane = (meter: Meter, buffer: Buffer): Promise<void> =>
    new Promise((resolve, reject) => {
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
        meter.finish(started, buffer, length, block);
        step();
      };
      step();
    });
  return {
    pass: (meter) => inLanes(plan.depth, (index) => lane(meter, buffers[index]!)),
    close: () => closeDescriptor(descriptor),
  };
};

const sync: Workload = async (plan) => {
  const descriptor = await openDescriptor(plan.path, flagsOf(plan));
  const buffer = laneBuffers(plan)[0]!;
  const size = plan.blockSize;
  return {
    async pass(meter) {
      for (let block = meter.next(); block >= 0; block = meter.next()) {
        const started = meter.start();
        meter.finish(started, buffer, readSync(descriptor, buffer, 0, size, block * size), block);
      }
    },
    close: () => closeDescriptor(descriptor),
  };
};

/** A pass reads the whole file through one stream. */
function streaming(consume: (plan: Plan, meter: Meter) => Promise<void>): Workload {
  return async (plan): Promise<Session> => ({ pass: (meter) => consume(plan, meter), close: async () => {} });
}

const stream = streaming(async (plan, meter) => {
  let started = meter.startChunk();
  for await (const chunk of createReadStream(plan.path, { highWaterMark: plan.blockSize }) as AsyncIterable<Buffer>) {
    meter.finishChunk(started, chunk);
    started = meter.startChunk();
  }
});

const byob = streaming(async (plan, meter) => {
  const handle: FileHandle = await openHandle(plan.path, 'r');
  try {
    const reader = handle.readableWebStream().getReader({ mode: 'byob' });
    let memory = new ArrayBuffer(plan.blockSize);
    for (;;) {
      const started = meter.startChunk();
      const { done, value } = await reader.read(new Uint8Array(memory, 0, plan.blockSize));
      if (done || value === undefined) break;
      meter.finishChunk(started, value);
      memory = value.buffer;
    }
  } finally {
    await handle.close();
  }
});

/** Many small files, each read as a whole. */
function wholeFiles(readWhole: (path: string) => Promise<Buffer>): Workload {
  return async (plan): Promise<Session> => {
    const paths = pathsOf(plan);
    return {
      pass: (meter) =>
        inLanes(plan.depth, async () => {
          for (let file = meter.next(); file >= 0; file = meter.next()) {
            const started = meter.start();
            const bytes = await readWhole(paths[file]!);
            meter.finish(started, bytes, bytes.length, file);
          }
        }),
      close: async () => {},
    };
  };
}

const wholeFilesSync: Workload = async (plan) => {
  const paths = pathsOf(plan);
  return {
    async pass(meter) {
      for (let file = meter.next(); file >= 0; file = meter.next()) {
        const started = meter.start();
        const bytes = readFileSync(paths[file]!);
        meter.finish(started, bytes, bytes.length, file);
      }
    },
    close: async () => {},
  };
};

export const workloads: Workloads = {
  promises,
  callback,
  sync,
  stream,
  byob,
  'whole-promises': wholeFiles((path) => readWholeFile(path)),
  'whole-callback': wholeFiles(promisify(readFile)),
  'whole-sync': wholeFilesSync,
};
