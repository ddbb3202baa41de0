/**
 * Runs engines on one plan: first each with every byte checked, which also warms them up, then in turns (A B A B ...),
 * so that a busy minute of the machine meets all of them. An engine that fails is out; the others go on.
 */
import { readFileSync } from 'node:fs';
import { performance } from 'node:perf_hooks';
import type { Engine, RandomEngine, SequentialEngine, Session } from './engine.js';
import { RandomMeter, SequentialMeter, WrongBytes } from './meter.js';
import type { Meter } from './meter.js';
import type { Reference } from './content.js';
import { randomOrder } from './plan.js';
import type { Plan, RandomPlan, SequentialPlan } from './plan.js';
import type { Progress } from './progress.js';

/** One timed pass of one engine. */
export interface Run {
  readonly operations: number;
  readonly bytes: number;
  readonly seconds: number;
  /** User and system time of the whole process. */
  readonly cpuSeconds: number;
  readonly p50Us: number;
  readonly p99Us: number;
  /** Bytes that the kernel fetched from the disk meanwhile, where it tells. */
  readonly diskBytes: number | undefined;
}

/** What became of one engine. */
export interface Outcome {
  readonly name: string;
  readonly ours: boolean;
  readonly runs: readonly Run[];
  /** Why it cannot do this at all. */
  readonly absent?: string;
  readonly failure?: Failure;
}

export interface Failure {
  /** Bytes came that are not the file's; else a read failed. */
  readonly wrongBytes: boolean;
  readonly message: string;
}

/** One table: a plan, and who does it. */
export interface Comparison<P extends Plan, M extends Meter> {
  readonly plan: P;
  readonly engines: readonly Engine<P, M>[];
  meter(thorough: boolean): M;
  /** The part of a pass that is done. */
  done(meter: M): number;
}

/** A trial by the first engine decides how much work makes a pass of about this long. */
const RANDOM_PASS_MS = 1500;
const SEQUENTIAL_PASS_MS = 400;
const OPERATIONS_MAX = 200_000;
const RANDOM_BYTES_MAX = 4 * 2 ** 30;
/** A small file is not read more often than this at random, and in order. */
const READS_PER_BLOCK_MAX = 16;
const LAPS_MAX = 16;

export function compareRandom(
  plan: RandomPlan,
  engines: readonly RandomEngine[],
  reference: Reference,
): Comparison<RandomPlan, RandomMeter> {
  return {
    plan,
    engines,
    meter: (thorough) => new RandomMeter(plan, reference, thorough),
    done: (meter) => meter.operations / plan.order.length,
  };
}

export function compareSequential(
  plan: SequentialPlan,
  engines: readonly SequentialEngine[],
  reference: Reference,
): Comparison<SequentialPlan, SequentialMeter> {
  return {
    plan,
    engines,
    meter: (thorough) => new SequentialMeter(plan, reference, thorough),
    done: (meter) => meter.done,
  };
}

/** A plan of as many reads as the engine does in a second and a half. */
export async function sizeRandom(base: Omit<RandomPlan, 'order'>, engine: RandomEngine, reference: Reference): Promise<RandomPlan> {
  const blocks = reference.probes.length;
  const most = Math.min(OPERATIONS_MAX, READS_PER_BLOCK_MAX * blocks, Math.ceil(RANDOM_BYTES_MAX / base.blockSize));
  const plan: RandomPlan = { ...base, order: randomOrder(blocks, most) };
  const meter = new RandomMeter(plan, reference, false);
  const timer = setTimeout(() => meter.stop(), RANDOM_PASS_MS);
  await tryPass(engine, plan, meter);
  clearTimeout(timer);
  const unit = 10 ** Math.max(Math.floor(Math.log10(Math.max(meter.operations, 1))) - 1, 0);
  const operations = meter.operations === most ? most : Math.floor(meter.operations / unit) * unit;
  return { ...plan, order: plan.order.slice(0, Math.max(operations, Math.min(base.depth, most))) };
}

/** A plan of as many laps as the engine does in less than half a second, but one at least. */
export async function sizeSequential(
  base: Omit<SequentialPlan, 'laps'>,
  engine: SequentialEngine,
  reference: Reference,
): Promise<SequentialPlan> {
  const plan: SequentialPlan = { ...base, laps: 1 };
  const begun = performance.now();
  await tryPass(engine, plan, new SequentialMeter(plan, reference, false));
  const laps = Math.floor(SEQUENTIAL_PASS_MS / (performance.now() - begun));
  return { ...base, laps: Math.min(Math.max(laps, 1), LAPS_MAX) };
}

/** What goes wrong here goes wrong again in the comparison, which reports it. */
async function tryPass<P extends Plan, M extends Meter>(engine: Engine<P, M>, plan: P, meter: M): Promise<void> {
  await withSession(engine, plan, (session) => session.pass(meter)).catch(() => {});
}

async function withSession<P extends Plan, M extends Meter>(
  engine: Engine<P, M>,
  plan: P,
  work: (session: Session<M>) => Promise<void>,
): Promise<void> {
  const session = await engine.open(plan);
  try {
    await work(session);
  } finally {
    await session.close();
  }
}

/** Run all; `progress` is told of one step for each pass: `passesOf` in all. */
export async function compare<P extends Plan, M extends Meter>(
  title: string,
  { plan, engines, meter, done }: Comparison<P, M>,
  rounds: number,
  progress: Progress,
): Promise<Outcome[]> {
  const runs = engines.map((): Run[] => []);
  const failures = engines.map((): Failure | undefined => undefined);
  const attempt = async (index: number, thorough: boolean): Promise<void> => {
    const engine = engines[index]!;
    const used = meter(thorough);
    progress.step(engine.name, () => done(used));
    if (failures[index] !== undefined || engine.absent?.(plan) !== undefined) return;
    try {
      await withSession(engine, plan, async (session) => {
        const run = await timed(session, used);
        used.verify();
        if (!thorough) runs[index]!.push(run);
      });
    } catch (error) {
      failures[index] = { wrongBytes: error instanceof WrongBytes, message: (error as Error).message };
    }
  };
  progress.phase(`${title}: checking every byte`);
  for (const index of engines.keys()) await attempt(index, true);
  for (let round = 1; round <= rounds; round += 1) {
    progress.phase(`${title}: round ${round} of ${rounds}`);
    for (const index of engines.keys()) await attempt(index, false);
  }
  return engines.map((engine, index) => outcomeOf(engine, plan, runs[index]!, failures[index]));
}

/** Passes that `compare` makes. */
export function passesOf(engines: readonly unknown[], rounds: number): number {
  return engines.length * (1 + rounds);
}

async function timed<M extends Meter>(session: Session<M>, meter: M): Promise<Run> {
  const diskBefore = diskBytes();
  const cpuBefore = process.cpuUsage();
  const begun = performance.now();
  await session.pass(meter);
  const seconds = (performance.now() - begun) / 1000;
  const { user, system } = process.cpuUsage(cpuBefore);
  const disk = diskBytes();
  return {
    operations: meter.operations,
    bytes: meter.bytes,
    seconds,
    cpuSeconds: (user + system) / 1e6,
    p50Us: meter.percentile(50),
    p99Us: meter.percentile(99),
    diskBytes: disk === undefined || diskBefore === undefined ? undefined : disk - diskBefore,
  };
}

/** What this process made the kernel fetch from disks, all its threads together. */
function diskBytes(): number | undefined {
  try {
    const text = /^read_bytes: (\d+)$/m.exec(readFileSync('/proc/self/io', 'utf8'))?.[1];
    return text === undefined ? undefined : Number(text);
  } catch {
    return undefined;
  }
}

function outcomeOf<P extends Plan, M extends Meter>(
  engine: Engine<P, M>,
  plan: P,
  runs: readonly Run[],
  failure: Failure | undefined,
): Outcome {
  const absent = engine.absent?.(plan);
  return {
    name: engine.name,
    ours: engine.style !== undefined,
    runs: failure === undefined ? runs : [],
    ...(absent !== undefined && { absent }),
    ...(failure !== undefined && { failure }),
  };
}
