/** Every example is run as its first lines say, on both backends, and its answer is checked. Those that serve: `examples-net.test.ts`. */
import test from 'ava';
import { createHash } from 'node:crypto';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { onEach } from './support/backends.ts';
import { ended, example, root } from './support/example.ts';
import { fileOf, freshPath, randomBytes } from './support/files.ts';

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
  // A module of another example's has no command of its own.
  const names = readdirSync(join(root, 'examples')).filter((name) => {
    return name.endsWith('.ts') && readFileSync(join(root, 'examples', name), 'utf8').includes(' *     node examples/');
  });
  t.true(names.length >= 9);
  for (const name of names) {
    const { code, stderr } = await example(name, [], 'node');
    t.is(code, 2, name);
    const usage = stderr.trimEnd().replace('usage: ', '');
    t.true(readFileSync(join(root, 'examples', name), 'utf8').includes(` *     ${usage}\n`), name);
  }
});
