/**
 * Description: a process or a worker ends while an operation is in flight, each kind of operation in each way. It ends with the
 * code that Node gives, within two seconds, and never by a signal of its own making.
 *
 * What turns it red: an operation that is not cancelled, or waited for without a deadline, when the environment goes (a
 * hang); memory freed that the kernel or a worker still has (SIGSEGV); a promise settled into an environment that is gone.
 */
import { execFileSync } from 'node:child_process';
import test from 'ava';
import type { ExecutionContext } from 'ava';
import { writeBlocks } from './support/blocks.ts';
import { EXITS, endedWith, reported, runProgram } from './support/child.ts';
import { freshPath } from './support/files.ts';
import { backendTest } from './support/ring.ts';

const path = freshPath('direct');
const fifo = freshPath('fifo');
const WITHIN_MS = 2000;
/** A dozen processes at once may keep a machine busy for longer, or until all reads are done; who was late is tried again, after the others. */
const ATTEMPTS = 4;

test.before(() => {
  writeBlocks(path, 32 << 20);
  execFileSync('mkfifo', [fifo]);
});

const OPS = [
  'a direct read', 'a read of a pipe', 'a receive', 'an accept', 'a connect', 'a write to a full socket', 'a sleep',
  'a zero-copy send', 'a stream that is passed on', 'a remote operation',
];

/** What the process ends with; and of a worker, what that ended with. */
const ENDINGS: readonly (readonly [how: string, code: number | 'SIGTERM', worker?: object])[] = [
  ['process.exit', 7],
  ['an uncaught error', 1],
  ['an unhandled rejection', 1],
  ['SIGTERM', 'SIGTERM'],
  ['destroyed by itself', 0],
  ['a worker: terminate', 0, { exitCode: 1 }],
  ['a worker: process.exit', 0, { exitCode: 7 }],
  ['a worker: an uncaught error', 0, { exitCode: 1, error: 'on purpose' }],
  ['a worker: an unhandled rejection', 0, { exitCode: 1, error: 'on purpose' }],
  ['a worker: destroyed by itself', 0, { exitCode: 0 }],
  ['a worker: ended while it begins', 0, { exitCode: 1 }],
];

/** On `node` a write to a full socket, once more. */
const RING_ONLY = 'a zero-copy send';
const ROWS = [
  ...OPS.map((op) => ['uring', op] as const),
  ...OPS.filter((op) => op !== RING_ONLY).map((op) => ['node', op] as const),
];

type Ending = (typeof ENDINGS)[number];

/** Whether it ended with something in flight, and in time; and assert that it ended well. */
async function endsInTime(t: ExecutionContext, backend: string, op: string, [how, code, worker]: Ending): Promise<boolean> {
  const ended = await runProgram('ending-ops', [op, how, path, fifo], { nodeOptions: EXITS, env: { RITSU_BACKEND: backend } });
  if (code === 'SIGTERM') t.is(ended.signal, code, ended.stderr);
  else endedWith(t, ended, code, how);
  const said = reported(ended);
  if (worker !== undefined) t.like(said, worker, how);
  const took = ended.endedAt - Number(said['at']);
  if (took >= WITHIN_MS) t.log(`${how}: ${took} ms`);
  const { inFlight } = said;
  if (inFlight === 0) t.log(`${how}: nothing was in flight any more`);
  return took < WITHIN_MS && Number(inFlight) > 0;
}

for (const [backend, op] of ROWS) {
  backendTest(backend, `${op} is in flight when a process or a worker ends`, async (t) => {
    t.timeout(120_000);
    let late = ENDINGS;
    for (let attempt = 1; late.length > 0 && attempt <= ATTEMPTS; attempt += 1) {
      const inTime = await Promise.all(late.map((ending) => endsInTime(t, backend, op, ending)));
      late = late.filter((_, index) => !inTime[index]);
    }
    t.deepEqual(late.map(([how]) => how), [], `not within ${WITHIN_MS} ms, or with nothing in flight, in ${ATTEMPTS} attempts`);
  });
}
