/**
 * Description: other processes, and other users. A child inherits neither a descriptor nor memory of a ring; who has become
 * another user opens what that user may open.
 *
 * What turns it red: a descriptor that stays open on exec; memory of the ring or of a pool that a fork copies; an operation
 * that the kernel does with the rights that the process had when the ring was made.
 */
import * as fs from 'node:fs';
import { endedWith, reported, runProgram } from '../support/child.ts';
import { fileOf, freshPath, randomBytes } from '../support/files.ts';
import { ringTest } from '../support/ring.ts';
import { sized } from '../support/size.ts';

ringTest('S36: children that are started during I/O have nothing of the ring’s, and disturb nothing', async (t) => {
  // Seen red: the eventfd was made without EFD_CLOEXEC in crates/ritsu/src/ring.rs; MADV_DONTFORK was removed in buffer.rs;
  // `dontfork` was removed in ladder.rs.
  t.timeout(sized(60_000, 180_000));
  const ended = await runProgram('spawning', [sized(40, 500), fileOf(randomBytes(400_000))], { timeoutMs: sized(50_000, 170_000) });
  endedWith(t, ended, 0);
  const { foreign, rings, kept, poolBytes, echoes } = reported(ended) as Record<string, number>;
  t.deepEqual(foreign, [] as never);
  t.true(rings! >= 2, `${rings} mappings of the ring stay here`);
  t.true(kept! >= poolBytes!, `${kept} of ${poolBytes} bytes stay here`);
  t.true(echoes! > 10);
});

ringTest(
  'as another user: S37: what only root may open cannot be opened after setuid',
  async (t) => {
    // Seen red: `Ring` in crates/ritsu/src/ring.rs registered a personality and gave it to every entry.
    const folder = freshPath('folder');
    fs.mkdirSync(folder);
    fs.writeFileSync(`${folder}/secret`, 'secret', { mode: 0o600 });
    fs.chmodSync(folder, 0o755);
    const ended = await runProgram('other-user', [`${folder}/secret`], { env: { RITSU_BACKEND: 'uring' } });
    endedWith(t, ended, 0);
    t.deepEqual(reported(ended), { before: 'opened', after: ['EACCES'], kept: 'secret', uid: 65_534 });
  },
  process.getuid?.() === 0,
);
