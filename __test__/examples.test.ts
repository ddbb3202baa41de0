/** Every example is run as its first lines say, on both backends, and its answer is checked. */
import test from 'ava';
import type { ExecutionContext } from 'ava';
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { onEach } from './support/backends.ts';
import { fileOf, freshPath, randomBytes } from './support/files.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const PROGRAM_MS_MAX = 60_000;

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Run an example; how it ended. */
function example(name: string, args: readonly string[], backend: string): Promise<Ended> {
  const options = { cwd: root, env: { ...process.env, RITSU_BACKEND: backend }, timeout: PROGRAM_MS_MAX };
  return new Promise((resolve) => {
    execFile(process.execPath, [`examples/${name}`, ...args], options, (error, stdout, stderr) => {
      resolve({ code: typeof error?.code === 'number' ? error.code : error === null ? 0 : -1, stdout, stderr });
    });
  });
}

function ended(t: ExecutionContext, { code, stdout, stderr }: Ended, expected: string | RegExp): void {
  t.is(code, 0, stderr);
  if (typeof expected === 'string') t.is(stdout, expected);
  else t.regex(stdout, expected);
}

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** Several buffers long, and no multiple of one. */
const content = randomBytes(3_000_001);
const text = Array.from({ length: 20_000 }, (_, index) => `line ${index}\n`).join('');

onEach('copy.ts: the copy is the file, and the sum is right', async (t, _proactor, backend) => {
  for (const bytes of [content, Buffer.alloc(0)]) {
    const target = freshPath('copy');
    const result = await example('copy.ts', [fileOf(bytes), target], backend);
    ended(t, result, `${bytes.length} bytes\n${sha256(bytes)}\n`);
    t.true(readFileSync(target).equals(bytes));
  }
});

onEach('count-lines.ts: every style counts the same', async (t, _proactor, backend) => {
  const path = fileOf(text);
  for (const style of ['allocator', 'submit', 'hybrid']) {
    ended(t, await example('count-lines.ts', [path, style], backend), '20000\n');
  }
});

onEach('hash.ts: many files, in the order given; what cannot be read is named', async (t, _proactor, backend) => {
  const files = Array.from({ length: 20 }, (_, index) => randomBytes(index * 70_001, index + 1));
  const paths = files.map((bytes) => fileOf(bytes));
  const expected = files.map((bytes, index) => `${sha256(bytes)}  ${paths[index]}\n`).join('');
  ended(t, await example('hash.ts', paths, backend), expected);

  const partly = await example('hash.ts', [freshPath('missing'), paths[1]!], backend);
  t.is(partly.code, 1);
  t.is(partly.stdout, `${sha256(files[1]!)}  ${paths[1]}\n`);
  t.regex(partly.stderr, /ENOENT/);
});

onEach('random-reader.ts: reads for as long as it is told', async (t, _proactor, backend) => {
  const path = fileOf(content);
  const result = await example('random-reader.ts', [path, '--seconds', '0.1', '--depth', '8'], backend);
  ended(t, result, new RegExp(`^${backend}: \\d+ reads, \\d+ a second`));
});

test('an example without arguments says how it is used', async (t) => {
  const names = readdirSync(join(root, 'examples')).filter((name) => name.endsWith('.ts'));
  t.true(names.length >= 4);
  for (const name of names) {
    const { code, stderr } = await example(name, [], 'node');
    t.is(code, 2, name);
    const usage = stderr.trimEnd().replace('usage: ', '');
    t.true(readFileSync(join(root, 'examples', name), 'utf8').includes(` *     ${usage}\n`), name);
  }
});
