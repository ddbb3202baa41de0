/**
 * Description: how a process, a worker and a loop end with a proactor in them. An idle one costs nothing and keeps
 * nothing alive; one that is killed with 64 direct reads of 1 MiB in the kernel neither crashes nor hangs.
 *
 * What turns it red: `sync_reference` never dropping the handle (idle processes hang), always dropping it (what is
 * waited for is cut off); the idle handle left on, or the prepare handle entering without need (CPU and enters while
 * idle); the async cleanup hook removed (a worker's end is SIGSEGV: its libuv handles are still open), or not closing
 * ring and eventfd (descriptors and rings grow); the drain at the end without a deadline, or a lock taken by it (hangs);
 * what a worker that died had of another thread's proactor and is not given up there (slots, blocks, descriptors, guests).
 */
import { execFileSync } from 'node:child_process';
import test from 'ava';
import type { ExecutionContext } from 'ava';
import { AVAILABLE } from './support/backends.ts';
import { writeBlocks, BLOCK } from './support/blocks.ts';
import { EXITS, endedWith, reported, runProgram } from './support/child.ts';
import type { Ended } from './support/child.ts';
import { freshPath } from './support/files.ts';
import { ringTest } from './support/ring.ts';
import { isFull, sized } from './support/size.ts';

const FILE_BYTES = 64 * 2 ** 20;
const path = freshPath('direct');
const fifo = freshPath('fifo');

test.before(() => {
  writeBlocks(path, FILE_BYTES);
  execFileSync('mkfifo', [fifo]);
});

/** From the moment a program reported to its end. */
function endingMs(ended: Ended): number {
  return ended.endedAt - Number(reported(ended)['at']);
}

for (const how of ['unused', 'closed', 'file closed', 'file left open']) {
  test.serial(`an idle proactor does not keep the process alive: ${how}`, async (t) => {
    const ended = await runProgram('idle', [how, path], { timeoutMs: 20_000 });
    endedWith(t, ended, 0);
    t.true(endingMs(ended) < 2000, `it took ${endingMs(ended)} ms`);
  });
}

ringTest('an idle proactor uses no CPU and makes no system call', async (t) => {
  const ended = await runProgram('idle', ['timer', path]);
  endedWith(t, ended, 0);
  const { cpuMicroseconds, wakes, enters, dispatches } = reported(ended);
  t.deepEqual({ wakes, enters, dispatches }, { wakes: 0, enters: 0, dispatches: 0 });
  // Polling or a loop that turns would take all of a core; a busy machine charges an idle process for some of its own work.
  t.true(Number(cpuMicroseconds) < 10_000, `${String(cpuMicroseconds)} us of CPU in a second`);
});

/** What waits for something, and whether the process lives until it has come. */
const KEPT: readonly (readonly [name: string, kept: boolean])[] = [
  ['a sleep', true],
  ['a sleep with ref: false', false],
  ['a sleep with ref: false beside another', true],
  ['a sleep with ref: false while a timer runs', true],
  ['a sleep on an unreferenced proactor', false],
  ['a sleep on a proactor unreferenced afterwards', false],
  ['a sleep on a proactor referenced again', true],
  ['a sleep on a proactor referenced again afterwards', true],
  ['a sleep on the other proactor', true],
  ['a timeout cancelled', true],
];

for (const [name, kept] of KEPT) {
  // Seen red: `setKeepAlive` of ts/backend/uring.ts did nothing.
  test.serial(`S22: what waits keeps the process alive, or does not, as asked: ${name}`, async (t) => {
    const ended = await runProgram('keep-alive', [name], { timeoutMs: 20_000 });
    endedWith(t, ended, 0);
    t.is(reported(ended)['done'], kept ? true : undefined);
    t.is(reported(ended)['wrong'], undefined);
  });
}

ringTest('a read of an empty pipe keeps the process alive', async (t) => {
  const ended = await runProgram('keep-alive', ['a read of an empty pipe', fifo], { timeoutMs: 3000 });
  t.true(ended.timedOut, `it ended with ${ended.code ?? ended.signal}: ${ended.stderr}`);
  t.is(reported(ended)['done'], true);
});

ringTest('a read of an empty pipe lets an unreferenced process end', async (t) => {
  const ended = await runProgram('keep-alive', ['a read of an empty pipe, unreferenced', fifo], { timeoutMs: 20_000 });
  endedWith(t, ended, 0);
  t.is(reported(ended)['inFlight'], 1);
  t.true(endingMs(ended) < 2000, `it took ${endingMs(ended)} ms`);
});

/** Ways to end a process that has 64 reads in the kernel, and what others then see of it. */
const ENDINGS: readonly (readonly [how: string, expected: number | 'SIGTERM'])[] = [
  ['process.exit', 7],
  ['process.exit a turn later', 7],
  ['process.exit in a continuation', 7],
  ['an uncaught error', 1],
  ['an uncaught error in a continuation', 1],
  ['an unhandled rejection', 1],
  ['SIGTERM', 'SIGTERM'],
  ['its natural end', 0],
  ['its natural end, unreferenced', 0],
];

function assertEnding(t: ExecutionContext, ended: Ended, how: string, expected: number | 'SIGTERM'): void {
  if (expected === 'SIGTERM') t.is(ended.signal, expected, ended.stderr);
  else endedWith(t, ended, expected, how);
  const { inFlight, settled } = reported(ended);
  t.true(Number(inFlight) > 0, 'nothing was in flight any more');
  t.is(settled, how === 'its natural end' ? true : undefined);
}

for (const [how, expected] of ENDINGS) {
  ringTest(`S20: the process ends with 64 direct reads in flight: ${how}`, async (t) => {
    const repetitions = sized(2, 200);
    t.timeout(repetitions * 20_000);
    const times: number[] = [];
    for (let index = 0; index < repetitions; index += 1) {
      const run = (): Promise<Ended> => runProgram('ending', [how, index % 2 === 0 ? 'own' : 'pool', path], { nodeOptions: EXITS });
      let ended = await run();
      // Where something else kept the machine busy, the disk may have been faster than the program's end.
      for (let again = 0; again < 4 && reported(ended)['inFlight'] === 0; again += 1) ended = await run();
      assertEnding(t, ended, how, expected);
      times.push(endingMs(ended));
    }
    times.sort((a, b) => a - b);
    // A wait that is not the disk's would be in each of them; a busy machine is not.
    t.true(times[0]! < 2000, `it took ${times[0]} ms and more`);
    t.log(`${repetitions} times, ${times[0]} to ${times.at(-1)} ms`);
  });
}

interface Held {
  readonly descriptors: number;
  readonly rings: number;
  readonly residentMegabytes: number;
}

/** Each worker had 64 MiB: one of them left behind shows. A sanitizer keeps memory of its own. */
const GROWTH_MAX_MEGABYTES = process.env['ASAN_OPTIONS'] === undefined ? 48 : 256;

/** Ways in which a worker ends, what its end says, and how often a short run does it. */
const WORKER_ENDINGS: readonly (readonly [how: string, expected: object, repetitions: number])[] = [
  ['terminate', { exitCode: 1, inFlight: 64 }, 20],
  ['process.exit', { exitCode: 3, inFlight: 64 }, 20],
  ['an uncaught error', { exitCode: 1, error: 'on purpose', inFlight: 64 }, 20],
  ['terminate in a continuation', { exitCode: 1, inFlight: 64 }, 4],
  ['process.exit in a continuation', { exitCode: 3, inFlight: 64 }, 4],
];

for (const [how, expected, few] of WORKER_ENDINGS) {
  // S19, red without the cleanup hook (`add_hook`, crates/ritsu-napi/src/bridge/teardown.rs).
  ringTest(`S19: a worker ends with 64 direct reads in flight: ${how}`, async (t) => {
    const repetitions = sized(few, 200);
    t.timeout(60_000 + repetitions * 10_000);
    const options = { nodeOptions: ['--expose-gc'], timeoutMs: 60_000 + repetitions * 10_000, silenceMs: 60_000 };
    const ended = await runProgram('workers', [how, repetitions, path], options);
    endedWith(t, ended, 0);
    const said = reported(ended) as { before: Held; after: Held; ends: string[]; count: number; bystander: object };
    t.is(said.count, repetitions);
    t.deepEqual(said.ends.map((end) => JSON.parse(end) as object), [expected]);
    t.is(said.after.descriptors, said.before.descriptors, 'open descriptors');
    t.is(said.after.rings, said.before.rings, 'mapped rings');
    const grown = said.after.residentMegabytes - said.before.residentMegabytes;
    t.true(grown < GROWTH_MAX_MEGABYTES, `${grown} MiB more than before`);
    t.like(said.bystander, { exitCode: 0 });
    t.log(`${repetitions} workers, ${grown} MiB more resident, the other worker read ${JSON.stringify(said.bystander)}`);
  });
}

ringTest('20 workers at a time, started and ended at random under load', async (t) => {
  const total = sized(40, 1000);
  const seed = isFull ? Date.now() % 2 ** 31 : 20_240_229;
  t.timeout(60_000 + total * 3000);
  const options = { timeoutMs: 60_000 + total * 3000, silenceMs: 60_000 };
  const ended = await runProgram('churn', [total, seed, path, FILE_BYTES / BLOCK], options);
  t.log(`seed ${seed}: ${JSON.stringify(reported(ended)['counts'])}`);
  endedWith(t, ended, 0);
  t.deepEqual(ended.reports.filter((each) => 'wrong' in each), []);
  const { before, after } = reported(ended) as Record<'before' | 'after', { descriptors: number; rings: number }>;
  // On a slow machine one that is there for a moment may have been counted before.
  t.true(after.descriptors <= before.descriptors && after.rings === before.rings, JSON.stringify({ before, after }));
  const { home, submitted, asked } = reported(ended);
  t.deepEqual(home, { inFlight: 0, blocksBusy: 0, descriptorsOpen: 0, guests: 0 }, 'of the proactor that they asked');
  t.true(Number(submitted) > total && Number(asked) > total / 2, `${String(asked)} handles, ${String(submitted)} operations`);
  t.log(`${String(asked)} handles, ${String(submitted)} operations of other threads`);
});

// Seen red: who looked whether all is well had done so before the continuation, and was not told again; the second deadline threw.
ringTest('a ring that breaks in a call from a continuation is the end of its operations, and they are told', async (t) => {
  const ended = await runProgram('broken-ring', [], { timeoutMs: 15_000 });
  endedWith(t, ended, 0);
  t.deepEqual(reported(ended), { thrown: 'ERR_RITSU_PANIC', failed: ['ERR_RITSU_CLOSED', 'ERR_RITSU_CLOSED'], open: false });
});

// Seen red on `node`: its registries ended with each proactor, and with the one that had something to tell all others fell silent.
for (const backend of AVAILABLE) {
  test(`${backend}: proactors that come and go leave the program's own FinalizationRegistry alone`, async (t) => {
    const ended = await runProgram('registries', [backend], { nodeOptions: ['--expose-gc', '--no-warnings'], timeoutMs: 30_000 });
    endedWith(t, ended, 0);
    t.like(reported(ended), { told: 10 });
    t.true(Number(reported(ended)['alive']) <= 1, `${String(reported(ended)['alive'])} of the proactors are still there`);
  });
}
