/** House rules that hold for the whole repository. Each rule carries a sample that breaks it and one that does not. */
import { findAll } from './rule.ts';
import type { Finding, Rule } from './rule.ts';
import { isRust, rustRules } from './rust.ts';
import { endOfBlock, lineAt, sourceOf } from './source.ts';
import type { Source } from './source.ts';
import { typescriptRules } from './typescript.ts';

const FUNCTION_LINES_MAX = 70;
const RUST_LINES_MAX = 500;
const TYPESCRIPT_LINES_MAX = 300;

const isScript = (path: string) => /\.(ts|mjs|js|cjs)$/.test(path);
const isCode = (path: string) => isRust(path) || isScript(path);
const isLockFile = (path: string) => /(^|\/)(package-lock\.json|Cargo\.lock)$/.test(path);
const isTest = (path: string) => path.endsWith('.test.ts') || isRust(path);
/** Samples of what is forbidden have to be written down somewhere. */
const isTidy = (path: string) => path.startsWith('__test__/tidy');

/** Where the bodies of functions open: after `fn ..`, `=>`, or a parameter list that is not a control statement's. */
export function functionBodies({ path, code }: Source): number[] {
  if (isRust(path)) {
    return [...code.matchAll(/\bfn\s+\w+[^;{]*\{/g)].map(({ 0: head, index }) => index + head.length - 1);
  }
  return [...code.matchAll(/\{/g)].map(({ index }) => index).filter((open) => opensFunction(code.slice(Math.max(0, open - 2000), open)));
}

function opensFunction(before: string): boolean {
  if (/=>\s*$/.test(before)) return true;
  const close = /\)\s*(?::[^;{}=]*)?$/.exec(before);
  if (close === null) return false;
  let depth = 0;
  for (let at = close.index; at >= 0; at -= 1) {
    if (before.charAt(at) === ')') depth += 1;
    else if (before.charAt(at) === '(' && (depth -= 1) === 0) {
      return !/\b(if|for|while|switch|catch|with|await)\s*$/.test(before.slice(0, at));
    }
  }
  return false;
}

function longFunctions(source: Source): Finding[] {
  return functionBodies(source).flatMap((open) => {
    const first = lineAt(source.code, open);
    const lines = lineAt(source.code, endOfBlock(source.code, open) - 1) - first + 1;
    return lines > FUNCTION_LINES_MAX ? [{ line: first, what: `a function of ${lines} lines, ${FUNCTION_LINES_MAX} at most` }] : [];
  });
}

function longFile({ path, text }: Source): Finding[] {
  const lines = text.split('\n').length - 1;
  const most = isRust(path) ? RUST_LINES_MAX : TYPESCRIPT_LINES_MAX;
  return lines > most ? [{ line: most + 1, what: `${lines} lines, ${most} at most` }] : [];
}

const VAGUE_NAME = /(^|\/)(utils?|commons?|helpers?|misc|shared)(\.[^/]*)?(\/|$)/;
const MACHINE_PATH = /(?<![\w.~*/-])\/(?:work|root|home\/\w+|Users\/\w+|opt\/nodes)(?=\/)/g;
const REGISTRY_HOST = /\b(?:registry\.[\w-]+\.\w+|npm\.pkg\.github\.com|(?:index|static)\.crates\.io|proxy\.golang\.org|pypi\.org)\b/g;

const wholeRules: Rule[] = [
  {
    name: `a function has at most ${FUNCTION_LINES_MAX} lines`,
    applies: isCode,
    check: longFunctions,
    bad: [
      sourceOf('ts/a.ts', `export function a(b: Map<string, number>): Promise<void> {\n${'b;\n'.repeat(70)}}\n`),
      sourceOf('ts/a.ts', `class A {\n  get a() {\n${'b;\n'.repeat(70)}  }\n}\n`),
      sourceOf('__test__/a.ts', `test('a {', async (t) => {\n${'b;\n'.repeat(70)}});\n`),
      sourceOf('crates/ritsu/src/a.rs', `fn a<T: Into<u8>>(b: T) -> u8 {\n${'b;\n'.repeat(70)}}\n`),
    ],
    good: [
      sourceOf('ts/a.ts', `class A {\n${'  b() {\n  }\n'.repeat(70)}}\n`),
      sourceOf('crates/ritsu/src/a.rs', `impl A {\n${'fn b() { "{"; }\n'.repeat(70)}}\n`),
    ],
  },
  {
    name: `a file has at most ${RUST_LINES_MAX} lines (Rust) or ${TYPESCRIPT_LINES_MAX} (TypeScript)`,
    applies: isCode,
    check: longFile,
    bad: [sourceOf('ts/a.ts', 'a;\n'.repeat(301)), sourceOf('crates/ritsu/src/a.rs', 'a;\n'.repeat(501))],
    good: [sourceOf('ts/a.ts', 'a;\n'.repeat(300)), sourceOf('crates/ritsu/src/a.rs', 'a;\n'.repeat(500))],
  },
  {
    name: 'a file is named for what it owns',
    applies: isCode,
    check: ({ path }) => (VAGUE_NAME.test(path) ? [{ line: 1, what: path }] : []),
    bad: ['ts/utils.ts', 'ts/helpers/fd.ts', 'crates/ritsu/src/common.rs', '__test__/helper.d.ts'].map((path) => sourceOf(path, '')),
    good: ['ts/stat.ts', 'ts/utilization.ts'].map((path) => sourceOf(path, '')),
  },
  {
    name: 'tests and benches parse on Node 22',
    // Node runs them as they stand, types stripped; `using` came with Node 24.
    applies: (path) => /^(__test__|benches)\/.*\.ts$/.test(path),
    check: ({ code }) => findAll(code, /^\s*(?:await )?using \w+ =|\((?:const |await )?using \w+ of/gm),
    bad: [
      sourceOf('__test__/a.test.ts', "  await using file = await open('a');\n"),
      sourceOf('benches/a.ts', 'using bytes = b;\n'),
    ],
    good: [sourceOf('__test__/a.test.ts', "// await using file = a\nconst using = 1;\n"), sourceOf('examples/a.ts', 'using a = b;\n')],
  },
  {
    name: 'no test is skipped without a reason or run alone',
    // What a backend or a kernel cannot do is skipped in __test__/support/, or by `(condition ? test : test.skip)(..)`:
    // the runner counts that and asks expected-skips.json.
    applies: (path) => isTest(path) && !isTidy(path),
    check: ({ code }) => findAll(code, /\b(?:test|serial)\.(?:only|skip|todo|failing)\s*\(|\.only\s*\(|#\[ignore\]/g),
    bad: [
      sourceOf('__test__/a.test.ts', "test.skip('a', () => {});\n"),
      sourceOf('__test__/a.test.ts', "test.serial.only('a', () => {});\n"),
      sourceOf('crates/ritsu/tests/a.rs', '#[test]\n#[ignore]\nfn a() {}\n'),
    ],
    good: [sourceOf('__test__/a.test.ts', "(isUring ? test : test.skip)('a', () => {});\n")],
  },
  {
    name: 'nothing names the machine it was written on',
    applies: (path) => !isLockFile(path) && !isTidy(path),
    check: ({ text }) => findAll(text, MACHINE_PATH),
    bad: [sourceOf('README.md', 'cd /home/somebody/a\n'), sourceOf('ts/a.ts', "'/root/x'")],
    good: [sourceOf('README.md', 'reads/work/here, https://a.b/root/c\n')],
  },
  {
    name: 'no registry host is named',
    applies: (path) => !path.endsWith('Cargo.lock') && !isTidy(path),
    check: ({ text }) => findAll(text, REGISTRY_HOST),
    bad: [sourceOf('package-lock.json', '"resolved": "https://registry.example.org/a"'), sourceOf('.npmrc', 'registry=https://registry.a.io')],
    good: [sourceOf('package-lock.json', '"resolved": "scripts/node", "registry": 1')],
  },
];

export const rules: readonly Rule[] = [...wholeRules, ...rustRules, ...typescriptRules];
