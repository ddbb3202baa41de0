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
  /** User and system time of the whole process: of a server, if it is one that is measured. */
  readonly cpuSeconds: number;
  /** Of the load that a server was under: how much of the time it was at work, 0 to 1. */
  readonly loadBusy?: number | undefined;
  readonly p50Us: number;
  readonly p99Us: number;
  /** Bytes that the kernel fetched from the disk meanwhile, where it tells and any were to be read. */
  readonly diskBytes?: number | undefined;
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
  /** Bytes came that are not the right ones; else a read or a connection failed. */
  readonly wrongBytes: boolean;
  readonly message: string;
}

/** One engine in a comparison. An attempt is one pass of it; `thorough` ones have every byte checked and are not timed. */
export interface Contestant {
  readonly name: string;
  readonly ours: boolean;
  /** Why it cannot do this at all. */
  readonly absent: string | undefined;
  attempt(thorough: boolean): Attempt;
}

export interface Attempt {
  /** The part that is done, 0 to 1. */
  done(): number;
  readonly run: Promise<Run>;
}

/** A trial by the first engine decides how much work makes a pass of about this long. */
const RANDOM_PASS_MS = 1500;
const SEQUENTIAL_PASS_MS = 400;
const OPERATIONS_MAX = 200_000;
const RANDOM_BYTES_MAX = 4 * 2 ** 30;
/** A small file is not read more often than this at random, and in order. */
const READS_PER_BLOCK_MAX = 16;
const LAPS_MAX = 16;

export function compareRandom(plan: RandomPlan, engines: readonly RandomEngine[], reference: Reference): Contestant[] {
  const done = (meter: RandomMeter): number => meter.operations / plan.order.length;
  return engines.map((engine) => reader(engine, plan, (thorough) => new RandomMeter(plan, reference, thorough), done));
}

export function compareSequential(plan: SequentialPlan, engines: readonly SequentialEngine[], reference: Reference): Contestant[] {
  const done = (meter: SequentialMeter): number => meter.done;
  return engines.map((engine) => reader(engine, plan, (thorough) => new SequentialMeter(plan, reference, thorough), done));
}

/** An engine that reads a plan in this process, under a meter of its own each time. */
function reader<P extends Plan, M extends Meter>(
  engine: Engine<P, M>,
  plan: P,
  meter: (thorough: boolean) => M,
  done: (meter: M) => number,
): Contestant {
  return {
    name: engine.name,
    ours: engine.style !== undefined,
    absent: engine.absent?.(plan),
    attempt(thorough) {
      const used = meter(thorough);
      const run = withSession(engine, plan, async (session) => {
        const timedRun = await timed(session, used);
        used.verify();
        return timedRun;
      });
      return { done: () => done(used), run };
    },
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

async function withSession<P extends Plan, M extends Meter, R>(
  engine: Engine<P, M>,
  plan: P,
  work: (session: Session<M>) => Promise<R>,
): Promise<R> {
  const session = await engine.open(plan);
  try {
    return await work(session);
  } finally {
    await session.close();
  }
}

/** Run all; `progress` is told of one step for each pass: `passesOf` in all. */
export async function compare(
  title: string,
  contestants: readonly Contestant[],
  rounds: number,
  progress: Progress,
): Promise<Outcome[]> {
  const runs = contestants.map((): Run[] => []);
  const failures = contestants.map((): Failure | undefined => undefined);
  const attempt = async (index: number, thorough: boolean): Promise<void> => {
    const { name, absent } = contestants[index]!;
    if (failures[index] !== undefined || absent !== undefined) return progress.step(name);
    const { done, run } = contestants[index]!.attempt(thorough);
    progress.step(name, done);
    try {
      const ended = await run;
      if (!thorough) runs[index]!.push(ended);
    } catch (error) {
      failures[index] = { wrongBytes: error instanceof WrongBytes, message: (error as Error).message };
    }
  };
  progress.phase(`${title}: checking every byte`);
  for (const index of contestants.keys()) await attempt(index, true);
  for (let round = 1; round <= rounds; round += 1) {
    progress.phase(`${title}: round ${round} of ${rounds}`);
    for (const index of contestants.keys()) await attempt(index, false);
  }
  return contestants.map((contestant, index) => outcomeOf(contestant, runs[index]!, failures[index]));
}

/** Passes that `compare` makes. */
export function passesOf(contestants: readonly unknown[], rounds: number): number {
  return contestants.length * (1 + rounds);
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

function outcomeOf({ name, ours, absent }: Contestant, runs: readonly Run[], failure: Failure | undefined): Outcome {
  return {
    name,
    ours,
    runs: failure === undefined ? runs : [],
    ...(absent !== undefined && { absent }),
    ...(failure !== undefined && { failure }),
  };
}
