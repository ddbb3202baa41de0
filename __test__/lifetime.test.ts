/**
 * Description: what must be waited for keeps the process alive, also where what it is about keeps nothing alive: the end of an operation
 * that was told so, or asked to end. And the opposite: what is armed for nobody, and another thread's proactor that nobody uses.
 *
 * What turns it red: a cancel that does not hold the loop until the operation has ended (`#ask` of ts/inflight.ts): then
 * `await listener.close()` is where a program ends, with exit code 13; `holdAll` doing nothing; `refer` doing nothing; a port that holds
 * its thread until the first operation.
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
  'a proactor is unreferenced, and closed',
  'a proactor is closed while a sleep that keeps nothing alive goes on',
  'a write is referenced again',
  'datagrams are referenced again',
  'who waits behind others that keep nothing alive',
];

/** Where nothing waits, or what waits keeps nothing alive: it ends by itself, and soon. */
const ENDS = [
  'a listener has accepted, and nobody waits',
  'a stream has been read, and nobody waits',
  'an accept is aborted, and nobody waits',
  'a read is aborted, and nobody waits',
  'a listener is unreferenced while it waits',
  'a stream is unreferenced while it waits',
  'datagrams are unreferenced while a read waits',
  'who waits for a slot is aborted',
  'a crew is closed that was about to start a worker anew',
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

for (const name of ENDS) {
  for (const backend of ['uring', 'node'] as const) {
    // Seen red: `refer` of ts/net/acceptor.ts and ts/read/intake.ts did nothing.
    backendTest(backend, `what nobody waits for does not keep the process alive: ${name}`, async (t) => {
      const ended = await runProgram('lifetime', [name], { timeoutMs: 20_000, env: { RITSU_BACKEND: backend } });
      endedWith(t, ended, 0);
      t.is(reported(ended)['done'], true, 'it came that far');
    });
  }
}

for (const name of [...CASES.filter((each) => !each.includes('again')), ...ENDS.filter((each) => !each.includes('crew')), 'another thread’s proactor is never used']) {
  test(`what must be waited for keeps a worker alive, and not longer: ${name}`, async (t) => {
    const ended = await runProgram('lifetime', [name, 'remote'], { timeoutMs: 20_000 });
    endedWith(t, ended, 0);
    t.like(reported(ended), { done: true, ended: true });
  });
}
