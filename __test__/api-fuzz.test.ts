/**
 * Description: every public function with every kind of value, in random order, on whatever files, sockets and streams are
 * alive. What is thrown is an Error with a code, what is promised settles, and at the end of each world of 500 calls every
 * descriptor is closed, every block is back and nothing is in flight. The programs run alone: a crash must not take a test
 * with it. With RITSU_TEST_FULL=1 these calls and the records of `boundary-fuzz.test.ts` are more than two million.
 *
 * What turns it red: an argument that is used before it is checked (a TypeError without a code, `malformed argument` of the
 * boundary); an option read twice, so that a getter may change it in between; a promise that is dropped on a way out
 * ("never settled"); a lease, slot or descriptor that an error leaves behind; an answer that comes after the end (`stale`).
 */
import * as fs from 'node:fs';
import type { ExecutionContext } from 'ava';
import { onEach } from './support/backends.ts';
import { endedWith, reported, runProgram } from './support/child.ts';
import { freshPath } from './support/files.ts';
import { isFull, sized } from './support/size.ts';

/** So many processes on each backend, each with another seed; in a full run another one each time. */
const SEEDS = Array.from({ length: sized(1, 3) }, (_, index) => (isFull ? (Date.now() + index) % 2 ** 31 : 22 + index));
const CALLS = sized(9000, 60_000);
const LIMIT_MS = sized(60_000, 900_000);
/** Of the most important, that they were not only refused. */
const DONE = [
  'open', 'connect', 'listen', 'bind', 'pipe', 'sleep', 'alloc', 'toDuplex', 'toReadable', 'toWritable', 'toWeb', 'File.stat',
  'AllocatorReader.read', 'AllocatorReader.readMany', 'HybridReader.read', 'HybridReader.readMany', 'SubmitReader.submit', 'SubmitReader.submitMany',
  'FileWriter.write', 'StreamWriter.write', 'Bytes.release', 'readFile', 'writeFile',
];

/** What one of them misses another one comes by: which live objects there are is chance, and time. */
const ATTEMPTS = 4;

interface Report {
  readonly findings: readonly object[];
  readonly calls: number;
  readonly done: number;
  readonly called: object;
  readonly did: Readonly<Record<string, number>>;
}

async function fuzz(t: ExecutionContext, backend: string, seed: number): Promise<Report> {
  const directory = freshPath('fuzz');
  fs.mkdirSync(directory);
  const options = { nodeOptions: ['--expose-gc'], env: { RITSU_BACKEND: backend }, timeoutMs: LIMIT_MS };
  const ended = await runProgram('fuzz-api', [CALLS, seed, directory], options);
  endedWith(t, ended, 0, `fuzz-api with seed ${seed}`);
  const { findings, calls, done, called, did } = reported(ended) as unknown as Report;
  t.deepEqual(findings, []);
  t.log(`seed ${seed}: ${calls} calls of ${Object.keys(called).length} functions, ${done} of them did what they were asked for`);
  // The fuzz is worth something: it comes by everywhere, and mostly not in vain.
  t.true(calls > CALLS * 0.7 && done > calls / 3, `${calls} calls, ${done} done`);
  t.true(Object.keys(did).length > 150, `${Object.keys(did).length} functions did what they were asked for`);
  return { findings, calls, done, called, did };
}

for (const [index, seed] of SEEDS.entries()) {
  onEach(`random calls of every public function, part ${index + 1}`, async (t, _proactor, backend) => {
    t.timeout(LIMIT_MS);
    let missing: readonly string[] = DONE;
    for (let attempt = 0; attempt < ATTEMPTS && missing.length > 0; attempt += 1) {
      const { did } = await fuzz(t, backend, seed + attempt * 1000);
      missing = missing.filter((name) => did[name] === undefined);
    }
    t.deepEqual(missing, [], 'never done');
  });
}
