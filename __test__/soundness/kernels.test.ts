/**
 * Description: kernels that lack something, or in which something is broken. Each feature of the ring has a switch, and the
 * conformance suite passes with each of them off; where there is no ring at all, it passes on the fallback, which says why.
 *
 * What turns it red: a switch that the boundary or the core does not obey; a name that is none and is taken; a stream that
 * needs multishot or buffer select; a set-up error that is thrown instead of falling back.
 *
 * In the normal run the suites of streams, listeners and direct files; with `RITSU_TEST_FULL=1` all of them.
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import test from 'ava';
import { Proactor } from 'ritsu';
import type { FeatureSwitch } from 'ritsu';
import { root } from '../documents/snippets.ts';
import { endedWith, reported, runProgram } from '../support/child.ts';
import { internals } from '../support/internals.ts';
import { ringTest } from '../support/ring.ts';
import { isFull, sized } from '../support/size.ts';

const SWITCHES: readonly FeatureSwitch[] = ['multishot', 'bufferSelect', 'registeredBuffers', 'zeroCopy', 'deferTaskrun'];
const SUITES = isFull ? ['*'] : ['stream', 'both-ends', 'listener', 'direct'];
const files = SUITES.map((name) => `__test__/conformance/${name}.test.ts`);

interface Suites {
  readonly passed: number;
  /** Everything it said, when not all is well. */
  readonly failure: string | undefined;
}

/** Run the rows of one backend of the conformance suites, in processes of their own. */
async function conformance(backend: string, env: Record<string, string>, wrapper: readonly string[] = []): Promise<Suites> {
  const ava = join(root, 'node_modules/ava/entrypoints/cli.js');
  const [command, ...args] = [...wrapper, process.execPath, ava, ...files, '--match', `${backend}: *`, '--tap'];
  const child = spawn(command, args, { cwd: root, env: { ...process.env, NODE_OPTIONS: '', ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  const timer = setTimeout(() => child.kill('SIGKILL'), sized(90_000, 280_000));
  let said = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (said += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (said += text));
  const [code] = (await once(child, 'close')) as [number | null];
  clearTimeout(timer);
  const passed = Number(/^# pass (\d+)$/m.exec(said)?.[1] ?? 0);
  const failing = said.split('\n').filter((line) => line.startsWith('not ok'));
  return { passed, failure: code === 0 ? undefined : [...failing, said.slice(-2000)].join('\n') };
}

/** Fewer tests mean that it did not run what it says. */
const LEAST = sized(80, 400);

for (const name of SWITCHES) {
  // Seen red: the line of this switch in `read_config` of crates/ritsu-napi/src/bridge.rs was removed (for registeredBuffers
  // also the one in ts/backend/uring.ts); and, for bufferSelect, `selects` in ts/memory/group.ts was made true always.
  ringTest(`S42: the conformance suite passes with one feature of the kernel switched off: ${name}`, async (t) => {
    t.timeout(sized(100_000, 300_000));
    for (const options of [{ disable: [name] }, {}]) {
      if (options.disable === undefined) process.env['RITSU_DISABLE'] = name;
      const proactor = new Proactor({ backend: 'uring', ...options });
      delete process.env['RITSU_DISABLE'];
      t.false(internals(proactor).backend.features[name]);
      const others = SWITCHES.filter((other) => other !== name);
      t.deepEqual(others.filter((other) => !internals(proactor).backend.features[other]), [], 'the others are on');
      await proactor.close();
    }
    const { passed, failure } = await conformance('uring', { RITSU_BACKEND: 'uring', RITSU_DISABLE: name });
    t.is(failure, undefined);
    t.true(passed >= LEAST, `${passed} tests`);
  });
}

test('a switch that there is not is refused, whatever answers', (t) => {
  const expected = { code: 'ERR_INVALID_ARG_VALUE', message: /multishot, bufferSelect/ };
  for (const backend of ['auto', 'node'] as const) {
    t.throws(() => new Proactor({ backend, disable: ['multishot', 'zerocopy' as 'zeroCopy'] }), expected);
    process.env['RITSU_DISABLE'] = ' multishot, everything';
    t.throws(() => new Proactor({ backend }), { ...expected, message: /RITSU_DISABLE/ });
    delete process.env['RITSU_DISABLE'];
  }
  t.throws(() => new Proactor({ disable: 'multishot' as never }), { code: 'ERR_INVALID_ARG_TYPE' });
});

const seccomp = ['perl', join(root, '__test__/programs/seccomp.pl')];
const hasSeccomp = spawnSync(seccomp[0]!, [seccomp[1]!, '1', 'true']).status === 0;

for (const [error, errno] of [['EPERM', 1], ['ENOSYS', 38]] as const) {
  // Seen red: `chooseBackend` in ts/backend/choose.ts threw the error of the set-up instead of falling back.
  ringTest(
    `perl: S43: without io_uring the conformance suite passes on the fallback, which says why: ${error}`,
    async (t) => {
      t.timeout(sized(100_000, 300_000));
      const wrapper = [...seccomp, String(errno)];
      const program = await runProgram('keep-alive', ['a sleep'], { wrapper, env: { RITSU_BACKEND: '' } });
      endedWith(t, program, 0);
      t.is(reported(program)['done'], true);
      t.regex(program.stderr, new RegExp(`RITSU_FALLBACK.*\\(seccomp\\).*errno ${errno}`));
      const { passed, failure } = await conformance('node', { RITSU_BACKEND: '' }, wrapper);
      t.is(failure, undefined);
      t.true(passed >= LEAST, `${passed} tests`);
    },
    hasSeccomp,
  );
}
