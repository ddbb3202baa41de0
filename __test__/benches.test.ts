// Benches rot unless they run: the smoke size of each, in which every engine's every byte is verified.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import test from 'ava';

const RUN = fileURLToPath(new URL('../benches/run.ts', import.meta.url));

interface Ended {
  readonly code: number | null;
  readonly output: string;
}

async function smoke(bench: string, words: readonly string[] = [], environment: NodeJS.ProcessEnv = {}): Promise<Ended> {
  const script = RUN.replace('run.ts', `${bench}.ts`);
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', script, '--smoke', ...words], {
    stdio: 'pipe',
    env: { ...process.env, ...environment },
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, output };
}

for (const bench of ['file', 'boundary', 'read-styles', 'echo', 'threads']) {
  // Removing a checksum in an engine, or an engine that reads the wrong block, makes the harness exit with 1.
  test.serial(`the smoke size of ${bench}: every engine gives every byte`, async (t) => {
    t.timeout(300_000);
    const { code, output } = await smoke(bench);
    t.is(code, 0, output);
    t.regex(output, /ritsu/);
  });
}

test.serial('the smoke size of echo on the node backend: every engine gives every byte', async (t) => {
  t.timeout(300_000);
  const { code, output } = await smoke('echo', [], { RITSU_BACKEND: 'node' });
  t.is(code, 0, output);
  t.regex(output, /ritsu allocator on node/);
});

test.serial('one wrong bit of an echo makes the bench end with 1, and says whose it was', async (t) => {
  t.timeout(300_000);
  const preload = new URL('support/corrupt-writes.ts', import.meta.url).href;
  const environment = { NODE_OPTIONS: `--import=${preload}`, RITSU_TEST_CORRUPT: 'allocator echo' };
  const { code, output } = await smoke('echo', ['--row', 'echo of', '--engine', 'allocator|node:net'], environment);
  t.is(code, 1, output);
  t.regex(output, /FAILED ritsu allocator/);
  t.regex(output, /node:net right/);
});

test.serial('--json gives what a record would keep, on one line', async (t) => {
  t.timeout(300_000);
  const { code, output } = await smoke('echo', ['--json', '--row', 'echo of 64 B over one', '--engine', 'node:net']);
  t.is(code, 0, output);
  const { bench, rows } = JSON.parse(output) as { bench: string; rows: { engines: { name: string; results: object[] }[] }[] };
  t.is(bench, 'echo');
  t.deepEqual(rows.map(({ engines }) => engines.map(({ name, results }) => [name, results.length])), [[['node:net', 1]]]);
});
