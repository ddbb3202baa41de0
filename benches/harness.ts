/**
 * Runs a bench: the same plan for every engine, each in a process of its own, in short turns so that a busy moment of the
 * machine meets all of them; every answer checked against one that no engine computed.
 */
import { mkdtempSync, rmSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Engine, Started } from './engines/engine.ts';
import { describeCommit, describeMachine, loadAverage } from './machine.ts';
import { createContent, createFiles, expectedAnswer } from './plan.ts';
import type { Plan, Result } from './plan.ts';
import { benchText, formatRow, writeRecord } from './report.ts';
import type { Outcome, RowReport, Target } from './report.ts';
import { runRounds } from './rounds.ts';
import { chosenEngines, parseSettings, usage } from './settings.ts';
import type { Settings } from './settings.ts';
import { hold, inTurns, release } from './turns.ts';

/** One table: a plan in its real size, and who does it. */
export interface Row {
  readonly title: string;
  readonly mode: Plan['mode'];
  readonly blockSize: number;
  readonly depth: number;
  /** Of the real size. A sequential row reads the file once, whatever stands here. */
  readonly operations: number;
  readonly direct?: boolean;
  readonly observeMemory?: boolean;
  readonly engines: readonly Engine[];
  readonly baselines: readonly Engine[];
  readonly targets?: readonly Target[];
}

export interface Bench {
  readonly name: string;
  /** Size of the file in the real run; without it the bench reads none. */
  readonly fileSize?: number;
  readonly rows: readonly Row[];
}

/** A bench that reads no file and has plans of its own. */
export interface LiveBench {
  readonly name: string;
  /** Run the rows that were asked for; `print` is told what a person wants to see. */
  measure(settings: Settings, print: (text: string) => void): Promise<RowReport[]>;
}

type Print = (text: string) => void;

const MIB = 2 ** 20;
const SEED = 0x2545f491;
const CONTENT_SEED = 0x1234567;
/** A read at depth 32 gets cheaper by a third in the first second of a process (0010). */
const WARM_UP_SECONDS = 2;
/** Of a plan of whole files. */
const FILES = 1024;
/** Turns that each engine has in a round, about. */
const TURNS = 20;
const TURN_MIN_MS = 10;
const SMOKE = { fileSize: 4 * MIB, bytes: 2 * MIB } as const;
/** sha256 of the smoke file. Pins the content function: a change of it would be a change of every record's plan. */
const SMOKE_DIGEST = '759d371cee7a9ea7c6170b4e93ea4888f79ef15819f5cda04094848cdfa25110';

/** Run the benches one after the other; the exit code says whether every answer was right. */
export async function runBenches(benches: readonly (Bench | LiveBench)[], words: readonly string[]): Promise<void> {
  let settings: Settings;
  try {
    settings = parseSettings(words);
  } catch (error) {
    console.error(`${(error as Error).message}\n${usage}`);
    process.exitCode = 2;
    return;
  }
  for (const bench of benches) {
    const right = await runBench(bench, settings).catch((error: Error) => console.error(`${bench.name}: ${error.message}`));
    if (right !== true) process.exitCode = 1;
  }
}

/** A bench's file can be run by itself and be imported by `run.ts`. */
export async function runWhenMain(url: string, bench: Bench | LiveBench): Promise<void> {
  if (pathToFileURL(process.argv[1] ?? '').href === url) await runBenches([bench], process.argv.slice(2));
}

async function runBench(bench: Bench | LiveBench, settings: Settings): Promise<boolean> {
  const machine = describeMachine();
  const circumstances = { machine, commit: describeCommit(), loadBefore: loadAverage() };
  const print: Print = settings.json ? () => {} : (text) => console.log(text);
  print(
    `\n${bench.name}: ${machine.processor}, ${machine.cores} cores, ${machine.memoryGiB} GiB, ${machine.kernel}, ` +
      `Node ${machine.node} (libuv ${machine.libuv}), commit ${circumstances.commit}, ${new Date().toISOString().slice(0, 10)}, ` +
      `load before ${circumstances.loadBefore}${settings.smoke ? ', smoke: verified, not timed' : ''}`,
  );
  const interrupted = (): never => process.exit(130);
  process.once('SIGINT', interrupted).once('SIGTERM', interrupted);
  try {
    const reports = 'measure' in bench ? await bench.measure(settings, print) : await measureFiles(bench, settings, print);
    if (settings.record) print(`\nrecorded in ${writeRecord(circumstances, bench.name, reports)}`);
    if (settings.json) console.log(benchText(circumstances, bench.name, reports));
    return reports.every((report) => report.outcomes.every((outcome) => outcome.failure === undefined));
  } finally {
    process.off('SIGINT', interrupted).off('SIGTERM', interrupted);
  }
}

async function measureFiles(bench: Bench, settings: Settings, print: Print): Promise<RowReport[]> {
  const size = settings.smoke ? SMOKE.fileSize : (bench.fileSize ?? 0);
  const folder = bench.fileSize === undefined ? undefined : makeFolder(settings.directory, print);
  const remove = (): void => rmSync(folder ?? '', { recursive: true, force: true });
  if (folder !== undefined) process.once('exit', remove);
  try {
    const path = folder === undefined ? '-' : join(folder, 'content');
    const digest = folder === undefined ? undefined : createContent(path, size, CONTENT_SEED);
    if (settings.smoke && digest !== undefined && digest !== SMOKE_DIGEST) {
      throw new Error(`the content function changed: sha256 ${digest}, not ${SMOKE_DIGEST}`);
    }
    const selected = bench.rows.filter((row) => row.title.includes(settings.rows));
    const plans = selected.map((row) => planOf(row, settings, path, size));
    for (const plan of plans) if (plan.mode === 'files') createFiles(plan.path, FILES, plan.blockSize, CONTENT_SEED);
    return settings.smoke ? await runSmoke(selected, plans, settings, digest, print) : await runRows(selected, plans, settings, print);
  } finally {
    if (folder !== undefined) remove();
  }
}

const TMPFS = new Set([0x01021994, 0x858458f6]);

/** A folder on a disk: reads of tmpfs go to worker threads always and would be another bench. */
function makeFolder(asked: string | undefined, print: Print): string {
  const candidates = asked === undefined ? [tmpdir(), '/var/tmp', import.meta.dirname] : [asked];
  const folder = candidates.find((candidate) => !TMPFS.has(statfsSync(candidate).type));
  if (folder === undefined) throw new Error(`${candidates.join(', ')}: in memory, not on a disk; pass --directory`);
  if (folder !== candidates[0]) print(`${candidates[0]} is in memory; the file is made elsewhere`);
  return mkdtempSync(join(folder, 'ritsu-bench-'));
}

function planOf(row: Row, settings: Settings, path: string, fileSize: number): Plan {
  const small = Math.max(SMOKE.bytes / row.blockSize, row.depth * 2);
  const random = settings.smoke ? small : Math.ceil(row.operations * settings.scale);
  const operations = row.mode === 'sequential' ? fileSize / row.blockSize : random;
  const where = row.mode === 'files' ? { path: `${path}-${row.blockSize}`, fileSize: FILES * row.blockSize } : { path, fileSize };
  const warmUp = row.mode === 'sequential' ? operations : Math.max(row.depth * 2, Math.ceil(operations / 5));
  return {
    mode: row.mode,
    ...where,
    blockSize: row.blockSize,
    depth: row.depth,
    operations,
    warmUpOperations: settings.smoke && row.mode !== 'sequential' ? row.depth : warmUp,
    warmUpSeconds: settings.smoke ? 0 : WARM_UP_SECONDS,
    seed: SEED,
    contentSeed: CONTENT_SEED,
    direct: row.direct ?? false,
    verify: settings.smoke && row.mode !== 'nop',
    observeMemory: row.observeMemory ?? false,
  };
}

/** Throws unless the engine read what the plan says. */
function check(plan: Plan, result: Result, digest: string | undefined): void {
  const expected = expectedAnswer(plan);
  if (result.bytes !== expected.bytes) throw new Error(`read ${result.bytes} bytes, not ${expected.bytes}`);
  if (result.checksum !== expected.checksum) throw new Error(`checksum ${result.checksum}, not ${expected.checksum}`);
  if (result.digest !== undefined && result.digest !== digest) throw new Error('the sha256 of the file differs');
}

/** A whole bench for each engine in one process, two at a time: what is verified needs no quiet machine. */
async function runSmoke(
  rows: readonly Row[],
  plans: readonly Plan[],
  settings: Settings,
  digest: string | undefined,
  print: Print,
): Promise<RowReport[]> {
  const outcomes = rows.map(() => new Map<Engine, Outcome>());
  const queue = [...new Set(rows.flatMap((row) => chosenEngines(row.engines, settings)))];
  const missing = new Map<string, string[]>();
  const verifyNext = async (): Promise<void> => {
    for (let engine = queue.shift(); engine !== undefined; engine = queue.shift()) {
      const rowsOfEngine = rows.flatMap((row, index) => (row.engines.includes(engine) ? [index] : []));
      const verified = await verify(engine, rowsOfEngine.map((index) => plans[index]!), digest);
      rowsOfEngine.forEach((index, position) => outcomes[index]!.set(engine, verified[position]!));
      const { absent, failure } = verified[0]!;
      if (absent === undefined) print(`  ${engine.name}: ${failure === undefined ? `${verified.length} rows right` : `FAILED: ${failure}`}`);
      else missing.set(absent, [...(missing.get(absent) ?? []), engine.name]);
    }
  };
  await Promise.all([verifyNext(), verifyNext()]);
  for (const [reason, names] of missing) print(`  without ${names.join('; ')}: ${reason}`);
  return rows.map((row, index) => reportOf(row, plans[index]!, [...outcomes[index]!.values()]));
}

async function verify(engine: Engine, plans: readonly Plan[], digest: string | undefined): Promise<Outcome[]> {
  const available = engine.available();
  if (available !== true) return plans.map(() => ({ engine, results: [], absent: available }));
  try {
    const results = await engine.runAll(plans);
    plans.forEach((plan, index) => check(plan, results[index]!, digest));
    return results.map((result) => ({ engine, results: [result] }));
  } catch (error) {
    return plans.map(() => ({ engine, results: [], failure: (error as Error).message }));
  }
}

async function runRows(rows: readonly Row[], plans: readonly Plan[], settings: Settings, print: Print): Promise<RowReport[]> {
  const reports: RowReport[] = [];
  for (const [index, row] of rows.entries()) {
    const plan = plans[index]!;
    const lasted = new Map<Engine, number>();
    const outcomes = await runRounds<Engine>(row.title, chosenEngines(row.engines, settings), settings, {
      async run(engine) {
        const result = await engine.run(plan);
        check(plan, result, undefined);
        return result;
      },
      syscallsPerOperation: (engine) => engine.syscallsPerOperation(plan),
      // The time of a collection that a stop falls into could not be told.
      ...(!plan.observeMemory && { together: (engines: readonly Engine[]) => runInTurns(engines, plan, lasted) }),
    });
    reports.push(reportOf(row, plan, outcomes));
    print(formatRow(reports.at(-1)!));
  }
  return reports;
}

/**
 * All of them in short turns, each in a process that has warmed up. All have as many turns, so that none is left alone in the end: a turn's
 * length follows from how long the engine took in the round before (`lasted`). Of latencies the 99.9th percentile would tell of the turns.
 * One that fails leaves the others theirs.
 */
async function runInTurns(engines: readonly Engine[], plan: Plan, lasted: Map<Engine, number>): Promise<PromiseSettledResult<Result>[]> {
  const starts: Promise<Started>[] = [];
  for (const engine of engines) {
    starts.push(engine.start(plan));
    await starts.at(-1)!.then(({ pid }) => hold(pid), () => {}); // told below
  }
  const started = await Promise.allSettled(starts);
  const able = started.flatMap((each, index) => (each.status === 'fulfilled' ? [{ ...each.value, engine: engines[index]! }] : []));
  try {
    const passes = able.map((each) => each.go());
    const turnMs = (engine: Engine): number => Math.max(TURN_MIN_MS, ((lasted.get(engine) ?? 1) * 1000) / TURNS);
    const seconds = await inTurns(able.map(({ pid, engine }, index) => ({ pid, done: passes[index]!, turnMs: turnMs(engine) })));
    able.forEach(({ engine }, index) => lasted.set(engine, seconds[index]!));
    const measured = passes.map(async (pass, index) => {
      const result = { ...(await pass), seconds: seconds[index]!, p999Us: Number.NaN };
      check(plan, result, undefined);
      return result;
    });
    const settled = (await Promise.allSettled(measured)).values();
    return started.map((each) => (each.status === 'fulfilled' ? settled.next().value! : each));
  } finally {
    for (const { pid, stop } of able) {
      release(pid);
      await stop();
    }
  }
}

function reportOf(row: Row, plan: Plan, outcomes: readonly Outcome[]): RowReport {
  return { title: row.title, plan, outcomes, baselines: row.baselines, targets: row.targets ?? [] };
}
