/** Description: one wrong byte, one wrong checksum, one read too few: the comparison says who, and goes on with the others. */
import { statSync, writeFileSync } from 'node:fs';
import { Writable } from 'node:stream';
import test from 'ava';
import { compare, compareRandom, compareSequential, sizeRandom } from '../../dist/cli/comparison.js';
import type { Outcome } from '../../dist/cli/comparison.js';
import { readContent, writeContent } from '../../dist/cli/content.js';
import type { Reference } from '../../dist/cli/content.js';
import type { RandomEngine } from '../../dist/cli/engine.js';
import { randomEngines, sequentialEngines } from '../../dist/cli/engines.js';
import { randomOrder } from '../../dist/cli/plan.js';
import type { RandomPlan } from '../../dist/cli/plan.js';
import { Progress } from '../../dist/cli/progress.js';
import { fileOf, freshPath, randomBytes } from '../support/files.ts';

const BLOCK = 4096;
/** An odd end. */
const SIZE = 100 * BLOCK + 1234;
const STYLES = ['allocator', 'submit', 'hybrid'] as const;

/** A stream for a progress bar, and what was written to it. */
function screen(isTTY: boolean): { stream: NodeJS.WriteStream; said: string[] } {
  const said: string[] = [];
  const sink = new Writable({
    decodeStrings: false,
    write(text: string, _encoding, done) {
      said.push(text);
      done();
    },
  });
  return { stream: Object.assign(sink, { isTTY, columns: 60 }) as unknown as NodeJS.WriteStream, said };
}

const progress = new Progress(screen(false).stream);
const content = randomBytes(SIZE);
const path = fileOf(content);
const reference = await readContent(path, SIZE, BLOCK, () => {});

function randomPlan(operations = 1000): RandomPlan {
  return { path, size: SIZE, blockSize: BLOCK, direct: false, depth: 8, order: randomOrder(101, operations) };
}

function inOrder(against: Reference): Promise<Outcome[]> {
  const plan = { path, size: SIZE, blockSize: BLOCK, direct: false, laps: 2 };
  return compare('in order', compareSequential(plan, sequentialEngines(STYLES), against), 1, progress);
}

function atRandom(against: Reference, engines = randomEngines(STYLES)): Promise<Outcome[]> {
  return compare('at random', compareRandom(randomPlan(), engines, against), 2, progress);
}

test('every engine reads the same bytes, all of them', async (t) => {
  for (const outcome of await inOrder(reference)) {
    t.is(outcome.failure, undefined, `${outcome.name}: ${outcome.failure?.message}`);
    t.deepEqual(outcome.runs.map((run) => run.bytes), [2 * SIZE], outcome.name);
  }
  const outcomes = await atRandom(reference);
  const bytes = outcomes[0]!.runs[0]!.bytes;
  for (const outcome of outcomes) {
    t.is(outcome.failure, undefined, `${outcome.name}: ${outcome.failure?.message}`);
    t.deepEqual(outcome.runs.map((run) => [run.operations, run.bytes]), [[1000, bytes], [1000, bytes]], outcome.name);
    t.true(outcome.runs.every((run) => run.seconds > 0 && run.p50Us > 0 && run.p99Us >= run.p50Us), outcome.name);
  }
});

test('a sha256 that differs in one digit fails every engine that reads in order', async (t) => {
  const digest = reference.digest.replace(/^./, (digit) => (digit === '0' ? '1' : '0'));
  for (const outcome of await inOrder({ ...reference, digest })) {
    t.true(outcome.failure?.wrongBytes, outcome.name);
    t.regex(outcome.failure!.message, /sha256/);
    t.deepEqual(outcome.runs, [], outcome.name);
  }
});

test('the checksum of one block that differs fails every engine that reads at random, and the block is named', async (t) => {
  const checksums = reference.checksums.slice();
  checksums[7]! ^= 1;
  for (const outcome of await atRandom({ ...reference, checksums })) {
    t.true(outcome.failure?.wrongBytes, outcome.name);
    t.regex(outcome.failure!.message, new RegExp(`byte ${7 * BLOCK} .*crc32`));
  }
});

for (const [what, at] of [['first', 50 * BLOCK], ['last', 51 * BLOCK - 1], ['middle', 50 * BLOCK + 2000], ["file's last", SIZE - 1]] as const) {
  test(`one wrong bit in the ${what} byte of a block is seen, in order and at random`, async (t) => {
    const changed = Buffer.from(content);
    changed[at]! ^= 1;
    const against = await readContent(fileOf(changed), SIZE, BLOCK, () => {});
    for (const outcome of [...(await inOrder(against)), ...(await atRandom(against))]) t.true(outcome.failure?.wrongBytes, outcome.name);
  });
}

/** The first engine, with its reads tampered with. */
function tampering(name: string, tamper: (data: Uint8Array, count: number) => number): RandomEngine {
  const [engine] = randomEngines([]);
  return {
    name,
    style: undefined,
    async open(plan) {
      const session = await engine!.open(plan);
      let count = 0;
      return {
        close: () => session.close(),
        pass: (meter) => {
          const finish = meter.finish.bind(meter);
          meter.finish = (started, data, length, block) => finish(started, data, tamper(data, (count += 1)) + length, block);
          return session.pass(meter);
        },
      };
    },
  };
}

test('an engine that is wrong once is out, the others go on', async (t) => {
  const flips = tampering('flips', (data, count) => {
    if (count === 500) data[2000]! ^= 1;
    return 0;
  });
  const short = tampering('short', (_, count) => (count === 500 ? -1 : 0));
  const outcomes = await atRandom(reference, [flips, short, ...randomEngines([])]);
  t.deepEqual(outcomes.map((outcome) => outcome.failure?.wrongBytes ?? false), [true, true, false, false]);
  t.regex(outcomes[0]!.failure!.message, /crc32/);
  t.regex(outcomes[1]!.failure!.message, /bytes came, not/);
});

test('an engine that leaves reads out is wrong', async (t) => {
  const [engine] = randomEngines([]);
  const lazy: RandomEngine = {
    name: 'lazy',
    style: undefined,
    async open(plan) {
      const session = await engine!.open(plan);
      return {
        close: () => session.close(),
        pass: (meter) => {
          for (let skipped = 0; skipped < 10; skipped += 1) meter.next();
          return session.pass(meter);
        },
      };
    },
  };
  const [outcome] = await atRandom(reference, [lazy]);
  t.regex(outcome!.failure!.message, /990 reads were answered, not 1000/);
});

test('an engine whose reads fail is told apart from one with wrong bytes', async (t) => {
  const [engine] = randomEngines([]);
  const failing: RandomEngine = { name: 'failing', style: undefined, open: (plan) => engine!.open({ ...plan, path: `${plan.path}.no` }) };
  const [outcome] = await atRandom(reference, [failing]);
  t.false(outcome!.failure!.wrongBytes);
  t.regex(outcome!.failure!.message, /ENOENT/);
});

test('a plan is no longer than the file is worth', async (t) => {
  const plan = await sizeRandom(randomPlan(), randomEngines([])[0]!, reference);
  t.true(plan.order.length <= 101 * 16);
  t.true(plan.order.every((block) => block <= 100));
});

test('what is made is on the disk, and known by the same checksums whoever makes them', async (t) => {
  for (const [size, block] of [[1, 4096], [4096, 4096], [3_000_001, 1000], [2 ** 21, 65_536]] as const) {
    const made = freshPath('made');
    const written = await writeContent(made, size, block, () => {});
    t.is(statSync(made).size, size);
    t.deepEqual(await readContent(made, size, block, () => {}), written);
  }
  const again = freshPath('again');
  writeFileSync(again, '');
  await t.throwsAsync(writeContent(again, 1, 4096, () => {}), { code: 'EEXIST' });
});

test('progress: a bar that fills on a terminal and goes away, plain lines elsewhere', (t) => {
  const watch = (isTTY: boolean): string[] => {
    const { stream, said } = screen(isTTY);
    const bar = new Progress(stream);
    bar.expect(4);
    bar.phase('first');
    bar.step('one', () => 0.5, 2);
    bar.step('two');
    bar.phase('second');
    bar.step('three');
    bar.clear();
    bar.clear();
    return said;
  };
  t.deepEqual(watch(false), ['first\n', 'second\n']);
  const drawn = watch(true);
  t.deepEqual(drawn.map((text) => /(\d+) %/.exec(text)?.[1]), ['25', '50', '75', undefined]);
  t.true(drawn.every((text) => text.startsWith('\r\u001b[2K')));
});
