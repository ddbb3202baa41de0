/**
 * Description: what must be waited for keeps the process alive, also where what it is about keeps nothing alive: the end of an operation
 * that was told so, or asked to end. And the opposite: what is armed for nobody, and another thread's proactor that nobody uses.
 *
 * What turns it red: `hold`, `during`, `change`, `queue` or `unqueue` of ts/liveness.ts doing nothing for one of those who call it: then
 * `await listener.close()` is where a program ends, with exit code 13, or it does not end; a port that holds its thread until the first
 * operation; a ring that does not look again when what another one called has let it go (`wake_siblings` of pump.rs).
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
  'a write is waited for',
  'a stream is closed that is still being written',
  'a proactor is closed while writes wait that keep nothing alive',
  'a proactor is unreferenced while it is being closed',
  'a proactor is unreferenced, and its listener closed',
  'who waits for memory',
  'who waits for memory of an allocator of its own',
  'a close that fails, and nobody looks, is an unhandled rejection',
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
  'a datagram came, and nobody waits',
  'who waits for a slot is aborted',
  'who waits for memory is aborted',
  'nothing is waited for any more on the proactor beside',
  'a read is aborted while its bytes are being taken',
  'many reads are refused when their memory has come',
  'what is read ahead waits for memory, and is dropped',
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
    backendTest(backend, `what nobody waits for does not keep the process alive: ${name}`, async (t) => {
      const ended = await runProgram('lifetime', [name], { timeoutMs: 20_000, env: { RITSU_BACKEND: backend } });
      endedWith(t, ended, 0);
      const { done, at } = reported(ended);
      t.is(done, true, 'it came that far');
      t.true(ended.endedAt - Number(at) < 5000, `it lived for ${ended.endedAt - Number(at)} ms more`);
    });
  }
}

// Seen red: the collector's close was held as the program's own. (On `node` Node holds the write itself.)
ringTest('whether a process ends does not depend on the collector: a stream that keeps nothing alive is forgotten while it is being written', async (t) => {
  const ended = await runProgram('lifetime', ['a stream is forgotten while it is being written'], { timeoutMs: 20_000, nodeOptions: ['--expose-gc'] });
  endedWith(t, ended, 0);
  t.is(reported(ended)['done'], true);
});

for (const name of [...CASES.filter((each) => !each.includes('again')), ...ENDS.filter((each) => !each.includes('crew')), 'another thread’s proactor is never used']) {
  test(`what must be waited for keeps a worker alive, and not longer: ${name}`, async (t) => {
    const ended = await runProgram('lifetime', [name, 'remote'], { timeoutMs: 20_000 });
    endedWith(t, ended, 0);
    t.like(reported(ended), { done: true, ended: true });
  });
}
