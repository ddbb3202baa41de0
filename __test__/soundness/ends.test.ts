/**
 * Description: a process and a proactor end in time although the kernel has a read that nothing can cancel: it waits for
 * a file system that does not answer. Its memory is left to the kernel. (A worker is not among them: Linux itself keeps a
 * thread until its last read is over.) The numbers are those of `docs/soundness.md`.
 */
import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { EXITS, endedWith, reported, runProgram } from '../support/child.ts';
import { fileOf } from '../support/files.ts';
import { ringTest } from '../support/ring.ts';

const server = join(dirname(fileURLToPath(import.meta.url)), '../programs/stalled-file.pl');
const stalledFile = (path: string): string[] => ['unshare', '--mount', 'perl', server, path];
const [command, ...parameters] = stalledFile(fileOf(''));
/** It takes FUSE, and a user who may mount it. */
const canStall = spawnSync(command!, parameters).status === 0;

/** Beyond what each may wait for the kernel. */
const SLACK_MS = 2000;
const ENDINGS: readonly (readonly [how: string, expected: number | 'SIGTERM', waitsMs: number])[] = [
  ['process.exit', 7, 0],
  ['an uncaught error', 1, 1500],
  ['SIGTERM', 'SIGTERM', 0],
  ['its natural end', 0, 1000],
  ['destroy', 0, 600],
  ['destroy, under many reads as one', 0, 600],
];

for (const [how, expected, waitsMs] of ENDINGS) {
  // S20, `destroy` red without the timer in `Proactor.destroy` (ts/proactor.ts), the natural end without `END_DEADLINE`
  // (crates/ritsu-napi/src/bridge/teardown.rs). The others have no guard that could be removed: nothing of ours runs between
  // `process.exit` and the end.
  ringTest(
    `S20: fuse: a read that cannot be cancelled does not hold up the end: ${how}`,
    async (t) => {
      const path = fileOf('');
      const ended = await runProgram('stalled', [how, path], { wrapper: stalledFile(path), timeoutMs: 15_000, nodeOptions: EXITS });
      if (expected === 'SIGTERM') t.is(ended.signal, expected, ended.stderr);
      else endedWith(t, ended, expected, how);
      const { at, inFlight, code, isKept } = reported(ended);
      t.is(inFlight, 1);
      const milliseconds = ended.endedAt - Number(at);
      t.true(milliseconds < waitsMs + SLACK_MS, `it took ${milliseconds} ms`);
      if (how.startsWith('destroy')) t.deepEqual([code, isKept], ['ERR_RITSU_CLOSED', true], 'the kernel still has the memory');
      t.log(`${milliseconds} ms`);
    },
    canStall,
  );
}

// Seen red: `Transfer.fail` (ts/transfer.ts) gave the memory back without asking whether the write has a slot.
ringTest(
  'S20: fuse: a write that cannot be cancelled keeps its memory when its proactor is given up',
  async (t) => {
    const path = fileOf('');
    const ended = await runProgram('stalled', ['destroy, under a write', path], { wrapper: stalledFile(path), timeoutMs: 15_000, nodeOptions: EXITS });
    endedWith(t, ended, 0);
    t.like(reported(ended), { inFlight: 1, code: 'ERR_RITSU_CLOSED', isKept: true });
  },
  canStall,
);
