/**
 * Description: `benches/turns.ts`: of several processes one runs at a time, until each is done, and the seconds told are those it ran; one
 * that dies is done, too.
 *
 * What turns it red: not holding who had its turn; counting the seconds of others.
 */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import test from 'ava';
import { raw, turn } from '../benches/engines/catalogue.ts';
import type { Plan } from '../benches/plan.ts';
import { hold, inTurns } from '../benches/turns.ts';
import { eventually } from './support/net.ts';

/** Milliseconds of processor time. */
const WORK = [1200, 600, 900] as const;

/** Works for so long, by its own processor time, and ends. */
function worker(milliseconds: number): ChildProcess {
  const program = `const end = ${milliseconds * 1000}; process.stdout.write('x'); while (process.cpuUsage().user + process.cpuUsage().system < end);`;
  return spawn(process.execPath, ['--eval', program], { stdio: ['ignore', 'pipe', 'inherit'] });
}

function isStopped(pid: number): boolean {
  return readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.startsWith('T');
}

test.serial('several processes: one runs at a time, and each is told its own seconds', async (t) => {
  const children = WORK.map((milliseconds) => worker(milliseconds));
  const takers = await Promise.all(
    children.map(async (child) => {
      const done = once(child, 'exit');
      await once(child.stdout!, 'data');
      hold(child.pid!);
      await eventually(t, 'it is held', () => isStopped(child.pid!));
      return { pid: child.pid!, done };
    }),
  );
  const begun = performance.now();
  const seconds = await inTurns(takers);
  const all = (performance.now() - begun) / 1000;
  t.true(all > 0.95 * WORK.reduce((sum, each) => sum + each, 0) / 1000, `together they took ${all} s`);
  t.true(seconds.every((each) => each > 0.1), seconds.join(' '));
  t.true(Math.abs(seconds.reduce((sum, each) => sum + each, 0) - all) < 0.2 * all, `${seconds.join(' ')} of ${all}`);
});

// Seen red: the engine's process did not wait for the word.
test.serial('engines that read no file do so when they are told, and are right', async (t) => {
  const plan: Plan = {
    mode: 'nop', path: '-', fileSize: 0, blockSize: 4096, depth: 16, operations: 2_000_000, warmUpOperations: 100, warmUpSeconds: 0,
    seed: 1, contentSeed: 1, direct: false, verify: false, observeMemory: false,
  };
  const engines = [raw, turn].filter((engine) => engine.available() === true);
  t.true(engines.includes(turn));
  for (const engine of engines) {
    const started = await engine.start(plan);
    const cpu = (): string => readFileSync(`/proc/${started.pid}/stat`, 'utf8').split(') ')[1]!.split(' ').slice(11, 13).join(' ');
    const [before, result] = [cpu(), started.go()];
    await result;
    t.is((await result).operations, plan.operations, engine.name);
    t.not(cpu(), before, `${engine.name} worked after it was told to`);
    await started.stop();
  }
});

test.serial('one that is killed while it is held does not keep the others waiting', async (t) => {
  const children = [worker(60_000), worker(300)];
  const takers = children.map((child) => ({ pid: child.pid!, done: once(child, 'exit') }));
  for (const { pid } of takers) hold(pid);
  children[0]!.kill('SIGKILL');
  const seconds = await inTurns(takers);
  t.is(seconds.length, 2);
  t.is(children[0]!.signalCode, 'SIGKILL');
  t.is(children[1]!.exitCode, 0);
});
