/** What the documents show is run: every block of TypeScript in the README and the guide, on both backends. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { Workshop, root, snippetsOf } from './documents/snippets.ts';
import type { Result } from './documents/snippets.ts';
import { onEach } from './support/backends.ts';

/** The files that the blocks open: a log of 12,000 lines, several reads long. */
const FILES = {
  'access.log': Array.from({ length: 12_000 }, (_, index) => `192.0.2.${index % 256} - GET /page/${index} 200\n`).join(''),
};

const readme = snippetsOf('README.md');
const guides = readdirSync(join(root, 'docs')).filter((name) => name.endsWith('.md')).toSorted();
const guide = guides.flatMap((name) => snippetsOf(`docs/${name}`));
const snippets = [...readme, ...guide];
const workshop = new Workshop();
let compiled: Result | undefined;

test.before('compile', async () => {
  compiled = await workshop.compile(snippets);
});

test('every block of TypeScript in the documents passes the type checker', (t) => {
  t.true(compiled?.ok, compiled?.output);
});

test('the README shows each style', (t) => {
  const code = readme.map((snippet) => snippet.code).join('');
  for (const call of ['.allocator()', '.submitter()', '.hybrid()', 'AsyncRead']) t.true(code.includes(call), call);
});

for (const snippet of snippets.filter(({ runs }) => runs)) {
  onEach(snippet.name, async (t, _proactor, backend) => {
    const { ok, output, lines } = await workshop.run(snippet, backend, FILES);
    t.true(ok, output);
    if (snippet.prints.length > 0) t.deepEqual(lines, snippet.prints);
  });
}
