/** The report for a person: who ran where, a table for each way of reading, a verdict. */
import { stripVTControlCharacters, styleText } from 'node:util';
import type { BackendInfo } from '../index.js';
import type { Figures, Report, Row, Table } from './report.js';

type Format = Parameters<typeof styleText>[0];

function paint(format: Format, text: string): string {
  return styleText(format, text, { stream: process.stdout });
}

const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });

/** `256 MiB`, `4 KiB`, `1000 B`: exact where it can be, with one decimal from a KiB on. */
export function bytesText(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  const power = Math.min(Math.floor(Math.log2(Math.max(bytes, 1)) / 10), units.length - 1);
  const value = bytes / 1024 ** power;
  return `${Number.isInteger(value) ? value : value.toFixed(1)} ${units[power]}`;
}

export function headText({ ritsu, machine, backend, fence, file, rounds }: Omit<Report, 'tables' | 'right' | 'date'>): string {
  const { processor, cores, memoryGiB, kernel, node, libuv, loadBefore } = machine;
  const origin = file.made ? 'made for this run' : 'taken as it is';
  const lines = [
    `ritsu ${ritsu} on ${paint('bold', backend.backend)}, fence ${fence ? 'on' : 'off'}`,
    ...causeText(backend),
    `${processor}, ${cores} cores, ${memoryGiB} GiB, ${kernel}, Node ${node} (libuv ${libuv}), load before ${loadBefore.toFixed(2)}`,
    `${file.path}: ${bytesText(file.size)}, ${origin}${file.remark === undefined ? '' : `; ${file.remark}`}`,
    `sha256 ${file.sha256}`,
    `${rounds === 1 ? 'one round' : `medians of ${rounds} rounds, every engine once in each`}; x node:fs: the rate to node FileHandle.read's`,
  ];
  return lines.join('\n');
}

/** Why it is not the ring, and what would bring it. */
function causeText({ backend, cause, fix }: BackendInfo): string[] {
  if (backend === 'uring') return [];
  const because = cause === undefined || cause.kind === 'forced' ? 'as --backend or RITSU_BACKEND says' : `${cause.message} (${cause.kind})`;
  const lines = [paint('yellow', `no io_uring in this run, ritsu's reads go through node:fs: ${because}`)];
  if (fix !== undefined) lines.push(paint('yellow', `to have it: ${fix}`));
  return lines;
}

interface Column {
  readonly head: string;
  cell(figures: Figures): string;
}

function fixed(value: number | null, digits: number): string {
  return value === null ? '-' : value.toFixed(digits);
}

const COLUMNS: readonly Column[] = [
  { head: 'ops/s', cell: ({ opsPerSecond }) => whole.format(opsPerSecond) },
  { head: 'MB/s', cell: ({ mbPerSecond }) => whole.format(mbPerSecond) },
  { head: 'x node:fs', cell: ({ ratio }) => fixed(ratio, 2) },
  { head: 'CPU us/op', cell: ({ cpuUsPerOp }) => fixed(cpuUsPerOp, 2) },
  { head: 'p50 us', cell: ({ p50Us }) => fixed(p50Us, 1) },
  { head: 'p99 us', cell: ({ p99Us }) => fixed(p99Us, 1) },
];

export function tableText(table: Table): string {
  const measured = table.rows.filter((row) => row.figures !== undefined);
  const lines = measured.map(({ engine, figures, behind }) =>
    [engine].concat(
      COLUMNS.map((column) => column.cell(figures!)),
      behind.length === 0 ? '' : paint('yellow', `! ${behind.map((each) => `${each.factor.toFixed(2)}x ${each.measure}`).join(', ')}`),
    ),
  );
  const text = [paint('bold', table.title)];
  if (lines.length > 0) text.push(...align([['engine', ...COLUMNS.map(({ head }) => head), ''], ...lines]));
  const legend = measured.some((row) => row.behind.length > 0) ? ['  !: node:fs does better; how this row stands to its best'] : [];
  return [...text, ...legend, ...notesOf(table.rows), `  ${cacheText(table)}`].join('\n');
}

/** The first column to the left, figures to the right, remarks to the left again. */
function align(lines: readonly (readonly string[])[]): string[] {
  const first = lines[0]!;
  const widths = first.map((_, index) => Math.max(...lines.map((line) => stripVTControlCharacters(line[index]!).length)));
  const isFigure = (index: number): boolean => index > 0 && index < first.length - 1;
  return lines.map((line) =>
    line
      .map((cell, index) => (isFigure(index) ? cell.padStart(widths[index]!) : cell.padEnd(index === 0 ? widths[index]! : 0)))
      .join('  ')
      .trimEnd()
      .replace(/^/, '  '),
  );
}

function notesOf(rows: readonly Row[]): string[] {
  return rows.flatMap(({ engine, absent, wrongBytes, error }) => {
    if (wrongBytes !== undefined) return [`  ${paint('red', `WRONG BYTES ${engine}: ${wrongBytes}`)}`];
    if (error !== undefined) return [`  ${paint('red', `FAILED ${engine}: ${error}`)}`];
    return absent === undefined ? [] : [`  without ${engine}: ${absent}`];
  });
}

function cacheText({ cache, diskBytes, bytes }: Table): string {
  if (diskBytes === null) return `page cache ${cache} (the kernel does not tell what came from the disk)`;
  return `page cache ${cache} (${bytesText(diskBytes)} of the ${bytesText(bytes)} timed came from the disk)`;
}

export function verdictText({ right, file, tables }: Report): string {
  const rows = tables.flatMap((table) => table.rows);
  const read = rows.filter((row) => row.absent === undefined);
  if (right) {
    const how = 'sha256 of the file where read in order, crc32 of each block where read at random';
    return paint('green', `every byte was right in all ${read.length} rows: ${how}`);
  }
  const wrong = read.filter((row) => !row.right);
  const kinds = wrong.every((row) => row.wrongBytes !== undefined) ? 'read wrong bytes' : 'failed or read wrong bytes';
  const reason = file.changed ? '; the file was changed while it was read' : '';
  return paint('red', `${wrong.length} of ${read.length} rows ${kinds}${reason}`);
}
