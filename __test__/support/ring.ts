/**
 * Tests of what only the ring has, or of processes on either backend, one after another: most of them start processes or load the machine. Without a ring
 * each is a named skip, which `expected-skips.json` must know.
 */
import test from 'ava';
import type { ExecutionContext } from 'ava';
import { Proactor } from 'ritsu';
import type { BackendName } from 'ritsu';

function isAvailable(): boolean {
  if (process.env['RITSU_BACKEND'] === 'node') return false;
  try {
    void new Proactor({ backend: 'uring' }).close();
    return true;
  } catch (error) {
    if (process.env['RITSU_BACKEND'] === 'uring') throw error;
    return false;
  }
}

const hasRing = isAvailable();

/** A test that needs the ring, and what else `condition` says; a title names that too. */
export function ringTest(name: string, body: (t: ExecutionContext) => Promise<void> | void, condition = true): void {
  backendTest('uring', name, body, condition);
}

/** One row of a test of processes that run on this backend. */
export function backendTest(
  backend: BackendName,
  name: string,
  body: (t: ExecutionContext) => Promise<void> | void,
  condition = true,
): void {
  const title = `${backend}: ${name}`;
  if ((backend === 'node' || hasRing) && condition) test.serial(title, body);
  else test.skip(title, body);
}
