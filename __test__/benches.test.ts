// Benches rot unless they run: the smoke size of each, in which every engine's every byte is verified.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import test from 'ava';

const RUN = fileURLToPath(new URL('../benches/run.ts', import.meta.url));

for (const bench of ['file', 'boundary', 'read-styles']) {
  // Removing a checksum in an engine, or an engine that reads the wrong block, makes the harness exit with 1.
  test.serial(`the smoke size of ${bench}: every engine gives every byte`, async (t) => {
    t.timeout(300_000);
    const script = RUN.replace('run.ts', `${bench}.ts`);
    const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', script, '--smoke'], { stdio: 'pipe' });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
    const [code] = (await once(child, 'close')) as [number];
    t.is(code, 0, output);
    t.regex(output, /ritsu/);
  });
}
