/**
 * Rows of backends: the same expectation for `uring` and for `node`, and in some suites for a simulated ring. Where there
 * is no ring, or `RITSU_BACKEND=node` says that there shall be none, a row of `uring` becomes a named skip, which
 * `expected-skips.json` must know.
 */
import { basename } from 'node:path';
import test from 'ava';
import type { ExecutionContext } from 'ava';
import { Proactor } from 'ritsu';
import type { BackendName, ProactorOptions } from 'ritsu';
import { NO_FAULTS, simulate } from 'ritsu/testing';

export type Row = BackendName | 'simulated';

/** Suites whose peers are our own or the file system's: those of a simulated ring must be its own. */
const SIMULATED: ReadonlySet<string> = new Set([
  'read', 'write', 'vectored', 'file', 'open', 'direct', 'nop', 'timer', 'cancel', 'prompt', 'scope', 'both-ends', 'gathered', 'races',
  'race-safe', 'race-safe-close', 'many', 'many-ends', 'unflushed', 'read-file', 'write-file', 'pipe-to', 'pipe-to-ends',
]);
const suite = basename(new URL(test.meta.file).pathname, '.test.ts');

const REAL: readonly BackendName[] = ['uring', 'node'];
export const BACKENDS: readonly Row[] = SIMULATED.has(suite) ? [...REAL, 'simulated'] : REAL;

const shared = new Map<Row, Proactor>();

/** A proactor on this backend. The simulated one does what no test of these suites may notice: others pass, and it is late. */
function make(backend: Row, options: ProactorOptions = {}): Proactor {
  if (backend !== 'simulated') return new Proactor({ ...options, backend });
  const { fence, inFlightMax, pool, streamPool, traceLeases } = options;
  const faults = { ...NO_FAULTS, reorder: 0.5, delay: 0.1, cancelLoses: 0.5 };
  return simulate({ fence, inFlightMax, pool, streamPool, traceLeases, time: 'system', faults }).proactor;
}

function isAvailable(backend: Row): boolean {
  if (backend !== 'uring') return true;
  if (process.env['RITSU_BACKEND'] === 'node') return false;
  try {
    void new Proactor({ backend }).close();
    return true;
  } catch (error) {
    if (process.env['RITSU_BACKEND'] === backend) throw error;
    return false;
  }
}

const available = new Map(BACKENDS.map((backend) => [backend, isAvailable(backend)]));

/** Those that there are here. */
export const AVAILABLE = BACKENDS.filter((backend) => available.get(backend));

/** The proactor of this backend that the tests of a file share: they run side by side on it. */
export function proactorOf(backend: Row): Proactor {
  let proactor = shared.get(backend);
  if (proactor === undefined) {
    proactor = make(backend);
    shared.set(backend, proactor);
  }
  return proactor;
}

export type Body<R extends Row = Row> = (t: ExecutionContext, proactor: Proactor, backend: R) => Promise<void>;

function title(name: string, backend: Row): string {
  return `${backend}: ${name}`;
}

function row<R extends Row>(name: string, backend: R, isPossible: boolean, body: Body<R>): void {
  if (isPossible && available.get(backend)) test(title(name, backend), (t) => body(t, proactorOf(backend), backend));
  else test.skip(title(name, backend), () => {});
}

function rowAlone<R extends Row>(name: string, backend: R, options: ProactorOptions, body: Body<R>): void {
  if (!available.get(backend)) {
    test.skip(title(name, backend), () => {});
    return;
  }
  test(title(name, backend), async (t) => {
    const proactor = make(backend, options);
    try {
      await body(t, proactor, backend);
    } finally {
      await proactor.destroy();
    }
  });
}

/** One test for each backend, on the proactor that the file's tests share; skipped where the machine lacks what it needs. */
export function onEach(name: string, body: Body, isPossible = true): void {
  for (const backend of BACKENDS) row(name, backend, isPossible, body);
}

/** One test for each backend, on a proactor of its own with these options, closed afterwards. */
export function onEachAlone(name: string, options: ProactorOptions, body: Body): void {
  for (const backend of BACKENDS) rowAlone(name, backend, options, body);
}

/** As `onEach`, where something takes part that is not ours: a peer, or a process. A simulated ring has neither. */
export function onReal(name: string, body: Body<BackendName>): void {
  for (const backend of REAL) row(name, backend, true, body);
}

/** As `onEachAlone`, likewise. */
export function onRealAlone(name: string, options: ProactorOptions, body: Body<BackendName>): void {
  for (const backend of REAL) rowAlone(name, backend, options, body);
}

test.after.always('every shared proactor ends idle, with its pool whole', async (t) => {
  for (const [backend, proactor] of shared) {
    await proactor.close();
    const stats = proactor.stats();
    t.is(stats.inFlight, 0, `${backend}: operations in flight`);
    t.is(stats.blocksBusy, 0, `${backend}: blocks busy`);
    for (const each of stats.pool) t.is(each.available, each.count, `${backend}: blocks of ${each.size} bytes`);
  }
});
