/** Medians, ratios, the table that a person reads and the record that stays. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import Table from 'cli-table3';
import type { Participant } from './engines/engine.ts';
import type { Machine } from './machine.ts';
import type { Measurement } from './plan.ts';

/** What one engine did in one row: a result for each round, or why there is none. */
export interface Outcome {
  readonly engine: Participant;
  readonly results: readonly Measurement[];
  readonly syscallsPerOperation?: number;
  readonly absent?: string;
  readonly failure?: string;
}

/** A ratio that this row must reach: rate for rate, CPU for CPU, or memory for memory. */
export interface Target {
  readonly engine: Participant;
  readonly against: Participant;
  readonly measure: Measure;
  readonly atLeast?: number;
  readonly atMost?: number;
}

export interface RowReport {
  readonly title: string;
  /** As it is recorded, without a path. */
  readonly plan: { readonly mode: string; readonly path?: string };
  readonly outcomes: readonly Outcome[];
  /** Engines whose rate the others are divided by; a column each. */
  readonly baselines: readonly Participant[];
  readonly targets: readonly Target[];
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((left, right) => left - right);
  const middle = sorted.length / 2;
  if (sorted.length === 0) return Number.NaN;
  return sorted.length % 2 === 1 ? sorted[Math.floor(middle)]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

const rate = (result: Measurement): number => result.operations / result.seconds;
const cpuMicroseconds = (result: Measurement): number => (result.cpuSeconds / result.operations) * 1e6;
const bytesPerConnection = (result: Measurement): number => result.bytesPerConnection ?? Number.NaN;
const measures = { rate, cpu: cpuMicroseconds, memory: bytesPerConnection } as const;
type Measure = keyof typeof measures;
const MEASURED: Readonly<Record<Measure, string>> = {
  rate: 'of the rate of',
  cpu: 'of the CPU per operation of',
  memory: 'of the memory per connection of',
};
/** What has no bytes worth a rate. */
const WITHOUT_BYTES = new Set(['nop', 'idle', 'http']);

/** The median of the rounds' ratios: both engines of a round met the same minute of the machine. */
export function ratio(of: Outcome | undefined, to: Outcome | undefined, measure: Measure): number {
  if (of === undefined || to === undefined) return Number.NaN;
  const value = measures[measure];
  return median(of.results.flatMap((result, round) => (to.results[round] ? [value(result) / value(to.results[round])] : [])));
}

function find(row: RowReport, engine: Participant): Outcome | undefined {
  return row.outcomes.find((outcome) => outcome.engine === engine);
}

const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });

function fixed(value: number | undefined, digits: number): string {
  return value === undefined || Number.isNaN(value) ? '-' : value.toFixed(digits);
}

/** The best of ours, against which a rival's row is marked. */
function bestOfOurs(row: RowReport): Outcome | undefined {
  const ours = row.outcomes.filter((outcome) => outcome.engine.role === 'ours' && outcome.results.length > 0);
  return ours.toSorted((left, right) => median(right.results.map(rate)) - median(left.results.map(rate)))[0];
}

function remark(row: RowReport, outcome: Outcome): string {
  const best = bestOfOurs(row);
  if (outcome.engine.role !== 'rival' || best === undefined || outcome.results.length === 0) return '';
  const lead = ratio(outcome, best, 'rate');
  return lead > 1 ? `ahead of ritsu: ${lead.toFixed(2)}x` : '';
}

interface Column {
  readonly head: string;
  readonly cell: (outcome: Outcome, value: (pick: (result: Measurement) => number | undefined) => number) => string;
}

function columnsOf(row: RowReport): Column[] {
  const has = (pick: (outcome: Outcome) => unknown): boolean => row.outcomes.some((outcome) => pick(outcome) !== undefined);
  const columns: Column[] = [{ head: 'ops/s', cell: (_, value) => whole.format(value(rate)) }];
  if (!WITHOUT_BYTES.has(row.plan.mode)) columns.push({ head: 'MB/s', cell: (_, value) => whole.format(value((result) => result.bytes / result.seconds / 1e6)) });
  for (const baseline of row.baselines) {
    columns.push({ head: `x ${baseline.name.replace('node ', '')}`, cell: (outcome) => fixed(ratio(outcome, find(row, baseline), 'rate'), 2) });
  }
  columns.push(
    { head: 'CPU us/op', cell: (_, value) => fixed(value(cpuMicroseconds), 2) },
    { head: 'p50 us', cell: (_, value) => fixed(value((result) => result.p50Us), 1) },
    { head: 'p99 us', cell: (_, value) => fixed(value((result) => result.p99Us), 1) },
    { head: 'p99.9 us', cell: (_, value) => fixed(value((result) => result.p999Us), 1) },
    { head: 'RSS MiB', cell: (_, value) => whole.format(value((result) => result.maximumRssBytes / 2 ** 20)) },
  );
  if (has((outcome) => outcome.syscallsPerOperation)) {
    columns.push({ head: 'syscalls/op', cell: (outcome) => fixed(outcome.syscallsPerOperation, 3) });
  }
  if (has((outcome) => outcome.results[0]?.allocatedBytesPerOperation)) {
    columns.push(
      { head: 'heap B/op', cell: (_, value) => fixed(value((result) => result.allocatedBytesPerOperation), 0) },
      { head: 'GC ms/M ops', cell: (_, value) => fixed(value((result) => result.collectionMsPerMillion), 1) },
      { head: 'copies/op', cell: (_, value) => fixed(value((result) => result.copiesPerOperation), 0) },
    );
  }
  if (has((outcome) => outcome.results[0]?.bytesPerConnection)) {
    columns.push(
      { head: 'B/connection', cell: (_, value) => whole.format(value(bytesPerConnection)) },
      { head: 'blocks held', cell: (_, value) => fixed(value((result) => result.blocksHeld), 0) },
    );
  }
  columns.push({ head: '', cell: (outcome) => remark(row, outcome) });
  return columns;
}

export function formatRow(row: RowReport): string {
  const columns = columnsOf(row);
  const table = new Table({
    head: ['engine', ...columns.map((column) => column.head)],
    colAligns: ['left', ...columns.map((column) => (column.head === '' ? ('left' as const) : ('right' as const)))],
    style: { head: [], border: [], compact: true },
  });
  for (const outcome of row.outcomes.filter((each) => each.results.length > 0)) {
    const value = (pick: (result: Measurement) => number | undefined): number =>
      median(outcome.results.map((result) => pick(result) ?? Number.NaN));
    table.push([outcome.engine.name, ...columns.map((column) => column.cell(outcome, value))]);
  }
  return [`\n${row.title}`, table.toString(), ...notesOf(row), ...targetsOf(row)].join('\n');
}

/** Who is missing and why; one line for each reason. */
function notesOf(row: RowReport): string[] {
  const reasons = Map.groupBy(row.outcomes, (outcome) => outcome.failure ?? outcome.absent ?? '');
  return [...reasons].flatMap(([reason, outcomes]) => {
    const names = outcomes.map((outcome) => outcome.engine.name).join(', ');
    if (reason === '') return [];
    return [outcomes[0]?.failure === undefined ? `  without ${names}: ${reason}` : `  FAILED ${names}: ${reason}`];
  });
}

function targetsOf(row: RowReport): string[] {
  return row.targets.flatMap((target) => {
    const value = ratio(find(row, target.engine), find(row, target.against), target.measure);
    if (Number.isNaN(value)) return [];
    const limit = target.atLeast === undefined ? `at most ${fixed(target.atMost, 2)}` : `at least ${fixed(target.atLeast, 2)}`;
    const reached = target.atLeast === undefined ? value <= (target.atMost ?? 0) : value >= target.atLeast;
    const verdict = reached ? 'reached' : 'MISSED ';
    return [`  ${verdict} ${value.toFixed(2)} (${limit}): ${target.engine.name}, ${MEASURED[target.measure]} ${target.against.name}`];
  });
}

/** What of a row is kept: the plan without its path, and every round. */
function recordOf(row: RowReport): object {
  const { path: _, ...plan } = row.plan;
  const engines = row.outcomes.map(({ engine, ...outcome }) => ({ name: engine.name, ...outcome }));
  return { title: row.title, plan, engines };
}

/** How busy the machine was before a bench, besides what the machine is. */
export interface Circumstances {
  readonly machine: Machine;
  readonly commit: string;
  readonly loadBefore: number;
}

/** `benches/record/<machine>/<date>.json`; the benches of one day share a file. */
export function writeRecord(circumstances: Circumstances, bench: string, rows: readonly RowReport[]): string {
  const { machine } = circumstances;
  const now = new Date().toISOString();
  const folder = join(import.meta.dirname, 'record', machine.name);
  const file = join(folder, `${now.slice(0, 10)}.json`);
  const earlier = existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as { benches: object }) : { benches: {} };
  const entry = entryOf(circumstances, now, rows);
  mkdirSync(folder, { recursive: true });
  writeFileSync(file, recordText({ machine, benches: { ...earlier.benches, [bench]: entry } }));
  return file;
}

function entryOf({ machine, commit, loadBefore }: Circumstances, date: string, rows: readonly RowReport[]): object {
  const { node, kernel } = machine;
  return { date, commit, node, kernel, loadBefore, rows: rows.map(recordOf) };
}

/** What a record would keep of a bench, on a line. */
export function benchText(circumstances: Circumstances, bench: string, rows: readonly RowReport[]): string {
  return JSON.stringify({ machine: circumstances.machine, bench, ...entryOf(circumstances, new Date().toISOString(), rows) });
}

/** A round on a line, without digits that mean nothing. */
function recordText(record: object): string {
  const rounded = (_: string, value: unknown): unknown =>
    typeof value === 'number' && !Number.isInteger(value) ? Number(value.toPrecision(6)) : value;
  const text = JSON.stringify(record, rounded, 2);
  return `${text.replaceAll(/\{[^{}]*\}/g, (inner) => inner.replaceAll(/\s+/g, ' '))}\n`;
}
