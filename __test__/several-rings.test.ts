/**
 * Description: several rings on the loop of one thread do not stop each other, be they of one copy of the package or of two.
 *
 * What turns it red: a ring whose loop waits although the answer of another one has just asked it for something (the program then never
 * ends: seen without `COMPANY` in crates/ritsu-napi/src/bridge/pump.rs, and with a sibling that is asked only what lies in its page).
 */
import { cpSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { EXITS, endedWith, reported, runProgram } from './support/child.ts';
import { fileOf } from './support/files.ts';
import { ringTest } from './support/ring.ts';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const BYTES = 10_000;

ringTest('two copies of the package take turns on one loop', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'ritsu-copy-'));
  for (const part of ['dist', 'native', 'package.json']) cpSync(join(root, part), join(folder, part), { recursive: true });
  const ended = await runProgram('two-copies', [folder, fileOf(Buffer.alloc(BYTES + 500))], { timeoutMs: 20_000 });
  endedWith(t, ended, 0);
  t.true(reported(ended)['isAnother']);
  t.true(Number(reported(ended)['bytes']) >= 2000 * BYTES);
});

for (const what of ['send', 'option']) {
  ringTest(`two proactors of one thread, of which one is asked in the other’s answer, also by a call: ${what}`, async (t) => {
    const ended = await runProgram('two-proactors', [what], { timeoutMs: 10_000, nodeOptions: EXITS }); // what else turns the loop comes later
    endedWith(t, ended, 0);
    t.is(reported(ended)['rounds'], 6);
  });
}
