/**
 * Description: closing with 64 direct reads of 1 MiB in flight. Once `close()` or `destroy()` has resolved, the kernel
 * writes to none of their 16,384 pages any more, whoever has them then.
 *
 * What turns it red: an end that does not wait for every final completion (`Inflight.idle` in `Proactor.#finish`, the
 * refusal ERR_RITSU_BUSY of the native `close`, the drain when the core is dropped): cancelling does not stop a disk.
 * The last test does just that, and must see pages change: it keeps the others honest.
 */
import test from 'ava';
import type { ExecutionContext } from 'ava';
import { writeBlocks } from './support/blocks.ts';
import { EXITS, endedWith, reported, runProgram } from './support/child.ts';
import { freshPath } from './support/files.ts';
import { ringTest } from './support/ring.ts';
import { sized } from './support/size.ts';

const path = freshPath('direct');

test.before(() => void writeBlocks(path, 64 * 2 ** 20));

interface Seen {
  readonly results: number;
  readonly good: number;
  /** Reads whose memory did not come back. */
  readonly kept: number;
  /** Pages that are not as they were filled when the end had resolved. */
  readonly changed: number;
  readonly leakedBytes: number;
}

async function teardown(t: ExecutionContext, how: string, memory: string): Promise<Seen> {
  const ended = await runProgram('teardown', [how, memory, path], { nodeOptions: EXITS });
  endedWith(t, ended, 0, `${how} with memory of its ${memory}`);
  return reported(ended) as unknown as Seen;
}

for (const how of ['close', 'destroy']) {
  for (const memory of ['own', 'pool']) {
    ringTest(`S21: after ${how} no page of 64 direct reads changes: memory of its ${memory}`, async (t) => {
      const repetitions = sized(2, 50);
      t.timeout(repetitions * 10_000);
      let completed = 0;
      for (let index = 0; index < repetitions; index += 1) {
        const { results, good, kept, changed, leakedBytes } = await teardown(t, how, memory);
        t.deepEqual({ results, changed, leakedBytes }, { results: 64, changed: 0, leakedBytes: 0 });
        if (how === 'close') t.is(good, 64);
        if (memory === 'own') t.is(kept, 0, 'all memory comes back');
        completed += good;
      }
      t.log(`${repetitions} times; ${completed} reads completed, ${repetitions * 64 - completed} were cancelled`);
    });
  }
}

ringTest('past its deadline destroy gives up, and what the kernel still has is given to nobody', async (t) => {
  const kept: number[] = [];
  while (kept.length < 20 && !kept.some((count) => count > 0)) {
    const seen = await teardown(t, 'forsake', 'own');
    t.deepEqual([seen.results, seen.changed], [64, 0]);
    t.true(seen.good + seen.kept <= 64);
    kept.push(seen.kept);
  }
  t.true(kept.at(-1)! > 0, 'the disk was always done before: nothing was seen');
  t.log(`reads given up: ${kept.join(', ')}`);
});

ringTest('cancelling alone does not stop the disk: the same look sees pages change', async (t) => {
  const tries: number[] = [];
  // A fast disk may be done before the first look.
  while (tries.length < 30 && !tries.some((changed) => changed > 0)) {
    const { changed } = await teardown(t, 'cancel', 'pool');
    tries.push(changed);
  }
  t.true(tries.at(-1)! > 0, 'no page changed after a cancel without a drain: this test looks at the wrong memory');
  t.log(`pages written after the cancel: ${tries.join(', ')}`);
});
