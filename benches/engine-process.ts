/**
 * The process of one engine: `engine-process.ts MODULE WORKLOAD PLANS`. Runs each plan (warm-up, then measured) and
 * prints the results as one line of JSON; with `RITSU_BENCH_WAITS` it waits for a line between the two. A process of its
 * own, so that CPU time, memory and heap are the engine's.
 */
import { readFileSync, readSync, readdirSync, writeSync } from 'node:fs';
import { PerformanceObserver, performance } from 'node:perf_hooks';
import { getHeapStatistics } from 'node:v8';
import type { Session, Workload, Workloads } from './engines/session.ts';
import { Meter } from './meter.ts';
import { warmUpSeed } from './plan.ts';
import type { Plan, Result } from './plan.ts';

/** Collections while measuring. Their entries are delivered later, in a task of their own. */
class CollectionWatch {
  readonly #entries: { startTime: number; duration: number }[] = [];
  readonly #observer = new PerformanceObserver((list) => {
    this.#entries.push(...list.getEntries());
  });

  constructor() {
    this.#observer.observe({ entryTypes: ['gc'] });
  }

  async milliseconds(from: number, to: number): Promise<number> {
    await new Promise((resolve) => setTimeout(resolve, 20));
    this.#observer.disconnect();
    const inside = this.#entries.filter((entry) => entry.startTime >= from && entry.startTime <= to);
    return inside.reduce((sum, entry) => sum + entry.duration, 0);
  }
}

/**
 * Heap bytes of one operation: the growth over passes too short to fill the young generation. A pass that a collection
 * fell into shrank or shows less, hence the median of those that grew.
 */
async function allocatedBytes(session: Session, plan: Plan): Promise<number> {
  const operations = Math.min(Math.max(200, plan.depth * 2), plan.operations);
  const growths: number[] = [];
  for (let attempt = 0; attempt < 25; attempt += 1) {
    const meter = new Meter(plan, operations, warmUpSeed(plan));
    const before = getHeapStatistics().used_heap_size;
    await session.pass(meter);
    const growth = getHeapStatistics().used_heap_size - before;
    if (growth > 0) growths.push(growth / operations);
  }
  return percentile(Float64Array.from(growths).sort(), 0.5);
}

function percentile(sorted: Float64Array, share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
}

/** The most memory the process ever had. Not `maxRSS` of its resource usage: that begins with what the parent had. */
function maximumRssBytes(): number {
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]) * 1024;
}

/** A polled ring that libuv did not make would be the thread pool under another name. */
function assertPolledRing(): void {
  if (process.env['RITSU_BENCH_SQPOLL_ADDON'] === undefined) return;
  const threads = readdirSync('/proc/self/task').map((id) => readFileSync(`/proc/self/task/${id}/comm`, 'utf8'));
  if (!threads.some((name) => name.startsWith('iou-sqp'))) throw new Error('libuv made no polled ring');
}

async function warmUp(session: Session, plan: Plan): Promise<void> {
  if (plan.warmUpOperations === 0) return;
  const until = performance.now() + plan.warmUpSeconds * 1000;
  do await session.pass(new Meter(plan, plan.warmUpOperations, warmUpSeed(plan)));
  while (performance.now() < until);
}

/** Whoever measures several in turns says when it begins. */
function waitForTheWord(): void {
  if (process.env['RITSU_BENCH_WAITS'] === undefined) return;
  writeSync(1, 'ready\n');
  if (readSync(0, Buffer.alloc(16)) === 0) process.exit(); // whoever measures has gone
}

async function measure(workload: Workload, plan: Plan): Promise<Result> {
  const session = await workload(plan);
  await warmUp(session, plan);
  waitForTheWord();

  const watch = plan.observeMemory ? new CollectionWatch() : undefined;
  const copiesBefore = session.copies?.();
  const meter = new Meter(plan, plan.operations, plan.seed);
  const usageBefore = process.resourceUsage();
  const started = performance.now();
  await session.pass(meter);
  const ended = performance.now();
  const usage = process.resourceUsage();
  const copiesAfter = session.copies?.();
  assertPolledRing();

  const latencies = meter.latencies();
  const digest = plan.verify && plan.mode === 'sequential' ? meter.digest() : undefined;
  const collectionMs = await watch?.milliseconds(started, ended);
  const result: Result = {
    operations: plan.operations,
    bytes: meter.bytes,
    checksum: meter.checksum,
    seconds: (ended - started) / 1000,
    cpuSeconds: (usage.userCPUTime - usageBefore.userCPUTime + usage.systemCPUTime - usageBefore.systemCPUTime) / 1e6,
    p50Us: percentile(latencies, 0.5),
    p99Us: percentile(latencies, 0.99),
    p999Us: percentile(latencies, 0.999),
    maximumRssBytes: maximumRssBytes(),
    ...(digest !== undefined && { digest }),
    ...(collectionMs !== undefined && {
      collectionMsPerMillion: (collectionMs / plan.operations) * 1e6,
      allocatedBytesPerOperation: await allocatedBytes(session, plan),
    }),
    ...(copiesBefore !== undefined &&
      copiesAfter !== undefined && { copiesPerOperation: (copiesAfter - copiesBefore) / plan.operations }),
  };
  await session.close();
  return result;
}

const [moduleName = '', workloadName = '', plansText = '[]'] = process.argv.slice(2);
const { workloads } = (await import(`./engines/${moduleName}.ts`)) as { workloads: Workloads };
const workload = workloads[workloadName];
if (workload === undefined) throw new Error(`no engine ${moduleName}/${workloadName}`);
const results: Result[] = [];
for (const plan of JSON.parse(plansText) as Plan[]) results.push(await measure(workload, plan));
process.stdout.write(`${JSON.stringify(results)}\n`);
