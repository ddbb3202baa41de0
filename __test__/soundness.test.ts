/** What `docs/soundness.md` says of tests is so: each scenario names tests that exist, and none is left out. */
import test from 'ava';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './documents/snippets.ts';

const read = (path: string): string => readFileSync(join(root, path), 'utf8');

interface Row {
  readonly number: number;
  readonly cells: readonly string[];
}

const rows: readonly Row[] = read('docs/soundness.md')
  .split('\n')
  .filter((line) => /^\| S\d+ \|/.test(line))
  .map((line) => line.split(/(?<!\\)\|/).slice(1, -1).map((cell) => cell.trim()))
  .map((cells) => ({ number: Number(cells[0]!.slice(1)), cells }));

test('the scenarios are numbered without a gap', (t) => {
  t.true(rows.length > 0);
  t.deepEqual(rows.map(({ number }) => number), rows.map((_, index) => rows[0]!.number + index));
});

for (const { number, cells } of rows) {
  test(`the tests of scenario ${number} exist, by its number`, (t) => {
    t.is(cells.length, 4);
    t.true(cells.every((cell) => cell.length > 0));
    const claims = [...cells[2]!.matchAll(/`([^`]+\.(?:ts|rs))`: ((?:`[^`]+`(?:, )?)+)/g)];
    t.true(claims.length > 0, 'it names a file and a title');
    for (const [, file, titles] of claims) {
      const source = read(file!);
      for (const [, title] of titles!.matchAll(/`([^`]+)`/g)) {
        t.true(source.includes(title!), `${file}: ${title}`);
        t.regex(title!, new RegExp(file!.endsWith('.rs') ? `^s${number}_` : `^S${number}: `));
      }
    }
  });
}
