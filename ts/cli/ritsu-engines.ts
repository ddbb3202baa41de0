/** ritsu's three styles as its users write them, with the fence on. */
import { Proactor, alloc, open, owned, pooled } from '../index.js';
import type { AsyncRead, Bytes, File, Style } from '../index.js';
import { inLanes } from './engine.js';
import type { RandomEngine, SequentialEngine } from './engine.js';
import type { RandomMeter, SequentialMeter } from './meter.js';
import type { RandomPlan, SequentialPlan } from './plan.js';

/** The buffers that the sequential submit style has outstanding: as many as iteration keeps, one and two ahead. */
const SUBMITTED = 3;

type Pass = (meter: RandomMeter) => Promise<void>;

function random(name: string, style: Style, prepare: (file: File, plan: RandomPlan) => Pass): RandomEngine {
  return {
    name,
    style,
    async open(plan) {
      const file = await open(plan.path, { direct: plan.direct });
      return { pass: prepare(file, plan), close: () => file.close() };
    },
  };
}

/** Reads that lend their bytes, to be released. */
async function lentLane(meter: RandomMeter, size: number, read: (position: number) => Promise<Bytes | null>): Promise<void> {
  for (let block = meter.next(); block >= 0; block = meter.next()) {
    const started = meter.start();
    const bytes = await read(block * size);
    if (bytes === null) throw new Error(`no bytes at ${block * size}, before the file's end`);
    try {
      meter.finish(started, bytes.data, bytes.length, block);
    } finally {
      bytes.release();
    }
  }
}

const randomAllocator = random('ritsu allocator', 'allocator', (file, { blockSize, depth }) => {
  const reader = file.allocator({ blockSize });
  return (meter) => inLanes(meter, depth, () => lentLane(meter, blockSize, (position) => reader.read({ position })));
});

/** All that is outstanding by one promise, or by a few where that is more than a block of the pool holds. */
const randomMany = random('ritsu readMany', 'allocator', (file, { blockSize, depth }) => {
  const reader = file.allocator({ blockSize });
  const most = Math.max(1, Math.min(depth, Math.floor(Proactor.current().pool.largest / blockSize)));
  return (meter) =>
    inLanes(meter, Math.ceil(depth / most), async () => {
      const blocks: number[] = [];
      for (;;) {
        const started = drawMany(meter, blocks, most);
        if (blocks.length === 0) return;
        const bytes = await reader.readMany(blocks.map((block) => block * blockSize));
        if (bytes === null) throw new Error(`no bytes at ${blocks[0]! * blockSize}, before the file's end`);
        try {
          for (const [index, block] of blocks.entries()) {
            const length = bytes.lengths![index]!;
            meter.finish(started[index]!, bytes.data.subarray(index * blockSize, index * blockSize + length), length, block);
          }
        } finally {
          bytes.release();
        }
      }
    });
});

/** Draw the next blocks, at most so many; when each was begun. */
function drawMany(meter: RandomMeter, blocks: number[], most: number): number[] {
  blocks.length = 0;
  const started: number[] = [];
  while (blocks.length < most) {
    const block = meter.next();
    if (block < 0) break;
    blocks.push(block);
    started.push(meter.start());
  }
  return started;
}

/** One reader with all the reads outstanding; they come back in the order of submission. */
const randomSubmit = random('ritsu submit', 'submit', (file, { blockSize, depth }) => {
  const reader = file.submitter();
  const spare = Array.from({ length: depth }, () => alloc(blockSize));
  const blocks = new Float64Array(depth);
  const starts = new Float64Array(depth);
  return async (meter) => {
    let submitted = 0;
    const submitNext = (): void => {
      const block = meter.next();
      if (block < 0) return;
      blocks[submitted % depth] = block;
      starts[submitted % depth] = meter.start();
      reader.submit(spare.pop()!, { position: block * blockSize });
      submitted += 1;
    };
    for (let lane = 0; lane < depth; lane += 1) submitNext();
    for (let polled = 0; polled < submitted; polled += 1) {
      const bytes = await reader.poll();
      const lane = polled % depth;
      meter.finish(starts[lane]!, bytes.data, bytes.length, blocks[lane]!);
      spare.push(bytes.take());
      submitNext();
    }
  };
});

const randomPooled = random('ritsu hybrid pooled', 'hybrid', (file, { blockSize, depth }) => {
  const reader = file.hybrid();
  const into = pooled({ size: blockSize });
  return (meter) => inLanes(meter, depth, () => lentLane(meter, blockSize, (position) => reader.read(into, { position })));
});

/** The buffers take their memory back themselves, at the next read into them; nothing is released. */
const randomOwned = random('ritsu hybrid owned', 'hybrid', (file, { blockSize, depth }) => {
  const reader = file.hybrid();
  const buffers = Array.from({ length: depth }, () => owned(alloc(blockSize)));
  return (meter) =>
    inLanes(meter, depth, async (lane) => {
      const into = buffers[lane]!;
      for (let block = meter.next(); block >= 0; block = meter.next()) {
        const started = meter.start();
        const bytes = await reader.read(into, { position: block * blockSize });
        if (bytes === null) throw new Error(`no bytes at ${block * blockSize}, before the file's end`);
        meter.finish(started, bytes.data, bytes.length, block);
      }
    });
});

type Lap = (file: File, plan: SequentialPlan, meter: SequentialMeter) => Promise<void>;

/** A file's readers go on where the last one stood: it is opened anew for each lap. */
function sequential(name: string, style: Style, lap: Lap): SequentialEngine {
  return {
    name,
    style,
    async open(plan) {
      return {
        async pass(meter) {
          for (let count = meter.laps; count > 0; count -= 1) {
            const file = await open(plan.path, { direct: plan.direct });
            try {
              await lap(file, plan, meter);
            } finally {
              await file.close();
            }
            meter.endLap();
          }
        },
        close: async () => {},
      };
    },
  };
}

async function iterate(reader: AsyncRead, meter: SequentialMeter): Promise<void> {
  let started = meter.start();
  for await (const bytes of reader) {
    meter.finish(started, bytes.data);
    started = meter.start();
  }
}

const sequentialAllocator = sequential('ritsu allocator', 'allocator', (file, { blockSize }, meter) =>
  iterate(file.allocator({ blockSize }), meter),
);

/** Several buffers submitted ahead, without positions: they come back in the file's order. */
const sequentialSubmit = sequential('ritsu submit', 'submit', async (file, { blockSize }, meter) => {
  const reader = file.submitter();
  for (let count = 0; count < SUBMITTED; count += 1) reader.submit(alloc(blockSize));
  while (reader.outstanding > 0) {
    const started = meter.start();
    const bytes = await reader.poll();
    if (bytes.length === 0) continue;
    meter.finish(started, bytes.data);
    reader.submit(bytes.take());
  }
});

const sequentialHybrid = sequential('ritsu hybrid pooled', 'hybrid', (file, { blockSize }, meter) =>
  iterate(file.hybrid({ into: pooled({ size: blockSize }) }), meter),
);

export const ritsuRandom: readonly RandomEngine[] = [randomAllocator, randomSubmit, randomPooled, randomOwned, randomMany];
export const ritsuSequential: readonly SequentialEngine[] = [sequentialAllocator, sequentialSubmit, sequentialHybrid];
