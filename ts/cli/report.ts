/** What a run found, as data: medians, ratios, who was ahead of whom. Printed by `table.ts`, or as JSON. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BackendInfo } from '../index.js';
import type { Outcome, Run } from './comparison.js';
import { BASELINE } from './engine.js';
import type { Trial } from './sockets/contest.js';
import { SOCKET_BASELINE } from './sockets/contest.js';
import { pinnedCores } from './sockets/line-process.js';
import type { Machine } from './machine.js';

/** Medians over the rounds. */
export interface Figures {
  readonly opsPerSecond: number;
  /** 10^6 bytes. */
  readonly mbPerSecond: number;
  readonly cpuUsPerOp: number;
  /** Null: too few reads to sample. */
  readonly p50Us: number | null;
  readonly p99Us: number | null;
  /** Its rate as a multiple of the baseline's (`node FileHandle.read`, `node:net`); null where that has none. */
  readonly ratio: number | null;
}

/** The best of node:fs or node:net in one measure, where it is ahead, and how we stand to it. */
export interface Behind {
  readonly measure: 'rate' | 'CPU';
  readonly rival: string;
  readonly factor: number;
}

export interface Row {
  readonly engine: string;
  /** Every byte and every read was right. */
  readonly right: boolean;
  readonly figures?: Figures;
  /** For a row of ritsu's: in what Node's own does better. */
  readonly behind: readonly Behind[];
  readonly absent?: string;
  readonly wrongBytes?: string;
  readonly error?: string;
  readonly runs: readonly Run[];
}

export type CacheState = 'warm' | 'cold in part' | 'bypassed' | 'unknown';

export interface Table {
  readonly title: string;
  readonly blockSize: number;
  /** Reads in flight at a time; of a sequential table those that ritsu's iteration makes ahead, and one. */
  readonly depth: number;
  /** Of one run of one engine. */
  readonly bytesPerRun: number;
  readonly cache: CacheState;
  /** Bytes that the timed runs made the kernel fetch from the disk, of all that they read; null where it does not tell. */
  readonly diskBytes: number | null;
  readonly bytes: number;
  readonly rows: readonly Row[];
}

export interface Report {
  readonly ritsu: string;
  readonly date: string;
  /** Every byte and every read was right. */
  readonly right: boolean;
  readonly machine: Machine;
  readonly backend: BackendInfo;
  readonly fence: boolean;
  /** Null with `--only sockets`. */
  readonly file: FileReport | null;
  readonly rounds: number;
  readonly tables: readonly Table[];
  /** Empty with `--only files`. */
  readonly sockets: readonly SocketTable[];
}

export interface FileReport {
  readonly path: string;
  readonly size: number;
  readonly sha256: string;
  readonly made: boolean;
  /** What a reader has to know of where it lies. */
  readonly remark?: string;
  /** It was changed while it was read; so it is no wonder if bytes were wrong. */
  readonly changed: boolean;
}

/** Servers under the same load. Of a bulk transfer an operation is a mebibyte, and there are no latencies. */
export interface SocketTable {
  readonly title: string;
  readonly role: 'echo' | 'send' | 'receive';
  readonly connections: number;
  /** Of one request of an echo; of one bulk transfer. */
  readonly messageBytes: number;
  /** The processor cores of the server and of the load; empty where they are not kept apart. */
  readonly cores: readonly number[];
  /** How much of the time the load was at work, 0 to 1: the median of the engine that gave it most to do; null where nothing ran. */
  readonly loadBusy: number | null;
  readonly rows: readonly Row[];
}

export function median(values: readonly number[]): number {
  if (values.length === 0) return Number.NaN;
  const sorted = values.toSorted((left, right) => left - right);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

type Measure = (run: Run) => number;

const rate: Measure = (run) => run.operations / run.seconds;
/** By bytes: streams may cut a file into other pieces. */
const speed: Measure = (run) => run.bytes / run.seconds;
const cpuPerByte: Measure = (run) => run.cpuSeconds / run.bytes;

/** The median of the rounds' ratios: both engines of a round met the same minute of the machine. */
function ratio(of: Outcome, to: Outcome, measure: Measure): number {
  return median(of.runs.flatMap((run, round) => (to.runs[round] === undefined ? [] : [measure(run) / measure(to.runs[round])])));
}

function orNull(value: number): number | null {
  return Number.isNaN(value) ? null : value;
}

function figuresOf(outcome: Outcome, baseline: Outcome | undefined): Figures {
  const of = (measure: Measure): number => median(outcome.runs.map(measure));
  return {
    opsPerSecond: of(rate),
    mbPerSecond: of(speed) / 1e6,
    cpuUsPerOp: of((run) => (run.cpuSeconds / run.operations) * 1e6),
    p50Us: orNull(of((run) => run.p50Us)),
    p99Us: orNull(of((run) => run.p99Us)),
    ratio: baseline === undefined ? null : orNull(ratio(outcome, baseline, speed)),
  };
}

/** In what Node's own does better than this row of ours. */
function behindOf(outcome: Outcome, rivals: readonly Outcome[]): Behind[] {
  const slower = rivals.map((rival): Behind => ({ measure: 'rate', rival: rival.name, factor: ratio(outcome, rival, speed) }));
  const dearer = rivals.map((rival): Behind => ({ measure: 'CPU', rival: rival.name, factor: ratio(outcome, rival, cpuPerByte) }));
  const worst = [slower.sort((left, right) => left.factor - right.factor)[0], dearer.sort((left, right) => right.factor - left.factor)[0]];
  return worst.filter((each) => each !== undefined && isBehind(each)) as Behind[];
}

/** By a hundredth at least: less would be printed as 1.00. */
function isBehind({ measure, factor }: Behind): boolean {
  const hundredths = Math.round(factor * 100);
  return measure === 'rate' ? hundredths < 100 : hundredths > 100;
}

function rowOf(outcome: Outcome, all: readonly Outcome[], against: string): Row {
  const baseline = all.find(({ name }) => name === against);
  const { name, ours, runs, absent, failure } = outcome;
  const rivals = all.filter((other) => !other.ours && other.runs.length > 0);
  return {
    engine: name,
    right: failure === undefined,
    ...(runs.length > 0 && { figures: figuresOf(outcome, baseline) }),
    behind: ours && runs.length > 0 ? behindOf(outcome, rivals) : [],
    ...(absent !== undefined && { absent }),
    ...(failure !== undefined && { [failure.wrongBytes ? 'wrongBytes' : 'error']: failure.message }),
    runs,
  };
}

/** What of a table is known before it is measured. */
export type TableHead = Pick<Table, 'title' | 'blockSize' | 'depth' | 'bytesPerRun'> & { readonly direct: boolean };

export function tableOf({ direct, ...head }: TableHead, outcomes: readonly Outcome[]): Table {
  const runs = outcomes.flatMap((outcome) => outcome.runs);
  const bytes = runs.reduce((sum, run) => sum + run.bytes, 0);
  const told = runs.length > 0 && runs.every((run) => run.diskBytes !== undefined);
  const diskBytes = told ? runs.reduce((sum, run) => sum + run.diskBytes!, 0) : null;
  const rows = outcomes.map((outcome) => rowOf(outcome, outcomes, BASELINE));
  return { ...head, cache: cacheOf(direct, diskBytes, bytes), diskBytes, bytes, rows };
}

/** A thousandth is what other work of the machine may push out of the cache. */
function cacheOf(direct: boolean, diskBytes: number | null, bytes: number): CacheState {
  if (direct) return 'bypassed';
  if (diskBytes === null) return 'unknown';
  return diskBytes <= bytes / 1000 ? 'warm' : 'cold in part';
}

export function socketTableOf({ role, connections, messageBytes }: Trial, title: string, outcomes: readonly Outcome[]): SocketTable {
  const rows = outcomes.map((outcome) => rowOf(outcome, outcomes, SOCKET_BASELINE));
  const busy = outcomes.filter(({ runs }) => runs.length > 0).map(({ runs }) => median(runs.map(({ loadBusy = 0 }) => loadBusy)));
  return { title, role, connections, messageBytes, cores: pinnedCores(), loadBusy: busy.length === 0 ? null : Math.max(...busy), rows };
}

export function isRight(tables: readonly Pick<Table, 'rows'>[]): boolean {
  return tables.every(({ rows }) => rows.every(({ right }) => right));
}

export function toJson(report: Report): string {
  return `${JSON.stringify(report, undefined, 2)}\n`;
}

/** Keep the last report, with every round; where, or undefined where nothing can be written. */
export function keepReport(report: Report): string | undefined {
  const root = join(import.meta.dirname, '..', '..');
  for (const folder of [join(root, 'node_modules', '.cache', 'ritsu'), tmpdir()]) {
    try {
      mkdirSync(folder, { recursive: true });
      const path = join(folder, 'ritsu-report.json');
      writeFileSync(path, toJson(report));
      return path;
    } catch {
      // The next folder, or none: the report was printed.
    }
  }
  return undefined;
}
