/**
 * The main job, `npm start`: make or take a file, read it in every style and with node:fs, check every byte, compare;
 * then sockets, against node:net. Exit codes: 0, 1 when a byte was wrong or an operation failed, 2 for wrong arguments.
 */
import { readFileSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { Proactor, backendInfo } from '../index.js';
import { HELP, UsageError, checkBlocks, checkFile, parseArguments } from './arguments.js';
import type { Settings } from './arguments.js';
import { compare, compareRandom, compareSequential, passesOf, sizeRandom, sizeSequential } from './comparison.js';
import { readContent, writeContent } from './content.js';
import type { Reference } from './content.js';
import { randomEngines, sequentialEngines } from './engines.js';
import { describeMachine } from './machine.js';
import { Progress } from './progress.js';
import { isRight, keepReport, tableOf, toJson } from './report.js';
import type { FileReport, Report, Table } from './report.js';
import { compareSockets, socketPasses } from './sockets/half.js';
import { bytesText, headText, tableText, verdictText } from './table.js';
import type { Head } from './table.js';
import { IN_MEMORY, choosePlace, exitOnSignals, isInMemory, makeRoom } from './workplace.js';
import type { Place } from './workplace.js';

/** Steps of the progress bar that making a file, or reading it for the first time, counts for. */
const FILE_STEPS = 4;
/** Reads that ritsu's iteration has in flight: one, and two ahead of it. */
const SEQUENTIAL_DEPTH = 3;

function version(): string {
  const text = readFileSync(join(import.meta.dirname, '..', '..', 'package.json'), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** The file, and what is known of it. */
interface Subject {
  readonly reference: Reference;
  readonly file: Omit<FileReport, 'changed'>;
}

/** Settle which backend is used, with a pool that has a block for every read in flight; before its first use. */
function configure({ backend, direct, sequentialBlock, randomBlock, depth }: Settings): void {
  // The first is for readers that are not told a size.
  const blocks = new Map([[65_536, 2]]);
  for (const [bytes, reads] of [[sequentialBlock, SEQUENTIAL_DEPTH], [randomBlock, depth]] as const) {
    const size = 2 ** Math.max(Math.ceil(Math.log2(bytes)), 12);
    // As many again: a block waits with its holder or with the kernel while the next is being filled.
    const count = 2 ** Math.ceil(Math.log2(reads * 2));
    blocks.set(size, Math.max(count, blocks.get(size) ?? 0));
  }
  Proactor.configure({ backend, pool: { classes: [...blocks].map(([size, count]) => ({ size, count })) } });
  const { features, cause, fix } = backendInfo();
  if (!direct || features.direct) return;
  const because = cause === undefined ? '' : ` (${[cause.message, fix].filter(Boolean).join('; ')})`;
  throw new UsageError(`--direct: the node backend cannot bypass the page cache${because}`);
}

/** A step of the progress bar that reports its own part. */
function fileStep(progress: Progress, label: string): (part: number) => void {
  let done = 0;
  progress.phase(label);
  progress.step('', () => done, FILE_STEPS);
  return (part) => void (done = part);
}

async function take({ file = '', randomBlock }: Settings, progress: Progress): Promise<Subject> {
  const path = resolve(file);
  const size = checkFile(path);
  const reference = await readContent(path, size, randomBlock, fileStep(progress, `reading ${path} with node:fs for its checksums`));
  return { reference, file: { path, size, sha256: reference.digest, made: false, ...(isInMemory(path) && { remark: IN_MEMORY }) } };
}

async function make({ size, randomBlock, keep }: Settings, place: Place, progress: Progress): Promise<Subject> {
  const path = makeRoom(place, keep);
  const reference = await writeContent(path, size, randomBlock, fileStep(progress, `making ${bytesText(size)} at ${path}`));
  const read = await readContent(path, size, randomBlock, fileStep(progress, 'reading it with node:fs, against what was written'));
  if (read.digest !== reference.digest) throw new Error(`${path} does not hold what was written to it: the disk is at fault`);
  const { remark } = place;
  return { reference, file: { path, size, sha256: reference.digest, made: true, ...(remark !== undefined && { remark }) } };
}

function cacheWord({ direct }: Settings): string {
  return direct ? 'O_DIRECT' : 'cached';
}

async function readInOrder(settings: Settings, { reference, file }: Subject, progress: Progress): Promise<Table> {
  const { direct, runs, sequentialBlock: blockSize } = settings;
  const engines = sequentialEngines(settings.styles);
  const plan = await sizeSequential({ path: file.path, size: file.size, blockSize, direct }, engines[0]!, reference);
  const times = plan.laps === 1 ? 'once' : `${plan.laps} times`;
  const title = `whole file in order, ${cacheWord(settings)}, ${bytesText(blockSize)} at a time`;
  const outcomes = await compare(title, compareSequential(plan, engines, reference), runs, progress);
  const bytesPerRun = file.size * plan.laps;
  return tableOf({ title: `${title}: ${times} a run`, blockSize, depth: SEQUENTIAL_DEPTH, bytesPerRun, direct }, outcomes);
}

async function readAtRandom(settings: Settings, { reference, file }: Subject, progress: Progress): Promise<Table> {
  const { direct, runs, depth, randomBlock: blockSize } = settings;
  const engines = randomEngines(settings.styles);
  const base = { path: file.path, size: file.size, blockSize, direct, depth };
  const plan = await sizeRandom(base, engines[0]!, reference);
  const title = `random ${bytesText(blockSize)}, ${cacheWord(settings)}, depth ${depth}`;
  const outcomes = await compare(title, compareRandom(plan, engines, reference), runs, progress);
  const operations = plan.order.length;
  const reads = `${new Intl.NumberFormat('en').format(operations)} reads a run`;
  return tableOf({ title: `${title}: ${reads}`, blockSize, depth, bytesPerRun: operations * blockSize, direct }, outcomes);
}

/** The file half: tell the head of the report, then its tables one by one. */
async function compareFiles(settings: Settings, head: Head, place: Place | undefined, progress: Progress, say: Say): Promise<Files> {
  const subject = place === undefined ? await take(settings, progress) : await make(settings, place, progress);
  const modified = statSync(subject.file.path).mtimeMs;
  say(headText({ ...head, file: { ...subject.file, changed: false } }));
  const tables: Table[] = [];
  for (const read of [readInOrder, readAtRandom]) {
    tables.push(await read(settings, subject, progress));
    say(tableText(tables.at(-1)!));
  }
  return { tables, file: { ...subject.file, changed: statSync(subject.file.path).mtimeMs !== modified } };
}

interface Files {
  readonly file: FileReport | null;
  readonly tables: readonly Table[];
}

type Say = (text: string) => void;

/** Steps of the progress bar, in all. */
function stepsOf({ styles, runs, file, only }: Settings): number {
  const files = FILE_STEPS * (file === undefined ? 2 : 1) + passesOf(sequentialEngines(styles), runs) + passesOf(randomEngines(styles), runs);
  return (only === 'sockets' ? 0 : files) + (only === 'files' ? 0 : socketPasses(styles, runs));
}

/** Whether every byte was right. */
async function run(settings: Settings): Promise<boolean> {
  const { only, file: given, runs: rounds } = settings;
  const place = only === 'sockets' || given !== undefined ? undefined : choosePlace(settings.size);
  if (only !== 'sockets') checkBlocks(given === undefined ? settings.size : checkFile(given), settings);
  configure(settings);
  exitOnSignals();
  const progress = new Progress(process.stderr);
  progress.expect(stepsOf(settings));
  const say = (text: string): void => {
    progress.clear();
    if (!settings.json) print(`\n${text}`);
  };
  const backend = backendInfo();
  const head: Head = { ritsu: version(), machine: describeMachine(), backend, fence: Proactor.current().fence, file: null, rounds };
  if (only === 'sockets') say(headText(head));
  const files: Files = only === 'sockets' ? { file: null, tables: [] } : await compareFiles(settings, head, place, progress, say);
  const sockets = only === 'files' ? [] : await compareSockets(settings, backend.backend === 'node' ? 'node' : 'uring', progress, say);
  const right = isRight([...files.tables, ...sockets]);
  const report: Report = { ...head, date: new Date().toISOString(), right, ...files, sockets };
  say(verdictText(report));
  if (settings.json) process.stdout.write(toJson(report));
  else printPlaces(settings, report);
  return right;
}

function printPlaces({ keep }: Settings, report: Report): void {
  const kept = keepReport(report);
  if (kept !== undefined) print(`every round: ${kept}`);
  if (keep && report.file?.made === true) print(`the file is kept: ${report.file.path}`);
}

async function main(words: readonly string[]): Promise<number> {
  try {
    const settings = parseArguments(words);
    if (settings === 'help') print(HELP);
    else if (settings === 'version') print(version());
    else return (await run(settings)) ? 0 : 1;
    return 0;
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n`);
    const misused = error instanceof UsageError || (error as NodeJS.ErrnoException).code === 'ERR_INVALID_ARG_VALUE';
    return misused ? 2 : 1;
  }
}

// Whoever reads our output may have seen enough: `npm start | head`.
process.stdout.on('error', () => process.exit(1));
process.exitCode = await main(process.argv.slice(2));
