/**
 * Description: a few seconds of the soak that `npm run soak` does for minutes: files, streams, datagrams, timers, aborts, held
 * leases, pools without a block, threads that come and go, all at once. Every byte that arrives is compared with what its
 * position says, and nothing is left at the end. With RITSU_TEST_FULL=1 two minutes on each backend.
 *
 * What turns it red: a byte lost, doubled or moved when an abort, a change of style or a half-close comes in between (the
 * result of a completion that an abort overtook is dropped; the stash does not go to the next reader; a partial write is
 * not counted); a lease that the kernel writes to; a block, slot or descriptor that some way out forgets; a hang.
 */
import { onReal } from './support/backends.ts';
import { endedWith, reported, runProgram } from './support/child.ts';
import { isFull, sized } from './support/size.ts';

const MINUTES = sized(0.06, 2);
const SEED = isFull ? Date.now() % 2 ** 31 : 3;

onReal('soak: every byte right, nothing left', async (t, _proactor, backend) => {
  const limit = MINUTES * 60_000 + 60_000;
  t.timeout(limit);
  const ended = await runProgram('soak', ['--minutes', MINUTES, '--seed', SEED, '--backend', backend], { nodeOptions: ['--expose-gc'], timeoutMs: limit });
  const said = reported(ended);
  t.log(JSON.stringify(said));
  t.deepEqual(said['findings'], []);
  endedWith(t, ended, 0, `soak with seed ${SEED}`);
  t.is(said['lostBytes'], 0);
  // It did a little of everything.
  const { won, lost, withdrawn } = said['cancel'] as Record<string, number>;
  t.true(won! > 0 && lost! > 0 && withdrawn! > 0, JSON.stringify(said['cancel']));
  for (const name of ['half-close', 'reset', 'destroy', 'filesClosed', 'places', 'datagrams', 'sleeps', 'leases', 'switches', 'exhaustions']) {
    t.true(Number(said[name]) > 0, `${name} never happened`);
  }
});
