/** The house rules that a machine can hold; CONTRIBUTING.md says why each is there. */
import test from 'ava';
import { opcodesOfRust, opcodesOfTypescript } from './tidy/opcodes.ts';
import type { Rule } from './tidy/rule.ts';
import { rules } from './tidy/rules.ts';
import { readSources, sourceOf } from './tidy/source.ts';
import type { Source } from './tidy/source.ts';

const sources = readSources();

function findings(rule: Rule, among: readonly Source[]): string[] {
  return among
    .filter(({ path }) => rule.applies(path))
    .flatMap((source) => rule.check(source).map(({ line, what }) => `${source.path}:${line}: ${what}`));
}

for (const rule of rules) {
  test(rule.name, (t) => {
    const found = findings(rule, sources);
    t.is(found.length, 0, found.join('\n'));
  });

  test(`the rule can be broken: ${rule.name}`, (t) => {
    for (const sample of rule.bad) t.not(findings(rule, [sample]).length, 0, `not found in ${sample.path}: ${sample.text}`);
    t.deepEqual(findings(rule, rule.good), []);
    t.true(sources.some(({ path }) => rule.applies(path)), 'the rule applies to no file at all');
  });
}

const sourceAt = (path: string) => sources.find((source) => source.path === path) ?? sourceOf(path, '');

test('the op list in TypeScript equals the one in Rust', (t) => {
  const typescript = opcodesOfTypescript(sourceAt('ts/op.ts'));
  const rust = opcodesOfRust(sourceAt('crates/ritsu-napi/src/abi.rs'));
  t.true(typescript.size > 0);
  t.deepEqual(Object.fromEntries(typescript), Object.fromEntries(rust));
});

test('op lists that differ are told apart', (t) => {
  const typescript = opcodesOfTypescript(sourceOf('ts/op.ts', 'export const Opcode = { NOP: 0, READ_FIXED: 3 } as const;'));
  t.deepEqual([...typescript], [['nop', 0], ['readfixed', 3]]);
  const rust = opcodesOfRust(sourceOf('a.rs', 'pub enum Opcode {\n  /// A, b.\n  Nop,\n  #[doc(hidden)]\n  ReadFixed = 3,\n  Close,\n}'));
  t.deepEqual([...rust], [['nop', 0], ['readfixed', 3], ['close', 4]]);
});

test('the core crate does not know Node', (t) => {
  const manifest = sourceAt('crates/ritsu/Cargo.toml').text;
  t.regex(manifest, /\[dependencies\]/);
  t.notRegex(manifest, /^\s*(napi|neon|nodejs)[\w-]*\b/m);
  const uses = sources.filter(({ path, code }) => path.startsWith('crates/ritsu/') && /\b(napi|napi_derive)::/.test(code));
  t.deepEqual(uses.map(({ path }) => path), []);
});

test('the package has no dependency at run time and no install script', (t) => {
  const manifest = JSON.parse(sourceAt('package.json').text) as Record<string, Record<string, string> | undefined>;
  t.is(manifest['dependencies'], undefined);
  const hooks = ['preinstall', 'install', 'postinstall', 'prepare', 'prepublish'];
  t.deepEqual(hooks.filter((hook) => manifest['scripts']?.[hook] !== undefined), []);
});
