/**
 * Description: what must be waited for keeps the process alive, also where what it is about keeps nothing alive: the end of an operation
 * that was told so, or asked to end. And the opposite: another thread's proactor that nobody uses.
 *
 * What turns it red: a cancel that does not hold the loop until the operation has ended (`Request::Cancel` in pump.rs, `cancel` in
 * ts/backend/uring.ts and ts/remote/remote.ts): then `await listener.close()` is where a program ends, with exit code 13; a port that
 * holds its thread until the first operation.
 */
import test from 'ava';
import { endedWith, reported, runProgram } from './support/child.ts';
import { backendTest, ringTest } from './support/ring.ts';

const CASES = [
  'a listener is referenced again',
  'a stream is referenced again',
  'a listener is closed',
  'the proactor of a listener is closed',
  'a stream is closed',
  'the proactor of a stream is closed',
  'datagrams are closed',
  'a sleep is aborted',
];

for (const name of CASES) {
  ringTest(`what must be waited for keeps the process alive: ${name}`, async (t) => {
    const ended = await runProgram('lifetime', [name], { timeoutMs: 20_000, env: { RITSU_BACKEND: 'uring' } });
    endedWith(t, ended, 0);
    t.true(reported(ended)['done']);
  });

  backendTest('node', `what must be waited for keeps the process alive: ${name}`, async (t) => {
    const ended = await runProgram('lifetime', [name], { timeoutMs: 20_000, env: { RITSU_BACKEND: 'node' } });
    endedWith(t, ended, 0);
    t.true(reported(ended)['done']);
  });
}

for (const name of [...CASES.filter((each) => !each.includes('again')), 'another thread’s proactor is never used']) {
  test(`what must be waited for keeps a worker alive, and not longer: ${name}`, async (t) => {
    const ended = await runProgram('lifetime', [name, 'remote'], { timeoutMs: 20_000 });
    endedWith(t, ended, 0);
    t.like(reported(ended), { done: true, ended: true });
  });
}
