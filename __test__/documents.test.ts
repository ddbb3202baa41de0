/** What the documents say of the repository is so: the files they name exist, none is left out, links lead somewhere. */
import test from 'ava';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { root } from './documents/snippets.ts';

const read = (path: string): string => readFileSync(join(root, path), 'utf8');
const listed = (folder: string): string[] =>
  readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(root.length));

const decisions = listed('docs/decisions');
const documents = ['README.md', 'ARCHITECTURE.md', ...listed('docs')];
const architecture = read('ARCHITECTURE.md');

/** Names of files and folders of the repository, as documents write them. */
const PATH = /`((?:ts|crates|scripts|benches|__test__|docs|examples)\/[\w./-]*)`/g;

for (const document of documents) {
  test(`the files and links of ${document} exist`, (t) => {
    const text = read(document);
    t.regex(text, /^# /);
    for (const [, path] of text.matchAll(PATH)) t.true(existsSync(join(root, path!)), path);
    for (const [, link] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
      const [target = '', anchor] = link!.split('#');
      if (/^https?:/.test(link!)) continue;
      if (target !== '') t.true(existsSync(join(root, dirname(document), target)), link);
      if (target === '' && anchor !== undefined) t.true(anchorsOf(text).has(anchor), link);
    }
  });
}

/** As GitHub makes them from headings, of which those that occur again are numbered. */
function anchorsOf(text: string): Set<string> {
  const anchors = new Set<string>();
  const seen = new Map<string, number>();
  for (const [, heading] of text.matchAll(/^#+ (.+)$/gm)) {
    const slug = heading!.toLowerCase().replace(/[^\w\- ]/g, '').replaceAll(' ', '-');
    const before = seen.get(slug) ?? 0;
    seen.set(slug, before + 1);
    anchors.add(before === 0 ? slug : `${slug}-${before}`);
  }
  for (const [, id] of text.matchAll(/<a id="([^"]+)">/g)) anchors.add(id!);
  return anchors;
}

test('the architecture names every file of the library', (t) => {
  const folders = ['ts', 'crates/ritsu/src', 'crates/ritsu-napi/src'];
  const files = folders.flatMap(listed).filter((path) => !/^ts\/cli\/|_tests\.rs$/.test(path));
  const named = new Set([...architecture.matchAll(PATH)].map((found) => found[1]!));
  t.deepEqual(files.filter((path) => !named.has(path)), []);
});

test('each invariant names tests that exist', (t) => {
  const [, body = ''] = /<!-- invariants:begin -->([^]*)<!-- invariants:end -->/.exec(architecture) ?? [];
  const invariants = body.split(/^\d+\. /m).slice(1).map((each) => each.replaceAll(/\s+/g, ' ')); // lines are wrapped
  t.true(invariants.length >= 15);
  for (const invariant of invariants) {
    const claims = [...invariant.matchAll(/`([^`]+\.(?:ts|rs))`: ((?:`[^`]+`(?:, )?)+)/g)];
    t.true(claims.length > 0, invariant);
    for (const [, file, titles] of claims) {
      const source = read(file!);
      for (const [, title] of titles!.matchAll(/`([^`]+)`/g)) t.true(source.includes(title!), `${file}: ${title}`);
    }
  }
});

test('each decision has its four parts, and the numbers have no gaps', (t) => {
  for (const path of decisions) {
    const headings = [...read(path).matchAll(/^## (.+)$/gm)].map((found) => found[1]);
    t.deepEqual(headings.slice(0, 4), ['Options', 'Wishes', 'Choice', 'Because'], path);
  }
  const numbers = decisions.map((path) => Number(/(\d{4})-/.exec(path)?.[1])).sort((a, b) => a - b);
  t.deepEqual(numbers, numbers.map((_, index) => index + 1));
});
