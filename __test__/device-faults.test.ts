/**
 * Description: devices that fail: a file system that is full, and one whose device has lost its end. Each ends in the system's error, with the memory back and nothing left in flight.
 *
 * What turns it red: an error that a short count hides (writing goes on for ever); the memory of a failed read that does not
 * come back; a block or descriptor that an error leaves behind; a write that is said to have been done and was not.
 */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import type { ExecutionContext } from 'ava';
import { BACKENDS } from './support/backends.ts';
import { endedWith, reported, runProgram } from './support/child.ts';
import { freshPath } from './support/files.ts';

const IMAGE_BYTES = 16 << 20;
const NOTHING = { inFlight: 0, blocksBusy: 0, descriptorsOpen: 0, stale: 0 };
/** In a mount namespace of its own: the mount goes away with the process. */
const MOUNT = 'mount -o loop "$1" "$2" && shift 2 && exec "$@"';

function mounted(): { image: string; directory: string; wrapper: string[] } {
  const [image, directory] = [freshPath('image'), freshPath('mounted')];
  fs.mkdirSync(directory);
  fs.closeSync(fs.openSync(image, 'w'));
  fs.truncateSync(image, IMAGE_BYTES);
  spawnSync('mkfs.ext4', ['-q', '-F', image]);
  return { image, directory, wrapper: ['unshare', '--mount', 'sh', '-c', MOUNT, 'sh', image, directory] };
}

function canMount(): boolean {
  const { wrapper: [command, ...args] } = mounted();
  return spawnSync(command!, [...args, 'true']).status === 0;
}

const hasLoop = process.platform === 'linux' && canMount();

function onEachBackend(name: string, possible: boolean, body: (t: ExecutionContext, env: Record<string, string>) => Promise<void>): void {
  for (const backend of BACKENDS) {
    const skipped = !possible || (backend === 'uring' && process.env['RITSU_BACKEND'] === 'node');
    (skipped ? test.skip : test.serial)(`${backend}: ${name}`, (t) => body(t, { RITSU_BACKEND: backend }));
  }
}

onEachBackend('loop device: a file system that is full', hasLoop, async (t, env) => {
  const { directory, wrapper } = mounted();
  const ended = await runProgram('device-faults', ['fill', join(directory, 'file')], { wrapper, env });
  endedWith(t, ended, 0);
  const { code, errno, written, size, left } = reported(ended);
  t.deepEqual({ code, errno, left }, { code: 'ENOSPC', errno: -28, left: NOTHING });
  t.is(written, size, 'what was said to be written is there');
  t.true(Number(written) > 0 && Number(written) < IMAGE_BYTES);
});

onEachBackend('loop device: the end of the device is gone', hasLoop, async (t, env) => {
  const { image, directory, wrapper } = mounted();
  const ended = await runProgram('device-faults', ['gone', join(directory, 'file'), image], { wrapper, env });
  endedWith(t, ended, 0);
  const { code, errno, syscall, memoryIsBack, left } = reported(ended);
  // Where there is no O_DIRECT the page cache still has it.
  if (env['RITSU_BACKEND'] === 'uring') t.deepEqual({ code, errno, syscall, memoryIsBack }, { code: 'EIO', errno: -5, syscall: 'read', memoryIsBack: 65_536 });
  t.deepEqual(left, NOTHING);
});
