/** House rules about TypeScript: types without holes, and imports that follow the layers. */
import { posix } from 'node:path';
import { findAll } from './rule.ts';
import type { Finding, Rule } from './rule.ts';
import { lineAt, sourceOf } from './source.ts';
import type { Source } from './source.ts';

const isLibrary = (path: string) => path.startsWith('ts/') && path.endsWith('.ts');
const isCli = (path: string) => path.startsWith('ts/cli/');

interface Import {
  readonly line: number;
  readonly statement: string;
  /** Path from the root, without extension, or a package's name. */
  readonly target: string;
}

export function importsOf({ path, uncommented }: Source): Import[] {
  const statements = /^\s*(?:import|export)\s(?:(?:type\s)?[\w\s,*{}$]*?\bfrom\s*)?['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]/gm;
  return [...uncommented.matchAll(statements)].map((found) => {
    const statement = found[0];
    const name = found[1] ?? found[2] ?? '';
    const line = lineAt(uncommented, found.index + statement.length - 1);
    if (!name.startsWith('.')) return { line, statement, target: name };
    return { line, statement, target: posix.join(posix.dirname(path), name).replace(/\.(js|ts)$/, '') };
  });
}

/** Who may not import whom, and why. A layer knows only the one below it. */
const LAYERS: readonly { from: RegExp; to: RegExp; because: string }[] = [
  { from: /^ts\/read\//, to: /^ts\/backend(\/|$)/, because: 'a style does not know which backend runs' },
  {
    from: /^ts\/backend\//,
    to: /^ts\/(read(\/|$)|file|write|timer$|proactor|inflight|index)/,
    because: 'a backend answers ops and knows nothing above them',
  },
  { from: /^ts\/(?!cli\/)/, to: /^ts\/(cli(\/|$)|index$)/, because: 'the library does not import its own front' },
  { from: /^ts\/(?!cli\/)/, to: /^(?!ts\/|node:)/, because: 'the library has no dependency at run time' },
  { from: /^ts\/(?!backend\/|cli\/)/, to: /^node:(fs|net|dgram)/, because: 'only the node backend does I/O with node:fs and node:net' },
];

/** Numbers and types do nothing. */
const NO_INPUT_OUTPUT = /^\s*import (type\b.*|\{ constants \}) from 'node:fs'/;

function wrongImports(source: Source): Finding[] {
  return importsOf(source).flatMap(({ line, statement, target }) =>
    LAYERS.filter(({ from, to }) => from.test(source.path) && to.test(target) && !NO_INPUT_OUTPUT.test(statement)).map(
      ({ because }) => ({ line, what: `imports ${target}: ${because}` }),
    ),
  );
}

const EXPORT_LIST = /export\s+(?:type\s+)?(?:\{[^}]*\}|\*(?:\s+as\s+\w+)?)\s+from\s*'[^']*'\s*;/g;

/** What an index contains beyond exports from elsewhere. */
function beyondExports({ uncommented }: Source): Finding[] {
  const rest = uncommented.replace(EXPORT_LIST, (statement) => statement.replace(/[^\n]/g, ' '));
  const at = rest.search(/\S/);
  return at === -1 ? [] : [{ line: lineAt(rest, at), what: 'the index lists everything and contains nothing' }];
}

export const typescriptRules: Rule[] = [
  {
    name: 'no `any` in TypeScript',
    applies: (path) => path.endsWith('.ts'),
    check: ({ code }) => findAll(code, /(?<![.\w$])any\b(?!\s*[(:?.])/g),
    bad: ['let a: any;', 'f(a as any);', 'type A = Map<string, any>;', 'let b: any[] = [];'].map((text) => sourceOf('ts/a.ts', text)),
    good: [sourceOf('ts/a.ts', "// any\nPromise.any([]); AbortSignal.any(list); f({ any: 1 }); 'any';\n")],
  },
  {
    name: 'no type error is silenced',
    applies: (path) => path.endsWith('.ts') && !path.startsWith('__test__/tidy'),
    // A type test may expect an error, which fails when the error is gone; nothing may ignore one.
    check: ({ path, text }) => findAll(text, isLibrary(path) ? /@ts-(ignore|nocheck|expect-error)/g : /@ts-(ignore|nocheck)/g),
    bad: [sourceOf('ts/a.ts', '// @ts-ignore\n'), sourceOf('ts/a.ts', '// @ts-expect-error why\n'), sourceOf('benches/a.ts', '// @ts-nocheck\n')],
    good: [sourceOf('__test__/types/a.ts', '// @ts-expect-error: a lease has no length\n')],
  },
  {
    name: 'the library prints nothing',
    applies: (path) => isLibrary(path) && !isCli(path),
    check: ({ code }) => findAll(code, /\bconsole\.\w+|\bdebugger\b|\bprocess\.(stdout|stderr)\b/g),
    bad: [sourceOf('ts/a.ts', 'console.log(1);'), sourceOf('ts/a.ts', 'process.stderr.write(a);')],
    good: [sourceOf('ts/a.ts', "// console.log\n'console.log';\n")],
  },
  {
    name: 'imports follow the layers',
    applies: isLibrary,
    check: wrongImports,
    bad: [
      sourceOf('ts/read/a.ts', "import { B } from '../backend/node.js';\n"),
      sourceOf('ts/backend/a.ts', "import type { Read } from '../read/read.js';\n"),
      sourceOf('ts/backend/node/a.ts', "import {\n  File,\n} from '../../file.js';\n"),
      sourceOf('ts/a.ts', "const b = await import('./cli/start.js');\n"),
      sourceOf('ts/a.ts', "import chalk from 'chalk';\n"),
      sourceOf('ts/a.ts', "import { read } from 'node:fs/promises';\n"),
    ],
    good: [
      sourceOf('ts/backend/node.ts', "import { read } from 'node:fs';\nimport { Opcode } from '../op.js';\nimport './node/calls.js';\n"),
      sourceOf('ts/read/a.ts', "// from '../backend/node.js'\nimport type { R } from './read.js';\nimport { constants } from 'node:fs';\n"),
      sourceOf('ts/errors.ts', "export class E {\n  a = 'x';\n}\nexport type K = 'ERR_RITSU_A' | 'B';\n"),
    ],
  },
  {
    name: 'no FinalizationRegistry is ever collected: it would silence all others of the process (V8 of Node 22 and 24)',
    applies: isLibrary,
    check: ({ code }) => findAll(code, /^(?!const \w+ = ).*\bnew FinalizationRegistry\b.*/gm),
    bad: [sourceOf('ts/a.ts', 'class A {\n  #b = new FinalizationRegistry(c);\n}\n'), sourceOf('ts/a.ts', '  const a = new FinalizationRegistry(b);\n')],
    good: [sourceOf('ts/a.ts', 'const a = new FinalizationRegistry<B>((b) => b.c());\n')],
  },
  {
    name: 'the index contains only exports',
    applies: (path) => path === 'ts/index.ts',
    check: beyondExports,
    bad: [sourceOf('ts/index.ts', "export { a } from './a.js';\nexport const b = 1;\n"), sourceOf('ts/index.ts', "import './a.js';\n")],
    good: [sourceOf('ts/index.ts', "/** Doc. */\nexport type { A,\n B } from './a.js';\nexport * from './b.js';\n")],
  },
];
