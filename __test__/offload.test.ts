/**
 * Description: files that are left to the kernel's worker threads give the same bytes, and do not keep the event loop waiting.
 *
 * What turns it red: the option does not reach the ring, for reads or for writes; a file system that keeps who asks waiting
 * (FUSE) holds up the loop although the file is offloaded; a hand-over that forgets it.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { handOver, open, takeOver } from 'ritsu';
import type { File } from 'ritsu';
import { onEach, onRealAlone } from './support/backends.ts';
import { endedWith, reported, runProgram } from './support/child.ts';
import { fileOf, freshPath, randomBytes } from './support/files.ts';
import { ringTest } from './support/ring.ts';
import { sameBytes } from './support/same.ts';
import { STYLES, readAll } from './support/styles.ts';

const server = join(dirname(fileURLToPath(import.meta.url)), 'programs/stalled-file.pl');
const slowFile = (path: string): string[] => ['unshare', '--mount', 'perl', server, path];
const [command, ...parameters] = slowFile(fileOf(''));
/** It takes FUSE, and a user who may mount it. */
const canMount = spawnSync(command!, parameters).status === 0;
const SLOW_MS = 50;

for (const style of STYLES) {
  onEach(`the same bytes in order and at a position: ${style.name}`, async (t, proactor) => {
    const content = randomBytes(1_000_003, 7);
    const file = await open(fileOf(content), { offload: true, proactor });
    const next = style.reader(file, proactor, 65_536);
    sameBytes(t, await readAll(next), content);
    sameBytes(t, await next({ position: 999_000 }), content.subarray(999_000));
    await file.close();
  });
}

onEach('what is written is there', async (t, proactor) => {
  const content = randomBytes(300_000, 8);
  const path = freshPath();
  const file = await open(path, { flags: 'w', offload: true, proactor });
  const writer = file.writer();
  await writer.writeAll(content);
  writer.push('and ');
  writer.push('more');
  await writer.flush();
  await file.sync();
  t.is((await file.stat()).size, content.length + 8);
  await file.close();
  sameBytes(t, readFileSync(path), Buffer.concat([content, Buffer.from('and more')]));
});

onEach('another type is refused', async (t, proactor) => {
  const wrong = open(fileOf(''), { offload: 1 as unknown as boolean, proactor });
  await t.throwsAsync(wrong, { code: 'ERR_INVALID_ARG_TYPE', message: /"options\.offload".*boolean/ });
});

onRealAlone('it moves with the file', {}, async (t, proactor) => {
  const moved = await handOver(await open(fileOf('moved'), { offload: true, proactor }));
  t.true(moved.offload);
  const taken = await takeOver(moved, { proactor }) as File;
  t.true((await handOver(taken)).offload);
});

ringTest('reads go to a worker of the kernel, and only then', async (t) => {
  const path = fileOf(randomBytes(65_536));
  for (const offload of [true, false]) {
    const ended = await runProgram('slow-read', [path, String(offload), 'false']);
    endedWith(t, ended, 0);
    const { length, workers } = reported(ended);
    t.is(length, 65_536);
    t.is(Number(workers) > 0, offload, `${String(workers)} workers`);
  }
});

ringTest(
  'fuse: the event loop turns while a slow file system is asked',
  async (t) => {
    const path = fileOf('');
    const ended = await runProgram('slow-read', [path, 'true', 'true'], { wrapper: slowFile(path), env: { SLOW_MS: `${SLOW_MS}` }, timeoutMs: 20_000 });
    endedWith(t, ended, 0);
    const { turns, length } = reported(ended);
    t.is(length, 65_536);
    // The system asks for the 64 KiB in pieces, one after the other. Where the read keeps the loop waiting, it never turns.
    t.true(Number(turns) >= 10, `${String(turns)} turns`);
    t.log(`${String(turns)} turns`);
  },
  canMount,
);
