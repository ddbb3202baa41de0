/**
 * Rows of backends: the same expectation for `uring` and for `node`. Where there is no ring, or `RITSU_BACKEND=node`
 * says that there shall be none, a row of `uring` becomes a named skip, which `expected-skips.json` must know.
 */
import test from 'ava';
import type { ExecutionContext } from 'ava';
import { Proactor } from 'ritsu';
import type { BackendName, ProactorOptions } from 'ritsu';

export const BACKENDS: readonly BackendName[] = ['uring', 'node'];

const shared = new Map<BackendName, Proactor>();

function isAvailable(backend: BackendName): boolean {
  if (backend === 'node') return true;
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

/** The proactor of this backend that the tests of a file share: they run side by side on it. */
export function proactorOf(backend: BackendName): Proactor {
  let proactor = shared.get(backend);
  if (proactor === undefined) {
    proactor = new Proactor({ backend });
    shared.set(backend, proactor);
  }
  return proactor;
}

export type Body = (t: ExecutionContext, proactor: Proactor, backend: BackendName) => Promise<void>;

function title(name: string, backend: BackendName): string {
  return `${backend}: ${name}`;
}

/** One test for each backend, on the proactor that the file's tests share. */
export function onEach(name: string, body: Body): void {
  for (const backend of BACKENDS) {
    if (available.get(backend)) test(title(name, backend), (t) => body(t, proactorOf(backend), backend));
    else test.skip(title(name, backend), () => {});
  }
}

/** One test for each backend, on a proactor of its own with these options, closed afterwards. */
export function onEachAlone(name: string, options: ProactorOptions, body: Body): void {
  for (const backend of BACKENDS) {
    if (!available.get(backend)) {
      test.skip(title(name, backend), () => {});
      continue;
    }
    test(title(name, backend), async (t) => {
      const proactor = new Proactor({ ...options, backend });
      try {
        await body(t, proactor, backend);
      } finally {
        await proactor.destroy();
      }
    });
  }
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
