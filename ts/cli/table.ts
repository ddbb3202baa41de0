/** The report for a person: who ran where, a table for each way of reading, a verdict. */
import { stripVTControlCharacters, styleText } from 'node:util';
import type { BackendInfo } from '../index.js';
import type { FileReport, Figures, Report, Row, SocketTable, Table } from './report.js';

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

export type Head = Omit<Report, 'date' | 'right' | 'sockets' | 'tables'>;

export function headText({ ritsu, machine, backend, fence, file, rounds }: Head): string {
  const { processor, cores, memoryGiB, kernel, node, libuv, loadBefore } = machine;
  const lines = [
    `ritsu ${ritsu} on ${paint('bold', backend.backend)}, fence ${fence ? 'on' : 'off'}`,
    ...causeText(backend),
    `${processor}, ${cores} cores, ${memoryGiB} GiB, ${kernel}, Node ${node} (libuv ${libuv}), load before ${loadBefore.toFixed(2)}`,
    ...(file === null ? [] : fileText(file)),
    `${rounds === 1 ? 'one round' : `medians of ${rounds} rounds, every engine once in each`}; x node: the rate to that of node FileHandle.read or node:net`,
  ];
  return lines.join('\n');
}

function fileText({ path, size, sha256, made, remark }: FileReport): string[] {
  const origin = made ? 'made for this run' : 'taken as it is';
  return [`${path}: ${bytesText(size)}, ${origin}${remark === undefined ? '' : `; ${remark}`}`, `sha256 ${sha256}`];
}

/** Why it is not the ring, and what would bring it. */
function causeText({ backend, cause, fix }: BackendInfo): string[] {
  if (backend === 'uring') return [];
  const because = cause === undefined || cause.kind === 'forced' ? 'as --backend or RITSU_BACKEND says' : `${cause.message} (${cause.kind})`;
  const lines = [paint('yellow', `no io_uring in this run, ritsu goes through node:fs and node:net: ${because}`)];
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

const MB_PER_SECOND: Column = { head: 'MB/s', cell: ({ mbPerSecond }) => whole.format(mbPerSecond) };
const LATENCIES: readonly Column[] = [
  { head: 'p50 us', cell: ({ p50Us }) => fixed(p50Us, 1) },
  { head: 'p99 us', cell: ({ p99Us }) => fixed(p99Us, 1) },
];

function rateOf(head: string): Column {
  return { head, cell: ({ opsPerSecond }) => whole.format(opsPerSecond) };
}

function ratioTo(rival: string): Column {
  return { head: `x ${rival}`, cell: ({ ratio }) => fixed(ratio, 2) };
}

function cpuOf(operation: string): Column {
  return { head: `CPU us/${operation}`, cell: ({ cpuUsPerOp }) => fixed(cpuUsPerOp, 2) };
}

/** From here on a load counts as the limit. */
const LOAD_BUSY = 0.95;

const FILE_COLUMNS = [rateOf('ops/s'), MB_PER_SECOND, ratioTo('node:fs'), cpuOf('op'), ...LATENCIES];
const ECHO_COLUMNS = [rateOf('requests/s'), MB_PER_SECOND, ratioTo('node:net'), cpuOf('req'), ...LATENCIES];
const BULK_COLUMNS = [MB_PER_SECOND, ratioTo('node:net'), cpuOf('MiB')];

export function tableText(table: Table): string {
  return [...rowsText(table.title, table.rows, FILE_COLUMNS, 'node:fs'), `  ${cacheText(table)}`].join('\n');
}

export function socketTableText({ title, role, rows, loadBusy }: SocketTable): string {
  const text = rowsText(title, rows, role === 'echo' ? ECHO_COLUMNS : BULK_COLUMNS, 'node:net');
  return [...text, ...loadText(loadBusy)].join('\n');
}

/** Where the load has no time left, all servers look the same. */
function loadText(busy: number | null): string[] {
  if (busy === null || busy < LOAD_BUSY) return [];
  return [`  the load had no time left (${Math.round(busy * 100)} % busy): it limits these rates, not the servers; CPU tells them apart`];
}

/** What has to be known of all tables of sockets. */
export function socketsText([table]: readonly SocketTable[]): string {
  const [server, load] = table?.cores ?? [];
  const where = server === undefined ? 'the system places both' : `on core ${server} and core ${load}`;
  return `sockets: loopback TCP, each server and its load (node:net, for all the same) a process of its own, ${where}; CPU is the server's`;
}

function rowsText(title: string, rows: readonly Row[], columns: readonly Column[], rival: string): string[] {
  const measured = rows.filter((row) => row.figures !== undefined);
  const lines = measured.map(({ engine, figures, behind }) =>
    [engine].concat(
      columns.map((column) => column.cell(figures!)),
      behind.length === 0 ? '' : paint('yellow', `! ${behind.map((each) => `${each.factor.toFixed(2)}x ${each.measure}`).join(', ')}`),
    ),
  );
  const text = [paint('bold', title)];
  if (lines.length > 0) text.push(...align([['engine', ...columns.map(({ head }) => head), ''], ...lines]));
  const legend = measured.some((row) => row.behind.length > 0) ? [`  !: ${rival} does better; how this row stands to its best`] : [];
  return [...text, ...legend, ...notesOf(rows)];
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

export function verdictText({ right, file, tables, sockets }: Report): string {
  const rows = [...tables, ...sockets].flatMap((table) => table.rows);
  const done = rows.filter((row) => row.absent === undefined);
  if (right) {
    const how = [
      ...(tables.length > 0 ? ['sha256 of the file where read in order, crc32 of each block where read at random'] : []),
      ...(sockets.length > 0 ? ['what came over sockets compared byte by byte'] : []),
    ];
    return paint('green', `every byte was right in all ${done.length} rows: ${how.join(', ')}`);
  }
  const wrong = done.filter((row) => !row.right);
  const kinds = wrong.every((row) => row.wrongBytes !== undefined) ? 'read wrong bytes' : 'failed or read wrong bytes';
  const reason = file?.changed === true ? '; the file was changed while it was read' : '';
  return paint('red', `${wrong.length} of ${done.length} rows ${kinds}${reason}`);
}
