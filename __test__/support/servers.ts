/**
 * Servers of other projects, for tests of their clients: found where the system has them, else fetched as the system's
 * packages and unpacked into `node_modules/.cache`, so that nothing is installed. `scripts/toolchain.mjs` looks in the same
 * places when it says whether a skip is expected.
 */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { cacheFolder, findProgram } from '../../scripts/toolchain.mjs';

/** What to ask the system for, and which of its packages are wanted besides libraries. */
const PACKAGES = {
  'redis-server': { asked: 'redis-server', wanted: /^redis-(server|tools)$/ },
  postgres: { asked: 'postgresql', wanted: /^postgresql-\d+$/ },
} as const;
/** Libraries that the servers load for nothing that the tests use. */
const UNUSED = /perl|llvm|-dev$/;
const APT_MS_MAX = 60_000;
const READY_MS_MAX = 30_000;
const STOP_MS_MAX = 5000;

export type ServerName = keyof typeof PACKAGES;

/** A program that is here, and the environment it needs. */
export interface Program {
  readonly path: string;
  readonly env: NodeJS.ProcessEnv;
}

/** The server's program; undefined where the machine neither has it nor can fetch it. */
export function findServer(name: ServerName): Program | undefined {
  const path = findProgram(name) ?? (fetchPackages(name) ? findProgram(name) : undefined);
  if (path === undefined) return undefined;
  const program = { path, env: { ...process.env, LC_ALL: 'C', LD_LIBRARY_PATH: librariesOf(path, name) } };
  execFileSync(path, ['--version'], { env: program.env, stdio: 'pipe' }); // a server that is here and broken is no reason to skip
  return program;
}

/** Where the libraries lie that were fetched with it; the system finds those of its own programs. */
function librariesOf(path: string, name: ServerName): string {
  const folder = cacheFolder(name);
  if (!path.startsWith(folder)) return process.env['LD_LIBRARY_PATH'] ?? '';
  const roots = [join(folder, 'usr/lib'), join(folder, 'lib')].filter((root) => existsSync(root));
  return roots.flatMap((root) => readdirSync(root).filter((each) => each.includes('-linux-')).map((each) => join(root, each))).join(':');
}

/** Whether the packages could be had; if so, unpacking them has to succeed. */
function fetchPackages(name: ServerName): boolean {
  mkdirSync(dirname(cacheFolder(name)), { recursive: true });
  const folder = mkdtempSync(`${cacheFolder(name)}-`);
  try {
    const { asked, wanted } = PACKAGES[name];
    const plan = apt(['install', '--simulate', '--no-install-recommends', asked], folder) ?? '';
    const missing = [...plan.matchAll(/^Inst (\S+)/gm)].map((found) => found[1]!);
    const names = missing.filter((each) => wanted.test(each) || (each.startsWith('lib') && !UNUSED.test(each)));
    if (names.length === 0 || apt(['download', ...names], folder) === undefined) return false;
    for (const file of readdirSync(folder)) {
      execFileSync('dpkg', ['-x', join(folder, file), folder], { stdio: 'pipe' });
      rmSync(join(folder, file));
    }
    if (findProgram(name) !== undefined) return true; // another test run was quicker
    rmSync(cacheFolder(name), { recursive: true, force: true });
    renameSync(folder, cacheFolder(name));
    return true;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** What apt says; undefined without apt, its lists, or a network. */
function apt(args: readonly string[], cwd: string): string | undefined {
  const impatient = ['-o', 'Acquire::Retries=1', '-o', 'Acquire::http::Timeout=10'];
  try {
    return execFileSync('apt-get', [...impatient, ...args], { cwd, encoding: 'utf8', timeout: APT_MS_MAX, stdio: ['ignore', 'pipe', 'ignore'] });
  } catch {
    return undefined;
  }
}

export interface User {
  readonly uid: number;
  readonly gid: number;
}

/** Whom a server runs as that refuses root: the first of these that exists. Nobody else where we are not root. */
export function otherUser(...names: readonly string[]): User | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const rows = readFileSync('/etc/passwd', 'utf8').split('\n').map((line) => line.split(':'));
  const row = names.map((name) => rows.find(([each]) => each === name)).find((each) => each !== undefined);
  if (row === undefined) throw new Error(`none of the users ${names.join(', ')} exists`);
  return { uid: Number(row[2]), gid: Number(row[3]) };
}

/**
 * The server's parent: says its pid, waits for its end, and removes its folder. When our end of standard input closes, which
 * it does however we end, it ends the server.
 */
const KEEPER = `
folder=$1 signal=$2; shift 2
exec 3<&0
"$@" 3<&- & server=$!
trap '' HUP INT TERM
echo "$server"
{ read -r _ <&3; kill -s "$signal" "$server"; } >&- 2>&- & watcher=$!
wait "$server"
kill -s KILL "$watcher"
rm -rf "$folder"
`;

export interface ServerOptions {
  /** Its own folder, which goes with it. */
  readonly folder: string;
  readonly user?: User | undefined;
  /** What ends it in a hurry. */
  readonly signal: 'KILL' | 'QUIT';
  /** What it prints when it takes connections. */
  readonly ready: RegExp;
}

export interface Server {
  readonly pid: number;
  /** End it, and wait until it and its folder have gone. Again is nothing. */
  stop(): Promise<void>;
}

/** Start a server, and wait until it takes connections. */
export async function startServer({ path, env }: Program, args: readonly string[], options: ServerOptions): Promise<Server> {
  const { folder, user, signal, ready } = options;
  const keeper = spawn('sh', ['-c', KEEPER, 'sh', folder, signal, path, ...args], { ...user, env, cwd: '/', stdio: 'pipe' });
  const ended = once(keeper, 'exit');
  const output = [keeper.stdout, keeper.stderr].map((each) => each.setEncoding('utf8'));
  let said = '';
  const isReady = new Promise<boolean>((resolve) => {
    for (const each of output) each.on('data', (text: string) => void ((said += text), ready.test(said) && resolve(true)));
    void ended.then(() => resolve(false));
    setTimeout(resolve, READY_MS_MAX, false).unref();
  });
  const [first] = (await once(keeper.stdout, 'data')) as [string];
  const pid = Number.parseInt(first, 10);
  const stop = async (): Promise<void> => {
    keeper.stdin.end();
    const impatient = setTimeout(() => process.kill(pid, 'SIGKILL'), STOP_MS_MAX);
    await ended;
    clearTimeout(impatient);
  };
  if (await isReady) return { pid, stop };
  await stop();
  throw new Error(`${path} did not start: ${said}`);
}
