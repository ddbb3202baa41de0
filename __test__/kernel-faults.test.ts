/**
 * Description: the kernel's own calls fail at random: enters with EAGAIN, EBUSY, EINTR or ENOMEM, mixed and in bursts, enters
 * that take a part of what they are given, registrations and set-ups. Nothing is lost, doubled, leaked or hung; a seed names each run.
 *
 * What turns it red: an errno of enter that is taken for the operations' failure or for the ring's end (`enter_failure`);
 * entries that the kernel did not take, and nobody gives it again (`Ring::pending`); a retry that is not armed; a drain that a
 * refused enter ends; a registration that everything needs although it is an improvement only.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import type { ExecutionContext } from 'ava';
import { BLOCK, writeBlocks } from './support/blocks.ts';
import { endedWith, reported, runProgram } from './support/child.ts';
import type { ChildOptions, Report } from './support/child.ts';
import { freshPath } from './support/files.ts';
import { ringTest } from './support/ring.ts';
import { isFull, sized } from './support/size.ts';

const BLOCKS = 16_384;
const READS = sized(2000, 50_000);
const path = freshPath('blocks');
const library = `${freshPath('faulty-ring')}.so`;
const source = join(dirname(fileURLToPath(import.meta.url)), 'programs/faulty-ring.c');
const canPreload = process.platform === 'linux' && spawnSync('cc', ['-shared', '-fPIC', '-O1', '-o', library, source, '-ldl']).status === 0;
const firstSeed = isFull ? Date.now() % 2 ** 30 : 1;

test.before(() => void writeBlocks(path, BLOCKS * BLOCK));

/** Of how many thousand calls one fails. */
interface Chances {
  readonly enter?: number;
  readonly register?: number;
  readonly setup?: number;
  /** After so many enters all others fail. */
  readonly enters?: number;
}

interface Injected {
  readonly injected: Readonly<Record<string, number>>;
  /** Enters that took a part. */
  readonly partial: number;
  readonly registers: number;
  readonly setups: number;
}

function faulty(seed: number, { enter = 0, register = 0, setup = 0, enters = 0 }: Chances): Record<string, string> {
  const preload = [process.env['LD_PRELOAD'], library].filter(Boolean).join(' ');
  return { LD_PRELOAD: preload, RITSU_FAULTS: [seed, enter, register, setup, enters].join(' '), RITSU_BACKEND: 'uring' };
}

type Seeded = (t: ExecutionContext, run: (program: string, args: readonly (string | number)[], options?: ChildOptions) => Promise<Report & Injected>) => Promise<void>;

/** The body with several seeds; what `run` starts must end well, and something must have failed in it. */
function faultTest(name: string, seeds: number, chancesOf: (seed: number) => Chances, body: Seeded): void {
  const [, number = '', rest] = /^(S\d+: )?(.*)$/.exec(name)!;
  ringTest(`${number}cc: ${rest}`, async (t) => {
    t.timeout(seeds * 120_000);
    for (let seed = firstSeed; seed < firstSeed + seeds; seed += 1) {
      const chances = chancesOf(seed);
      await body(t, async (program, args, options = {}) => {
        const ended = await runProgram(program, args, { timeoutMs: 60_000, ...options, env: { ...faulty(seed, chances), ...options.env } });
        endedWith(t, ended, 0, `${program} with seed ${seed} and ${JSON.stringify(chances)}`);
        const said = reported(ended) as Report & Injected;
        const { injected, partial, registers, setups } = said;
        t.true(Object.values(injected).some((count) => count > 0) || registers + setups > 0, 'nothing failed');
        t.log(`seed ${seed}: ${JSON.stringify({ ...injected, partial, registers, setups })}`);
        return said;
      });
    }
  }, canPreload);
}

/** From one in sixteen to one in three. */
const rising = (seed: number): Chances => ({ enter: 60 + ((seed * 70) % 280) });

for (const style of ['allocator', 'submit', 'hybrid, direct', 'allocator, direct']) {
  // Red when EAGAIN, EBUSY and ENOMEM are no reason to try again (`enter_failure`), and without the look for entries that
  // the kernel has not taken (`Ring::pending`).
  faultTest(`S17: enters fail at random, or take a part: ${style}`, sized(2, 40), rising, async (t, run) => {
    const said = await run('reading', [style, READS, path, BLOCKS]);
    t.like(said, { backend: 'uring', reads: READS, inFlight: 0, blocksBusy: 0, stale: 0, faults: 0, poolWhole: true });
    t.true(Number(said['retries']) > 0);
  });
}

let seedOfSoak = firstSeed;
faultTest('S17: everything at once while enters fail at random', sized(2, 20), rising, async (t, run) => {
  const minutes = sized(0.04, 0.5);
  const args = ['--minutes', minutes, '--seed', seedOfSoak, '--backend', 'uring'];
  seedOfSoak += 1;
  const said = await run('soak', args, { nodeOptions: ['--expose-gc'], timeoutMs: minutes * 60_000 + 60_000 });
  t.deepEqual(said['findings'], []);
  t.is(said['lostBytes'], 0);
  t.true(said.partial > 0, 'no enter took a part');
});

for (const how of ['close', 'destroy']) {
  for (const memory of ['own', 'pool']) {
    faultTest(`S21: after ${how} no page changes, whatever enter says: memory of its ${memory}`, sized(2, 30), () => ({ enter: 500 }), async (t, run) => {
      const said = await run('teardown', [how, memory, path]);
      t.like(said, { results: 64, changed: 0, leakedBytes: 0 });
    });
  }
}

faultTest('S19: workers end with reads in flight while enters fail at random', sized(1, 10), () => ({ enter: 300 }), async (t, run) => {
  const repetitions = sized(5, 20);
  const said = await run('workers', ['terminate', repetitions, path], { nodeOptions: ['--expose-gc'] });
  const { before, after, count } = said as unknown as Record<'before' | 'after', { descriptors: number; rings: number }> & { count: number };
  t.is(count, repetitions);
  t.deepEqual([after.descriptors, after.rings], [before.descriptors, before.rings], 'descriptors and rings');
});

faultTest('registrations and set-ups fail at random: a ring that does less, or the node backend', sized(8, 200), () => ({ enter: 100, register: 300, setup: 300 }), async (t, run) => {
  const directory = freshPath('directory');
  mkdirSync(directory);
  const said = await run('everything', [directory], { env: { RITSU_BACKEND: '' } });
  const warnings = said['warnings'] as readonly { code: string }[];
  t.true(warnings.every(({ code }) => code === 'RITSU_FALLBACK') && warnings.length <= 1, JSON.stringify(warnings));
  if (said['backend'] === 'node') t.is(warnings.length, 1);
});

for (const proactors of [1, 3]) {
  // Red when a sibling that waits for its timer is nudged (`nudge` of crates/ritsu-napi/src/bridge/pump.rs).
  faultTest(`nothing spins while every enter is refused: ${proactors} proactors of one thread`, 1, () => ({ enters: 200 }), async (t, run) => {
    const { turns, milliseconds } = await run('refused', [proactors, 200]);
    t.true(Number(turns) < 5 * proactors * Number(milliseconds), `${String(turns)} turns of the loop in ${String(milliseconds)} ms`);
  });
}
