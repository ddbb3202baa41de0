/**
 * A soak: everything mixed at random for a while, every byte looked at, and nothing left at the end.
 * `soak [--minutes N] [--seed S] [--backend uring|node]`, ten minutes by default; `npm run soak` does it. The last line
 * says what was done; the exit code is 1 when anything was wrong.
 */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Worker } from 'node:worker_threads';
import { Proactor, connect, listen } from 'ritsu';
import type { BackendName, ProactorStats, Stream, TcpListener, UnixListener } from 'ritsu';
import { Random } from '../support/random.ts';
import { report } from './report.ts';
import { burst, datagrams, exhaust, readFile, throughPipe, timers, writeFile } from './soak-files.ts';
import type { Surroundings } from './soak-files.ts';
import { converse, passOn } from './soak-streams.ts';
import { Tally, pause } from './soak-tally.ts';
import type { SoakTask } from './soak-worker.ts';

const { values } = parseArgs({ options: { minutes: { type: 'string' }, seed: { type: 'string' }, backend: { type: 'string' } } });
const minutes = Number(values.minutes ?? 10);
const seed = Number(values.seed ?? Date.now() % 2 ** 31);
const backend = (values.backend ?? (process.env['RITSU_BACKEND'] || 'uring')) as BackendName;
const LANES = 6;
const FILE_BYTES = 3_000_000;
const POOL = { classes: [{ size: 4096, count: 24 }, { size: 65_536, count: 48 }], hugePages: false };
const ENDING_MS = 30_000;

const tally = new Tally();
const directory = mkdtempSync(join(tmpdir(), 'ritsu-soak-'));
process.on('exit', () => rmSync(directory, { recursive: true, force: true }));
process.on('uncaughtException', (error) => tally.find('uncaught', error));
process.on('unhandledRejection', (error) => tally.find('unhandled rejection', error));
/** Waiting for blocks is what is wanted here. */
process.removeAllListeners('warning').on('warning', ({ code }: Error & { code?: string }) => tally.add(`warning ${code ?? ''}`));

interface Place extends Surroundings {
  readonly listeners: readonly [tcp: TcpListener, unix: UnixListener];
  readonly path: string;
  readonly key: number;
}

async function pairOf({ random, proactor, listeners }: Place): Promise<readonly [Stream, Stream]> {
  const [tcp, unix] = listeners;
  if (random.chance(0.5)) return [await connect({ port: tcp.address().port, host: '127.0.0.1', proactor }), await tcp.accept()];
  return [await connect({ path: unix.address(), proactor }), await unix.accept()];
}

/** A thread with a handle to this thread's proactor, and with a connection; one of four is ended while it works. */
async function withWorker(place: Place): Promise<void> {
  const { random, proactor, path, key } = place;
  const port = proactor.share();
  const task: SoakTask = { port, backend, seed: random.bits(), path, key, size: FILE_BYTES, reads: 20 + random.below(100) };
  const worker = new Worker(new URL('soak-worker.ts', import.meta.url), { workerData: task, transferList: [port] });
  const isEnded = random.chance(0.25);
  const exited = new Promise<void>((resolve) => worker.on('exit', () => resolve()));
  worker.on('error', (error) => tally.find('worker', error));
  const arrived = new Promise<number | undefined>((resolve) => {
    worker.on('message', ({ right, wrong, arrived: bytes, ended }: { right?: number; wrong?: string; arrived?: number; ended?: boolean }) => {
      if (wrong !== undefined && !isEnded) tally.find(wrong);
      if (right !== undefined) tally.add('verifiedBytes', right);
      if (ended) resolve(bytes);
    });
    worker.on('exit', () => resolve(undefined));
  });
  const killer = isEnded ? setTimeout(() => void worker.terminate(), random.below(150)) : undefined;
  tally.add(isEnded ? 'workersEnded' : 'workers');
  if (backend === 'node' || isEnded) worker.postMessage('end'); // Node's sockets cannot be moved
  else await passOn(random, tally, proactor, await pairOf(place), (moved, own, from) => {
    worker.postMessage({ moved, key: own, from });
    return arrived;
  });
  await exited;
  clearTimeout(killer);
}

const WORK: readonly ((place: Place) => Promise<void>)[] = [
  async (place) => converse(place.random, tally, place.proactor, await pairOf(place), 'connection'),
  async (place) => converse(place.random, tally, place.proactor, await pairOf(place), 'connection'),
  (place) => readFile(place, place.path, place.key, FILE_BYTES),
  async (place) => {
    const path = join(directory, `file-${place.random.bits()}`);
    const [key, size] = [place.random.bits(), 4096 + place.random.below(1_000_000)];
    await writeFile(place, path, key, size);
    await readFile(place, path, key, size);
    rmSync(path);
  },
  throughPipe,
  datagrams,
  timers,
  burst,
  (place) => exhaust(place, place.path, place.key, FILE_BYTES),
];

/** Accepts are paired with connects by their order, so each lane has listeners of its own. */
async function lane(index: number, proactor: Proactor, shared: Pick<Place, 'path' | 'key'>, until: number): Promise<void> {
  const random = new Random(seed * 31 + index);
  const listeners = [await listen({ port: 0, host: '127.0.0.1', proactor }), await listen({ path: join(directory, `socket-${index}`), proactor })] as const;
  const place: Place = { random, tally, proactor, directory, listeners, ...shared };
  while (performance.now() < until && tally.findings.length === 0) {
    const work = random.chance(0.02) ? withWorker : random.pick(WORK);
    await work(place).catch((error: unknown) => tally.find('work', error));
    tally.add('pieces');
  }
  await Promise.all(listeners.map((listener) => listener.close()));
}

/** What is left, when what others end in their own time has ended. */
async function leftOver(proactor: Proactor): Promise<Record<string, number>> {
  for (let tries = 0; ; tries += 1) {
    const { inFlight, waiting, blocksBusy, descriptorsOpen, stale, leakedBytes, faults, pool, streamPool } = proactor.stats();
    const missing = [...pool, ...(streamPool === undefined ? [] : [streamPool])].reduce((sum, { count, available }) => sum + count - available, 0);
    const left = { inFlight, waiting, blocksBusy, descriptorsOpen, stale, leakedBytes, faults, missing };
    if (tries === 100 || Object.values(left).every((count) => count === 0)) return left;
    (globalThis as { gc?: () => void }).gc?.();
    await pause(20);
  }
}

function summary(stats: ProactorStats, elapsedSeconds: number): Record<string, unknown> {
  const { submitted, enters, wakes, overflows, retries, copies, cancel } = stats;
  const exhaustions = [...stats.pool, ...(stats.streamPool === undefined ? [] : [stats.streamPool])].reduce((sum, { exhausted }) => sum + exhausted, 0);
  const peakResidentMegabytes = Math.round(process.resourceUsage().maxRSS / 1024);
  return { backend: stats.backend, seed, seconds: Math.round(elapsedSeconds), ops: submitted, enters, wakes, overflows, retries, copies, cancel, exhaustions, peakResidentMegabytes };
}

async function run(): Promise<void> {
  const first = new Proactor({ backend }); // opens what is opened once
  await first.nop();
  await first.close();
  await new Promise((resolve) => new Worker('', { eval: true }).on('exit', resolve));
  const descriptorsBefore = readdirSync('/proc/self/fd').length;
  const proactor = new Proactor({ backend, pool: POOL, streamPool: { size: 65_536, count: 12 }, entries: 64, completionEntries: 128, inFlightMax: 256 });
  const shared = { path: join(directory, 'shared'), key: seed };
  await writeFile({ random: new Random(seed), tally, proactor, directory }, shared.path, shared.key, FILE_BYTES);
  const started = performance.now();
  const until = started + minutes * 60_000;
  const progress = setInterval(() => report({ progress: Math.round((performance.now() - started) / 1000), ops: proactor.stats().submitted, findings: tally.findings }), 10_000);
  const lanes = Promise.all(Array.from({ length: LANES }, (_, index) => lane(index, proactor, shared, until)));
  let late: NodeJS.Timeout | undefined;
  const deadline = new Promise((resolve) => (late = setTimeout(resolve, minutes * 60_000 + ENDING_MS, 'late')));
  if ((await Promise.race([lanes, deadline])) === 'late') tally.find(`it did not end: ${JSON.stringify(proactor.inflight().slice(0, 5))}`);
  clearTimeout(late);
  clearInterval(progress);
  const left: Record<string, number> = await leftOver(proactor);
  const stats = proactor.stats();
  await proactor.destroy();
  await pause(50);
  left['fds'] = readdirSync('/proc/self/fd').length - descriptorsBefore;
  for (const [name, count] of Object.entries(left)) if (count !== 0) tally.find(`left: ${name} ${count}`);
  report({ ...summary(stats, (performance.now() - started) / 1000), ...tally.counts, left, findings: tally.findings, ended: true });
}

await run();
process.exit(tally.findings.length === 0 ? 0 : 1);
