/**
 * Description: where io_uring is not to be had. The node backend answers instead, everything works, and what kept the
 * ring away is told apart and announced once; asked for by name, the ring fails loudly.
 *
 * What turns it red: an errno of the set-up that is thrown instead of falling back; a cause that is guessed from the errno
 * alone (EPERM of a seccomp filter, of a sysctl); the `announced` flag removed; `RITSU_BACKEND=uring` falling back; the
 * registration of buffers not halved when locked memory runs out, or not within its budget.
 */
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import type { ExecutionContext } from 'ava';
import { BLOCK, writeBlocks } from './support/blocks.ts';
import { endedWith, reported, runProgram } from './support/child.ts';
import type { Ended } from './support/child.ts';
import { freshPath } from './support/files.ts';
import { ringTest } from './support/ring.ts';
import { hasStrace, trace } from './support/strace.ts';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const MEGABYTE = 2 ** 20;

function freshDirectory(): string {
  const path = freshPath('directory');
  fs.mkdirSync(path, { mode: 0o777 });
  fs.chmodSync(path, 0o777);
  return path;
}

interface Fallback {
  readonly backend: string;
  readonly cause: { readonly kind: string; readonly message: string };
  readonly fix?: string;
  readonly warnings: readonly { code: string; message: string; detail?: string }[];
}

function fellBack(t: ExecutionContext, ended: Ended, kind: string, fix: RegExp | undefined): void {
  endedWith(t, ended, 0);
  const info = reported(ended) as unknown as Fallback;
  t.is(info.backend, 'node');
  t.is(info.cause.kind, kind);
  if (fix === undefined) t.is(info.fix, undefined);
  else t.regex(info.fix!, fix);
  t.is(info.warnings.length, 1, JSON.stringify(info.warnings));
  t.is(info.warnings[0]!.code, 'RITSU_FALLBACK');
  t.true(info.warnings[0]!.message.includes(kind));
}

function refused(t: ExecutionContext, ended: Ended, kind: string): void {
  endedWith(t, ended, 3);
  const { code, message } = reported(ended)['failed'] as { code: string; message: string };
  t.is(code, 'ERR_RITSU_UNAVAILABLE');
  t.true(message.includes(`(${kind})`), message);
}

/** What the set-up call answers, and what that is taken for where no filter and no sysctl forbids anything. */
const SETUP_ERRORS: readonly (readonly [error: string, kind: string, fix: RegExp | undefined])[] = [
  ['EPERM', 'unknown', undefined],
  ['ENOSYS', 'kernel', /Linux/],
  ['EINVAL', 'kernel', /Linux/],
  ['ENOMEM', 'memlock', /ulimit -l/],
  ['EMFILE', 'unknown', undefined],
  ['EOPNOTSUPP', 'kernel', /Linux/],
];

for (const [error, kind, fix] of SETUP_ERRORS) {
  const inject = ['trace=io_uring_setup', `inject=io_uring_setup:error=${error}`];
  ringTest(
    `strace: no ring because of ${error}`,
    async (t) => {
      fellBack(t, await trace(inject, 'everything', [freshDirectory()], { env: { RITSU_BACKEND: '' } }), kind, fix);
      const forced = await trace(inject, 'everything', [freshDirectory()], { env: { RITSU_BACKEND: 'uring' } });
      refused(t, forced, kind);
    },
    hasStrace,
  );
}

test('a backend that there is none of is refused, by the name of who asked for it', async (t) => {
  const ended = await runProgram('everything', [freshDirectory()], { env: { RITSU_BACKEND: 'foo' } });
  endedWith(t, ended, 3);
  const { code, message } = reported(ended)['failed'] as { code: string; message: string };
  t.is(code, 'ERR_INVALID_ARG_VALUE');
  t.regex(message, /'RITSU_BACKEND' must be 'uring', 'node' or 'auto'/);
});

/** What Bun 1.4 and Deno 2.9 tell of themselves, and systems without io_uring; what Node is here stays as it is. */
const ELSEWHERE: readonly (readonly [what: string, told: string, kind: string, fix: RegExp, message: RegExp])[] = [
  ['Bun', "Object.defineProperty(process, 'versions', { value: { ...process.versions, bun: '1.4.5' } })", 'runtime', /Node/, /this is Bun 1\.4\.5$/],
  ['Deno', "Object.defineProperty(process, 'versions', { value: { ...process.versions, deno: '2.9.6' } })", 'runtime', /Node/, /this is Deno 2\.9\.6$/],
  ['macOS', "Object.defineProperty(process, 'platform', { value: 'darwin' })", 'system', /Linux/, /this is darwin$/],
];

for (const [what, told, kind, fix, message] of ELSEWHERE) {
  test(`${what}: the binding is not loaded, and everything works without it`, async (t) => {
    const nodeOptions = [`--import=data:text/javascript,${encodeURIComponent(told)}`];
    // What cannot be loaded: that it is not tried shows in the cause.
    const env = { RITSU_BACKEND: '', RITSU_NATIVE: kind === 'runtime' ? '/nonexistent.node' : '' };
    const ended = await runProgram('everything', [freshDirectory()], { nodeOptions, env });
    fellBack(t, ended, kind, fix);
    t.regex((reported(ended) as unknown as Fallback).cause.message, message);
    refused(t, await runProgram('everything', [freshDirectory()], { nodeOptions, env: { ...env, RITSU_BACKEND: 'uring' } }), kind);
  });
}

const seccomp = ['perl', join(root, '__test__/programs/seccomp.pl')];
const hasSeccomp = spawnSync(seccomp[0]!, [seccomp[1]!, '1', 'true']).status === 0;

for (const [name, errno] of [['EPERM', 1], ['ENOSYS', 38]] as const) {
  ringTest(
    `perl: a seccomp filter answers ${name}`,
    async (t) => {
      const wrapper = [...seccomp, String(errno)];
      const ended = await runProgram('everything', [freshDirectory()], { wrapper, env: { RITSU_BACKEND: '' } });
      fellBack(t, ended, 'seccomp', /seccomp profile/);
      refused(t, await runProgram('everything', [freshDirectory()], { wrapper, env: { RITSU_BACKEND: 'uring' } }), 'seccomp');
    },
    hasSeccomp,
  );
}

/** Nobody, without a capability, and as much locked memory as most systems give. */
const nobody = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', '--bounding-set=-all'];
const budget = ['prlimit', `--memlock=${8 * MEGABYTE}`];
const canBecomeNobody = spawnSync(nobody[0]!, [...nobody.slice(1), ...budget, 'true']).status === 0;

/** A copy of Node and of the build that anybody may read; the path of Node. */
function publicCopy(): string {
  const copy = freshDirectory();
  for (const part of ['dist', 'native', 'package.json', '__test__/programs', '__test__/support']) {
    fs.cpSync(join(root, part), join(copy, part), { recursive: true });
  }
  const native = process.env['RITSU_NATIVE'];
  if (native) fs.copyFileSync(native, join(copy, 'native/named.node'));
  fs.copyFileSync(process.execPath, join(copy, 'node'));
  spawnSync('chmod', ['-R', 'a+rX', copy]);
  fs.chmodSync(join(copy, 'node'), 0o755);
  return copy;
}

ringTest(
  'as another user: registered memory stays within 8 MiB of locked memory',
  async (t) => {
    const copy = publicCopy();
    const path = writeBlocks(freshPath('blocks'), 1000 * BLOCK);
    const program = ['node', '__test__/programs/memlock.ts'].map((part) => join(copy, part));
    const [command, ...args] = [...nobody, ...budget, ...program, path, '1000'];
    const named = join(copy, 'native/named.node');
    const env = { ...process.env, ...(fs.existsSync(named) ? { RITSU_NATIVE: named } : {}), NODE_OPTIONS: '' };
    const { status, signal, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8', env, timeout: 60_000 });
    t.deepEqual([status, signal], [0, null], stderr);
    const reports = stdout.trim().split('\n').map((line) => JSON.parse(line) as object);
    const { uid, registered, pinnedKilobytes, again } = Object.assign({}, ...reports) as {
      uid: number; registered: number[]; pinnedKilobytes: number; again: number;
    };
    t.is(uid, 65_534);
    t.log(`registered: ${registered.join(', ')}; afterwards again ${again}`);
    t.true(registered[0]! > 0 && registered[0]! <= 4 * MEGABYTE, `the first registered ${registered[0]}`);
    t.true(registered.reduce((sum, bytes) => sum + bytes, 0) <= 8 * MEGABYTE);
    t.true(pinnedKilobytes > 0 && pinnedKilobytes <= 8 * 1024, `${pinnedKilobytes} kB pinned`);
    t.true(again > 0, 'nothing could be registered again after all was closed');
  },
  canBecomeNobody,
);
