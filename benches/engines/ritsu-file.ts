/** ritsu's three styles, as their users write them; with the fence (the default) and without. */
import { Proactor, alloc, open, owned, pooled, readFile } from 'ritsu';
import type { AsyncRead, Bytes, File } from 'ritsu';
import type { Meter } from '../meter.ts';
import { pathsOf } from '../plan.ts';
import type { Plan } from '../plan.ts';
import { inLanes } from './session.ts';
import type { Session, Workload, Workloads } from './session.ts';

interface Opened {
  readonly plan: Plan;
  readonly proactor: Proactor;
  readonly file: File;
}

type Pass = (meter: Meter) => Promise<void>;

/** Open the plan's file on a proactor of its own and prepare a style on it. */
function workload(fence: boolean, prepare: (opened: Opened) => Pass, offload = false): Workload {
  return async (plan): Promise<Session> => {
    const proactor = new Proactor({ fence });
    const file = await open(plan.path, { proactor, direct: plan.direct, offload });
    return {
      pass: prepare({ plan, proactor, file }),
      copies: () => proactor.stats().copies,
      async close() {
        await file.close();
        await proactor.close();
      },
    };
  };
}

/** Any call that gives a lease for a position, in as many lanes as the plan has reads outstanding. */
function inLease(plan: Plan, read: (position: number, lane: number) => Promise<Bytes | null>): Pass {
  const size = plan.blockSize;
  return (meter) =>
    inLanes(plan.depth, async (lane) => {
      for (let block = meter.next(); block >= 0; block = meter.next()) {
        const started = meter.start();
        const bytes = (await read(block * size, lane))!;
        meter.finish(started, bytes.data, bytes.length, block);
        bytes.release();
      }
    });
}

function allocator({ plan, file }: Opened): Pass {
  const reader = file.allocator({ blockSize: plan.blockSize });
  return inLease(plan, (position) => reader.read({ position }));
}

/** All of the plan's outstanding reads by one call; from the disk half of them by each of two, so that it never runs dry. */
function allocatorMany({ plan, file, proactor }: Opened): Pass {
  const size = plan.blockSize;
  const reader = file.allocator({ blockSize: size });
  const lanes = Math.max(plan.direct ? 2 : 1, Math.ceil((plan.depth * size) / proactor.pool.largest));
  const most = plan.depth / lanes;
  return (meter) =>
    inLanes(lanes, async () => {
      const blocks = new Float64Array(most);
      const starts = new Float64Array(most);
      for (;;) {
        const positions: number[] = [];
        while (positions.length < most) {
          const block = meter.next();
          if (block < 0) break;
          blocks[positions.length] = block;
          starts[positions.length] = meter.start();
          positions.push(block * size);
        }
        if (positions.length === 0) return;
        const bytes = (await reader.readMany(positions))!;
        const { data, lengths } = bytes;
        for (let index = 0; index < positions.length; index += 1) {
          meter.finish(starts[index]!, data, lengths![index]!, blocks[index]!, index * size);
        }
        bytes.release();
      }
    });
}

function hybridPooled({ plan, file, proactor }: Opened): Pass {
  const reader = file.hybrid();
  const into = pooled({ size: plan.blockSize, pool: proactor.pool });
  return inLease(plan, (position) => reader.read(into, { position }));
}

/** The buffers take their memory back themselves, at the next read into them; nothing is released. */
function hybridOwned({ plan, file, proactor }: Opened): Pass {
  const reader = file.hybrid();
  const size = plan.blockSize;
  const buffers = Array.from({ length: plan.depth }, () => owned(alloc(size, { proactor })));
  return (meter) =>
    inLanes(plan.depth, async (lane) => {
      const into = buffers[lane]!;
      for (let block = meter.next(); block >= 0; block = meter.next()) {
        const started = meter.start();
        const bytes = (await reader.read(into, { position: block * size }))!;
        meter.finish(started, bytes.data, bytes.length, block);
      }
    });
}

/** One reader with all the reads outstanding; they come back in the order of submission. */
function submit({ plan, file, proactor }: Opened): Pass {
  const reader = file.submitter();
  const length = plan.blockSize;
  const spare = Array.from({ length: plan.depth }, () => alloc(length, { proactor }));
  const blocks = new Float64Array(plan.depth);
  const starts = new Float64Array(plan.depth);
  return async (meter) => {
    let submitted = 0;
    const submitNext = (): void => {
      const block = meter.next();
      if (block < 0) return;
      blocks[submitted % plan.depth] = block;
      starts[submitted % plan.depth] = meter.start();
      reader.submit(spare.pop()!, { position: block * length, length });
      submitted += 1;
    };
    for (let lane = 0; lane < plan.depth; lane += 1) submitNext();
    for (let polled = 0; polled < submitted; polled += 1) {
      const bytes = await reader.poll();
      const lane = polled % plan.depth;
      meter.finish(starts[lane]!, bytes.data, bytes.length, blocks[lane]!);
      spare.push(bytes.take());
      submitNext();
    }
  };
}

/** The whole file once, by the iteration that all readers share. A reader goes on where the last stood: a new file each. */
function iterate(reader: (opened: Opened) => AsyncRead): Workload {
  return async (plan): Promise<Session> => {
    const proactor = new Proactor();
    return {
      copies: () => proactor.stats().copies,
      async pass(meter) {
        const file = await open(plan.path, { proactor, direct: plan.direct });
        let started = meter.startChunk();
        for await (const bytes of reader({ plan, proactor, file })) {
          meter.finishChunk(started, bytes.data);
          started = meter.startChunk();
        }
        await file.close();
      },
      close: () => proactor.close(),
    };
  };
}

/** The whole file once, several of the caller's buffers submitted ahead, without positions. */
const submitAhead: Workload = async (plan) => {
  const proactor = new Proactor();
  let spare = Array.from({ length: plan.depth }, () => alloc(plan.blockSize, { proactor }));
  return {
    copies: () => proactor.stats().copies,
    async pass(meter) {
      const file = await open(plan.path, { proactor, direct: plan.direct });
      const reader = file.submitter();
      for (const buffer of spare) reader.submit(buffer);
      spare = [];
      while (reader.outstanding > 0) {
        const started = meter.startChunk();
        const bytes = await reader.poll();
        const ended = bytes.length === 0;
        if (!ended) meter.finishChunk(started, bytes.data);
        const buffer = bytes.take();
        if (ended) spare.push(buffer);
        else reader.submit(buffer);
      }
      await file.close();
    },
    close: () => proactor.close(),
  };
};

/** Many small files, each read as a whole. */
const wholeFiles: Workload = async (plan) => {
  const proactor = new Proactor();
  const paths = pathsOf(plan);
  return {
    copies: () => proactor.stats().copies,
    pass: (meter) =>
      inLanes(plan.depth, async () => {
        for (let file = meter.next(); file >= 0; file = meter.next()) {
          const started = meter.start();
          const bytes = await readFile(paths[file]!, { proactor });
          meter.finish(started, bytes, bytes.length, file);
        }
      }),
    close: () => proactor.close(),
  };
};

export const workloads: Workloads = {
  'whole-files': wholeFiles,
  allocator: workload(true, allocator),
  'allocator-many': workload(true, allocatorMany),
  'allocator-offloaded': workload(true, allocator, true),
  'allocator-unfenced': workload(false, allocator),
  submit: workload(true, submit),
  'submit-unfenced': workload(false, submit),
  'hybrid-pooled': workload(true, hybridPooled),
  'hybrid-owned': workload(true, hybridOwned),
  'hybrid-owned-unfenced': workload(false, hybridOwned),
  'iterate-allocator': iterate(({ file, plan }) => file.allocator({ blockSize: plan.blockSize, readAhead: plan.depth - 1 })),
  'iterate-submit': submitAhead,
  'iterate-hybrid': iterate(({ file, plan, proactor }) =>
    file.hybrid({ into: pooled({ size: plan.blockSize, pool: proactor.pool }) }),
  ),
};
