/**
 * Every function of the package with every kind of value, in random order, on whatever is alive:
 * `fuzz-api <calls> <seed> <directory>`. What is thrown is an Error with a code, what is promised settles, and at the end
 * of each world (`fuzz-world.ts`) nothing is left of it.
 */
import dns from 'node:dns';
import * as fs from 'node:fs';
import { execFileSync } from 'node:child_process';
import { syncBuiltinESMExports } from 'node:module';
import { isIP } from 'node:net';
import { Random } from '../support/random.ts';
import { faultOf } from './fuzz-errors.ts';
import { FIFO, HOST } from './fuzz-values.ts';
import { World } from './fuzz-world.ts';
import { report } from './report.ts';

const [total = 0, seed = 0] = process.argv.slice(2, 4).map(Number);
const CALLS_OF_A_WORLD = 500;
const FINDINGS_MAX = 40;
const FDS_MS = 3000;
process.chdir(process.argv[4]!);
execFileSync('mkfifo', [FIFO]);

/** Names are not asked of the network. */
const NAMES: Readonly<Record<string, readonly { readonly address: string; readonly family: number }[]>> = {
  localhost: [{ address: HOST, family: 4 }],
  several: [{ address: '::1', family: 6 }, { address: HOST, family: 4 }],
};
type Answer = (error: Error | null, ...found: unknown[]) => void;
const systemLookup = dns.lookup as (host: string, options: object | number, answer: Answer) => void;
const lookup = (host: string, second: object | number | Answer, third?: Answer): void => {
  const [options, answer] = typeof second === 'function' ? [{}, second as Answer] : [second, third!];
  if (isIP(host) !== 0) return systemLookup(host, options, answer);
  const found = NAMES[host];
  const unknown = (): Error => Object.assign(new Error(`getaddrinfo ENOTFOUND ${host}`), { code: 'ENOTFOUND', errno: -3008, syscall: 'getaddrinfo' });
  setImmediate(() => {
    if (found === undefined) answer(unknown());
    else if ((options as { readonly all?: boolean }).all) answer(null, found);
    else answer(null, found[0]!.address, found[0]!.family);
  });
};
(dns as unknown as { lookup: unknown }).lookup = lookup;
syncBuiltinESMExports();

interface Finding {
  count: number;
  readonly first: string;
}

const findings = new Map<string, Finding>();
let world = -1;
let ours = 0;

function find(label: string, error: unknown, what = 'failed'): void {
  const message = error instanceof Error ? error.message.replaceAll(/\d+/g, 'N').slice(0, 200) : '';
  const key = `${label}: ${what}. ${message}`;
  const before = findings.get(key);
  if (before !== undefined) before.count += 1;
  else findings.set(key, { count: 1, first: `world ${world}\n${error instanceof Error ? error.stack : ''}` });
}

/** Also what a callback of the program's throws where nobody waits for it comes out here. */
function surfaced(label: string, error: unknown): void {
  const fault = faultOf(error);
  if (fault === undefined && (error as { code?: unknown }).code === undefined) ours += 1;
  else find(label, error, fault ?? 'nobody waited for it');
}
process.on('uncaughtException', (error) => surfaced('uncaught exception', error));
process.on('unhandledRejection', (error) => surfaced('unhandled rejection', error));

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const openFds = (): string[] => fs.readdirSync('/proc/self/fd');
const fds = [fs.openSync(FIFO, 'r+'), fs.openSync(import.meta.filename, 'r'), 999_999];
const calls: Record<string, number> = {};
const done: Record<string, number> = {};

function sum(into: Record<string, number>, from: Readonly<Record<string, number>>): void {
  for (const [name, count] of Object.entries(from)) into[name] = (into[name] ?? 0) + count;
}

/** What keeps the process alive: a deadline of work that is over would. */
function checkTimers(): void {
  const left = process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
  if (left > 0) find('timers', undefined, `${left} at the end`);
}

/** A seed of its own for each, so that one can be run again alone. */
async function live(index: number, count: number): Promise<void> {
  const random = new Random(seed * 1_000_003 + index);
  const here = new World(random, fds, find);
  await here.begin();
  for (let step = 0; step < count; step += 1) {
    here.step();
    if (random.chance(0.3)) await turn();
  }
  await here.end();
  sum(calls, here.calls);
  sum(done, here.done);
}

async function checkFds(before: readonly string[]): Promise<void> {
  const deadline = Date.now() + FDS_MS;
  while (openFds().length > before.length && Date.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 5));
  const left = openFds().filter((fd) => !before.includes(fd));
  if (openFds().length > before.length) find('descriptors', undefined, `left open: ${left.map(nameOf).join(', ')}`);
}

function nameOf(fd: string): string {
  try {
    return fs.readlinkSync(`/proc/self/fd/${fd}`).replaceAll(/\d+/g, 'N');
  } catch {
    return 'gone';
  }
}

async function run(): Promise<void> {
  const only = process.argv[5] === undefined ? undefined : Number(process.argv[5]);
  await live(-1, 0); // opens what is opened once: resolvers, epoll, the addon
  const worlds = Math.ceil(total / CALLS_OF_A_WORLD);
  for (world = only ?? 0; world < (only === undefined ? worlds : only + 1); world += 1) {
    const before = openFds();
    await live(world, CALLS_OF_A_WORLD);
    await checkFds(before);
    checkTimers();
    report({ worlds: world + 1, findings: findings.size });
    if (findings.size > FINDINGS_MAX) break;
  }
}

await run().catch((error: unknown) => {
  report({ failed: String((error as Error).stack), world });
  process.exit(5);
});
for (const fd of fds.slice(0, 2)) fs.closeSync(fd);
const list = [...findings].map(([what, { count, first }]) => ({ what, count, first }));
const sumOf = (counts: Readonly<Record<string, number>>): number => Object.values(counts).reduce((all, count) => all + count, 0);
report({ calls: sumOf(calls), done: sumOf(done), ours, called: calls, did: done, findings: list, ended: true });
