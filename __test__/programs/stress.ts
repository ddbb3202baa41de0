/**
 * No-ops, reads and short sleeps in waves of mixed depth: `stress <no-ops> <reads> <seed> <watchdog> <path> <blocks>`.
 * Every operation has a result of its own, which must come once. With `watchdog` a timer of a second looks for
 * progress; without, nothing but completions wakes the loop, so that a lost one stops everything for good.
 */
import { Proactor, alloc, open, owned, pooled, sleep } from 'ritsu';
import { BLOCK, isBlockAt } from '../support/blocks.ts';
import { Random } from '../support/random.ts';
import { residentOutsideHeap } from '../support/resident.ts';
import { ensure, report } from './report.ts';

const [nops = 0, reads = 0, seed = 0] = process.argv.slice(2, 5).map(Number);
const [watchdog = '', path = ''] = process.argv.slice(5, 7);
const blocks = Number(process.argv[7]);
const DEPTHS = [1, 1, 2, 3, 8, 32, 32, 128, 700, 3000];
/** Without the watchdog no read may wait for a block either: the pool would set a timer, to warn. */
const POOL = watchdog === 'watchdog' ? 512 : 4096;
const SAMPLES = 300;

const random = new Random(seed);
const proactor = new Proactor({ backend: 'uring', pool: { classes: [{ size: BLOCK, count: POOL }] } });
const cached = await open(path, { proactor });
const direct = await open(path, { direct: true, proactor });

let settled = 0;
let settledAt = 0;
let stalls = 0;
const total = nops + reads;
const resident: number[] = [];

function settle(): void {
  settled += 1;
  settledAt = performance.now();
  if (settled % Math.ceil(total / SAMPLES) === 0) resident.push(residentOutsideHeap() / 2 ** 20);
  if (settled % Math.ceil(total / 20) === 0) report({ progress: settled });
}

function check(data: Uint8Array, position: number): void {
  ensure(data.length === BLOCK && isBlockAt(data, position), `wrong bytes at ${position}`);
}

const allocators = [cached, direct].map((file) => file.allocator({ blockSize: BLOCK }));
const submitters = [cached, direct].map((file) => file.submitter());
const hybrid = cached.hybrid({ into: pooled({ pool: proactor.pool, size: BLOCK }) });
const buffers: Buffer[] = [];
const takeBuffer = (): Buffer => buffers.pop() ?? alloc(BLOCK, { proactor });

/** A read in each style, from the page cache or past it, into memory of each kind. */
const READS: readonly ((position: number, file: number) => Promise<void>)[] = [
  async (position, file) => {
    const bytes = (await allocators[file]!.read({ position }))!;
    check(bytes.data, position);
    bytes.release();
  },
  async (position, file) => {
    submitters[file]!.submit(takeBuffer(), { position });
    const bytes = await submitters[file]!.poll();
    check(bytes.data, position);
    buffers.push(bytes.take());
  },
  async (position) => {
    const into = owned(takeBuffer());
    const bytes = (await hybrid.read(into, { position }))!;
    check(bytes.data, position);
    buffers.push(into.take());
  },
  async (position) => {
    const bytes = (await hybrid.pull({ position }))!;
    check(bytes.data, position);
    bytes.release();
  },
];

let serial = 0;

async function nop(): Promise<void> {
  serial += 1;
  const mine = serial & 0x3fff_ffff;
  ensure((await proactor.nop(mine)) === mine, 'a no-op got the result of another');
}

function startOne(isRead: boolean): Promise<void> {
  if (!isRead) return nop();
  return random.pick(READS)(random.below(blocks) * BLOCK, random.chance(0.15) ? 1 : 0);
}

async function run(): Promise<void> {
  let readsLeft = reads;
  let left = total;
  while (left > 0) {
    const depth = Math.min(left, random.pick(DEPTHS));
    const wave: Promise<void>[] = [];
    for (let index = 0; index < depth; index += 1, left -= 1) {
      const isRead = readsLeft > 0 && random.below(left) < readsLeft;
      if (isRead) readsLeft -= 1;
      wave.push(startOne(isRead).then(settle));
    }
    if (random.chance(0.2)) wave.push(sleep(random.below(100) / 1000, { proactor }));
    await Promise.all(wave);
  }
}

if (watchdog === 'watchdog') {
  setInterval(() => {
    // This timer wakes the loop, too: after a lost wake-up all goes on, until the next one is lost.
    stalls = performance.now() - settledAt > 700 && proactor.stats().inFlight > 0 ? stalls + 1 : 0;
    if (stalls < 3) return;
    report({ stalled: proactor.stats(), inflight: proactor.inflight().slice(0, 5) });
    process.exit(4);
  }, 1000).unref();
}
const started = performance.now();
await run();
const seconds = (performance.now() - started) / 1000;
await Promise.all([cached.close(), direct.close()]);
buffers.length = 0;
// A turn of the loop publishes the counters that follow from the last completions.
await proactor.nop();
await new Promise((resolve) => setImmediate(resolve));
const { pool, ...counters } = proactor.stats();
report({ settled, seconds, resident, counters, pool });
await proactor.close();
