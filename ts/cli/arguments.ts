/**
 * The command line: what may be said, and one clear sentence for everything else. Looks at the file it is given, but
 * reads nothing.
 */
import { accessSync, constants, statSync } from 'node:fs';
import { parseArgs } from 'node:util';
import type { BackendName, Style } from '../index.js';

/** A wrong argument. Its message is one line; the exit code is 2. */
export class UsageError extends Error {}

/** What a run is to do. */
export interface Settings {
  /** An existing file, only ever read; undefined: one is made. */
  readonly file: string | undefined;
  /** Bytes of the file that is made. */
  readonly size: number;
  readonly sequentialBlock: number;
  readonly randomBlock: number;
  /** Random reads in flight at a time. */
  readonly depth: number;
  readonly styles: readonly Style[];
  readonly backend: BackendName | 'auto';
  readonly direct: boolean;
  readonly json: boolean;
  readonly runs: number;
  readonly keep: boolean;
  /** The half that is done; both where undefined. */
  readonly only: Half | undefined;
  /** Of an echo over sockets. */
  readonly connections: number;
}

export type Half = 'files' | 'sockets';

const KIB = 1024;
const MIB = 1024 * KIB;

const SIZE = 256 * MIB;
const SEQUENTIAL_BLOCK = 64 * KIB;
const RANDOM_BLOCK = 4 * KIB;
const DEPTH = 32;
const RUNS = 3;
const CONNECTIONS = 64;

const BLOCK_MAX = 64 * MIB;
const DEPTH_MAX = 4096;
const RUNS_MAX = 100;
/** Each is a descriptor of the server and one of the load; more are not had without asking on many systems. */
const CONNECTIONS_MAX = 1000;
/** Memory of all reads in flight of one engine. */
const IN_FLIGHT_BYTES_MAX = 512 * MIB;
/** For each block of the file a checksum is kept: 8 bytes. */
const BLOCKS_MAX = 2 ** 26;
/** What O_DIRECT wants on every disk and file system. */
const DIRECT_UNIT = 4096;

const STYLES: readonly Style[] = ['allocator', 'submit', 'hybrid'];
const BACKENDS = ['uring', 'node', 'auto'] as const;
const HALVES = ['files', 'sockets'] as const;
/** Options that mean nothing to sockets. */
const OF_FILES = ['file', 'size', 'block', 'depth', 'direct', 'keep'] as const;

export const HELP = `usage: npm start -- [options]

Reads one file on disk in order and at random, in ritsu's three styles and with node:fs, checks every byte against a
known-good copy of its checksums, and compares them: the same plan for all, in turns, medians. Then does the same with
sockets on the loopback, against node:net: echoes, and bulk transfers in both directions. It ends with 0, with 1 when a
byte was wrong or an operation failed, with 2 for arguments it does not understand.

  --file PATH     read this file; it is never written to. Without it a file is made on a disk, and removed at the end
  --size SIZE     bytes of the file that is made (256M: more than processors cache); K, M and G are powers of 1024
  --block SIZE    bytes of one read, in both tables (without it 64K in order, as streams read, and 4K at random, as
                  databases read: there the price of an operation shows, not that of copying)
  --depth N       random reads in flight at a time (${DEPTH})
  --connections N of an echo over sockets, each with one request at a time (${CONNECTIONS})
  --only HALF     files or sockets
  --style NAME    allocator, submit, hybrid, or all (all)
  --backend NAME  uring, node, or auto (what RITSU_BACKEND says, or auto)
  --direct        bypass the page cache (O_DIRECT); --block must be a multiple of ${DIRECT_UNIT}
  --runs N        rounds; in each every engine runs once (${RUNS})
  --json          the report as JSON on standard output, and nothing else there
  --keep          leave the file that was made
  --help          this text
  --version       ritsu's version

CPU us/op is user and system time of the process with all its threads: libuv's pool and the kernel's io-wq workers too.
Of sockets it is the server's. p50 and p99 are of one read: from asking until its bytes can be used, taken of one small
read in 17; of sockets from each request to the last byte of its answer, as the load sees it.`;

const OPTIONS = {
  file: { type: 'string' },
  size: { type: 'string' },
  block: { type: 'string' },
  depth: { type: 'string' },
  style: { type: 'string' },
  backend: { type: 'string' },
  direct: { type: 'boolean' },
  json: { type: 'boolean' },
  runs: { type: 'string' },
  keep: { type: 'boolean' },
  only: { type: 'string' },
  connections: { type: 'string' },
  help: { type: 'boolean', short: 'h' },
  version: { type: 'boolean', short: 'v' },
} as const;

/** What the words ask for. Throws `UsageError`. */
export function parseArguments(words: readonly string[]): Settings | 'help' | 'version' {
  const values = parse(words);
  if (values.help) return 'help';
  if (values.version) return 'version';
  const only = given(values.only, (text) => oneOf('--only', text, HALVES));
  checkHalf(only, values);
  const { file, direct = false } = values;
  if (file !== undefined && values.size !== undefined) {
    throw new UsageError('--size is for the file that is made: --file is read as it is');
  }
  const block = given(values.block, (text) => size('--block', text, BLOCK_MAX));
  const settings: Settings = {
    file,
    size: given(values.size, (text) => size('--size', text, Number.MAX_SAFE_INTEGER)) ?? SIZE,
    sequentialBlock: block ?? SEQUENTIAL_BLOCK,
    randomBlock: block ?? RANDOM_BLOCK,
    depth: given(values.depth, (text) => count('--depth', text, DEPTH_MAX)) ?? DEPTH,
    styles: stylesOf(values.style ?? 'all'),
    backend: backendOf(values.backend, process.env.RITSU_BACKEND),
    direct,
    json: values.json ?? false,
    runs: given(values.runs, (text) => count('--runs', text, RUNS_MAX)) ?? RUNS,
    keep: values.keep ?? false,
    only,
    connections: given(values.connections, (text) => count('--connections', text, CONNECTIONS_MAX)) ?? CONNECTIONS,
  };
  checkTogether(settings, values.block);
  return settings;
}

/** An option of the half that is left out would be without effect: whoever says it means something else. */
function checkHalf(only: Half | undefined, values: Values): void {
  const ofFiles = OF_FILES.find((option) => values[option] !== undefined);
  if (only === 'sockets' && ofFiles !== undefined) throw new UsageError(`--${ofFiles} is for files: --only sockets reads none`);
  if (only === 'files' && values.connections !== undefined) {
    throw new UsageError('--connections is for sockets: --only files opens none');
  }
}

type Values = ReturnType<typeof parseArgs<{ options: typeof OPTIONS }>>['values'];

function parse(words: readonly string[]): Values {
  try {
    return parseArgs({ args: joinNegatives(words), options: OPTIONS, strict: true, allowPositionals: false }).values;
  } catch (error) {
    const [sentence = ''] = (error as Error).message.split(/\.?\n|\. /);
    throw new UsageError(`${sentence}: see --help`);
  }
}

/** `--runs -1` is an option and its value, which is wrong; not two options. */
function joinNegatives(words: readonly string[]): string[] {
  const joined: string[] = [];
  for (const word of words) {
    const previous = joined.at(-1);
    if (/^-\d/.test(word) && previous !== undefined && /^--[a-z]+$/.test(previous)) joined.push(`${joined.pop()}=${word}`);
    else joined.push(word);
  }
  return joined;
}

function given<T>(text: string | undefined, read: (text: string) => T): T | undefined {
  return text === undefined ? undefined : read(text);
}

function size(option: string, text: string, maximum: number): number {
  const match = /^(\d+)(?:([kmg])(?:i?b)?)?$/i.exec(text);
  if (match === null) throw new UsageError(`${option} ${text}: not a size; say a number of bytes, or one with K, M or G, as 256M`);
  const unit = ['', 'k', 'm', 'g'].indexOf((match[2] ?? '').toLowerCase());
  return within(option, text, Number(match[1]) * KIB ** unit, maximum);
}

function count(option: string, text: string, maximum: number): number {
  if (!/^\d+$/.test(text)) throw new UsageError(`${option} ${text}: not a whole number from 1 on`);
  return within(option, text, Number(text), maximum);
}

function within(option: string, text: string, value: number, maximum: number): number {
  if (value < 1) throw new UsageError(`${option} ${text}: must be at least 1`);
  if (value > maximum) throw new UsageError(`${option} ${text}: must be at most ${maximum}`);
  return value;
}

function oneOf<T extends string>(option: string, text: string, known: readonly T[]): T {
  const found = known.find((each) => each === text);
  if (found === undefined) throw new UsageError(`${option} ${text}: must be one of ${known.join(', ')}`);
  return found;
}

function backendOf(option: string | undefined, variable: string | undefined): Settings['backend'] {
  if (option !== undefined) return oneOf('--backend', option, BACKENDS);
  return variable === undefined || variable === '' ? 'auto' : oneOf('RITSU_BACKEND', variable, BACKENDS);
}

function stylesOf(text: string): readonly Style[] {
  const style = oneOf('--style', text, [...STYLES, 'all'] as const);
  return style === 'all' ? STYLES : [style];
}

function checkTogether({ direct, sequentialBlock, randomBlock, depth }: Settings, block: string | undefined): void {
  if (direct && (sequentialBlock % DIRECT_UNIT !== 0 || randomBlock % DIRECT_UNIT !== 0)) {
    throw new UsageError(`--block ${block}: with --direct it must be a multiple of ${DIRECT_UNIT}`);
  }
  if (depth * randomBlock > IN_FLIGHT_BYTES_MAX) {
    throw new UsageError(`--depth ${depth}: with blocks of ${randomBlock} bytes at most ${Math.floor(IN_FLIGHT_BYTES_MAX / randomBlock)}`);
  }
}

/** Refuse a file that is too large for blocks of this size. */
export function checkBlocks(bytes: number, { randomBlock }: Settings): void {
  if (bytes / randomBlock <= BLOCKS_MAX) return;
  throw new UsageError(`--block ${randomBlock}: too small for a file of ${bytes} bytes; say at least ${Math.ceil(bytes / BLOCKS_MAX)}`);
}

const FILE_ERRORS: Readonly<Record<string, string>> = {
  ENOENT: 'no such file',
  ENOTDIR: 'no such file',
  EACCES: 'it cannot be read: permission denied',
  EPERM: 'it cannot be read: permission denied',
};

/** The size of the file that `--file` names. Throws `UsageError` when it is not one that can be read. */
export function checkFile(path: string): number {
  try {
    const stats = statSync(path);
    if (stats.isDirectory()) throw new UsageError(`--file ${path}: it is a directory`);
    if (!stats.isFile()) throw new UsageError(`--file ${path}: it is not a regular file`);
    if (stats.size === 0) throw new UsageError(`--file ${path}: it is empty, there is nothing to read`);
    accessSync(path, constants.R_OK);
    return stats.size;
  } catch (error) {
    if (error instanceof UsageError) throw error;
    const { code = '', message } = error as NodeJS.ErrnoException;
    throw new UsageError(`--file ${path}: ${FILE_ERRORS[code] ?? message}`);
  }
}
